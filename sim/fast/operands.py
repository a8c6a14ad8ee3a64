"""Operand buffers: loaded blocks, waiting in order for EXEC."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.planes import codes_from_planes
from cpt.sim.registers import Precision


@dataclass(frozen=True)
class Blocks:
    """Consecutive blocks of one LOAD as they lie in the operand buffer."""

    planes: NDArray[np.uint8]
    """``(bits, blocks, tiles, lanes, ksteps * word_bytes)``; words filled up with zeros to whole bytes."""
    ksteps: int
    _codes: dict[tuple[object, ...], NDArray[np.floating]] = field(default_factory=dict, compare=False)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.planes.shape[1]

    @property
    def block_words(self) -> int:
        """Words per lane of one block."""
        bits, _, tiles, _, _ = self.planes.shape
        return bits * tiles * self.ksteps

    def part(self, start: int, stop: int) -> Blocks:
        """Blocks ``start`` to ``stop``."""
        if (start, stop) == (0, self.count):
            return self
        return Blocks(self.planes[:, start:stop], self.ksteps)

    def codes(
        self, precision: Precision, tiles: int, dtype: type[np.floating], extra_word: int | None = None
    ) -> NDArray[np.floating]:
        """Codes ``(count * tiles * lanes, k)`` of the first ``tiles`` tiles of every block.

        K is in the order of `codes_from_planes`; with ``extra_word`` one more lane holds that word in every K
        step. Made once for the same arguments.
        """
        key = (precision, tiles, dtype, extra_word)
        codes = self._codes.get(key)
        if codes is None:
            planes = np.ascontiguousarray(self.planes[:, :, :tiles])
            flat = planes.reshape(precision.bits, -1, planes.shape[-1])
            extra = None
            if extra_word is not None:
                word = extra_word.to_bytes(planes.shape[-1] // self.ksteps, "little")
                extra = np.frombuffer(word * self.ksteps, np.uint8)
            codes = self._codes[key] = codes_from_planes(flat, precision.signed, dtype, extra)
        return codes

    def words(self) -> NDArray[np.uint8]:
        """``(count, block_words, lanes, word_bytes)``: the buffer's words in address order."""
        bits, count, tiles, lanes, lane_bytes = self.planes.shape
        word_bytes = lane_bytes // self.ksteps
        words = self.planes.reshape(bits, count, tiles, lanes, self.ksteps, word_bytes)
        return words.transpose(1, 2, 0, 4, 3, 5).reshape(count, -1, lanes, word_bytes)


Layers = tuple[tuple["Blocks", ...], tuple["Blocks", ...]]
"""Of each buffer half: single blocks loaded into it, oldest first, each shorter than the one before."""


@dataclass(frozen=True)
class Loaded:
    """Blocks in the halves of an operand buffer."""

    blocks: Blocks
    half: int
    """Half of the first block; the others alternate."""
    under: Layers
    """What the halves held before."""

    def part(self, start: int, stop: int) -> Loaded:
        """Blocks ``start`` to ``stop``."""
        return Loaded(self.blocks.part(start, stop), (self.half + start) % MACHINE.halves, self.under)

    def read_as(self, bits: int, tiles: int, ksteps: int) -> Blocks:
        """The blocks as EXEC addresses the buffer.

        EXEC finds word ``k`` of plane ``p`` of tile ``t`` at ``(t*bits + p)*ksteps + k`` of the half. Where
        that is how LOAD wrote them, these are the blocks; otherwise words move, and those beyond the block
        are what the half held before.
        """
        have_bits, count, have_tiles, lanes, _ = self.blocks.planes.shape
        if (have_bits, self.blocks.ksteps) == (bits, ksteps) and tiles <= have_tiles:
            return self.blocks
        own = self.blocks.words()
        word_bytes = own.shape[-1]
        words = np.zeros((count, tiles * bits * ksteps, lanes, word_bytes), np.uint8)
        for index, block in enumerate(words):
            older = (layer.words()[0] for layer in self.under[(self.half + index) % MACHINE.halves])
            for layer in (*older, own[index]):
                block[: len(layer)] = layer[: len(block)]
        planes = words.reshape(count, tiles, bits, ksteps, lanes, word_bytes).transpose(2, 0, 1, 4, 3, 5)
        return Blocks(planes.reshape(bits, count, tiles, lanes, ksteps * word_bytes), ksteps)


def arrange(config: ArrayConfig, operand: str, runs: NDArray[np.uint8], ksteps: int) -> Blocks:
    """`Blocks` from memory runs ``(blocks, tiles, bits, ksteps * group_bytes)``; always a copy."""
    blocks, tiles, bits, _ = runs.shape
    lanes, word_bytes = config.lanes(operand), -(-config.word_bits // 8)
    groups = runs.reshape(blocks, tiles, bits, ksteps, config.group_bytes(operand))
    if config.word_bits % 8:
        loose = np.unpackbits(groups, axis=-1, count=lanes * config.word_bits, bitorder="little")
        groups = np.packbits(
            loose.reshape(*groups.shape[:-1], lanes, config.word_bits), axis=-1, bitorder="little"
        )
    else:
        groups = groups[..., : lanes * word_bytes]
    words = groups.reshape(blocks, tiles, bits, ksteps, lanes, word_bytes).transpose(2, 0, 1, 4, 3, 5)
    planes = np.empty((bits, blocks, tiles, lanes, ksteps * word_bytes), np.uint8)
    planes.reshape(bits, blocks, tiles, lanes, ksteps, word_bytes)[...] = words
    return Blocks(planes, ksteps)


class BlockQueue:
    """Blocks of one operand, in the order they were loaded, and what the buffer's halves hold."""

    def __init__(self) -> None:
        self._layers: Layers = ((), ())
        self.reset()

    def reset(self) -> None:
        """Forget the blocks; the words stay in the buffer."""
        self._waiting: deque[Loaded] = deque()
        self._half = 0
        self.count = 0

    def push(self, blocks: Blocks) -> None:
        """Add loaded blocks at the end."""
        self._waiting.append(Loaded(blocks, self._half, self._layers))
        self.count += blocks.count
        first, second = self._layers
        for index in range(max(0, blocks.count - MACHINE.halves), blocks.count):
            top = blocks.part(index, index + 1)
            if (self._half + index) % MACHINE.halves == 0:
                first = (*_longer(first, top), top)
            else:
                second = (*_longer(second, top), top)
        self._layers = (first, second)
        self._half = (self._half + blocks.count) % MACHINE.halves

    def pop(self, count: int) -> list[Loaded]:
        """Take the next ``count`` blocks, as few pieces as possible; the caller checked they are there."""
        pieces = []
        self.count -= count
        while count:
            head = self._waiting.popleft()
            if head.blocks.count > count:
                self._waiting.appendleft(head.part(count, head.blocks.count))
                head = head.part(0, count)
            pieces.append(head)
            count -= head.blocks.count
        return pieces


def _longer(layers: tuple[Blocks, ...], top: Blocks) -> tuple[Blocks, ...]:
    """The layers that a new block does not cover."""
    return tuple(layer for layer in layers if layer.block_words > top.block_words)


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
