"""How a tensor of a micro-batch goes through scratch: as a whole, or in parts that memory keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cpt.host.compiler.builder import Region
from cpt.host.compiler.memory import IN_WORDS
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.contract.tiles import Picture

SCRATCH = "scratch"
SUM_BANKS = 3
"""Banks that a 48-bit sum lies in, 16 bits in each."""


@dataclass(frozen=True)
class Part:
    """Groups of channels of neighbouring images, and where its words begin in their tensor's place."""

    image: int
    images: int
    group: int
    groups: int
    word: int
    tile: int = 0
    """First tile of its one image, of which it is a band of rows."""

    @property
    def first(self) -> bool:
        """Whether statistics of its channels begin with it."""
        return not self.image and not self.tile


@dataclass(frozen=True)
class Sums:
    """Where the 48-bit sums of a dW product lie: words from ``word`` on in each of the first three banks."""

    word: int
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Scratch:
    """Scratch as a pass over the network divides it: a place for each tensor that lives at once.

    Places lie at least a bank apart, so that the same words of two tensors are in different banks, which read
    a word each in a cycle. A tensor that has no room in its place goes through its halves: while the lanes
    work on one part, the next one comes from memory and the last one goes there. What has no room in a half
    takes all of it.
    """

    config: ArrayConfig
    words: int
    places: int
    """At most 3."""
    sum_words: int = 0
    """Words of each of the first three banks that 48-bit sums take at most."""

    @property
    def bank(self) -> int:
        """Words of a bank."""
        return self.words // SCRATCH_BANKS

    @property
    def room(self) -> int:
        """Words of a place."""
        return self.words // self.places // IN_WORDS * IN_WORDS

    @property
    def half(self) -> int:
        """Words of a part at most."""
        return self.room // 2 // IN_WORDS * IN_WORDS

    def start(self, place: int, size: int) -> int:
        """First word of a tensor of ``size`` words: a bank's, where all of them have room beside the sums."""
        if size + self.sum_words <= self.bank:
            return (0, 1, 3)[place] * self.bank
        return place * self.room if place + 1 < self.places else self.last

    @property
    def last(self) -> int:
        """First word of the last place where it is not a bank."""
        return self.words - self.room

    def sums(self, words: int, size: int) -> Sums:
        """Words for sums while a tensor of ``size`` words lives in the last place, and no other.

        They are at the end of the banks where all tensors of that size have room beside them, else at the
        beginning, where words of the other places will be.
        """
        word = self.bank - words if size + self.sum_words <= self.bank else 0
        starts = [bank * self.bank + word for bank in range(SUM_BANKS)]
        return Sums(word, tuple(Region(SCRATCH, start, start + words) for start in starts))

    def whole(self, picture: Picture, images: int, groups: int) -> bool:
        """Whether a tensor has room in its place."""
        return images * picture.tiles * groups * self.config.group_channels <= self.room

    def bands(self, picture: Picture, images: int, groups: int) -> Iterator[tuple[Part, Picture]]:
        """Images as bytes, and the rows of each part as a picture: bands where an image has no room.

        Raises `ContractError` where a row of tiles has none.
        """
        row = picture.strips * groups * self.config.group_channels
        if picture.tiles * groups * self.config.group_channels <= self.room:
            for part in self.parts(picture, images, groups, groups):
                yield part, picture
            return
        rows = self.room // row * picture.tile_rows
        if not rows:
            raise ContractError(
                f"a row of tiles of images {picture.width} wide takes {row} words of scratch; "
                f"allowed: {self.room}"
            )
        for image in range(images):
            for top in range(0, picture.height, rows):
                band = Picture(self.config, min(rows, picture.height - top), picture.width)
                tile = top // picture.tile_rows * picture.strips
                yield Part(image, 1, 0, groups, 0, tile), band

    def parts(self, picture: Picture, images: int, groups: int, most_groups: int) -> Iterator[Part]:
        """A tensor's parts, of at most ``most_groups`` groups each; groups in the outer order.

        Raises `ContractError` where an image's group of channels has no room.
        """
        group = self.config.group_channels
        each = picture.tiles * group
        if most_groups >= groups and self.whole(picture, images, groups):
            yield Part(0, images, 0, groups, 0)
            return
        most = self.half if each <= self.half else self.room
        together = min(most_groups, groups, most // each)
        if not together:
            size = 2 * self.config.cols
            raise ContractError(
                f"{group} channels of an image of {picture.height} x {picture.width} take "
                f"{each * size} bytes; allowed: {self.room * size}, a part of scratch "
                f"({self.words * size} bytes in all)"
            )
        many = most // (each * together)
        turn = 0
        for first in range(0, groups, together):
            for image in range(0, images, many):
                part = min(together, groups - first)
                yield Part(image, min(many, images - image), first, part, turn * most)
                turn ^= most == self.half
