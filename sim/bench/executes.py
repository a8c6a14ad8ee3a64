"""Random EXEC commands and the steps they must take, written from docs/machine.md."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ALL_TAPS
from cpt.hw.contract.order import tile_steps
from cpt.hw.layouts import exec_command
from cpt.sim.bench.core import pack


@dataclass(frozen=True)
class Execute:
    """An EXEC with its slots' contents."""

    config: ArrayConfig
    bits_a: int
    bits_b: int
    signed_a: bool
    signed_b: bool
    ksteps: int
    tiles: int
    blocks: int
    first: bool
    last: bool
    release_a: bool
    taps: int

    @classmethod
    def random(cls, config: ArrayConfig, *, whole: bool = False) -> Execute:
        """An EXEC of a few hundred steps; ``whole`` ones have first, last and release_a set."""
        bits_a, bits_b = random.randint(1, 6), random.randint(1, 6)
        first, last = (True, True) if whole else (random.random() < 0.7, random.random() < 0.7)
        many = first and last
        return cls(
            config,
            bits_a,
            bits_b,
            random.random() < 0.5,
            random.random() < 0.5,
            random.randint(1, 3),
            tiles=random.randint(1, 3) if many else 1,
            blocks=random.randint(1, 3) if many else 1,
            first=first,
            last=last,
            release_a=whole or random.random() < 0.5,
            taps=random.randint(1, ALL_TAPS),
        )

    def payload(self) -> int:
        """The decoded command."""
        values: dict[str, Any] = {
            "a": {"bits": self.bits_a, "signed": self.signed_a},
            "b": {"bits": self.bits_b, "signed": self.signed_b},
            "a_tile_words": self.bits_a * self.ksteps,
            "b_plane_words": self.ksteps,
        }
        for name in ("ksteps", "tiles", "blocks", "first", "last", "release_a", "taps"):
            values[name] = getattr(self, name)
        return pack(exec_command(self.config), values)

    def steps(self) -> Iterator[dict[str, Any]]:
        """Every step's fields, without buffer halves and result tile, and which ends it reaches."""
        order = list(tile_steps(self.bits_a, self.bits_b, self.signed_a, self.signed_b, self.ksteps))
        for block in range(self.blocks):
            for tile in range(self.tiles):
                for index, step in enumerate(order):
                    tile_last = index == len(order) - 1
                    block_last = tile_last and tile == self.tiles - 1
                    yield {
                        # A bubble multiplies nothing: its addresses are free.
                        "a_word": (tile * self.bits_a + step.plane_a) * self.ksteps + step.k
                        if step.count
                        else -1,
                        "b_word": step.plane_b * self.ksteps + step.k if step.count else -1,
                        "clear": int(step.clear),
                        "double": int(step.double),
                        "count": int(step.count),
                        "subtract": int(step.subtract),
                        "b_subtract": int(step.b_subtract),
                        "taps": 0 if step.plane_a else self.taps,
                        "tile_last": int(tile_last),
                        "block_last": int(block_last),
                        "command_last": int(block_last and block == self.blocks - 1),
                    }

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Every plane pair and bubble: its first step's fields, with its ``steps`` and what its last ends."""
        first: dict[str, Any] = {}
        steps = 0
        for step in self.steps():
            first = step if not steps else first
            steps += 1
            if steps == (self.ksteps if step["count"] else 1):
                ends = {name: step[name] for name in ("tile_last", "block_last", "command_last")}
                yield {**first, **ends, "steps": steps}
                steps = 0


FLAGS = ("clear", "double", "count", "subtract", "b_subtract", "taps")
"""Step fields that `Execute.steps` and the step layout share by name."""
