"""First-fit allocation of page-aligned regions."""

from __future__ import annotations

PAGE_BYTES = 4096


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
        pages = max(1, -(-nbytes // PAGE_BYTES)) * PAGE_BYTES
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
