"""What instructions of the step machine move to and from memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.passes import CODES, MASK_BITS, MASKS, Apply, Bring, Store, units
from cpt.hw.contract.step import Code, Word
from cpt.hw.contract.tiles import Picture
from cpt.sim.step.state import Slot


@dataclass(frozen=True)
class Cost:
    """Bytes of an instruction."""

    read: int = 0
    """From memory."""
    written: int = 0
    """To memory."""


class Costs:
    """Costs of instructions, for an array and what the slots hold."""

    def __init__(self, config: ArrayConfig, slots: Mapping[int, Slot]) -> None:
        self.config, self.slots = config, slots
        self.group = config.group_channels
        self.plane_bytes = config.cols * self.group // 8
        self.word_bytes = 2 * config.cols

    def of(self, word: Word) -> Cost:
        """An instruction; those of dW move what their rows say, which is not counted here."""
        if word.code is Code.BRING:
            sizes = {Bring.LOCAL: 4, Bring.BYTES: self.config.cols}
            return Cost(read=word.words * word.runs * sizes.get(Bring(word.kind), self.word_bytes))
        if word.code is Code.STORE and word.kind == Store.PACK:
            tiles = -(-word.runs // self.config.rows)
            step = self.bits(word) * self.config.group_bytes("a")
            return Cost(written=tiles * word.ksteps * step)
        if word.code is Code.STORE:
            size = 4 if word.kind == Store.LOCAL else self.word_bytes
            return Cost(written=word.words * word.runs * size)
        if word.code is Code.LOAD_A:
            return Cost(read=word.tiles * self.bits(word) * word.ksteps * self.config.group_bytes("a"))
        if word.code is Code.FETCH:
            source = Picture(self.config, word.height, word.width)
            return Cost(read=word.images * source.tiles * word.groups * self.bits(word) * self.plane_bytes)
        if word.code is Code.APPLY and Apply(word.kind) in CODES:
            return Cost(written=units(self.config, word) * word.groups * self.bits(word) * self.plane_bytes)
        return Cost()

    def bits(self, word: Word) -> int:
        """Of the codes that an instruction reads or writes."""
        if word.code is Code.APPLY and word.kind in MASKS:
            return MASK_BITS
        return self.slots[word.slot].bits
