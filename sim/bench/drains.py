"""Random DRAIN commands and the bytes they must write, written from the instruction reference."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from cpt.hw.contract import ArrayConfig
from cpt.hw.layouts import drain_command, result_rows
from cpt.sim.bench.core import pack
from cpt.sim.bench.rows import unpack_row


@dataclass(frozen=True)
class TilePlace:
    """One result tile in memory."""

    address: int
    element_bytes: int
    col_sums: bool

    def rows(self, config: ArrayConfig) -> list[int]:
        """Which rows of the result buffer's tile are written, in order."""
        return list(range(config.rows + self.col_sums))

    def beats(self, config: ArrayConfig) -> int:
        """Beats of the tile."""
        return len(self.rows(config)) * self.element_bytes * config.cols // 8

    def content(self, config: ArrayConfig, tile: list[int]) -> bytes:
        """The tile's bytes: row, byte plane, column; ``tile`` is its rows as packed words."""
        out = bytearray()
        for row in self.rows(config):
            values = unpack_row(tile[row], config)
            for plane in range(self.element_bytes):
                out += bytes(value >> 8 * plane & 0xFF for value in values)
        return bytes(out)


@dataclass(frozen=True)
class DrainCommand:
    """A DRAIN with its element width."""

    config: ArrayConfig
    element_bytes: int
    col_sums: bool
    tiles: int
    blocks: int
    base: int
    block_stride: int
    tile_stride: int

    @classmethod
    def random(cls, config: ArrayConfig, memory_bytes: int) -> DrainCommand:
        """A DRAIN of a few tiles that do not overlap."""
        element_bytes = random.randint(1, 6)
        tiles, blocks = random.randint(1, 3), random.randint(1, 3)
        tile_stride = result_rows(config) * element_bytes * config.cols + 8 * random.randint(0, 3)
        block_stride = tiles * tile_stride + 8 * random.randint(0, 3)
        base = 8 * random.randint(0, (memory_bytes - blocks * block_stride) // 8)
        return cls(
            config, element_bytes, random.random() < 0.5, tiles, blocks, base, block_stride, tile_stride
        )

    def payload(self) -> int:
        """The decoded command."""
        names = ("col_sums", "tiles", "blocks", "base", "block_stride", "tile_stride")
        values = {name: getattr(self, name) for name in names}
        return pack(drain_command(), {"bytes": self.element_bytes, **values})

    def places(self) -> Iterator[TilePlace]:
        """Its tiles in order: column sums with the first tile of a block."""
        for block in range(self.blocks):
            for tile in range(self.tiles):
                yield TilePlace(
                    self.base + block * self.block_stride + tile * self.tile_stride,
                    self.element_bytes,
                    self.col_sums and tile == 0,
                )
