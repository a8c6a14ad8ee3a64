"""Channels' places in the memories of statistics and coefficients, by how long each is wanted.

A region is a place for some channels, the same in both memories since an instruction has one number for
both. Programs name regions; they get places when all of a list is known.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from cpt.hw.contract import ContractError

NAMED = 1 << 60
"""Numbers of channels from here on are in regions that have no place yet."""
_STEP = 1 << 20
"""From one region's channels to the next one's; what is added to them finds a field, or some channels."""


def channel_of(number: int) -> int:
    """First channel of region ``number``."""
    return NAMED + number * _STEP


def number_of(address: int) -> int:
    """The region that an address, or a channel, is in."""
    return (address - NAMED) // _STEP


def placed(address: int, first: int) -> int:
    """An address where its region's first channel is ``first``."""
    return first + (address - NAMED) % _STEP


@dataclass
class Channels:
    """Places that are taken, by memory; regions go round, so that one is soon no other.

    Where they are ``tight``, large ones lie as far down as they can and others above them.
    """

    channels: int
    """All that there are."""
    tight: bool = False
    _taken: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """First channel and the one behind the last, by memory and region."""
    _next: int = 0

    def take(self, number: int, count: int, memories: Collection[str]) -> int:
        """First channel of ``count`` that are free in all of ``memories``; raises `ContractError`."""
        starts = self._starts(count)
        taken = [place for (memory, _), place in self._taken.items() if memory in memories]
        for first in starts:
            if not any(start < first + count and first < stop for start, stop in taken):
                break
        else:
            others = sum(stop - start for start, stop in taken)
            raise ContractError(
                f"coefficients of {count} channels have no place beside {others} of others; "
                f"allowed: {self.channels} in all, fewer channels"
            )
        self._taken |= {(memory, number): (first, first + count) for memory in memories}
        self._next = first + count
        return first

    def _starts(self, count: int) -> list[int]:
        """Where a region may begin, best first: at an end of another, or of the memory."""
        large = 2 * count >= self.channels
        ends = sorted({0, self._next, *(stop for _, stop in self._taken.values())})
        if self.tight and not large:
            ends = sorted({self.channels - count, *(start - count for start, _ in self._taken.values())})
        possible = [first for first in ends if 0 <= first <= self.channels - count]
        if self.tight:
            return possible if large else possible[::-1]
        return sorted(possible, key=lambda first: (first < self._next, first))

    def give(self, number: int, memory: str) -> None:
        """Nothing more is wanted of a region in ``memory``."""
        del self._taken[memory, number]
