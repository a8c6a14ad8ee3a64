"""Scratch: words of numbers between passes, in banks that each read and write one of them a cycle."""

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.vector.ports import scratch_read, scratch_word, scratch_write

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

    Parameters: ``words`` of all banks together, a power of two; how many ports ``reads`` and ``writes``.
    Members: ``read_0`` .., ``write_0`` ..: `scratch_read` and `scratch_write`. Of those that want the same
    bank in a cycle the lowest is ready, so port 0 always is. ``data`` comes `latency_cycles` after a read is
    accepted.
    """

    latency_cycles = MACHINE.scratch_cycles

    def __init__(self, config: ArrayConfig, words: int, *, reads: int, writes: int):
        self.config, self.words, self.bank_words = config, words, bank_words(words)
        self.reads, self.writes = reads, writes
        super().__init__(
            {f"read_{n}": In(scratch_read(config, words)) for n in range(reads)}
            | {f"write_{n}": In(scratch_write(config, words)) for n in range(writes)}
        )

    def elaborate(self, platform):
        m = Module()
        reads = [getattr(self, f"read_{n}") for n in range(self.reads)]
        writes = [getattr(self, f"write_{n}") for n in range(self.writes)]
        for ports in (reads, writes):
            self._arbitrate(m, ports)
        word_bits = scratch_word(self.config).size
        parts = [(low, min(word_bits, low + PART_BITS)) for low in range(0, word_bits, PART_BITS)]

        # A cycle after a write is accepted its data stand in a register of the port, for all banks.
        written = []
        for n, port in enumerate(writes):
            data = Signal(word_bits, name=f"written_{n}", reset_less=True)
            m.d.sync += data.eq(port.data)
            written.append(data)

        banks = []
        for bank in range(SCRATCH_BANKS):
            target, writing, writer = self._winner(writes, bank)
            source, _, _ = self._winner(reads, bank)
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
                    (enable,) = copies(m, writing, 1, f"write_{name}_en", reset_less=False)
                    selects = copies(m, writer, -(-(last - first) // SELECTED_BITS), f"write_{name}_port")
                    chosen = [
                        Array(data[at : min(last, at + SELECTED_BITS)] for data in written)[select]
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

        # Which bank a port read travels beside its word, the last step a copy for every part.
        for n, port in enumerate(reads):
            bank = self._bank(port)
            for step in range(self.latency_cycles - 2):
                late = Signal.like(bank, name=f"bank_{n}_{step}", reset_less=True)
                m.d.sync += late.eq(bank)
                bank = late
            pieces = []
            for low, high in parts:
                for start in range(low, high, 32):
                    end = min(high, start + 32)
                    choice = Signal.like(bank, name=f"choice_{n}_{start}", reset_less=True, attrs=KEEP)
                    m.d.sync += choice.eq(bank)
                    piece = Signal(end - start, name=f"data_{n}_{start}", reset_less=True)
                    m.d.sync += piece.eq(Array(word[start:end] for word in banks)[choice])
                    pieces.append(piece)
            m.d.comb += port.data.eq(Cat(pieces))
        return m

    def _bank(self, port):
        """The upper address bits."""
        return port.addr[(self.bank_words - 1).bit_length() :]

    def _arbitrate(self, m, ports) -> None:
        """Ready where no lower port wants the same bank."""
        for n, port in enumerate(ports):
            taken = [lower.valid & (self._bank(lower) == self._bank(port)) for lower in ports[:n]]
            m.d.comb += port.ready.eq(~Cat(taken).any() if taken else 1)

    def _winner(self, ports, bank: int):
        """The address that ``bank`` gets, whether it gets one, and from which port."""
        wants = [port.valid & (self._bank(port) == bank) for port in ports]
        inner = (self.bank_words - 1).bit_length()
        chosen, which = ports[-1].addr[:inner], Const(len(ports) - 1, range(len(ports)))
        for n in reversed(range(len(ports) - 1)):
            chosen = Mux(wants[n], ports[n].addr[:inner], chosen)
            which = Mux(wants[n], Const(n, range(len(ports))), which)
        return chosen, Cat(wants).any(), which
