"""Drain and apply: words through the lanes, by the golden functions of `cpt.model.golden.fabric`."""

from __future__ import annotations

import numpy as np

from cpt.hw.contract.floats import Coefficient, Statistic
from cpt.hw.contract.passes import IMAGE_BITS, MASK_BITS, MASKS, Apply, Drain
from cpt.hw.contract.step import SUM_PARTS, SUM_WORDS, Word
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.model.golden.fabric import apply as applies
from cpt.model.golden.fabric import drain as drains
from cpt.model.golden.fabric.codes import WeightCodes
from cpt.model.golden.fabric.hash import noise_bytes
from cpt.model.golden.fabric.pool import pool_gradient, pool_sums
from cpt.model.golden.fabric.product import Product
from cpt.model.noise import extended
from cpt.sim.step.codes import codes_bytes, read_words, write_codes, write_words
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
        values, sums = result.take(word.images, picture.tiles)
        if not result.tiles:
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
        if not word.keeps:
            counted = statistics.total, joint, statistics.lowest, statistics.highest
            self._count(word, bool(word.clear), *counted)
        rows = out.reshape(word.images, picture.height, picture.width, channels)
        write_words(state.scratch, word.out, picture, rows)

    def _weights(self, word: Word, channels: int) -> WeightCodes:
        """What a drain needs to know of its weights: their zeros and bits."""
        zero = self.state.coefficient(Coefficient.ZERO, word.channel, channels)
        nothing = np.zeros((channels, 0), np.int64)
        none = np.zeros(channels, np.float32)
        return WeightCodes(nothing, zero, none, zero, self.state.slots[word.slot].bits)

    def _add_gradient(self, word: Word) -> None:
        """GRADIENT: 48-bit sums, each in `SUM_WORDS` words, of which 16 bits are in each of the first.

        All columns of tiles of a row lie side by side.
        """
        state = self.state
        columns = self.products.gradients
        tiles = np.stack([columns.popleft() for _ in range(word.tiles)], axis=2)
        added = tiles.reshape(-1, state.columns)
        first, low = divmod(word.out, SUM_WORDS)  # a part is joined to the address, so of odd ones some meet
        held = state.scratch[first * SUM_WORDS :][: len(added) * SUM_WORDS].view(np.uint16)
        parts = [held[low | part :: SUM_WORDS] for part in range(SUM_PARTS)]
        if not word.first:
            added = added + joined(parts)
        for number, part in enumerate(parts):
            part[:] = (added >> 16 * number & 0xFFFF).astype(np.uint16)

    # ------------------------------------------------------------------------------------------- apply

    def apply(self, word: Word) -> None:
        """APPLY: words of scratch to codes in memory, or to words."""
        for image in range(word.images):
            self.apply_image(word, image)

    def apply_image(self, word: Word, image: int) -> None:
        """An APPLY's work on one of its images; the engine takes them in order."""
        state, kind = self.state, Apply(word.kind)
        picture, channels = state.picture(word), word.groups * state.group
        skipped = image * picture.tiles * channels
        clear = bool(word.clear) and not image

        def words(first: int) -> np.ndarray:
            return read_words(state.scratch, first + skipped, picture, 1, channels)

        y = words(word.y)
        bits = state.slots[word.slot].bits
        if kind is Apply.INNER:
            codes = applies.inner_apply(y, self._affine(word.channel, channels), bits)
            self._codes(word, image, picture, codes)
        elif kind is Apply.CODE:
            one = self._affine(word.channel, channels)
            codes = applies.code_apply(y, int(one.multiplier[0]), int(one.shift[0]), bits)
            self._codes(word, image, picture, codes)
        elif kind is Apply.IMAGE:
            codes = applies.image_apply(y, self._affine(word.channel, channels), bits)
            self._codes(word, image, picture, codes)
        elif kind is Apply.COUNT:
            second = words(word.second * IN_WORDS)
            found = drains.error_statistics(y.reshape(-1, channels), second.reshape(-1, channels))
            self._count(word, clear, found.total, found.with_y, found.lowest, found.highest)
        elif kind is Apply.BLOCK:
            x = words(word.second * IN_WORDS)
            out, highest, _ = applies.block_apply(y, self._affine(word.channel, channels, second=True), x)
            none = np.zeros(channels, np.int64)
            self._count(word, clear, none, none, none, highest)
            write_words(state.scratch, word.out * IN_WORDS + skipped, picture, out)
            self._codes(word, image, picture, (out > 0).astype(np.int64))
        elif kind is Apply.ERROR:
            second = words(word.second * IN_WORDS)
            coefficients = self._affine(word.channel, channels, second=True)
            noise = self._noise(word, image, picture, channels)
            codes = applies.error_apply(y, second, coefficients, noise, bits)
            self._codes(word, image, picture, codes)
        elif kind is Apply.POOL:
            at = word.out + image * word.channels
            state.local[at : at + word.channels] = pool_sums(y)[0, : word.channels]
        else:
            at = word.out + image * word.channels
            gradient = np.zeros((1, channels), np.int64)
            gradient[0, : word.channels] = state.local[at : at + word.channels]
            g = pool_gradient(gradient, words(word.second * IN_WORDS) > 0)
            found = drains.error_statistics(g.reshape(-1, channels), y.reshape(-1, channels))
            self._count(word, clear, found.total, found.with_y, found.lowest, found.highest)
            write_words(state.scratch, word.offset + skipped, picture, g)

    def _noise(self, word: Word, image: int, picture: Picture, channels: int) -> np.ndarray:
        """Noise of an image of a word and of some channels (``channels``): `noise_place`."""
        key = extended(self.state.keys[0], "layer", word.layer)
        key = extended(key, "micro-batch", self.state.keys[1])
        number, first = word.out & (1 << IMAGE_BITS) - 1, (word.out >> IMAGE_BITS) * self.state.group
        shape = (1, picture.height, picture.width, word.channels)
        drawn = noise_bytes(key, shape, number + image)[..., first : first + channels]
        return np.pad(drawn, ((0, 0), (0, 0), (0, 0), (0, channels - drawn.shape[-1])))

    def _codes(self, word: Word, image: int, picture: Picture, codes: np.ndarray) -> None:
        """An image's codes to memory."""
        state = self.state
        layout = CodesLayout(picture, codes.shape[-1], word.planes)
        groups = -(-word.channels // state.group)
        address = state.address(word) + image * picture.tiles * groups * layout.group_stride
        memory = state.writable(address, codes_bytes(layout, len(codes), groups))
        bits = MASK_BITS if word.kind in MASKS else state.slots[word.slot].bits
        write_codes(memory, 0, layout, codes, bits, groups)

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
        self,
        word: Word,
        clear: bool,
        total: np.ndarray,
        joint: np.ndarray,
        lowest: np.ndarray,
        highest: np.ndarray,
    ) -> None:
        """Statistics that an instruction finds; without ``clear`` they go on from those that are there."""
        state, count = self.state, len(total)
        fields = {Statistic.TOTAL: total, Statistic.PRODUCT: joint}
        for field, value in fields.items():
            held = state.statistic(field, word.channel, count)
            held[:] = value + (0 if clear else held)
        least = state.statistic(Statistic.LOWEST, word.channel, count)
        most = state.statistic(Statistic.HIGHEST, word.channel, count)
        least[:] = lowest if clear else np.minimum(least, lowest)
        most[:] = highest if clear else np.maximum(most, highest)


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """48-bit numbers from their lower, middle and upper 16 bits (uint16): int64."""
    low, middle, high = (part.astype(np.int64) for part in parts)
    return low | middle << 16 | high.astype(np.int16).astype(np.int64) << 32
