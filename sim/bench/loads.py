"""Random LOAD commands and the runs of memory they must read, written from the instruction reference."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from cpt.hw.contract import ArrayConfig
from cpt.hw.layouts import load_command
from cpt.sim.bench.core import pack


@dataclass(frozen=True)
class Load:
    """A LOAD of one operand with its slot's bits."""

    config: ArrayConfig
    operand: str
    bits: int
    tiles: int
    ksteps: int
    blocks: int
    base: int
    block_stride: int
    tile_stride: int
    plane_stride: int

    @classmethod
    def random(cls, config: ArrayConfig, operand: str, memory_bytes: int) -> Load:
        """A LOAD that fits in half of the buffer and within ``memory_bytes``."""
        bits = random.randint(1, 16)
        tiles = random.randint(1, 3)
        ksteps = random.randint(1, max(1, min(5, config.half_words(operand) // (bits * tiles))))
        blocks = random.randint(1, 3)
        group = config.group_bytes(operand)
        plane_stride = ksteps * group + 8 * random.randint(0, 3)
        tile_stride = bits * plane_stride + 8 * random.randint(0, 3)
        block_stride = tiles * tile_stride + 8 * random.randint(0, 3)
        base = 8 * random.randint(0, (memory_bytes - blocks * block_stride) // 8)
        return cls(
            config, operand, bits, tiles, ksteps, blocks, base, block_stride, tile_stride, plane_stride
        )

    @property
    def block_words(self) -> int:
        """Words per lane of a block."""
        return self.tiles * self.bits * self.ksteps

    @property
    def run_beats(self) -> int:
        """Beats of one plane."""
        return self.ksteps * self.config.group_bytes(self.operand) // 8

    def payload(self) -> int:
        """The decoded command."""
        fields = (
            "bits",
            "tiles",
            "ksteps",
            "blocks",
            "base",
            "block_stride",
            "tile_stride",
            "plane_stride",
            "block_words",
        )
        return pack(load_command(self.config, self.operand), {name: getattr(self, name) for name in fields})

    def runs(self) -> Iterator[int]:
        """Addresses of all runs, in order."""
        for block in range(self.blocks):
            for tile in range(self.tiles):
                for plane in range(self.bits):
                    yield (
                        self.base
                        + block * self.block_stride
                        + tile * self.tile_stride
                        + plane * self.plane_stride
                    )
