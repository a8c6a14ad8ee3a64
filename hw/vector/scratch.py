"""Scratch: words of numbers between passes, in banks that each read and write one of them a cycle."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.matrix.copies import KEEP
from cpt.hw.vector.ports import scratch_read, scratch_word, scratch_write

PART_BITS = 256
"""Bits of a word that share a copy of a bank's address: 32 block RAMs of 8 bits and 4,096 words."""


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
            found = []
            for number, (low, high) in enumerate(parts):
                memory = Memory(shape=high - low, depth=self.bank_words, init=[])
                m.submodules[f"memory_{bank}_{number}"] = memory
                name = f"{bank}_{number}"
                into, out = memory.write_port(), memory.read_port()
                address, enable, select = self._winner(m, writes, bank, f"write_{name}")
                chosen = (
                    Array(data[low:high] for data in written)[select]
                    if self.writes > 1
                    else written[0][low:high]
                )
                m.d.comb += [into.addr.eq(address), into.en.eq(enable), into.data.eq(chosen)]
                address, _, _ = self._winner(m, reads, bank, f"read_{name}")
                m.d.comb += out.addr.eq(address)
                register = Signal(high - low, name=f"out_{name}", reset_less=True)
                m.d.sync += register.eq(out.data)
                found.append(register)
            banks.append(Cat(found))

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

    def _winner(self, m, ports, bank: int, name: str):
        """Registers with the address that ``bank`` gets, whether it gets one, and from which port."""
        wants = [port.valid & (self._bank(port) == bank) for port in ports]
        inner = range(self.bank_words)
        address = Signal(inner, name=f"{name}_addr", reset_less=True, attrs=KEEP)
        enable = Signal(name=f"{name}_en")
        select = Signal(range(max(len(ports), 2)), name=f"{name}_port", reset_less=True, attrs=KEEP)
        chosen, which = ports[-1].addr[: len(address)], len(ports) - 1
        for n in reversed(range(len(ports) - 1)):
            chosen = Mux(wants[n], ports[n].addr[: len(address)], chosen)
            which = Mux(wants[n], n, which)
        m.d.sync += [address.eq(chosen), select.eq(which), enable.eq(Cat(wants).any())]
        return address, enable, select
