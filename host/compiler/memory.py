"""Where everything lies: parameters, codes and records in memory; tensors and sums in scratch."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpt.host.compiler.builder import Region

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
