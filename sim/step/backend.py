"""The exact model of whole steps as a backend: registers, ring, errors and forecast cycles around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig, ContractError, Counter, Error, register
from cpt.hw.contract.step import WORD_BYTES, Code, Word, decode
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.memory import MemoryModel
from cpt.sim.registers import RegisterFile
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.refusals import refusal
from cpt.sim.step.state import Slot, Stopped

if TYPE_CHECKING:
    from cpt.sim.step.timeline import Timeline, Timing

_ASKED = ("STATUS", "DONE_TAG", "RING_HEAD", "ERROR")
"""Registers whose reading lets the machine do what was rung."""


class StepBackend:
    """A `cpt.sim.backend.Backend` that does what was rung at once, when somebody looks.

    Numbers are exact; cycles are those of the engines' rules (`cpt.sim.step.timeline`), a list at a time, so
    what lies between lists counts nothing. A list is timed once at each precision; one whose engines would
    wait for each other for ever ends as by the watchdog, whether that is set or not, and has done nothing.
    Without Amaranth, whose classes hold the engines' latencies, counters stay 0 and nothing ends so.

    Args:
        config: array shape, with scratch.
        memory_model: the memory its cycles are counted with.
        memory_bytes: size of device memory.
        memory_base: bus address of its first byte.
    """

    def __init__(
        self,
        config: ArrayConfig,
        memory_model: MemoryModel,
        memory_bytes: int,
        memory_base: int = MEMORY_BASE,
    ) -> None:
        self.config = config
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.memory_base = memory_base
        self._registers = RegisterFile(config)
        self._machine = self._fresh()
        self._slots: dict[int, Slot] = {}
        self._timeline = _timeline(config, memory_model, self._slots)
        self._timings: dict[tuple[bytes, tuple[tuple[int, bool], ...]], Timing] = {}
        self._halted = False

    def read_register(self, offset: int) -> int:
        """The 32-bit register at byte ``offset``."""
        registers = self._registers
        name = registers.name(offset)
        if name in _ASKED:
            self._advance()
        if name == "STATUS":
            registers["STATUS"] = registers.flag("STATUS", "halted") * self._halted
        return registers.read(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write ``value`` to the register at byte ``offset``."""
        registers = self._registers
        name = registers.name(offset)
        if name == "CONTROL":
            self._command(value)
        elif self._running and name and register(name).locked:
            self._stop(Error.BUSY_WRITE)
        else:
            registers.write(offset, value)
            if name == "RING_TAIL" and self._running and not registers.ring_is_sound:
                self._stop(Error.BAD_RING)

    def wait(self, max_cycles: int) -> bool:
        """Do all that was rung; True."""
        self._advance()
        return True

    def close(self) -> None:
        """Nothing to free."""

    def _fresh(self) -> StepMachine:
        config = self.config
        return StepMachine(
            config, memory=self.memory, scratch_words=config.scratch_words, memory_base=self.memory_base
        )

    @property
    def _running(self) -> bool:
        return not self._halted and self._registers["RING_HEAD"] != self._registers["RING_TAIL"]

    def _command(self, value: int) -> None:
        registers = self._registers
        if value & registers.flag("CONTROL", "soft_reset"):
            self._machine, self._halted = self._fresh(), False
            registers.soft_reset()
        if value & registers.flag("CONTROL", "clear_counters"):
            registers.clear_counters()

    def _advance(self) -> None:
        """Execute every word between head and tail."""
        if not self._running:
            return
        registers, state = self._registers, self._machine.state
        state.slots[:] = [Slot(slot.bits, slot.signed) for slot in registers.slots]
        state.read_window, state.write_window = (
            (registers[f"{name}_BASE"], registers[f"{name}_LIMIT"]) for name in ("READ", "WRITE")
        )
        size = 1 << registers["RING_LOG2"]
        while self._running:
            place = registers["RING_HEAD"] % size
            registers["RING_HEAD"] += 1
            registers["ERROR_INDEX"] = place
            try:
                self._execute(registers["RING_BASE"] + place * WORD_BYTES)
            except Stopped as stop:
                self._stop(stop.error)
            except ContractError:  # an instruction that its engine does not take
                self._stop(Error.OPERAND_OVERFLOW)

    def _execute(self, address: int) -> None:
        """One word of the ring; raises `Stopped` or `ContractError` where it is refused."""
        machine, registers = self._machine, self._registers
        bits = machine.state.readable(address, WORD_BYTES).tobytes()
        _check(refusal(bits, {}, listed=False))
        word = decode(bits)
        if word.code is Code.RUN:
            self._run(word)
        elif word.code is Code.END:
            registers["DONE_TAG"] = word.tag
            registers["IRQ_STATUS"] |= registers.flag("IRQ_STATUS", "done")
        else:
            machine.execute(word)

    def _run(self, word: Word) -> None:
        """The list that RUN names, and what it takes."""
        machine, slots = self._machine, self._registers.slots
        words = machine.state.readable(machine.state.address(word), word.count * WORD_BYTES).tobytes()
        held = {index: slot.bits for index, slot in enumerate(slots)}
        for at in range(0, len(words), WORD_BYTES):
            _check(refusal(words[at : at + WORD_BYTES], held))
        found = self._timing(words)
        machine.run(words)
        if found:
            self._registers.add(Counter.TOTAL, found.cycles)
            self._registers.add(Counter.EXEC_BUSY, found.busy["EXEC"])
            self._registers.add(Counter.BYTES_READ, found.read)
            self._registers.add(Counter.BYTES_WRITTEN, found.written)

    def _timing(self, words: bytes) -> Timing | None:
        """What a list takes, where that can be told; raises `Stopped` if nothing of it can go on."""
        if self._timeline is None:
            return None
        slots = self._machine.state.slots
        key = words, tuple((slot.bits, slot.signed) for slot in slots)
        if key not in self._timings:
            self._slots.update(enumerate(slots))
            try:
                self._timings[key] = self._timeline.run(words)
            except ContractError as error:
                raise Stopped(Error.WATCHDOG, str(error)) from None
        return self._timings[key]

    def _stop(self, error: Error) -> None:
        """Set a sticky error; all but ``busy_write`` halt the machine."""
        self._halted = self._halted or error != Error.BUSY_WRITE
        self._registers["ERROR"] |= 1 << error
        self._registers["IRQ_STATUS"] |= self._registers.flag("IRQ_STATUS", "error")


def _timeline(config: ArrayConfig, memory: MemoryModel, slots: dict[int, Slot]) -> Timeline | None:
    try:
        from cpt.sim.step.forecast import timeline
    except ImportError:  # as on a board
        return None
    return timeline(config, memory, slots)


def _check(error: Error | None) -> None:
    if error is not None:
        raise Stopped(error, "a word that cannot be executed")
