"""Local memory: words of vectors, between the float engine, moves and lanes."""

from collections.abc import Sequence

from amaranth import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.channel.number import late, twins
from cpt.hw.channel.ports import WORD_BITS, local_read, local_write
from cpt.hw.contract.floats import LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import MOST_LOADS


class LocalMemory(wiring.Component):
    """One memory that reads a row of words and writes one a cycle, behind several ports.

    Parameters: the words that each port of ``reads`` and ``writes`` reaches, powers of two; a row has as many
    as the widest.
    Members: ``read_0`` .., ``write_0`` ..: `local_read` and `local_write`. The lowest that asks is ready, so
    port 0 always is. ``data`` comes `latency_cycles` after a read is accepted: address, memory, its output
    register, and a register of the port.
    """

    latency_cycles = MACHINE.local_cycles

    def __init__(self, *, reads: Sequence[int], writes: Sequence[int]):
        self.reads, self.writes = list(reads), list(writes)
        self.row_words = max(*self.reads, *self.writes)
        super().__init__(
            {f"read_{n}": In(local_read(words)) for n, words in enumerate(reads)}
            | {f"write_{n}": In(local_write(words)) for n, words in enumerate(writes)}
        )

    def elaborate(self, platform):
        m = Module()
        row_words = self.row_words
        m.submodules.memory = memory = Memory(
            shape=unsigned(row_words * WORD_BITS), depth=LOCAL_WORDS // row_words, init=[]
        )
        into, out = memory.write_port(granularity=WORD_BITS), memory.read_port()
        reads = [getattr(self, f"read_{n}") for n in range(len(self.reads))]
        writes = [getattr(self, f"write_{n}") for n in range(len(self.writes))]
        for ports in (reads, writes):
            for n, port in enumerate(ports):
                m.d.comb += port.ready.eq(~Cat(lower.valid for lower in ports[:n]).any())

        # A cycle for who is first, registers at the memory's pins.
        address = Signal.like(out.addr, name="read_addr", reset_less=True)
        m.d.sync += address.eq(self._first(reads, [self._row(port, port.addr) for port in reads]))
        m.d.comb += out.addr.eq(address)
        write_address = Signal.like(into.addr, name="write_addr", reset_less=True)
        enable = Signal(row_words)
        asked = Cat(port.valid for port in writes).any()
        enables = [self._placed(port, port.en) for port in writes]
        m.d.sync += [
            write_address.eq(self._first(writes, [self._row(port, port.addr) for port in writes])),
            enable.eq(Mux(asked, self._first(writes, enables), 0)),
        ]
        m.d.comb += [into.addr.eq(write_address), into.en.eq(enable)]
        for word in range(row_words):
            data = Signal(WORD_BITS, name=f"write_data_{word}", reset_less=True)
            m.d.sync += data.eq(self._first(writes, [port.data[word % len(port.data)] for port in writes]))
            m.d.comb += into.data[word * WORD_BITS :][:WORD_BITS].eq(data)

        register = Signal(row_words * WORD_BITS, reset_less=True)
        m.d.sync += register.eq(out.data)
        for n, port in enumerate(reads):
            width = len(port.data) * WORD_BITS
            found = Signal(width, name=f"data_{n}", reset_less=True)
            place = late(m, self._place(port, port.addr), self.latency_cycles - 2, f"place_{n}")
            parts = Array(register[at : at + width] for at in range(0, len(register), width))
            for part, choice in enumerate(twins(m, place, width, f"part_of_row_{n}")):
                bits = slice(part * MOST_LOADS, (part + 1) * MOST_LOADS)
                m.d.sync += found[bits].eq(Array(each[bits] for each in parts)[choice])
            m.d.comb += [
                port.data[word].eq(found[word * WORD_BITS :][:WORD_BITS]) for word in range(len(port.data))
            ]
        return m

    def _place(self, port, addr):
        """Which part of its row a port reaches."""
        return addr[: (self.row_words // len(port.data)).bit_length() - 1]

    def _row(self, port, addr):
        """The row that a port reaches."""
        return addr[(self.row_words // len(port.data)).bit_length() - 1 :]

    def _placed(self, port, enable):
        """Enables of a row's words."""
        parts = self.row_words // len(port.data)
        chosen = [self._place(port, port.addr) == part for part in range(parts)]
        return Cat(Mux(flag, enable, 0) for flag in chosen)

    @staticmethod
    def _first(ports, values: list):
        """Of ``values`` that of the lowest port that asks."""
        chosen = values[-1]
        for port, value in reversed(list(zip(ports[:-1], values[:-1], strict=True))):
            chosen = Mux(port.valid, value, chosen)
        return chosen
