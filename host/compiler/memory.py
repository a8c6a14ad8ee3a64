"""Where everything lies: parameters, codes and records in memory; tensors and sums in scratch."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpt.host.compiler.builder import Region
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.step import SCRATCH_BANKS

STATIC, BATCH, IMAGES, LOGITS, GRADIENT = range(5)
"""Base registers: what stays, what belongs to a micro-batch, its images, logits and their gradient."""
ALIGNMENT = 128
"""Bytes: pieces of memory start at a burst's boundary."""
PAIR = 2
"""Words of local memory in a beat: places in local memory and in memory are multiples of it."""
IN_WORDS = 256
"""Words that short scratch addresses count in."""
BASES = {STATIC: "static", BATCH: "batch", IMAGES: "images", LOGITS: "logits", GRADIENT: "gradient"}


def whole_pairs(words: int) -> int:
    """``words`` rounded up to pairs: moves between memory and local memory go by pairs, a bus beat each."""
    return -(-words // PAIR) * PAIR


@dataclass(frozen=True)
class Piece:
    """A piece of memory behind a base register."""

    base: int
    offset: int
    size: int
    """Bytes."""

    @property
    def region(self) -> Region:
        """For the builder."""
        return Region(BASES[self.base], self.offset, self.offset + self.size)

    def words(self, first: int, count: int) -> Piece:
        """``count`` 32-bit words of it from word ``first`` on."""
        return Piece(self.base, self.offset + 4 * first, 4 * count)


@dataclass
class Memory:
    """Gives out memory behind base registers, from 0 on."""

    sizes: dict[int, int] = field(default_factory=lambda: dict.fromkeys(BASES, 0))

    def take(self, base: int, size: int) -> Piece:
        """A piece of ``size`` bytes."""
        offset = self.sizes[base]
        self.sizes[base] = offset + -(-size // ALIGNMENT) * ALIGNMENT
        return Piece(base, offset, size)


@dataclass(frozen=True)
class Tensor:
    """Words of scratch."""

    word: int
    words: int

    @property
    def region(self) -> Region:
        """For the builder."""
        return Region("scratch", self.word, self.word + self.words)

    @property
    def short(self) -> int:
        """Address in `IN_WORDS`."""
        return self.word // IN_WORDS


class Scratch:
    """Places for tensors of one size and for the 48-bit sums behind them in the first three banks.

    Raises `ContractError` with both numbers where they do not fit.
    """

    def __init__(
        self, config: ArrayConfig, words: int, tensors: int, tensor_words: int, sum_words: int
    ) -> None:
        bank = words // SCRATCH_BANKS
        size = -(-tensor_words // IN_WORDS) * IN_WORDS
        self.sums = bank - sum_words
        room = self.sums // IN_WORDS * IN_WORDS
        places = [
            number * bank + start
            for number in range(SCRATCH_BANKS)
            for start in range(0, room - size + 1, size)
        ]
        if len(places) < tensors or bank % IN_WORDS:
            kilobytes = 2 * config.cols / 1024
            raise ContractError(
                f"a micro-batch needs {tensors} tensors of {size * kilobytes:.0f} KiB beside "
                f"{3 * sum_words * kilobytes:.0f} KiB of sums; scratch has {words * kilobytes:.0f} KiB: "
                f"fewer images, or more scratch"
            )
        self.tensors = [Tensor(place, size) for place in places[:tensors]]
