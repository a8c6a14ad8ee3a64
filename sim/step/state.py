"""What the machine remembers: memory, scratch, local memory, coefficients, statistics, slots, bases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.hw.contract import ArrayConfig, ContractError, Error
from cpt.hw.contract.config import require
from cpt.hw.contract.floats import FIELD, LOCAL_WORDS, Coefficient, Statistic
from cpt.hw.contract.step import BASES, KEYS, SLOTS, Word
from cpt.hw.contract.tiles import Picture


class Stopped(ContractError):
    """The machine stops with a sticky error; the message says where."""

    def __init__(self, error: Error, message: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass
class Slot:
    """Bits and sign of the codes of an operand."""

    bits: int = 1
    signed: bool = False


class State:
    """All memories of a machine of one shape, zero at first.

    ``memory``: its bytes, or how many; ``memory_base``: bus address of the first.
    """

    def __init__(
        self,
        config: ArrayConfig,
        memory: int | np.ndarray,
        scratch_words: int,
        memory_base: int = 0,
    ) -> None:
        self.config = config
        self.group = config.group_channels
        self.columns = config.cols
        self.memory = np.zeros(memory, np.uint8) if isinstance(memory, int) else memory
        self.memory_base = memory_base
        everything = memory_base, memory_base + self.memory.size
        self.read_window, self.write_window = everything, everything
        """First address that may be read, or written, and the first behind it that may not."""
        self.scratch = np.zeros((scratch_words, config.cols), np.int16)
        self.local = np.zeros(LOCAL_WORDS, np.int32)
        self.statistics = np.zeros(len(Statistic) * FIELD, np.int64)
        self.coefficients = np.zeros(len(Coefficient) * FIELD, np.int64)
        self.slots = [Slot() for _ in range(SLOTS)]
        self.bases = [0] * BASES
        self.keys = [0] * KEYS

    def address(self, word: Word) -> int:
        """The bus address that an instruction names."""
        return self.bases[word.base] + word.offset

    def readable(self, address: int, length: int) -> np.ndarray:
        """``length`` bytes of memory, a view; raises `Stopped` unless the machine may read them."""
        return self._inside(address, length, self.read_window, Error.READ_WINDOW)

    def writable(self, address: int, length: int) -> np.ndarray:
        """``length`` bytes of memory, a view; raises `Stopped` unless the machine may write them."""
        return self._inside(address, length, self.write_window, Error.WRITE_WINDOW)

    def _inside(self, address: int, length: int, window: tuple[int, int], error: Error) -> np.ndarray:
        first, limit = window
        if not first <= address <= address + length <= limit:
            raise Stopped(
                error,
                f"bytes are {address:#x}..{address + length - 1:#x}; allowed: {first:#x}..{limit - 1:#x}",
            )
        place = address - self.memory_base
        return self.memory[place : place + length]

    def coefficient(self, field: Coefficient, first: int, count: int) -> np.ndarray:
        """A field of the coefficients of ``count`` channels, int64."""
        at = field * FIELD + first
        return self.coefficients[at : at + count]

    def statistic(self, field: Statistic, first: int, count: int) -> np.ndarray:
        """A field of the statistics of ``count`` channels, int64; a view."""
        at = field * FIELD + first
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
