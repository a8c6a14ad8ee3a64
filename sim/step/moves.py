"""BRING and STORE: between memory and scratch or local memory, and the packing of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cpt.hw.contract import Error
from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS, TAPS, require
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import Word
from cpt.sim.step.codes import weight_planes
from cpt.sim.step.state import State, Stopped


class Moves:
    """BRING and STORE, each at once."""

    def __init__(self, state: State) -> None:
        self.state = state

    def bring(self, word: Word) -> None:
        """Run by run from memory.

        Raises `ContractError` for words of local memory that are not whole beats of memory.
        """
        kind = Bring(word.kind)
        size = self.state.columns if kind is Bring.BYTES else None
        for memory, words in self._runs(word, kind is Bring.LOCAL, self.state.readable, size):
            held = memory if kind is Bring.BYTES else memory.view(words.dtype)
            words[:] = held.reshape(words.shape)

    def store(self, word: Word) -> None:
        """Run by run to memory; PACK writes planes. Raises as `bring`."""
        kind = Store(word.kind)
        if kind is Store.PACK:
            self._pack(word)
            return
        for memory, words in self._runs(word, kind is Store.LOCAL, self.state.writable):
            memory[:] = words.view(np.uint8).ravel()

    def _runs(
        self,
        word: Word,
        local: bool,
        memory: Callable[[int, int], np.ndarray],
        size: int | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Bytes of memory and words on chip of every run, as views; ``size``: bytes of a word in memory."""
        state = self.state
        held = state.local.reshape(-1, 1) if local else state.scratch
        unit = size or held.itemsize * held.shape[1]
        first = state.address(word)
        stride = word.place_stride or word.words
        if local:
            odd = [word.words % 2, word.place % 2, stride % 2 * (word.runs > 1)]
            require(
                not any(odd),
                f"{word.code.name} of local memory has odd words or places; allowed: pairs of words",
            )
        steps = (first, word.stride * (word.runs > 1))
        if any(step % BEAT_BYTES for step in steps):
            raise Stopped(
                Error.MISALIGNED,
                f"{word.code.name} has byte {first}, runs {word.stride} bytes apart; allowed: whole beats",
            )
        for run in range(word.runs):
            at, place = first + run * word.stride, word.place + run * stride
            yield memory(at, word.words * unit), held[place : place + word.words]

    def _pack(self, word: Word) -> None:
        """Codes in local memory as operand A.

        They lie at ``place + row*row_stride + tap*place_stride + channel*|stride|``; a negative stride turns
        the taps round (dX). There are ``runs`` rows and ``words`` channels; what tiles and K steps have
        beyond is 0. K step k takes ``group`` channels of every tap; of a 1 x 1 kernel (``place_stride`` 0)
        nine groups. Memory keeps `MAX_BITS` planes for a tile, of ``all_ksteps`` K steps each.
        """
        state, group, rows = self.state, self.state.group, self.state.config.rows
        bits, taps = state.slots[word.slot].bits, TAPS if word.place_stride else 1
        tiles = -(-word.runs // rows)
        per_step = group if taps == TAPS else TAPS * group
        codes = np.zeros((tiles * rows, taps, word.ksteps * per_step), np.int64)
        for row in range(word.runs):
            for tap in range(taps):
                at = word.place + row * word.row_stride + tap * word.place_stride
                target = taps - 1 - tap if word.stride < 0 else tap
                channels = state.local[at :: abs(word.stride)][: word.words]
                codes[row, target, : word.words] = channels
        split = codes.reshape(tiles * rows, taps, word.ksteps, per_step).transpose(0, 2, 1, 3)
        planes = weight_planes(
            split.reshape(tiles * rows, word.ksteps, taps * per_step),
            bits,
            rows,
            state.config.word_bits,
            word.ksteps,
        )
        step = planes.shape[-1]
        first = state.address(word)
        for tile in range(tiles):
            for plane in range(bits):
                at = first + (tile * MAX_BITS + plane) * (word.all_ksteps or word.ksteps) * step
                state.writable(at, word.ksteps * step)[:] = planes[tile, plane].ravel()
