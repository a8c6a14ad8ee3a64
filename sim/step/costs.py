"""What instructions of the step machine take: cycles of their engines, words of the lanes, bytes of memory.

Rules of a machine whose engines are not all built yet, so an estimate: a unit of an instruction (a tile, a
block, an instruction) takes its engine so many cycles when nothing makes it wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, TAPS
from cpt.hw.contract.order import tile_cycles, tile_interval_cycles
from cpt.hw.contract.passes import Apply, Bring, Kernel, Sampling, Store
from cpt.hw.contract.step import Code, Word
from cpt.hw.contract.tiles import FILL_PIXELS, STREAM_BYTES, Picture
from cpt.sim.step.float_cycles import work_cycles
from cpt.sim.step.state import Slot

DISPATCH_CYCLES = 14
"""From one instruction of a list to the next."""

MOVE_CYCLES = 8
"""From one short BRING or STORE to the next of its kind."""

PACK_STEP_CYCLES = 50
"""Of a K step of PACK, beside its codes and planes."""


@dataclass(frozen=True)
class Cost:
    """What one unit takes."""

    cycles: int
    """Of its engine."""
    read: int = 0
    """Bytes from memory."""
    written: int = 0
    """Bytes to memory."""
    lanes: int = 0
    """Words through the lanes."""
    stream: int = 0
    """Units of the same one, but for 0, follow each other while memory answers."""


class Costs:
    """Costs of the units of instructions, for an array and what the slots hold."""

    def __init__(self, config: ArrayConfig, slots: Mapping[int, Slot]) -> None:
        self.config, self.slots = config, slots
        self.group = config.group_channels
        self.plane_bytes = config.cols * self.group // 8
        self.word_bytes = 2 * config.cols

    def of(self, word: Word) -> Cost:
        """One unit of an instruction."""
        return getattr(self, f"_{word.code.name.lower()}")(word)

    def slots_of(self, word: Word) -> int:
        """Units of a fetch that the window memories hold at once."""
        bits = self._bits(word.slot)
        if word.code is Code.FETCH:
            ksteps = word.groups if word.kernel == Kernel.THREE else -(-word.groups // TAPS)
            return max(self.config.b_depth_words // (bits * ksteps), 1)
        return 2

    def _bits(self, slot: int) -> int:
        return self.slots[slot].bits

    def _load_a(self, word: Word) -> Cost:
        size = word.tiles * self._bits(word.slot) * word.ksteps * self.config.group_bytes("a")
        return Cost(-(-size // BEAT_BYTES), read=size)

    def _load_e(self, word: Word) -> Cost:
        lanes = 1 << word.pitch_log2
        images = max(FILL_PIXELS * self.group // lanes, 1)
        size = images * word.rows * word.groups * self._bits(word.slot) * lanes * self.group // 8
        return Cost(-(-size // self.group), read=size)

    def _fetch(self, word: Word) -> Cost:
        source = Picture(self.config, word.height, word.width)
        output = Picture(self.config, word.out_height, word.out_width)
        planes = word.groups * self._bits(word.slot)
        read = planes * self.plane_bytes * source.tiles / output.tiles
        # Zeros are written too where the source is spread.
        steps = planes * self.plane_bytes / self.group * max(source.tiles / output.tiles, 1)
        return Cost(round(steps), read=round(read))

    def _fetch_x(self, word: Word) -> Cost:
        lanes = 1 << word.pitch_log2
        images = max(FILL_PIXELS * self.group // (1 << word.out_pitch_log2), 1)
        stride = 2 if word.sampling == Sampling.STRIDE else 1
        rows = stride * (word.rows - 1) + (3 if word.kernel == Kernel.THREE else 1)
        size = images * rows * word.groups * self._bits(word.slot) * lanes * self.group // 8
        return Cost(-(-size // self.group), read=size)

    def _product(self, slot_a: int, slot_b: int, ksteps: int) -> int:
        a, b = self.slots[slot_a], self.slots[slot_b]
        return max(tile_cycles(a.bits, b.bits, a.signed, b.signed, ksteps), tile_interval_cycles(self.config))

    def _exec(self, word: Word) -> Cost:
        return Cost(self._product(word.slot_a, word.slot_b, word.ksteps))

    def _exec_dw(self, word: Word) -> Cost:
        return Cost(self._product(word.slot_a, word.slot_b, word.rows))

    def _drain(self, word: Word) -> Cost:
        return Cost(self.group, lanes=self.group)

    def _apply(self, word: Word) -> Cost:
        words = word.groups * self.group
        kind, written = Apply(word.kind), 0
        if kind in (Apply.INNER, Apply.CODE, Apply.IMAGE, Apply.ERROR):
            written = word.groups * self._bits(word.slot) * self.plane_bytes
        return Cost(words, written=written, lanes=words)

    def _bring(self, word: Word) -> Cost:
        kind, count = Bring(word.kind), word.words * word.runs
        if kind is Bring.LOCAL:
            return Cost(self._moved(4 * count, 3), read=4 * count, stream=1 + kind)
        # Parts of words come a cycle each, those of two parts take one more.
        parts = self.word_bytes // STREAM_BYTES
        size = count * (self.config.cols if kind is Bring.BYTES else self.word_bytes)
        return Cost(max(count * (parts + (parts == 2)), MOVE_CYCLES), read=size, stream=1 + kind)

    @staticmethod
    def _moved(size: int, beside: int) -> int:
        """Cycles of an instruction that moves a beat a cycle, and a few between it and the next."""
        return max(-(-size // BEAT_BYTES) + beside, MOVE_CYCLES)

    def _store(self, word: Word) -> Cost:
        if word.kind == Store.PACK:
            tiles = -(-word.runs // self.config.rows)
            step = self._bits(word.slot) * self.config.group_bytes("a")
            # K step by K step: codes of all rows into planes, planes out, the bus's answer.
            each = TAPS * self.group * self.config.rows + step // BEAT_BYTES + PACK_STEP_CYCLES
            return Cost(tiles * word.ksteps * each, written=tiles * word.ksteps * step)
        local = word.kind == Store.LOCAL
        size = word.words * word.runs * (4 if local else self.word_bytes)
        return Cost(self._moved(size, 4 if local else 0), written=size, stream=1)

    def _float(self, word: Word) -> Cost:
        return Cost(work_cycles(word, self.config.float_lanes))
