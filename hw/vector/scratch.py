"""Scratch: words of numbers between passes, in banks that each read and write one of them a cycle."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.vector.ports import (
    EARLY_CYCLES,
    early_read,
    early_write,
    late_read,
    scratch_bank,
    scratch_read,
    scratch_word,
    scratch_write,
)

PIECE_BITS = 72
"""Bits of a word that share a bank's write enable, of which a block RAM has four pins: 8 of 9 bits and 4,096
words."""
PART_BITS = 4 * PIECE_BITS
"""... that share a bank's address."""
SELECTED_BITS = PIECE_BITS // 3
"""... that share what says which port writes."""


def bank_words(words: int) -> int:
    """Words of each bank; `ValueError` unless ``words`` are a power of two, at least two a bank."""
    if words < 2 * SCRATCH_BANKS or words & (words - 1):
        raise ValueError(f"words are {words}; allowed: a power of two, at least {2 * SCRATCH_BANKS}")
    return words // SCRATCH_BANKS


class Scratch(wiring.Component):
    """Banks of words with several ports; the upper address bits are the bank.

    Parameters: ``words`` of all banks together, a power of two; how many ``early_reads``.
    Members: ``early_read_0`` .. (`early_read`), whose banks differ in a cycle, and ``early_write``: they go
    first; ``read`` and ``write`` (`scratch_read`, `scratch_write`) have the banks that those leave, which
    stand in registers; ``late_read`` (`late_read`) goes in cycles without a ``read``.
    """

    latency_cycles = MACHINE.scratch_cycles
    """From a read to its word."""

    def __init__(self, config: ArrayConfig, words: int, *, early_reads: int):
        self.config, self.words, self.bank_words = config, words, bank_words(words)
        self.early_reads = early_reads
        super().__init__(
            {
                **{f"early_read_{n}": In(early_read(config, words)) for n in range(early_reads)},
                "read": In(scratch_read(config, words)),
                "late_read": In(late_read(config, words)),
                "early_write": In(early_write(config, words)),
                "write": In(scratch_write(config, words)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        early = [getattr(self, f"early_read_{n}") for n in range(self.early_reads)]
        inner = (self.bank_words - 1).bit_length()
        word_bits = scratch_word(self.config).size
        parts = [(low, min(word_bits, low + PART_BITS)) for low in range(0, word_bits, PART_BITS)]
        taken = Signal(SCRATCH_BANKS)
        """Banks that early reads take in the next cycle."""
        late = self._late(m, taken)

        # What early ports take is known a cycle before the others ask, and stands in registers when they do.
        write_place = self.early_write.addr[:inner]
        for name in ("next_write_place", "write_place"):
            later = Signal(inner, name=name, reset_less=True)
            m.d.sync += later.eq(write_place)
            write_place = later

        # A cycle after a write its data stand in a register of the port, for all banks.
        written = []
        for port in (self.early_write, self.write):
            data = Signal(word_bits, name=f"written_{len(written)}", reset_less=True)
            m.d.sync += data.eq(port.data)
            written.append(data)

        banks = []
        for bank in range(SCRATCH_BANKS):
            reads, next_writes = (Signal(name=f"{name}_{bank}") for name in ("reads", "next_writes"))
            next_read_place, read_place = (
                Signal(inner, name=f"{name}_{bank}", reset_less=True)
                for name in ("next_read_place", "read_place")
            )
            wants = [port.valid & (scratch_bank(port.addr) == bank) for port in early]
            place = early[-1].addr[:inner]
            for port, want in reversed([*zip(early[:-1], wants[:-1], strict=True)]):
                place = Mux(want, port.addr[:inner], place)
            m.d.sync += [
                taken[bank].eq(Cat(wants).any()),
                next_read_place.eq(place),
                reads.eq(taken[bank]),
                read_place.eq(next_read_place),
                next_writes.eq(self.early_write.valid & (scratch_bank(self.early_write.addr) == bank)),
            ]
            writes, of_early = copies(m, next_writes, 2, f"writes_{bank}", reset_less=False)
            m.d.comb += [self.read.frees[bank].eq(~taken[bank]), self.write.free[bank].eq(~writes)]
            write_wants = self.write.valid & (scratch_bank(self.write.addr) == bank)
            # Where nobody asks, something is read too.
            asked = Mux(self.read.valid[bank], self.read.addr[:inner], late[:inner])
            source = Mux(reads, read_place, asked)
            target = Mux(writes, write_place, self.write.addr[:inner])
            pieces = []
            for number, (low, high) in enumerate(parts):
                name = f"{bank}_{number}"
                (into_addr,) = copies(m, target, 1, f"write_{name}_addr")
                (out_addr,) = copies(m, source, 1, f"read_{name}_addr")
                for first in range(low, high, PIECE_BITS):
                    last, name = min(high, first + PIECE_BITS), f"{bank}_{first}"
                    memory = Memory(shape=last - first, depth=self.bank_words, init=[])
                    m.submodules[f"memory_{name}"] = memory
                    into, out = memory.write_port(), memory.read_port()
                    (enable,) = copies(m, writes | write_wants, 1, f"write_{name}_en", reset_less=False)
                    selects = copies(m, of_early, -(-(last - first) // SELECTED_BITS), f"write_{name}_port")
                    chosen = [
                        Mux(select, *(data[at : min(last, at + SELECTED_BITS)] for data in written))
                        for select, at in zip(selects, range(first, last, SELECTED_BITS), strict=True)
                    ]
                    register = Signal(last - first, name=f"out_{name}", reset_less=True)
                    m.d.sync += register.eq(out.data)
                    m.d.comb += [
                        into.addr.eq(into_addr),
                        into.en.eq(enable),
                        into.data.eq(Cat(chosen)),
                        out.addr.eq(out_addr),
                    ]
                    pieces.append(register)
            banks.append(Cat(pieces))
        for n, port in enumerate(early):
            self._words(
                m, banks, parts, port, scratch_bank(port.addr), f"{n}", EARLY_CYCLES + self.latency_cycles
            )
        self._words(m, banks, parts, self.read, scratch_bank(self.read.addr), "read", self.latency_cycles)
        self._words(m, banks, parts, self.late_read, scratch_bank(late), "late", self.latency_cycles)
        return m

    def _late(self, m, taken):
        """The address of the late read in front; it goes where no early read comes to its bank."""
        port = self.late_read
        addr = Signal.like(port.addr, name="late_addr", reset_less=True)
        behind = Signal.like(port.addr, name="late_behind", reset_less=True)
        there = Signal(name="late_there")
        waits = Signal(name="late_waits")
        may = Signal(name="late_may")
        goes = Signal(name="late_goes")
        moves = Signal(name="late_moves")
        coming = Signal(self.latency_cycles - 1, name="late_coming")
        following = Mux(waits, behind, port.addr)
        follows = waits | port.valid
        of_bank = Array(taken)
        m.d.comb += [
            port.ready.eq(~waits),
            port.arrives.eq(coming[-1]),
            goes.eq(may & ~self.read.valid[0]),
            moves.eq(goes | ~there),
        ]
        m.d.sync += [
            coming.eq(Cat(goes, coming)),
            waits.eq(there & ~goes & follows),
            may.eq(
                Mux(
                    moves,
                    follows & ~of_bank[scratch_bank(following)],
                    there & ~of_bank[scratch_bank(addr)],
                )
            ),
        ]
        with m.If(~waits):
            m.d.sync += behind.eq(port.addr)
        with m.If(moves):
            m.d.sync += [there.eq(follows), addr.eq(following)]
        return addr

    def _words(self, m, banks, parts, port, bank, name: str, cycles: int) -> None:
        """A port's words, ``cycles`` after it has named ``bank``, which travels beside.

        In the last step there is a copy for every part.
        """
        for step in range(cycles - 2):
            later = Signal.like(bank, name=f"bank_{name}_{step}", reset_less=True)
            m.d.sync += later.eq(bank)
            bank = later
        pieces = []
        for low, high in parts:
            for start in range(low, high, 32):
                end = min(high, start + 32)
                choice = Signal.like(bank, name=f"choice_{name}_{start}", reset_less=True, attrs=KEEP)
                m.d.sync += choice.eq(bank)
                piece = Signal(end - start, name=f"data_{name}_{start}", reset_less=True)
                m.d.sync += piece.eq(Array(word[start:end] for word in banks)[choice])
                pieces.append(piece)
        m.d.comb += port.data.eq(Cat(pieces))
