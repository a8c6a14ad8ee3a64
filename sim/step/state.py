"""What the machine remembers: memory, scratch, local memory, coefficients, statistics, slots, bases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import require
from cpt.hw.contract.floats import CHANNELS, LOCAL_WORDS, Coefficient, Statistic
from cpt.hw.contract.step import BASES, KEYS, SCRATCH_BANKS, SLOTS, Word
from cpt.hw.contract.tiles import Picture


@dataclass
class Slot:
    """Bits and sign of the codes of an operand."""

    bits: int = 1
    signed: bool = False


class State:
    """All memories of a machine of one shape, zero at first."""

    def __init__(self, config: ArrayConfig, memory_bytes: int, scratch_words: int) -> None:
        self.config = config
        self.group = config.group_channels
        self.columns = config.cols
        self.memory = np.zeros(memory_bytes, np.uint8)
        self.scratch = np.zeros((scratch_words, config.cols), np.int16)
        self.local = np.zeros(LOCAL_WORDS, np.int32)
        self.statistics = np.zeros(len(Statistic) * CHANNELS, np.int64)
        self.coefficients = np.zeros(len(Coefficient) * CHANNELS, np.int64)
        self.slots = [Slot() for _ in range(SLOTS)]
        self.bases = [0] * BASES
        self.keys = [0] * KEYS

    @property
    def bank_words(self) -> int:
        """Words of one of the banks of scratch."""
        return len(self.scratch) // SCRATCH_BANKS

    def address(self, word: Word) -> int:
        """The byte address that an instruction names."""
        return self.bases[word.base] + word.offset

    def coefficient(self, field: Coefficient, first: int, count: int) -> np.ndarray:
        """A field of the coefficients of ``count`` channels, int64."""
        at = field * CHANNELS + first
        return self.coefficients[at : at + count]

    def statistic(self, field: Statistic, first: int, count: int) -> np.ndarray:
        """A field of the statistics of ``count`` channels, int64; a view."""
        at = field * CHANNELS + first
        return self.statistics[at : at + count]

    def picture(self, word: Word) -> Picture:
        """The images that a DRAIN or an APPLY walks; raises `ContractError` if its tiles are another's."""
        pitch = 1 << word.pitch_log2
        down, rows = word.tiles // word.strips, self.config.cols // pitch
        height, width = (down - 1) * rows + word.rows_last + 1, (word.strips - 1) * pitch + word.width
        picture = Picture(self.config, height, width)
        require(
            (picture.tiles, picture.pitch) == (word.tiles, pitch),
            f"{word.code.name} has {word.tiles} tiles of pitch {pitch}; "
            f"allowed for {height} x {width}: {picture.tiles} of {picture.pitch}",
        )
        return picture
