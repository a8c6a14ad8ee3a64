"""How a tensor of a micro-batch goes through scratch: as a whole, or in parts that memory keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cpt.host.compiler.builder import Region
from cpt.host.compiler.memory import IN_WORDS
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.passes import GradientSlot
from cpt.hw.contract.step import SCRATCH_BANKS, SUM_WORDS
from cpt.hw.contract.tiles import Picture

SCRATCH = "scratch"
OF_FORWARD, OF_BACKWARD = 2, 3
"""Places of each pass for tensors that live at once; where they have room there is one more."""


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

    def meets(self, images: range) -> bool:
        """Whether some of ``images`` are in it."""
        return self.image < images.stop and images.start < self.image + self.images

    def of(self, images: range) -> Part:
        """Those of ``images`` that are in it."""
        first, behind = max(self.image, images.start), min(self.image + self.images, images.stop)
        return replace(self, image=first, images=behind - first)


@dataclass(frozen=True)
class Sums:
    """Where the 48-bit sums of a dW product lie; FLOAT counts in `SUM_WORDS`: ``word``."""

    word: int
    region: Region

    def of(self, slot: GradientSlot, rows: int) -> Sums:
        """Those of a slot of inputs: all its columns of so many ``rows``, row by row."""
        return _sums(self.word + slot.before * rows, slot.columns * rows)


@dataclass(frozen=True)
class Division:
    """Where tensors of one shape lie: first word of each place, whether it has room for one as a whole.

    Tensors of other places go through them in parts, by turns in two ``slots`` of so many words: while the
    lanes work on one part, the next one comes and the last one goes. What has no room in a slot takes both.
    """

    starts: tuple[int, ...]
    whole: tuple[bool, ...]
    size: int
    """Words of a tensor."""
    slots: tuple[int, int] = (0, 0)
    together: int = 1
    """Parts are of multiples of so many images."""

    @property
    def taken(self) -> list[Region]:
        """Words that tensors may lie in."""
        sizes = [self.size if whole else self.room for whole in self.whole]
        return [Region(SCRATCH, start, start + size) for start, size in zip(self.starts, sizes, strict=True)]

    @property
    def room(self) -> int:
        """Words of a place for parts."""
        return sum(self.slots)


@dataclass(frozen=True)
class Scratch:
    """Scratch as a pass over the network divides it: a place for each tensor that lives at once.

    Places lie at least a bank apart, so that the same words of two tensors are in different banks, which read
    a word each in a cycle.
    """

    config: ArrayConfig
    words: int
    places: int
    """`OF_FORWARD`, or `OF_BACKWARD`, of which the last one's tensors live longest; one more where tensors
    take a bank at most."""
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

    @property
    def _halves(self) -> tuple[int, int]:
        half = self.room // 2 // IN_WORDS * IN_WORDS
        return half, self.room - half

    def division(self, size: int, image: int, sums: int = 0) -> Division:
        """For tensors of ``size`` words, ``image`` of them an image; 0: parts are not of whole images.

        The last place's words are nobody else's whatever the shapes that live at once, but for halves.

        A bank each, or two of the four in one; a third (half, of 2) of scratch each; a bank in parts each,
        but for so many ``sums`` if images leave them room, and the last one whole behind them; all in parts.
        """
        bank, whole = self.bank, (True,) * self.places
        last = (self.words - size) // IN_WORDS * IN_WORDS
        if image and self.places == OF_FORWARD and size <= bank:
            return Division((0, last, bank), (True,) * 3, size)
        if image and self.places == OF_BACKWARD and size <= bank:
            fourth = () if self.mixed else (bank + bank // 2 if 2 * size <= bank else 2 * bank,)
            of_banks = (0, bank, last, *fourth)
            return Division(of_banks, (True,) * len(of_banks), size)
        starts = (*range(0, (self.places - 1) * self.room, self.room), self.words - self.room)
        if image and size <= self.room:
            return Division(starts, whole, size)
        if image and self.places == OF_BACKWARD and size <= 2 * bank and not self.mixed:
            # Parts of the whole one begin at short addresses.
            together = IN_WORDS // math.gcd(IN_WORDS, image)
            for rest in (SUM_WORDS * sums, 0):
                held = (bank - rest) // (together * image)
                slots = -(-held // 2) * together * image, held // 2 * together * image
                if held > 1 or (held and not rest):
                    return Division((0, bank, last), (False, False, True), size, slots, together)
        return Division(starts, (False,) * self.places, size, self._halves)

    def gaps(self, taken: Iterable[Region], words: int) -> list[Sums]:
        """Places for ``words`` sums beside all that is ``taken``: the last and the first of each gap, from
        the end of scratch on.
        """
        found, at = list[Sums](), 0
        for region in [*sorted(taken, key=lambda each: each.start), Region(SCRATCH, self.words, self.words)]:
            first, last = -(-at // SUM_WORDS), region.start // SUM_WORDS - words
            found += [_sums(word, words) for word in {first, last} if first <= word <= last]
            at = max(at, region.stop)
        return sorted(found, key=lambda each: -each.word)

    def first_sums(self, words: int) -> Sums:
        """The first words for sums, whatever else is there."""
        return _sums(0, words)

    def bands(self, picture: Picture, images: int, groups: int) -> Iterator[tuple[Part, Picture]]:
        """Images as bytes, and the rows of each part as a picture: bands where an image has no room.

        Raises `ContractError` where a row of tiles has none.
        """
        row = picture.strips * groups * self.config.group_channels
        if images * picture.tiles * groups * self.config.group_channels <= self.room:
            yield Part(0, images, 0, groups, 0), picture
            return
        if picture.tiles * groups * self.config.group_channels <= self.room:
            division = Division((0,), (False,), 0, self._halves)
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
        each, room = picture.tiles * self.config.group_channels, division.room
        slots = division.slots if each <= min(division.slots) else (room, room)
        together = min(most_groups, groups, min(slots) // each)
        if not together:
            size = 2 * self.config.cols
            raise ContractError(
                f"{self.config.group_channels} channels of an image of {picture.height} x {picture.width} "
                f"take {each * size} bytes; allowed: {room * size}, a part of scratch "
                f"({self.words * size} bytes in all)"
            )
        starts = (0, slots[0] if sum(slots) <= room else 0)
        for first in range(0, groups, together):
            part = min(together, groups - first)
            most = [size // (each * together * division.together) for size in slots]
            for image, many, slot in _by_slots(images, division.together, most):
                yield Part(image, many, first, part, starts[slot])


def _sums(word: int, words: int) -> Sums:
    return Sums(word, Region(SCRATCH, SUM_WORDS * word, SUM_WORDS * (word + words)))


def _by_slots(images: int, together: int, most: Sequence[int]) -> list[tuple[int, int, int]]:
    """Images by turns in both slots, which have room for ``most`` times ``together``: the first one, how
    many, and the slot.

    The last ones fill both, so that as many as possible are still there when all were.
    """
    found, stop, slot = list[tuple[int, int, int]](), -(-images // together), 1
    while stop:
        first = max(stop - most[slot], 0)
        found.insert(0, (first * together, min(stop * together, images) - first * together, slot))
        stop, slot = first, slot ^ 1
    return found
