"""How runs of memory fall into bursts, and whether a block's bursts stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.machine import BURST_BYTES

RUN_STEP_CYCLES, BLOCK_STEP_CYCLES = 2, 4
"""From a burst's issue to that of the next, where that is the first of its run, of its block."""


@dataclass(frozen=True)
class Pace:
    """How fast the addresses of a port can follow each other."""

    step_cycles: int
    """From an address to the next, at least."""
    round_trip: int
    """From a burst's last beat to the first beat of the burst that takes its place, less one."""
    in_flight: int
    """Bursts that may be on their way, if the memory has room for others beside them."""

    def keeps_up(self, lengths: Sequence[int], steps: Sequence[int], behind: int) -> bool:
        """Whether no beat of the bursts from number ``behind`` on waits for an address.

        ``lengths`` in beats; ``steps``: cycles from the address before. An address waits for those before
        it and for a place; a burst in front may be as late as a place makes it, so every place counts.
        """
        ends = [0, *accumulate(lengths)]
        before = list(accumulate(steps))
        latest = -before[-1] - self.round_trip
        for number in range(len(lengths)):
            if number >= self.in_flight:
                latest = max(latest, ends[number - self.in_flight + 1] - before[number])
            if number >= behind and ends[number] - before[number] < self.round_trip + latest:
                return False
        return True


@dataclass(frozen=True)
class BlockPlan:
    """The bursts of one block or result tile."""

    lengths: tuple[int, ...]
    """Beats of every burst, in order."""
    ends: tuple[int, ...]
    """Beats up to the end of every burst."""
    runs: tuple[int, ...]
    """Bursts of every run."""
    pace: Pace
    """That of its port."""
    streams: bool
    """Data flow without a gap: behind its first beat, and block behind block, none waits for an address."""

    @property
    def beats(self) -> int:
        """Beats of all bursts."""
        return self.ends[-1]

    @property
    def steps(self) -> list[int]:
        """Cycles from the burst before to each, at least."""
        steps = [self.pace.step_cycles] * len(self.lengths)
        for first in accumulate(self.runs[:-1]):
            steps[first] = max(self.pace.step_cycles, RUN_STEP_CYCLES)
        steps[0] = BLOCK_STEP_CYCLES
        return steps


def follows(before: Sequence[BlockPlan], plan: BlockPlan) -> bool:
    """Whether ``plan`` streams behind the blocks ``before``, which do."""
    behind = [length for block in before for length in block.lengths]
    steps = [step for block in before for step in block.steps]
    return plan.pace.keeps_up((*behind, *plan.lengths), (*steps, *plan.steps), len(behind))


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
    pace: Pace,
) -> BlockPlan:
    """The bursts of ``counts`` runs of ``beats`` each.

    ``residue`` and ``strides`` are bytes modulo `BURST_BYTES`.
    """
    lengths: list[int] = []
    runs: list[int] = []
    for outer in range(counts[0]):
        for inner in range(counts[1]):
            start = (residue + outer * strides[0] + inner * strides[1]) % BURST_BYTES
            run = _lengths(start, beats)
            lengths += run
            runs.append(len(run))
    plan = BlockPlan(tuple(lengths), tuple(accumulate(lengths)), tuple(runs), pace, False)
    return replace(plan, streams=_starts(plan) and follows([plan] * -(-pace.in_flight // len(lengths)), plan))


def _starts(plan: BlockPlan) -> bool:
    """Whether no beat behind the first waits for an address though nothing was in flight before."""
    steps = [0, *plan.steps[1:]]
    in_time = all(end >= step for end, step in zip((0, *plan.ends), accumulate(steps), strict=False))
    return in_time and plan.beats >= sum(plan.steps) and min(plan.lengths) >= RUN_STEP_CYCLES
