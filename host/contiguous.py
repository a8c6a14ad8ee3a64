"""Contiguous device memory: which parts are taken, and pynq buffers in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pynq.buffer import PynqBuffer

from cpt.host.pages import whole_pages


class Regions:
    """Which parts of ``0 .. size-1`` are taken."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken: dict[int, int] = {}

    @property
    def taken_bytes(self) -> int:
        """Bytes in use, whole pages."""
        return sum(end - start for start, end in self._taken.items())

    def take(self, nbytes: int) -> int:
        """Start of a free region of ``nbytes`` (whole pages); MemoryError if there is none."""
        pages = whole_pages(nbytes)
        start = 0
        for begin in sorted(self._taken):
            if begin - start >= pages:
                break
            start = self._taken[begin]
        if start + pages > self.size:
            raise MemoryError(
                f"{nbytes} bytes wanted, {self.size - self.taken_bytes} of {self.size} free in all"
            )
        self._taken[start] = start + pages
        return start

    def give_back(self, start: int) -> None:
        """Free the region that begins at ``start``."""
        del self._taken[start]


class Buffer(PynqBuffer):
    """A contiguous buffer whose memory goes back to where it came from when it is freed."""

    release: Callable[[], None] | None = None

    def freebuffer(self) -> None:
        """Give the memory back; views of a buffer own nothing."""
        release, self.release = self.release, None
        if release is not None:
            release()


class ContiguousMemory(ABC):
    """Memory of ``device`` as pynq's allocator sees it: ``size`` bytes at bus address ``base_address``."""

    def __init__(self, device: Any, base_address: int, size: int) -> None:
        self.device = device
        self.base_address = base_address
        self.size = size
        self.regions = Regions(size)

    def allocate(self, shape: Any, dtype: Any, cacheable: int = 1, **_: object) -> Buffer:
        """A buffer of ``shape`` and ``dtype`` on a page boundary; RuntimeError as in pynq if none is left."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        try:
            start = self.regions.take(nbytes)
        except MemoryError as error:
            raise RuntimeError(f"BO allocation failed: {error}") from None
        address = self.base_address + start
        buffer = Buffer(shape, dtype, device=self.device, device_address=address, **self.place(start, nbytes))
        buffer.release = partial(self.regions.give_back, start)
        return buffer

    @abstractmethod
    def place(self, start: int, nbytes: int) -> dict[str, Any]:
        """Where the processor finds bytes ``start .. start+nbytes-1`` of a fresh buffer.

        ``buffer`` and ``offset`` as numpy takes them; ``bo`` is what the device's `flush` is given.
        """
