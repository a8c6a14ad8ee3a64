"""The fast model as a backend: registers, command ring, errors and counters around the machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hw.contract import FORMATS, ArrayConfig, ContractError, Counter, Error, Instruction, Opcode, decode
from hw.contract.isa import INSTRUCTION_BYTES
from sim.backend import MEMORY_BASE
from sim.fast.machine import Machine, MachineError
from sim.fast.product import Precision
from sim.fast.registers import RegisterFile
from sim.memory import MemoryModel

_COUNT = 1 << 32
_BUSY_WRITABLE = {"RING_TAIL", "CONTROL", "ERROR", "IRQ_ENABLE", "IRQ_STATUS", "WATCHDOG"}


@lru_cache(maxsize=1 << 14)
def _decoded(word: bytes) -> Instruction | None:
    """The instruction, or None where the dispatcher calls it illegal."""
    try:
        instruction = decode(word)
    except ContractError:
        return None
    fields = FORMATS[instruction.opcode].fields[1:]
    return instruction if all(instruction.values[f.name] >= f.minimum for f in fields) else None


class FastBackend:
    """A `sim.backend.Backend` that runs a whole program at once.

    A doorbell makes the machine busy; the program runs, results and counters and all, at the next
    read of STATUS or `wait`, and is finished when that returns.

    Args:
        config: array shape.
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
        self.memory_model = memory_model
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.memory_base = memory_base
        self._registers = RegisterFile(config)
        self._machine = Machine(config, self.memory, memory_base)
        self._stuck = False

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
        elif self._running and (name.startswith("SLOT_") or name in ("RING_BASE", "RING_LOG2")):
            self._raise(Error.BUSY_WRITE)
        else:
            registers.write(offset, value)

    def wait(self, max_cycles: int) -> bool:
        """Run to the end; False if the machine waits for something that never comes."""
        self._advance()
        return not self._running

    def close(self) -> None:
        """Nothing to free."""

    @property
    def _halted(self) -> bool:
        return bool(self._registers["ERROR"] & ~(1 << Error.BUSY_WRITE))

    @property
    def _running(self) -> bool:
        pending = self._registers["RING_HEAD"] != self._registers["RING_TAIL"]
        return not self._halted and (pending or self._stuck)

    def _update_status(self) -> None:
        registers = self._registers
        registers["STATUS"] = registers.flag("STATUS", "busy") * self._running
        registers["STATUS"] |= registers.flag("STATUS", "halted") * self._halted

    def _command(self, value: int) -> None:
        registers = self._registers
        if value & registers.flag("CONTROL", "soft_reset"):
            self._machine.reset()
            self._stuck = False
            for name in ("ERROR", "ERROR_INDEX", "IRQ_STATUS", "RING_HEAD", "RING_TAIL", "DONE_TAG"):
                registers[name] = 0
        if value & registers.flag("CONTROL", "clear_counters"):
            registers.clear_counters()

    def _raise(self, error: Error) -> None:
        self._registers["ERROR"] |= 1 << error
        self._registers["IRQ_STATUS"] |= self._registers.flag("IRQ_STATUS", "error")

    def _ring_words(self, count: int) -> list[bytes]:
        """The next ``count`` instruction words; raises `MachineError` outside the memory."""
        size = 1 << self._registers["RING_LOG2"]
        base = self._registers["RING_BASE"] - self.memory_base
        words = []
        for index in range(count):
            start = base + (self._registers["RING_HEAD"] + index) % size * INSTRUCTION_BYTES
            if start < 0 or start + INSTRUCTION_BYTES > self.memory.size:
                raise MachineError(Error.AXI_READ)
            words.append(self.memory[start : start + INSTRUCTION_BYTES].tobytes())
        return words

    def _advance(self) -> None:
        """Run every instruction between head and tail."""
        registers = self._registers
        if not self._running:
            return
        slots = registers.slots()
        try:
            for word in self._ring_words((registers["RING_TAIL"] - registers["RING_HEAD"]) % _COUNT):
                registers["ERROR_INDEX"] = registers["RING_HEAD"] % (1 << registers["RING_LOG2"])
                registers["RING_HEAD"] = (registers["RING_HEAD"] + 1) % _COUNT
                self._dispatch(word, slots)
                if self._stuck:
                    return
        except MachineError as stop:
            self._raise(stop.error)

    def _dispatch(self, word: bytes, slots: tuple[Precision, ...]) -> None:
        instruction = _decoded(word)
        if instruction is None:
            raise MachineError(Error.ILLEGAL_OPCODE)
        registers = self._registers
        registers.add(Counter.BYTES_READ, INSTRUCTION_BYTES)
        if instruction.opcode != Opcode.END:
            self._machine.step(instruction, slots)
        elif self._machine.stuck:
            self._stuck = True
        else:
            registers["DONE_TAG"] = instruction.tag
            registers["IRQ_STATUS"] |= registers.flag("IRQ_STATUS", "done")
