"""How runs of memory fall into bursts, and whether a block's bursts stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.machine import BURST_BYTES, MACHINE

_LEAST_BEATS = 4
"""Of two bursts that stream: m0 has an address of a master every second cycle."""


@dataclass(frozen=True)
class BlockPlan:
    """The bursts of one block or result tile."""

    lengths: tuple[int, ...]
    """Beats of every burst, in order."""
    ends: tuple[int, ...]
    """Beats up to the end of every burst."""
    runs: tuple[int, ...]
    """Bursts of every run."""
    streams: bool
    """Data flow without a gap: the limit of bursts in flight never delays a beat."""

    @property
    def beats(self) -> int:
        """Beats of all bursts."""
        return self.ends[-1]


def _lengths(residue: int, beats: int) -> list[int]:
    """Bursts of a run of ``beats`` that starts ``residue`` bytes after a burst boundary."""
    first = min(beats, BURST_BEATS - residue // BEAT_BYTES)
    full, rest = divmod(beats - first, BURST_BEATS)
    return [first, *[BURST_BEATS] * full, *([rest] if rest else [])]


@lru_cache(maxsize=1 << 12)
def block_plan(
    residue: int,
    strides: tuple[int, int],
    counts: tuple[int, int],
    beats: int,
    round_trip: int,
    in_flight: int,
) -> BlockPlan:
    """The bursts of ``counts`` runs of ``beats`` each.

    ``residue`` and ``strides`` are bytes modulo `BURST_BYTES`; ``round_trip`` is the number of cycles from a
    burst's last beat to the first beat of the burst that takes its place, less one; ``in_flight`` of the
    memory's, beside ``outstanding_bursts`` of the master's, may be on their way.
    """
    lengths: list[int] = []
    runs: list[int] = []
    for outer in range(counts[0]):
        for inner in range(counts[1]):
            start = (residue + outer * strides[0] + inner * strides[1]) % BURST_BYTES
            run = _lengths(start, beats)
            lengths += run
            runs.append(len(run))
    return BlockPlan(
        tuple(lengths),
        tuple(accumulate(lengths)),
        tuple(runs),
        _least_sum(lengths, min(in_flight, MACHINE.outstanding_bursts) - 1) >= round_trip
        and _least_sum(lengths, 2) >= _LEAST_BEATS,
    )


def _least_sum(lengths: list[int], width: int) -> int:
    """Smallest sum of ``width`` consecutive bursts of endlessly repeated ``lengths``."""
    rounds = -(-width // len(lengths))
    endless = lengths * (rounds + 1)
    total = sum(endless[:width])
    least = total
    for index in range(len(lengths)):
        total += endless[index + width] - endless[index]
        least = min(least, total)
    return least
