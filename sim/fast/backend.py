"""The fast model as a backend: registers, command ring, errors and counters around the machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig, Counter, Error, Instruction, Opcode, register
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.fast.checks import decoded, faults
from cpt.sim.fast.machine import Machine, MachineError, Residue
from cpt.sim.fast.product import Precision
from cpt.sim.fast.registers import RegisterFile
from cpt.sim.fast.timing import Timekeeper
from cpt.sim.faults import Faults
from cpt.sim.memory import Channel, MemoryModel

_COUNT = 1 << 32


class _Batch:
    """Instructions timed together: those handed over since the machine was last at rest."""

    def __init__(self, head: int, residue: Residue) -> None:
        self.head, self.residue = head, residue
        self.words = np.zeros((0, INSTRUCTION_BYTES), np.uint8)
        self.instructions: list[Instruction] = []
        self.executed = 0
        """Instructions whose results are in memory or in the engines."""
        self.counted: dict[Counter, int] = {}
        """What they have added to the counters."""

    def extend(self, words: NDArray[np.uint8], instructions: list[Instruction]) -> None:
        """Add instructions and the ``(count, 32)`` bytes they were decoded from."""
        self.words = np.concatenate([self.words, words])
        self.instructions += instructions


class FastBackend:
    """A `cpt.sim.backend.Backend` that runs a whole program at once.

    A doorbell makes the machine busy; the program runs, results and counters and all, at the next
    read of STATUS or `wait`, and is finished when that returns. Instructions that wait for some that are not
    in the ring yet stay, as they would in the queues; a second look with nothing new is what the watchdog,
    if set, calls no progress.

    Args:
        config: array shape.
        memory_model: the memory its cycles are counted with.
        memory_bytes: size of device memory.
        memory_base: bus address of its first byte.
        faults: what the memory refuses, by address only; raises `ContractError` for others.
    """

    def __init__(
        self,
        config: ArrayConfig,
        memory_model: MemoryModel,
        memory_bytes: int,
        memory_base: int = MEMORY_BASE,
        faults: Faults | None = None,
    ) -> None:
        self.config = config
        self.memory_model = memory_model
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.memory_base = memory_base
        self._registers = RegisterFile(config)
        self._machine = Machine(config, self.memory, memory_base)
        self._timekeeper = Timekeeper(config, memory_model)
        self._batch: _Batch | None = None
        self._halted = False
        self.faults = faults or Faults()

    @property
    def faults(self) -> Faults:
        """What the memory does wrong."""
        return self._machine.dram.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        faults.check_by_address()
        self._machine.dram.faults = faults

    @property
    def irq(self) -> bool:
        """Level of the interrupt line."""
        return bool(self._registers["IRQ_STATUS"] & self._registers["IRQ_ENABLE"])

    def read_register(self, offset: int) -> int:
        """The 32-bit register at byte ``offset``."""
        if self._registers.name(offset) == "STATUS":
            self._advance()
            self._update_status()
        return self._registers.read(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write ``value`` to the register at byte ``offset``."""
        registers = self._registers
        name = registers.name(offset)
        if name == "CONTROL":
            self._command(value)
        elif self._running and name and register(name).locked:
            self._stop([Error.BUSY_WRITE])
        else:
            registers.write(offset, value)

    def wait(self, max_cycles: int) -> bool:
        """Run to the end; False if the machine waits for something that has not come."""
        self._advance()
        if self._batch is not None:
            self._advance()
        return not self._running

    def close(self) -> None:
        """Nothing to free."""

    @property
    def _running(self) -> bool:
        pending = self._registers["RING_HEAD"] != self._registers["RING_TAIL"]
        return not self._halted and (pending or self._batch is not None)

    def _update_status(self) -> None:
        registers = self._registers
        registers["STATUS"] = registers.flag("STATUS", "busy") * self._running
        registers["STATUS"] |= registers.flag("STATUS", "halted") * self._halted

    def _command(self, value: int) -> None:
        registers = self._registers
        if value & registers.flag("CONTROL", "soft_reset"):
            self._machine.reset()
            self._batch, self._halted = None, False
            registers.soft_reset()
        if value & registers.flag("CONTROL", "clear_counters"):
            registers.clear_counters()

    def _ring_words(self, head: int, count: int, size: int) -> NDArray[np.uint8]:
        """The ``(count, 32)`` bytes of the next instructions; `MachineError` if the memory has none."""
        base = self._registers["RING_BASE"] - self.memory_base
        places = base + (head + np.arange(count)) % size * INSTRUCTION_BYTES
        if base < 0 or places.max() + INSTRUCTION_BYTES > self.memory.size:
            raise MachineError([Error.AXI_READ])
        beats = self.memory_base + places[:, None] + np.arange(0, INSTRUCTION_BYTES, BEAT_BYTES)
        if self.faults.refused(Channel.READ_0, beats).any():
            raise MachineError([Error.AXI_READ])
        return self.memory[places[:, None] + np.arange(INSTRUCTION_BYTES)]

    def _advance(self) -> None:
        """Run every instruction between head and tail, and go on with those that still wait."""
        registers = self._registers
        if not self._running:
            return
        slots, head, size = registers.slots, registers["RING_HEAD"], 1 << registers["RING_LOG2"]
        # a tail that is further ahead than the ring is long is many laps: one at each look
        count = min((registers["RING_TAIL"] - head) % _COUNT, size)
        try:
            if count:
                self._run(self._ring_words(head, count, size), slots, head, size)
            elif registers["WATCHDOG"]:
                raise MachineError([Error.WATCHDOG])
        except MachineError as stop:
            self._stop(stop.errors)

    def _run(self, words: NDArray[np.uint8], slots: Sequence[Precision], head: int, size: int) -> None:
        """Time and execute instructions up to the first faulty one; raises `MachineError` at that."""
        registers, batch = self._registers, self._batch
        if batch is None:
            batch = _Batch(head, self._machine.residue)
        good: list[Instruction] = []
        errors: list[Error] = []
        for word in words:
            instruction = decoded(word.tobytes())
            errors = faults(instruction, slots, self.config)
            if instruction is None or errors:
                break
            good.append(instruction)
        registers["RING_HEAD"] = (head + len(good) + bool(errors)) % _COUNT
        registers["ERROR_INDEX"] = (registers["RING_HEAD"] - 1) % size
        batch.extend(words[: len(good)], good)
        timing = self._timekeeper.time(
            batch.words, batch.instructions, slots, batch.head, size, batch.residue
        )
        for counter, amount in timing.counters.items():
            registers.add(counter, amount - batch.counted.get(counter, 0))
        self._machine.begin()
        for instruction in batch.instructions[batch.executed : timing.dispatched]:
            if instruction.opcode != Opcode.END:
                self._machine.step(instruction, slots)
            else:
                registers["DONE_TAG"] = instruction.tag
                registers["IRQ_STATUS"] |= registers.flag("IRQ_STATUS", "done")
        batch.executed, batch.counted = timing.dispatched, timing.counters
        self._batch = None if timing.ends else batch
        if errors:
            raise MachineError(errors)

    def _stop(self, errors: list[Error]) -> None:
        """Set sticky errors; all but ``busy_write`` halt the machine."""
        self._halted = self._halted or any(error != Error.BUSY_WRITE for error in errors)
        for error in errors:
            self._registers["ERROR"] |= 1 << error
        self._registers["IRQ_STATUS"] |= self._registers.flag("IRQ_STATUS", "error")
