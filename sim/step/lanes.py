"""Drain and apply: words through the lanes, by the golden functions of `cpt.model.golden.fabric`."""

from __future__ import annotations

import numpy as np

from cpt.hw.contract.floats import Coefficient, Statistic
from cpt.hw.contract.passes import IMAGE_BITS, Apply, Drain
from cpt.hw.contract.step import Word
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.model.golden.fabric import apply as applies
from cpt.model.golden.fabric import drain as drains
from cpt.model.golden.fabric.codes import WeightCodes
from cpt.model.golden.fabric.hash import noise_bytes
from cpt.model.golden.fabric.pool import pool_gradient, pool_sums
from cpt.model.golden.fabric.product import Product
from cpt.model.noise import extended
from cpt.sim.step.codes import read_words, write_codes, write_words
from cpt.sim.step.products import Products
from cpt.sim.step.state import State

IN_WORDS = 256
"""Words that short scratch addresses count in."""


class Lanes:
    """What happens between products, scratch and codes."""

    def __init__(self, state: State, products: Products) -> None:
        self.state = state
        self.products = products

    # ------------------------------------------------------------------------------------------- drain

    def drain(self, word: Word) -> None:
        """DRAIN: the products that exec left last."""
        if Drain(word.kind) is Drain.GRADIENT:
            self._add_gradient(word)
            return
        state, result = self.state, self.products.results[0]
        picture, channels = state.picture(word), word.a_tiles * state.group
        values, sums = result.take(word.images)
        if result.drained == len(result.values):
            self.products.results.popleft()
        product = Product(
            values.reshape(-1, channels), sums.reshape(-1, channels) if sums.ndim > 3 else sums.ravel()
        )
        weights = self._weights(word, channels)
        shift = weights_shift = state.coefficient(Coefficient.SHIFT, word.channel, channels)
        kind = Drain(word.kind)
        statistics: drains.ForwardStatistics | drains.ErrorStatistics
        if kind is Drain.FORWARD:
            out, statistics = drains.forward_drain(product, weights, weights_shift)
            joint = statistics.squares
        else:
            y = None if kind is Drain.SHORTCUT_ERROR else self._pixels(word.y, picture, word.images, channels)
            if kind is Drain.BLOCK_ERROR:
                coefficients = drains.BlockErrorCoefficients(
                    shift,
                    state.coefficient(Coefficient.MULTIPLIER, word.channel, channels),
                    state.coefficient(Coefficient.SECOND, word.channel, channels),
                    state.coefficient(Coefficient.TOTAL_SHIFT, word.channel, channels),
                )
                stream = self._pixels(word.stream * IN_WORDS, picture, word.images, channels)
                mask = self._pixels(word.mask * IN_WORDS, picture, word.images, channels) > 0
                out, statistics = drains.block_error_drain(product, weights, coefficients, stream, mask, y)
            else:
                mask_of = None if y is None else applies.relu_mask(y, self._affine(word.channel, channels))
                out, statistics = drains.inner_error_drain(product, weights, shift, mask_of, y)
            joint = statistics.with_y
        self._count(word, statistics.total, joint, statistics.lowest, statistics.highest)
        rows = out.reshape(word.images, picture.height, picture.width, channels)
        write_words(state.scratch, word.out, picture, rows)

    def _weights(self, word: Word, channels: int) -> WeightCodes:
        """What a drain needs to know of its weights: their zeros and bits."""
        zero = self.state.coefficient(Coefficient.ZERO, word.channel, channels)
        nothing = np.zeros((channels, 0), np.int64)
        none = np.zeros(channels, np.float32)
        return WeightCodes(nothing, zero, none, zero, self.state.slots[word.slot].bits)

    def _add_gradient(self, word: Word) -> None:
        """GRADIENT: 48-bit sums, 16 bits of each in the first three banks, word ``out`` of each on."""
        state = self.state
        tiles = self.products.gradients.popleft()
        added = tiles.reshape(-1, state.columns)
        banks = [
            state.scratch[bank * state.bank_words + word.out :][: len(added)].view(np.uint16)
            for bank in range(3)
        ]
        if not word.first:
            added = added + joined(banks)
        for bank, part in enumerate(banks):
            part[:] = (added >> 16 * bank & 0xFFFF).astype(np.uint16)

    # ------------------------------------------------------------------------------------------- apply

    def apply(self, word: Word) -> None:
        """APPLY: words of scratch to codes in memory, or to words."""
        state, kind = self.state, Apply(word.kind)
        picture, channels = state.picture(word), word.groups * state.group
        y = read_words(state.scratch, word.y, picture, word.images, channels)
        bits = state.slots[word.slot].bits
        if kind is Apply.INNER:
            self._codes(word, picture, applies.inner_apply(y, self._affine(word.channel, channels), bits))
        elif kind is Apply.CODE:
            one = self._affine(word.channel, channels)
            self._codes(word, picture, applies.code_apply(y, int(one.multiplier[0]), int(one.shift[0]), bits))
        elif kind is Apply.IMAGE:
            self._codes(word, picture, applies.image_apply(y, self._affine(word.channel, channels), bits))
        elif kind is Apply.COUNT:
            second = read_words(state.scratch, word.second * IN_WORDS, picture, word.images, channels)
            found = drains.error_statistics(y.reshape(-1, channels), second.reshape(-1, channels))
            self._count(word, found.total, found.with_y, found.lowest, found.highest)
        elif kind is Apply.BLOCK:
            x = read_words(state.scratch, word.second * IN_WORDS, picture, word.images, channels)
            out, highest, _ = applies.block_apply(y, self._affine(word.channel, channels, second=True), x)
            none = np.zeros(channels, np.int64)
            self._count(word, none, none, none, highest)
            write_words(state.scratch, word.out * IN_WORDS, picture, out)
        elif kind is Apply.ERROR:
            second = read_words(state.scratch, word.second * IN_WORDS, picture, word.images, channels)
            coefficients = self._affine(word.channel, channels, second=True)
            noise = self._noise(word, picture, channels)
            self._codes(word, picture, applies.error_apply(y, second, coefficients, noise, bits))
        elif kind is Apply.POOL:
            sums = pool_sums(y)[:, : word.channels]
            state.local[word.out : word.out + sums.size] = sums.ravel()
        else:
            codes = state.local[word.out : word.out + word.images * word.channels]
            gradient = np.zeros((word.images, channels), np.int64)
            gradient[:, : word.channels] = codes.reshape(word.images, word.channels)
            mask = read_words(state.scratch, word.second * IN_WORDS, picture, word.images, channels) > 0
            g = pool_gradient(gradient, mask)
            statistics = drains.error_statistics(g.reshape(-1, channels), y.reshape(-1, channels))
            self._count(word, statistics.total, statistics.with_y, statistics.lowest, statistics.highest)
            write_words(state.scratch, word.offset, picture, g)

    def _noise(self, word: Word, picture: Picture, channels: int) -> np.ndarray:
        """Noise of some images and channels (``channels`` of them) of the micro-batch: `noise_place`."""
        key = extended(self.state.keys[0], "layer", word.layer)
        key = extended(key, "micro-batch", self.state.keys[1])
        image, first = word.out & (1 << IMAGE_BITS) - 1, (word.out >> IMAGE_BITS) * self.state.group
        shape = (word.images, picture.height, picture.width, word.channels)
        drawn = noise_bytes(key, shape, image)[..., first : first + channels]
        return np.pad(drawn, ((0, 0), (0, 0), (0, 0), (0, channels - drawn.shape[-1])))

    def _codes(self, word: Word, picture: Picture, codes: np.ndarray) -> None:
        state = self.state
        layout = CodesLayout(picture, codes.shape[-1], word.planes)
        groups = -(-word.channels // state.group)
        bits = state.slots[word.slot].bits
        write_codes(state.memory, state.address(word), layout, codes, bits, groups)

    # ------------------------------------------------------------------------------------------ shared

    def _pixels(self, word: int, picture: Picture, images: int, channels: int) -> np.ndarray:
        return read_words(self.state.scratch, word, picture, images, channels).reshape(-1, channels)

    def _affine(self, first: int, channels: int, *, second: bool = False) -> applies.Affine:
        state = self.state
        return applies.Affine(
            state.coefficient(Coefficient.MULTIPLIER, first, channels),
            state.coefficient(Coefficient.ADDEND, first, channels),
            state.coefficient(Coefficient.TOTAL_SHIFT, first, channels),
            state.coefficient(Coefficient.SECOND, first, channels) if second else None,
        )

    def _count(
        self, word: Word, total: np.ndarray, joint: np.ndarray, lowest: np.ndarray, highest: np.ndarray
    ) -> None:
        """Statistics of one instruction; without ``clear`` they go on from those that are there."""
        state, count = self.state, len(total)
        fields = {Statistic.TOTAL: total, Statistic.PRODUCT: joint}
        for field, value in fields.items():
            held = state.statistic(field, word.channel, count)
            held[:] = value + (0 if word.clear else held)
        least = state.statistic(Statistic.LOWEST, word.channel, count)
        most = state.statistic(Statistic.HIGHEST, word.channel, count)
        least[:] = lowest if word.clear else np.minimum(least, lowest)
        most[:] = highest if word.clear else np.maximum(most, highest)


def joined(banks: list[np.ndarray]) -> np.ndarray:
    """48-bit numbers from their lower, middle and upper 16 bits (uint16): int64."""
    low, middle, high = (bank.astype(np.int64) for bank in banks)
    return low | middle << 16 | high.astype(np.int16).astype(np.int64) << 32
