"""Random programs and the state they meet: most nearly right, some wrong in one bit, some all noise.

Everything comes from ``(seed, number)``, so each can be replayed alone. Programs are small; what they name
may be as large as its field allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from cpt.hw.contract import FORMATS, REGISTERS, ArrayConfig, ContractError, Opcode, encode
from cpt.hw.contract.config import ACC_BITS, MAX_BITS
from cpt.hw.contract.isa import INSTRUCTION_BYTES, decode
from cpt.hw.contract.layout import SUM_ROWS
from cpt.hw.contract.regs import RING_ALIGNMENT
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.faults import Faults, Refusal
from cpt.sim.memory import Channel, Stalls

T = TypeVar("T")
MEMORY_BYTES = 1 << 16
OPERANDS = MEMORY_BASE + 0x2000
RESULTS = MEMORY_BASE + 0x8000
END = MEMORY_BASE + MEMORY_BYTES
MOST_LOADED_BLOCKS = 40
"""Of a LOAD that is carried out: the fast model reads them all, needed or not."""
PASSIVE = tuple(
    item.name
    for item in REGISTERS
    if item.name not in ("RING_TAIL", "CONTROL", "WATCHDOG") and not item.locked
)
"""Registers that may be written at rest without consequence for what runs."""


@dataclass
class Act:
    """A program and what is done to the machine before and while it runs."""

    slots: dict[int, int]
    """What the slot registers are written with."""
    registers: dict[str, int]
    """Ring geometry, windows, watchdog and interrupts."""
    words: list[bytes]
    doorbells: list[int]
    """RING_TAIL, once more when the machine rests or waits."""
    late_writes: dict[str, int] = field(default_factory=dict)
    """Registers written right after the first doorbell."""
    faults: Faults = field(default_factory=Faults)
    exact: bool = True
    """Whether all that happens is the same on both machines, whatever the timing."""
    reset_after_cycles: int | None = None
    """Cycles after the doorbell at which a soft reset stops it."""
    noise: list[tuple[str, int]] = field(default_factory=list)
    """Register writes at rest, afterwards."""


class Artist:
    """Draws acts for one machine after the other; ``known``: what its buffers hold is the same on both."""

    def __init__(self, config: ArrayConfig, seed: int, number: int) -> None:
        self.config = config
        self.rng = np.random.default_rng([9, seed, number])
        self.stalls = Stalls(self._one((0.0, 0.0, 0.0, 0.2, 0.5)), number)
        self.memory = self._one(("ideal", "ps-ddr"))

    def act(self, known: bool) -> Act:
        """The next act; with ``known`` unset its program reads only what it has loaded itself."""
        rng = self.rng
        self._bits = [int(rng.integers(1, 7)) for _ in range(2)]
        words = self._jobs(sane=not known)
        wild = known and rng.random() < 0.75
        if wild:
            for _ in range(int(rng.integers(1, 4))):
                self._spoil(words)
        act = Act(self._slots(wild), self._registers(wild, len(words)), words, [len(words)])
        self._drama(act, wild)
        return act

    def _one(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def _number(self, most: int) -> int:
        return int(self.rng.integers(1, most + 1))

    def _slots(self, wild: bool) -> dict[int, int]:
        """Slots 0 and 1 as the program wants them; the others anything."""
        rng = self.rng
        slots = {index: bits | int(rng.integers(2)) << 8 for index, bits in enumerate(self._bits)}
        slots |= {index: int(rng.integers(1 << 16)) for index in (2, 3, 255)}
        slots[4] = MAX_BITS
        if wild and rng.random() < 0.1:
            slots[int(rng.integers(2))] = int(rng.integers(1 << 32))
        return slots

    def _registers(self, wild: bool, count: int) -> dict[str, int]:
        rng = self.rng
        log2 = max(1, (count - 1).bit_length())
        values = {
            "RING_BASE": MEMORY_BASE,
            "RING_LOG2": log2,
            "READ_BASE": MEMORY_BASE,
            "READ_LIMIT": RESULTS,
            "WRITE_BASE": RESULTS,
            "WRITE_LIMIT": END,
            "WATCHDOG": self._one((0, 3000, 5000)),
            "IRQ_ENABLE": int(rng.integers(4)),
        }
        if wild and rng.random() < 0.3:
            # Windows that begin or end somewhere in what the program uses, off the beat at times.
            values["READ_LIMIT"] = OPERANDS + int(rng.integers(RESULTS - OPERANDS))
            values["WRITE_BASE"] = RESULTS + self._one((0, 1, 7, 8, 4096))
            values["WRITE_LIMIT"] = RESULTS + int(rng.integers(END - RESULTS))
        if wild and rng.random() < 0.06:
            name, value = self._one(
                (
                    ("RING_BASE", MEMORY_BASE + self._one((8, 2048, MEMORY_BYTES, RESULTS - MEMORY_BASE))),
                    ("RING_BASE", int(rng.integers(1 << 32)) // RING_ALIGNMENT * RING_ALIGNMENT),
                    ("RING_LOG2", int(rng.integers(9, 32))),
                    ("READ_BASE", MEMORY_BASE + self._number(40)),
                    ("READ_LIMIT", MEMORY_BASE + (INSTRUCTION_BYTES << log2) - self._number(40)),
                    ("READ_LIMIT", 0),
                    ("WRITE_LIMIT", 0),
                )
            )
            values[name] = value
        return values

    def _drama(self, act: Act, wild: bool) -> None:
        """Doorbells in pieces, writes while busy, a memory that refuses, a reset in the middle."""
        rng, count = self.rng, len(act.words)
        if rng.random() < 0.3 and count > 1:
            act.doorbells = [int(rng.integers(1, count)), count]
            if rng.random() < 0.5:
                act.registers["WATCHDOG"] = 0
        if rng.random() < 0.1 and not self.stalls.probability:
            name = self._one(("SLOT_0", "SLOT_9", "RING_BASE", "READ_LIMIT", "WRITE_BASE"))
            act.late_writes = {name: int(rng.integers(1 << 32))}
        kind = rng.random()
        if kind < 0.08:
            place = MEMORY_BASE + 8 * int(rng.integers(4 * count))
            act.faults = Faults(refusals=(Refusal((Channel.READ_0,), place, place + 8),))
            # A word that is refused is exact, an operand is not.
            act.exact = not any(_begins_in_the_ring(word) for word in act.words)
        elif kind < 0.16:
            low, high = self._one(((OPERANDS, RESULTS), (RESULTS, END)))
            refusal = Refusal(start=low, end=high, probability=0.03, seed=int(rng.integers(1 << 30)))
            act.faults, act.exact = Faults(refusals=(refusal,)), False
        elif kind < 0.24:
            act.reset_after_cycles, act.exact = int(rng.integers(1, 400)), False
        if rng.random() < 0.3:
            act.noise = [
                (self._one(PASSIVE), int(rng.integers(1 << 32))) for _ in range(int(rng.integers(1, 8)))
            ]

    def _jobs(self, sane: bool) -> list[bytes]:
        words: list[bytes] = []
        self._result = RESULTS
        for _ in range(self._number(3)):
            words += self._chunks() if self.rng.integers(2) else self._products(sane)
            if self.rng.random() < 0.3:
                words.append(encode(Opcode.END, tag=int(self.rng.integers(1 << 32))))
        return [*words, encode(Opcode.END, tag=int(self.rng.integers(1 << 32)))]

    def _products(self, sane: bool) -> list[bytes]:
        """A block of A with several of B; unless ``sane``, EXEC may read other words than were loaded."""
        words, half = [], self.config.half_words("a")
        ksteps = self._number(min(4, half // max(self._bits)))
        tiles = self._number(min(3, half // (self._bits[0] * ksteps)))
        words.append(self._load(Opcode.LOAD_A, tiles, ksteps, 1))
        sizes = [self._number(3) for _ in range(self._number(2))]
        for index, blocks in enumerate(sizes):
            words.append(self._load(Opcode.LOAD_B, 1, ksteps, blocks))
            steps, done = ksteps, tiles
            if not sane:
                steps = self._number(min(ksteps + 2, half // max(self._bits)))
                done = self._number(min(tiles + 1, half // (self._bits[0] * steps)))
            words.append(self._exec(steps, done, blocks, True, True, index == len(sizes) - 1))
            words.append(self._drain(*((1, done * blocks) if self.rng.integers(2) else (done, blocks))))
        return words

    def _chunks(self) -> list[bytes]:
        """A sum over chunks of K."""
        ksteps = self._number(min(3, self.config.half_words("a") // max(self._bits)))
        chunks = self._number(4)
        words = [self._load(Opcode.LOAD_A, 1, ksteps, chunks), self._load(Opcode.LOAD_B, 1, ksteps, chunks)]
        for chunk in range(chunks):
            words.append(self._exec(ksteps, 1, 1, chunk == 0, chunk == chunks - 1, True))
        return [*words, self._drain(1, 1)]

    def _load(self, opcode: Opcode, tiles: int, ksteps: int, blocks: int) -> bytes:
        strides = {f"{name}_stride": 8 * int(self.rng.integers(0, 40)) for name in ("block", "tile", "plane")}
        base = OPERANDS + 8 * int(self.rng.integers(0, 512))
        slot = int(opcode) - Opcode.LOAD_A
        return encode(opcode, slot=slot, tiles=tiles, ksteps=ksteps, blocks=blocks, base=base, **strides)

    def _exec(self, ksteps: int, tiles: int, blocks: int, first: bool, last: bool, release: bool) -> bytes:
        values = {"ksteps": ksteps, "tiles": tiles, "blocks": blocks, "release_a": release}
        # Fields of other parts of the machine keep their largest value.
        rest = {
            item.name: item.maximum
            for item in FORMATS[Opcode.EXEC].fields[1:]
            if item.name not in (*values, "slot_a", "slot_b", "first", "last")
        }
        return encode(Opcode.EXEC, slot_a=0, slot_b=1, first=first, last=last, **values, **rest)

    def _drain(self, tiles: int, blocks: int) -> bytes:
        longest = (self.config.rows + SUM_ROWS) * (ACC_BITS // 8) * self.config.cols
        stride = longest + 8 * int(self.rng.integers(0, 9))
        base, self._result = self._result, self._result + tiles * blocks * stride
        return encode(
            Opcode.DRAIN,
            slot_a=0,
            slot_b=1,
            k_log2=int(self.rng.integers(0, 20)),
            col_sums=int(self.rng.integers(2)),
            tiles=tiles,
            base=base,
            block_stride=tiles * stride,
            tile_stride=stride,
            blocks=blocks,
        )

    def _spoil(self, words: list[bytes]) -> None:
        """Change one instruction, or their order."""
        rng = self.rng
        index = int(rng.integers(len(words)))
        kind = int(rng.integers(9))
        if kind == 0:
            words[index] = rng.integers(0, 256, INSTRUCTION_BYTES, np.uint8).tobytes()
        elif kind == 1 and len(words) > 1:
            del words[index]
        elif kind == 2:
            words.insert(index, words[int(rng.integers(len(words)))])
        elif kind == 3:
            other = int(rng.integers(len(words)))
            words[index], words[other] = words[other], words[index]
        elif kind == 4:
            words[index] = self._flipped(words[index], int(rng.integers(8 * INSTRUCTION_BYTES)))
        elif kind == 5:
            index = next((n for n, word in enumerate(words) if word[0] & 0xF == Opcode.DRAIN), index)
            words[index] = self._widest(words[index])
        else:
            words[index] = self._with_other_field(words[index])
        words[index % len(words)] = self._bounded(words[index % len(words)])

    @staticmethod
    def _flipped(word: bytes, bit: int) -> bytes:
        return (int.from_bytes(word, "little") ^ 1 << bit).to_bytes(INSTRUCTION_BYTES, "little")

    def _widest(self, word: bytes) -> bytes:
        """A DRAIN of more, or just as many, bits as the accumulator has."""
        fields = {item.name: item for item in FORMATS[Opcode.DRAIN].fields}
        k_log2 = ACC_BITS - 2 * MAX_BITS + int(self.rng.integers(2))
        number = int.from_bytes(word, "little")
        for name, value in (("slot_a", 4), ("slot_b", 4), ("k_log2", k_log2)):
            item = fields[name]
            number = number & ~(item.maximum << item.offset) | value << item.offset
        return number.to_bytes(INSTRUCTION_BYTES, "little")

    def _with_other_field(self, word: bytes) -> bytes:
        """One field anything: small, largest, at an edge of its window, or noise."""
        rng, opcode = self.rng, word[0] & 0xF
        if opcode not in list(Opcode):
            return word
        fields = FORMATS[Opcode(opcode)].fields
        item = fields[int(rng.integers(len(fields)))]
        values = [0, 1, 2, item.maximum, item.maximum - 1, int(rng.integers(item.maximum + 1))]
        if item.name == "base":
            edge = self._one((MEMORY_BASE, OPERANDS, RESULTS, END, 0, 1 << 32))
            values += [edge + 8 * int(rng.integers(-16, 17)) for _ in range(8)]
        elif item.width == 32:
            values += [1 << int(rng.integers(3, 32)), (1 << 32) - 8 * self._number(64), 8 * self._number(512)]
        value = self._one(values) & item.maximum
        number = int.from_bytes(word, "little") & ~(item.maximum << item.offset) | value << item.offset
        return number.to_bytes(INSTRUCTION_BYTES, "little")

    def _bounded(self, word: bytes) -> bytes:
        """The same with few blocks, if it is a LOAD of many that stay in place."""
        opcode = word[0] & 0xF
        if opcode not in (Opcode.LOAD_A, Opcode.LOAD_B):
            return word
        values = {item.name: item for item in FORMATS[Opcode(opcode)].fields}
        number = int.from_bytes(word, "little")

        def get(name: str) -> int:
            return number >> values[name].offset & values[name].maximum

        if get("blocks") > MOST_LOADED_BLOCKS and get("block_stride") < 1024:
            number &= ~(values["blocks"].maximum << values["blocks"].offset)
            number |= self._number(MOST_LOADED_BLOCKS) << values["blocks"].offset
        return number.to_bytes(INSTRUCTION_BYTES, "little")


def _begins_in_the_ring(word: bytes) -> bool:
    """Whether an instruction reads operand A from before the operands on, so perhaps words of the ring."""
    try:
        found = decode(word)
    except ContractError:
        return False
    return found.opcode is Opcode.LOAD_A and found.values["base"] < OPERANDS
