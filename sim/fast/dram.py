"""Strided runs of bytes in device memory, as the loaders read and DRAIN writes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from cpt.hw.contract.config import BEAT_BYTES
from cpt.sim.faults import Faults
from cpt.sim.memory import Channel

_ADDRESSES = 1 << 32
_ADDRESS_MASK = 0xFFFF_FFFF & ~(BEAT_BYTES - 1)


class BusError(Exception):
    """A transfer touched an address outside the memory, or one that the memory refuses."""


class Dram:
    """Device memory seen through bus addresses.

    ``strides`` and ``counts`` name the run ``base + sum(index * stride)``, outermost index first;
    addresses wrap at 4 GB and ignore their three lowest bits, as the bus ports do. ``faults``: which of them
    it refuses.
    """

    def __init__(self, memory: NDArray[np.uint8], base: int) -> None:
        self.memory = memory
        self.base = base
        self.faults = Faults()

    def reach(
        self, address: int, strides: Sequence[int], counts: Sequence[int], run_bytes: int
    ) -> tuple[int, int]:
        """Bus addresses the runs lie between; all of them if they wrap."""
        start = address & _ADDRESS_MASK
        end = start + run_bytes + sum(step * (count - 1) for step, count in zip(strides, counts, strict=True))
        return (start, end) if end <= _ADDRESSES else (0, _ADDRESSES)

    def _window(
        self, address: int, strides: Sequence[int], counts: Sequence[int], run_bytes: int
    ) -> NDArray[np.uint8] | None:
        """A view ``(*counts, run_bytes)``, or None where runs wrap or leave the memory."""
        steps = [stride if count > 1 else 0 for stride, count in zip(strides, counts, strict=True)]
        start = (address & _ADDRESS_MASK) - self.base
        last = start + sum(step * (count - 1) for step, count in zip(steps, counts, strict=True))
        if start < 0 or last + run_bytes > self.memory.size:
            return None
        if any(step % BEAT_BYTES for step in steps):
            return None
        return as_strided(self.memory[start:], (*counts, run_bytes), (*steps, 1))

    def _runs(
        self, address: int, strides: Sequence[int], counts: Sequence[int], run_bytes: int
    ) -> list[NDArray[np.uint8]]:
        """The runs one by one, in index order; raises `BusError` at the first outside the memory."""
        runs = []
        for index in product(*(range(count) for count in counts)):
            offset = address + sum(i * stride for i, stride in zip(index, strides, strict=True))
            start = (offset & _ADDRESS_MASK) - self.base
            if start < 0 or start + run_bytes > self.memory.size:
                raise BusError(f"{run_bytes} bytes at {offset & _ADDRESS_MASK:#x} lie outside the memory")
            runs.append(self.memory[start : start + run_bytes])
        return runs

    def check(
        self, channel: Channel, address: int, strides: Sequence[int], counts: Sequence[int], run_bytes: int
    ) -> None:
        """Raise `BusError` if the memory refuses a beat of the runs on ``channel``."""
        if not self.faults.refusals:
            return
        beats = np.arange(0, run_bytes, BEAT_BYTES)
        for stride, count in zip(reversed(strides), reversed(counts), strict=True):
            beats = (stride * np.arange(count)[:, None] + beats).reshape(-1)
        addresses = (address + beats) & _ADDRESS_MASK
        refused = self.faults.refused(channel, addresses)
        if refused.any():
            raise BusError(f"the memory refuses the beat at {addresses[refused.argmax()]:#x}")

    def read(
        self, channel: Channel, address: int, strides: Sequence[int], counts: Sequence[int], run_bytes: int
    ) -> NDArray[np.uint8]:
        """``(*counts, run_bytes)`` bytes, possibly a view; raises `BusError`."""
        self.check(channel, address, strides, counts, run_bytes)
        window = self._window(address, strides, counts, run_bytes)
        if window is not None:
            return window
        return np.stack(self._runs(address, strides, counts, run_bytes)).reshape(*counts, run_bytes)

    def write(self, address: int, strides: Sequence[int], data: NDArray[np.uint8]) -> None:
        """Write runs ``data`` ``(*counts, run_bytes)``; later runs win where they overlap.

        Raises `BusError` before anything is written.
        """
        *counts, run_bytes = data.shape
        self.check(Channel.WRITE_0, address, strides, counts, run_bytes)
        window = self._window(address, strides, counts, run_bytes)
        # Numpy may assign overlapping targets in any order, so only runs known to be apart go at once.
        reach = run_bytes
        for stride, count in zip(reversed(strides), reversed(counts), strict=True):
            if count > 1 and stride < reach:
                window = None
            reach += stride * (count - 1)
        if window is not None:
            window[...] = data
            return
        runs = self._runs(address, strides, counts, run_bytes)
        for target, run in zip(runs, data.reshape(-1, run_bytes), strict=True):
            target[...] = run
