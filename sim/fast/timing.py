"""Cycles a program takes, from the rules of ``docs/machine.md`` and `cpt.sim.memory`.

Cycles depend on the instructions, the precision slots they name, address alignment and the
memory model, never on data, so a program that comes back costs one look-up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import FORMATS, ArrayConfig, Counter, Instruction
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.machine import BURST_BYTES, FETCH_INSTRUCTIONS
from cpt.sim.fast.checks import SLOT_FIELDS
from cpt.sim.fast.dispatcher import Dispatcher
from cpt.sim.fast.machine import EMPTY, Residue
from cpt.sim.fast.work import DrainWork, LoadWork, work_of
from cpt.sim.memory import MemoryModel
from cpt.sim.registers import Precision

_MEMO_PROGRAMS = 4096


@dataclass(frozen=True)
class Timing:
    """What a program adds to the performance counters."""

    counters: dict[Counter, int]
    ends: bool
    """Whether the machine comes to rest; otherwise an engine waits for instructions that are not there."""
    dispatched: int
    """Instructions that reach their engine; the others wait behind an END or a full queue."""


def simulate(
    instructions: Sequence[Instruction],
    slots: Sequence[Precision],
    config: ArrayConfig,
    model: MemoryModel,
    ring_index: int = 0,
    ring_size: int = 1 << 16,
    residue: Residue = EMPTY,
) -> Timing:
    """Time ``instructions`` read from the ring at ``ring_index``; all of them must be valid."""
    program = [(item.opcode, work_of(item, slots, config, model)) for item in instructions]
    dispatcher = Dispatcher(config, model, program, ring_index, ring_size, residue)
    end = dispatcher.run()
    beats_read = beats_written = 0
    for _, work in program:
        if isinstance(work, LoadWork):
            rounds, rest = divmod(work.blocks, len(work.plans))
            beats_read += rounds * sum(plan.beats for plan in work.plans)
            beats_read += sum(plan.beats for plan in work.plans[:rest])
        elif isinstance(work, DrainWork):
            beats_written += work.beats
    executor = dispatcher.executor
    counters = {
        Counter.TOTAL: dispatcher.now if end is None else end,
        Counter.EXEC_BUSY: executor.busy,
        Counter.EXEC_WAIT_FETCH: executor.wait_fetch,
        Counter.EXEC_WAIT_DRAIN: executor.wait_drain,
        Counter.BYTES_READ: BEAT_BYTES * beats_read + INSTRUCTION_BYTES * len(program),
        Counter.BYTES_WRITTEN: BEAT_BYTES * beats_written,
    }
    return Timing(counters, end is not None, dispatcher.dispatched)


def _masks() -> NDArray[np.uint32]:
    """``(16, 8)``: by opcode, the bits of an instruction's 32-bit words that timing depends on."""
    masks = np.zeros((16, INSTRUCTION_BYTES // 4), np.uint32)
    for form in FORMATS.values():
        for item in form.fields:
            if item.name in ("tag", "taps"):
                continue
            kept = BURST_BYTES - 1 if item.name == "base" or item.name.endswith("_stride") else item.maximum
            masks[form.opcode, item.offset // 32] |= np.uint32(kept << item.offset % 32)
    return masks


_MASKS = _masks()


class Timekeeper:
    """`simulate` with a memory of the programs it has timed.

    Args:
        config: array shape.
        model: memory model.
    """

    def __init__(self, config: ArrayConfig, model: MemoryModel) -> None:
        self._config, self._model = config, model
        self._memo: OrderedDict[tuple[object, ...], Timing] = OrderedDict()

    def time(
        self,
        words: NDArray[np.uint8],
        instructions: Sequence[Instruction],
        slots: Sequence[Precision],
        ring_index: int,
        ring_size: int,
        residue: Residue = EMPTY,
    ) -> Timing:
        """Timing of ``instructions``, decoded from ``words`` ``(count, 32)``."""
        fields = words.view(np.uint32)
        masked = fields & _MASKS[fields[:, 0] & 0xF]
        named = {slot for item in instructions for name, slot in item.values.items() if name in SLOT_FIELDS}
        precisions = tuple(slots[slot] for slot in sorted(named))
        align = min(FETCH_INSTRUCTIONS, ring_size)
        key = (masked.tobytes(), precisions, ring_index % align, align, residue)
        timing = self._memo.get(key)
        if timing is None:
            timing = simulate(instructions, slots, self._config, self._model, ring_index, ring_size, residue)
            self._memo[key] = timing
            if len(self._memo) > _MEMO_PROGRAMS:
                self._memo.popitem(last=False)
        return timing
