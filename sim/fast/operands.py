"""Operand buffers: loaded blocks, waiting in order for EXEC."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.contract import ArrayConfig
from sim.fast.planes import codes_from_planes
from sim.fast.product import Precision


@dataclass(frozen=True)
class Blocks:
    """Consecutive blocks of one LOAD as they lie in the operand buffer."""

    planes: NDArray[np.uint8]
    """``(bits, blocks, tiles, lanes, ksteps * word_bytes)``."""
    ksteps: int
    _codes: dict[tuple[object, ...], NDArray[np.floating]] = field(default_factory=dict, compare=False)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.planes.shape[1]

    def part(self, start: int, stop: int) -> Blocks:
        """Blocks ``start`` to ``stop``."""
        return Blocks(self.planes[:, start:stop], self.ksteps)

    def codes(
        self, precision: Precision, tiles: int, ksteps: int, dtype: type[np.floating], ones: int = 0
    ) -> NDArray[np.floating]:
        """Codes ``(count * tiles * lanes + ones, k)`` as EXEC reads them, K in `codes_from_planes`' order.

        ``ones`` more lanes hold ones. Made once for the same arguments.
        """
        key = (precision, tiles, ksteps, dtype, ones)
        codes = self._codes.get(key)
        if codes is None:
            planes = np.ascontiguousarray(self.read_as(precision.bits, tiles, ksteps))
            flat = planes.reshape(precision.bits, -1, planes.shape[-1])
            codes = self._codes[key] = codes_from_planes(flat, precision.signed, dtype, ones)
        return codes

    def read_as(self, bits: int, tiles: int, ksteps: int) -> NDArray[np.uint8]:
        """Planes ``(bits, count, tiles, lanes, ksteps * word_bytes)`` as EXEC addresses the buffer.

        EXEC finds word ``k`` of plane ``p`` of tile ``t`` at ``(t*bits + p)*ksteps + k``. Where that is
        how LOAD wrote them, these are the planes; otherwise words move, and words beyond the block are 0.
        """
        have_bits, count, have_tiles, lanes, lane_bytes = self.planes.shape
        if (have_bits, self.ksteps) == (bits, ksteps) and tiles <= have_tiles:
            return self.planes[:, :, :tiles]
        word_bytes = lane_bytes // self.ksteps
        words = self.planes.reshape(have_bits, count, have_tiles, lanes, self.ksteps, word_bytes)
        words = words.transpose(1, 2, 0, 4, 3, 5).reshape(count, -1, lanes, word_bytes)
        needed = tiles * bits * ksteps
        if words.shape[1] < needed:
            words = np.pad(words, ((0, 0), (0, needed - words.shape[1]), (0, 0), (0, 0)))
        words = words[:, :needed].reshape(count, tiles, bits, ksteps, lanes, word_bytes)
        return words.transpose(2, 0, 1, 4, 3, 5).reshape(bits, count, tiles, lanes, ksteps * word_bytes)


def arrange(config: ArrayConfig, operand: str, runs: NDArray[np.uint8], ksteps: int) -> Blocks:
    """`Blocks` from memory runs ``(blocks, tiles, bits, ksteps * group_bytes)``; always a copy."""
    blocks, tiles, bits, _ = runs.shape
    lanes, word_bytes = config.lanes(operand), config.word_bits // 8
    words = runs.reshape(blocks, tiles, bits, ksteps, lanes, word_bytes).transpose(2, 0, 1, 4, 3, 5)
    planes = np.empty((bits, blocks, tiles, lanes, ksteps * word_bytes), np.uint8)
    planes.reshape(bits, blocks, tiles, lanes, ksteps, word_bytes)[...] = words
    return Blocks(planes, ksteps)


class BlockQueue:
    """Blocks of one operand, in the order they were loaded."""

    def __init__(self) -> None:
        self._waiting: deque[Blocks] = deque()
        self.count = 0

    def push(self, blocks: Blocks) -> None:
        """Add loaded blocks at the end."""
        self._waiting.append(blocks)
        self.count += blocks.count

    def pop(self, count: int) -> list[Blocks]:
        """Take the next ``count`` blocks, as few pieces as possible; the caller checked they are there."""
        pieces = []
        self.count -= count
        while count:
            head = self._waiting.popleft()
            if head.count > count:
                self._waiting.appendleft(head.part(count, head.count))
                head = head.part(0, count)
            pieces.append(head)
            count -= head.count
        return pieces


class LoadMemory:
    """Blocks read lately, so that what a program reads again is not read and decoded again.

    Valid until somebody else writes to the memory: `clear` it before every program.
    """

    BUDGET_BYTES = 1 << 28
    """Most bytes kept, counting what the blocks take as float32 codes."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[object, ...], Blocks] = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
        self._bytes = 0
        self._low, self._high = 1 << 32, 0

    def get(self, key: tuple[object, ...]) -> Blocks | None:
        """The blocks kept under ``key``."""
        return self._blocks.get(key)

    def keep(self, key: tuple[object, ...], blocks: Blocks, start: int, end: int) -> None:
        """Keep ``blocks``, which came from bus addresses ``start`` to ``end``."""
        self._bytes += blocks.planes[0].nbytes * 8 * np.dtype(np.float32).itemsize
        if self._bytes <= self.BUDGET_BYTES:
            self._blocks[key] = blocks
            self._low, self._high = min(self._low, start), max(self._high, end)

    def written(self, start: int, end: int) -> None:
        """Bus addresses ``start`` to ``end`` change: forget everything if any of it was read."""
        if start < self._high and end > self._low:
            self.clear()
