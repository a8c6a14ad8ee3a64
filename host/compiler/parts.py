"""How a tensor of a micro-batch goes through scratch: as a whole, or in parts that memory keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
class Division:
    """Where tensors of one shape lie: first word of each place, whether it has room for one as a whole.

    Tensors of other places go through them in parts, by turns in both halves of ``room`` words: while the
    lanes work on one part, the next one comes and the last one goes. What has no room in a half takes all.
    """

    starts: tuple[int, ...]
    whole: tuple[bool, ...]
    room: int
    beside: bool = False
    """Whether sums of dW have room beside all of them."""

    @property
    def fourth(self) -> bool:
        """Whether there is a place more than tensors that live at once."""
        return len(self.starts) > SUM_BANKS

    @property
    def half(self) -> int:
        """Words of a part at most."""
        return self.room // 2 // IN_WORDS * IN_WORDS


@dataclass(frozen=True)
class Scratch:
    """Scratch as a pass over the network divides it: a place for each tensor that lives at once.

    Places lie at least a bank apart, so that the same words of two tensors are in different banks, which read
    a word each in a cycle.
    """

    config: ArrayConfig
    words: int
    places: int
    """2, or 3, of which the last one's tensors live longest; a fourth where tensors take a bank at most."""
    sum_words: int = 0
    """Words of each of the first three banks that 48-bit sums take at most."""
    mixed: bool = False
    """Whether a tensor of one shape lives in the last place while those of other shapes go through the rest:
    the last place is then a third of scratch at most."""

    @property
    def bank(self) -> int:
        """Words of a bank."""
        return self.words // SCRATCH_BANKS

    @property
    def room(self) -> int:
        """Words of a place where all have the same."""
        return self.words // self.places // IN_WORDS * IN_WORDS

    def division(self, size: int, image: int) -> Division:
        """For tensors of ``size`` words, ``image`` of them an image; 0: parts are not of whole images.

        The last place's words are nobody else's whatever the shapes that live at once, but for halves.

        A bank each, perhaps beside the sums; a third (half, of 2) of scratch each; a bank in parts each, and
        the last one whole behind them; all in parts.
        """
        bank, whole = self.bank, (True,) * self.places
        starts = (*range(0, (self.places - 1) * self.room, self.room), self.words - self.room)
        beside = size + self.sum_words <= bank
        if image and self.places == SUM_BANKS and size <= bank and (beside or not self.mixed):
            of_banks = (0, bank, 3 * bank) if self.mixed else (0, bank, 3 * bank, 2 * bank)
            return Division(of_banks, (True,) * len(of_banks), 0, beside=beside)
        if image and size <= self.room:
            return Division(starts, whole, 0)
        halves = Division((0, bank, 2 * bank), (False, False, True), bank)
        in_parts = image and halves.half % image == 0  # parts of the whole one begin at short addresses
        in_parts = in_parts and not self.mixed
        if self.places == len(halves.starts) and size <= 2 * bank and in_parts:
            return halves
        return Division(starts, (False,) * self.places, self.room)

    def sums(self, words: int, live: Sequence[Region]) -> Sums:
        """Words for sums while tensors at ``live`` are all that is wanted.

        They are at the end of the banks where it leaves that, else at the beginning.
        """
        for word in (self.bank - words, 0):
            starts = [bank * self.bank + word for bank in range(SUM_BANKS)]
            found = Sums(word, tuple(Region(SCRATCH, start, start + words) for start in starts))
            if not any(region.meets(other) for region in found.regions for other in live):
                break
        return found

    def bands(self, picture: Picture, images: int, groups: int) -> Iterator[tuple[Part, Picture]]:
        """Images as bytes, and the rows of each part as a picture: bands where an image has no room.

        Raises `ContractError` where a row of tiles has none.
        """
        row = picture.strips * groups * self.config.group_channels
        if images * picture.tiles * groups * self.config.group_channels <= self.room:
            yield Part(0, images, 0, groups, 0), picture
            return
        if picture.tiles * groups * self.config.group_channels <= self.room:
            division = Division((0,), (False,), self.room)
            for part in self.parts(division, picture, images, groups, groups):
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

    def parts(
        self, division: Division, picture: Picture, images: int, groups: int, most_groups: int
    ) -> Iterator[Part]:
        """A tensor's parts, of at most ``most_groups`` groups each; groups in the outer order.

        Raises `ContractError` where an image's group of channels has no room.
        """
        group, room, half = self.config.group_channels, division.room, division.half
        each = picture.tiles * group
        most = half if each <= half else room
        together = min(most_groups, groups, most // each)
        if not together:
            size = 2 * self.config.cols
            raise ContractError(
                f"{group} channels of an image of {picture.height} x {picture.width} take "
                f"{each * size} bytes; allowed: {room * size}, a part of scratch "
                f"({self.words * size} bytes in all)"
            )
        many = most // (each * together)
        turn = 0
        for first in range(0, groups, together):
            for image in range(0, images, many):
                part = min(together, groups - first)
                yield Part(image, min(many, images - image), first, part, turn * most)
                turn ^= most == half
