"""The fast model as a backend: registers, command ring, errors and counters around the machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig, Counter, Error, Instruction, Opcode, encode, register
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.fast.checks import State, Window, decoded, faults
from cpt.sim.fast.machine import Machine, MachineError, Residue
from cpt.sim.fast.timing import Timekeeper
from cpt.sim.faults import Faults
from cpt.sim.memory import Channel, MemoryModel
from cpt.sim.registers import RegisterFile

_COUNT = 1 << 32
_END = encode(Opcode.END, tag=0)
"""Takes the time of a faulty instruction: both wait until everything before them is finished."""


class _Batch:
    """Instructions timed together: those handed over since the machine was last at rest."""

    def __init__(self, head: int, residue: Residue) -> None:
        self.head, self.residue = head, residue
        self.words = np.zeros((0, INSTRUCTION_BYTES), np.uint8)
        self.instructions: list[Instruction] = []
        self.refused: list[Error] = []
        """What is wrong with the last of them; it waits for all others, as END does, and none follows it."""
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
        self._taken = 0
        """Instructions taken from the ring since reset, modulo 2**32."""
        self._open_tile = False
        """After the instructions taken, a result tile waits for its last EXEC."""
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
            if name == "RING_TAIL" and self._running and not registers.ring_is_sound:
                self._stop([Error.BAD_RING])

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
            self._taken, self._open_tile = 0, False
            registers.soft_reset()
        if value & registers.flag("CONTROL", "clear_counters"):
            registers.clear_counters()

    def _ring_words(self, first: int, count: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The ``(count, 32)`` bytes of the next instructions, and which of them can be read."""
        places = (first + np.arange(count)) % size * INSTRUCTION_BYTES
        places += self._registers["RING_BASE"] - self.memory_base
        readable = (places >= 0) & (places + INSTRUCTION_BYTES <= self.memory.size)
        beats = self.memory_base + places[:, None] + np.arange(0, INSTRUCTION_BYTES, BEAT_BYTES)
        readable &= ~self.faults.refused(Channel.READ_0, beats).any(axis=1)
        inside = np.where(readable, places, 0)
        return self.memory[inside[:, None] + np.arange(INSTRUCTION_BYTES)], readable

    def _advance(self) -> None:
        """Run every instruction between head and tail, and go on with those that still wait."""
        registers = self._registers
        if not self._running:
            return
        if self._batch is None:
            self._batch = _Batch(self._taken, self._machine.residue)
        size = 1 << registers["RING_LOG2"]
        # a tail that is further ahead than the ring is long is many laps: one at each look
        count = min((registers["RING_TAIL"] - self._taken) % _COUNT, size)
        try:
            if count and not self._batch.refused:
                self._take(self._batch, count, size)
                self._run(self._batch, size)
            elif registers["WATCHDOG"]:
                self._give_up(self._batch, size)
        except MachineError as stop:
            self._stop(stop.errors)

    def _take(self, batch: _Batch, count: int, size: int) -> None:
        """Add the next instructions in the ring to ``batch``, up to the first faulty one."""
        words, readable = self._ring_words(self._taken, count, size)
        instructions: list[Instruction] = []
        read, write = (
            Window(self._registers[f"{name}_BASE"], self._registers[f"{name}_LIMIT"])
            for name in ("READ", "WRITE")
        )
        for number, word in enumerate(words):
            state = State(self.config, self._registers.slots, read, write, self._open_tile)
            batch.refused = faults(word.tobytes(), state) if readable[number] else [Error.AXI_READ]
            if batch.refused:
                words[number] = np.frombuffer(_END, np.uint8)
            instruction = decoded(words[number].tobytes())
            assert instruction is not None
            instructions.append(instruction)
            if batch.refused:
                break
            if instruction.opcode == Opcode.EXEC:
                self._open_tile = not instruction.last
        batch.extend(words[: len(instructions)], instructions)
        self._taken = (self._taken + len(instructions)) % _COUNT

    def _run(self, batch: _Batch, size: int) -> None:
        """Time and execute the instructions of ``batch``; raises `MachineError` at a faulty one."""
        registers, slots = self._registers, self._registers.slots
        timing = self._timekeeper.time(
            batch.words, batch.instructions, slots, batch.head, size, batch.residue
        )
        for counter, amount in timing.counters.items():
            registers.add(counter, amount - batch.counted.get(counter, 0))
        self._dispatched(batch, timing.dispatched, size)
        good = len(batch.instructions) - bool(batch.refused)
        self._machine.begin()
        for instruction in batch.instructions[batch.executed : min(timing.dispatched, good)]:
            if instruction.opcode != Opcode.END:
                self._machine.step(instruction, slots)
            else:
                registers["DONE_TAG"] = instruction.tag
                registers["IRQ_STATUS"] |= registers.flag("IRQ_STATUS", "done")
        batch.executed, batch.counted = timing.dispatched, timing.counters
        if not timing.ends:
            self._machine.settle(slots)
        elif batch.refused:
            raise MachineError(batch.refused)
        else:
            self._batch = None

    def _give_up(self, batch: _Batch, size: int) -> None:
        """The watchdog: nothing more happens; an instruction that waited to be refused is refused now."""
        if batch.refused and batch.executed == len(batch.instructions) - 1:
            self._dispatched(batch, len(batch.instructions), size)
            raise MachineError([Error.WATCHDOG, *batch.refused])
        raise MachineError([Error.WATCHDOG])

    def _dispatched(self, batch: _Batch, count: int, size: int) -> None:
        """The first ``count`` instructions of ``batch`` have left the dispatcher."""
        if count:
            self._registers["RING_HEAD"] = batch.head + count
            self._registers["ERROR_INDEX"] = (batch.head + count - 1) % size

    def _stop(self, errors: list[Error]) -> None:
        """Set sticky errors; all but ``busy_write`` halt the machine."""
        self._halted = self._halted or any(error != Error.BUSY_WRITE for error in errors)
        for error in errors:
            self._registers["ERROR"] |= 1 << error
        self._registers["IRQ_STATUS"] |= self._registers.flag("IRQ_STATUS", "error")
