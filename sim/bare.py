"""Run a program on a backend by its registers alone, without pynq: what the regression drives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cpt.host.program import Program
from cpt.hw.contract import Counter, Error, register, slot_offset
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.sim.backend import Backend


class MachineFault(RuntimeError):
    """The machine raised an error or did not finish; one line."""


class BareMachine:
    """A backend with its command ring at the start of memory, all of which it may read and write."""

    def __init__(self, backend: Backend, ring_log2: int) -> None:
        self.backend = backend
        self.ring_bytes = INSTRUCTION_BYTES << ring_log2
        self._placed = 0
        self._write("RING_BASE", backend.memory_base)
        self._write("RING_LOG2", ring_log2)
        end = backend.memory_base + backend.memory.size
        for window in ("READ", "WRITE"):
            self.set_window(window, backend.memory_base, end)

    def rest(self, max_polls: int) -> None:
        """Wait until what is in flight has arrived; `MachineFault` after ``max_polls`` reads of STATUS."""
        busy = 1 << register("STATUS").field("busy").offset
        for _ in range(max_polls):
            if not self._read("STATUS") & busy:
                return
        raise MachineFault(f"still busy after {max_polls} reads of STATUS")

    def soft_reset(self, max_polls: int) -> None:
        """Start afresh after an error, once the machine rests; slots and ring geometry stay."""
        self._write("CONTROL", 1 << register("CONTROL").field("soft_reset").offset)
        self.rest(max_polls)
        self._placed = 0

    def set_window(self, name: str, base: int, limit: int) -> None:
        """Allow bus addresses ``base`` .. ``limit - 1`` to be read (``name`` READ) or written (WRITE)."""
        self._write(f"{name}_BASE", base)
        self._write(f"{name}_LIMIT", limit)

    def set_slot(self, index: int, bits: int, signed: bool) -> None:
        """Set precision slot ``index``."""
        self.backend.write_register(slot_offset(index), bits | signed << 8)

    def run(self, program: Program, max_cycles: int) -> Mapping[Counter, int]:
        """Run ``program`` to its END; the counters it left.

        Raises `MachineFault` if it did not finish within ``max_cycles`` or raised an error.
        """
        tag = self._placed + len(program)
        self._place(program.tagged(tag))
        self._write("CONTROL", 1 << register("CONTROL").field("clear_counters").offset)
        self._write("RING_TAIL", self._placed)
        finished = self.backend.wait(max_cycles)
        errors = self._read("ERROR")
        if errors:
            names = ", ".join(error.name.lower() for error in Error if errors >> error & 1)
            raise MachineFault(f"program {program.name} raised {names} at {self._read('ERROR_INDEX')}")
        if not finished:
            raise MachineFault(f"program {program.name} still runs after {max_cycles} cycles")
        if self._read("DONE_TAG") != tag:
            raise MachineFault(f"DONE_TAG is {self._read('DONE_TAG')}; expected {tag}")
        return {
            counter: self._read(f"{counter.name}_LO") | self._read(f"{counter.name}_HI") << 32
            for counter in Counter
        }

    def _place(self, words: bytes) -> None:
        """Copy instructions into the ring behind the last ones, wrapping at its end."""
        start = INSTRUCTION_BYTES * self._placed
        where = (start + np.arange(len(words))) % self.ring_bytes
        self.backend.memory[where] = np.frombuffer(words, np.uint8)
        self._placed += len(words) // INSTRUCTION_BYTES

    def _write(self, name: str, value: int) -> None:
        self.backend.write_register(register(name).offset, value)

    def _read(self, name: str) -> int:
        return self.backend.read_register(register(name).offset)
