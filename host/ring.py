"""The command ring: where in device memory the next instructions go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpt.host.caches import write_back
from cpt.hw.contract.isa import INSTRUCTION_BYTES

_WRAP = 1 << 32


class CommandRing:
    """Instructions placed so far, and the buffer they lie in.

    ``buffer`` is a contiguous uint8 buffer of a power of two of instructions.
    """

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self.buffer = buffer
        self.slots = buffer.size // INSTRUCTION_BYTES
        self.tail = 0
        """Instructions placed since reset, modulo 2**32: what RING_TAIL is told."""

    @property
    def log2(self) -> int:
        """log2 of the number of instructions that fit."""
        return self.slots.bit_length() - 1

    def free(self, head: int) -> int:
        """Instructions that fit, given how many the machine has fetched."""
        return self.slots - (self.tail - head) % _WRAP

    def place(self, words: bytes) -> None:
        """Copy whole instructions behind the tail, wrapping at the end, and flush what was written.

        The caller has made sure that they fit.
        """
        left = memoryview(words)
        while left:
            start = self.tail % self.slots * INSTRUCTION_BYTES
            part = self.buffer[start : start + len(left)]
            np.copyto(part, np.frombuffer(left[: part.size], np.uint8))
            write_back(part)
            left = left[part.size :]
            self.tail = (self.tail + part.size // INSTRUCTION_BYTES) % _WRAP

    def reset(self) -> None:
        """Start counting from zero, as the machine does after a reset."""
        self.tail = 0
