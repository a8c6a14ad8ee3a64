"""A recording wrapper around a backend: which registers are written and which instructions are placed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import REGISTERS, ArrayConfig
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.sim.backend import Backend

_NAMES = {item.offset: item.name for item in REGISTERS}


class TracedBackend:
    """Passes everything on to ``backend`` and keeps a record.

    Attributes:
        writes: (register name, value) of every register write, in order.
        words: the instructions the machine was given, in order, read from the ring at each doorbell.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.config: ArrayConfig = backend.config
        self.memory: NDArray[np.uint8] = backend.memory
        self.memory_base = backend.memory_base
        self.writes: list[tuple[str, int]] = []
        self.words: list[bytes] = []
        self._ring = {"RING_BASE": 0, "RING_LOG2": 0, "RING_TAIL": 0}

    def clear(self) -> None:
        """Forget what was recorded."""
        self.writes, self.words = [], []

    def read_register(self, offset: int) -> int:
        """Pass on."""
        return self.backend.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Record and pass on."""
        name = _NAMES.get(offset, f"{offset:#x}")
        self.writes.append((name, value))
        if name == "RING_TAIL":
            self.words += self._placed(value)
        if name in self._ring:
            self._ring[name] = value
        elif name == "CONTROL" and value & 1:
            self._ring["RING_TAIL"] = 0
        self.backend.write_register(offset, value)

    def wait(self, max_cycles: int) -> bool:
        """Pass on."""
        return self.backend.wait(max_cycles)

    def close(self) -> None:
        """Pass on."""
        self.backend.close()

    def _placed(self, tail: int) -> list[bytes]:
        """The instructions between the old tail and ``tail``."""
        words = []
        for index in range(self._ring["RING_TAIL"], tail):
            slot = index % (1 << self._ring["RING_LOG2"])
            start = self._ring["RING_BASE"] - self.memory_base + slot * INSTRUCTION_BYTES
            words.append(self.memory[start : start + INSTRUCTION_BYTES].tobytes())
        return words
