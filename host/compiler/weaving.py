"""Two lists as one: instructions of the second stand between those of the first, where engines have time.

What a step does once has little to do with the array, and a micro-batch leaves the float engine and the bus
idle while the array works. So codes of weights are made in the first forward passes, and parameters are
updated in the last backward pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cpt.host.compiler.choice import WIDEST
from cpt.host.compiler.lifetimes import Held, Recorder
from cpt.host.compiler.plan import MASK_SLOT
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, TAPS
from cpt.hw.contract.order import tile_cycles
from cpt.hw.contract.passes import MASK_BITS, Store, gradient_tiles
from cpt.hw.contract.step import Code

START_CYCLES = 20
"""Of an instruction of an engine, until it works."""
LOCAL_BYTES = 4
"""Of a word of local memory."""


def woven(main: Recorder, once: Recorder, *, before: bool) -> Recorder:
    """``main`` with all of ``once`` in it, which is as if it came ``before`` (else behind) it as a whole.

    Both keep their own order. Where one reads what the other writes, or both write the same, the first of
    both comes first. Else ``once`` is spread over ``main`` as the array has work there, so that it seldom
    keeps an engine from what the array waits for.
    """
    found, others = _empty(main, once), once.held
    needs = _needs(main.held, others)
    costs = [START_CYCLES + _cycles(main.config, item) for item in others]
    array = [_array_cycles(main.config, item) for item in main.held]
    left, ahead, credit, done = sum(costs), sum(array), 0.0, 0
    """Cycles of ``once`` and of the array that are left, what ``once`` may take of them now, and how many
    instructions of it are in the list."""
    for number, item in enumerate(main.held):
        wanted = needs.main[number] if before else 0
        if done < wanted:
            found.held += others[done:wanted]
            left -= sum(costs[done:wanted])
            credit, done = 0.0, wanted
        found.held.append(item)
        if not array[number]:
            continue
        credit += array[number] * left / ahead
        ahead -= array[number]
        while done < len(others) and credit > 0:
            if not before and needs.once[done] > number + 1:
                credit = 0.0
                break
            found.held.append(others[done])
            credit -= costs[done]
            left -= costs[done]
            done += 1
    found.held += others[done:]
    return found


def joined(main: Recorder, once: Recorder, *, before: bool) -> Recorder:
    """As `woven`, but one list behind the other."""
    found, lists = _empty(main, once), (once, main) if before else (main, once)
    found.held += [item for each in lists for item in each.held]
    return found


def _empty(main: Recorder, once: Recorder) -> Recorder:
    """A list for instructions of both, which share their names."""
    assert main.names is once.names
    return replace(main, held=[])


@dataclass
class _Needs:
    """For every instruction of either list, how many of the other meet it: the last one and all before."""

    main: list[int]
    once: list[int]


def _needs(main: Sequence[Held], once: Sequence[Held]) -> _Needs:
    """By what both read and write, but for vectors, of which each list has its own."""
    touched = defaultdict(list)
    for number, item in enumerate(once):
        for region, written in item.touches():
            for piece in region.pieces:
                touched[piece].append((region, written, number))
    needs = _Needs([0] * len(main), [0] * len(once))
    for number, item in enumerate(main):
        for region, written in item.touches():
            for piece in region.pieces:
                for other, other_written, other_number in touched.get(piece, ()):
                    if (written or other_written) and region.meets(other):
                        needs.main[number] = max(needs.main[number], other_number + 1)
                        needs.once[other_number] = max(needs.once[other_number], number + 1)
    return needs


def _cycles(config: ArrayConfig, item: Held) -> int:
    """About as long as FLOAT, BRING or STORE work on local memory."""
    fields = item.fields
    if item.code is Code.FLOAT:
        return fields["n"] * fields["reps"] // config.float_lanes
    if item.code is Code.STORE and fields["kind"] == Store.PACK:
        planes = WIDEST * config.group_bytes("a") // BEAT_BYTES
        return fields["ksteps"] * (TAPS * config.group_channels**2 + planes)
    return fields["words"] * fields["runs"] * LOCAL_BYTES // BEAT_BYTES


def _array_cycles(config: ArrayConfig, item: Held) -> int:
    """Of the array at the widest precision."""
    fields = item.fields
    if item.code is Code.EXEC:
        mask = fields["slot_b"] == MASK_SLOT
        bits = MASK_BITS if mask else WIDEST
        return fields["tiles"] * fields["a_tiles"] * tile_cycles(bits, bits, False, False, fields["ksteps"])
    if item.code is Code.EXEC_DW:
        tiles = len(gradient_tiles(TAPS if fields["kernel"] else 1, fields["groups"])) * fields["a_tiles"]
        return tiles * tile_cycles(WIDEST, WIDEST, False, False, fields["rows"])
    return 0
