"""How a tensor of a micro-batch goes through scratch: as a whole, or in parts that memory keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cpt.host.compiler.memory import IN_WORDS
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.contract.tiles import Picture


@dataclass(frozen=True)
class Part:
    """Groups of channels of neighbouring images, and where its words begin in a bank."""

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
class Scratch:
    """Four banks, in each of which lies one tensor, or parts of one by turns; sums of dW behind them.

    A tensor that has no room in a bank goes through its halves: while the lanes work on one part, the next
    one comes from memory and the last one goes there. What has no room in a half takes all of it.
    """

    config: ArrayConfig
    words: int
    sum_words: int
    """Words of each of the first three banks that the 48-bit sums take."""

    @property
    def bank(self) -> int:
        """Words of a bank."""
        return self.words // SCRATCH_BANKS

    @property
    def sums(self) -> int:
        """Word of a bank at which the sums begin."""
        return self.bank - self.sum_words

    @property
    def room(self) -> int:
        """Words of a bank for tensors."""
        return self.sums // IN_WORDS * IN_WORDS

    @property
    def half(self) -> int:
        """Words of a part at most."""
        return self.room // 2 // IN_WORDS * IN_WORDS

    def whole(self, picture: Picture, images: int, groups: int) -> bool:
        """Whether a tensor has room in a bank."""
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
                f"allowed: {self.room}, a bank without the sums of dW"
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
                f"{each * size} bytes; allowed: {self.room * size}, a bank of scratch "
                f"({self.words * size} bytes in all) without the sums of dW"
            )
        many = most // (each * together)
        turn = 0
        for first in range(0, groups, together):
            for image in range(0, images, many):
                part = min(together, groups - first)
                yield Part(image, min(many, images - image), first, part, turn * most)
                turn ^= most == self.half
