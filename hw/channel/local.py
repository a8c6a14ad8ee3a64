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
from cpt.hw.matrix.copies import MOST_LOADS, copies


class LocalMemory(wiring.Component):
    """A memory that writes a row of words and reads one a cycle for each group of its readers.

    Parameters: the words that each port of ``reads``, by groups, and of ``writes`` reaches, powers of two; a
    row has as many as the widest. Every group has a copy of the memory.
    Members: ``read_0`` .., group after group, ``write_0`` ..: `local_read` and `local_write`. The lowest of
    a group, or of the writers, that asks, or said that it might, is ready, so its first port always is; all
    but the last of them have to say ``next``. ``data`` comes `latency_cycles` after a read is accepted:
    address, memory, its output register, and a register of the port.
    """

    latency_cycles = MACHINE.local_cycles

    def __init__(self, *, reads: Sequence[Sequence[int]], writes: Sequence[int]):
        self.groups, self.writes = [list(group) for group in reads], list(writes)
        self.reads = [words for group in self.groups for words in group]
        self.row_words = max(*self.reads, *self.writes)
        super().__init__(
            {f"read_{n}": In(local_read(words)) for n, words in enumerate(self.reads)}
            | {f"write_{n}": In(local_write(words)) for n, words in enumerate(writes)}
        )

    def elaborate(self, platform):
        m = Module()
        write = self._write(m)
        readers = iter(enumerate(getattr(self, f"read_{n}") for n in range(len(self.reads))))
        for group, ports in enumerate(self.groups):
            m.submodules[f"memory_{group}"] = memory = Memory(
                shape=unsigned(self.row_words * WORD_BITS), depth=LOCAL_WORDS // self.row_words, init=[]
            )
            into = memory.write_port(granularity=WORD_BITS)
            m.d.comb += [
                pin.eq(value) for pin, value in zip((into.addr, into.en, into.data), write, strict=True)
            ]
            self._read(m, memory.read_port(), dict(next(readers) for _ in ports))
        return m

    def _write(self, m):
        """Address, enables and data at the memories' pins: a cycle for who is first."""
        writes = [getattr(self, f"write_{n}") for n in range(len(self.writes))]
        *of_words, of_address = self._served(m, writes, self.row_words + 1, "write")
        address = Signal(range(LOCAL_WORDS // self.row_words), name="write_addr", reset_less=True)
        enable = Signal(self.row_words)
        enables = [self._placed(port, port.en & port.valid.replicate(len(port.en))) for port in writes]
        m.d.sync += [
            address.eq(self._first(of_address, [self._row(port, port.addr) for port in writes])),
            enable.eq(self._first(of_address, enables)),
        ]
        words = []
        for word, asks in enumerate(of_words):
            data = Signal(WORD_BITS, name=f"write_data_{word}", reset_less=True)
            m.d.sync += data.eq(self._first(asks, [port.data[word % len(port.data)] for port in writes]))
            words.append(data)
        return address, enable, Cat(words)

    def _read(self, m, out, numbered):
        """A group's readers, by number: a cycle for who is first, a register at the memory's pins."""
        reads = list(numbered.values())
        first = next(iter(numbered))
        (asks,) = self._served(m, reads, 1, f"read_{first}")
        address = Signal.like(out.addr, name=f"read_addr_{first}", reset_less=True)
        m.d.sync += address.eq(self._first(asks, [self._row(port, port.addr) for port in reads]))
        m.d.comb += out.addr.eq(address)
        register = Signal(self.row_words * WORD_BITS, name=f"row_{first}", reset_less=True)
        m.d.sync += register.eq(out.data)
        for n, port in numbered.items():
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

    @staticmethod
    def _served(m, ports, count: int, name: str) -> list[list]:
        """The lowest that asks is ready. Returns ``count`` copies of which ports ask, but for the last."""
        for n, port in enumerate(ports):
            waits = Signal(name=f"{name}_waits_{n}")
            m.d.sync += waits.eq(Cat(lower.next for lower in ports[:n]).any())
            m.d.comb += port.ready.eq(~waits)
        asks = [
            copies(m, port.next, count, f"{name}_asks_{n}", reset_less=False)
            for n, port in enumerate(ports[:-1])
        ]
        return [list(each) for each in zip(*asks, strict=True)] if asks else [[]] * count

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
    def _first(asks, values: list):
        """Of ``values`` that of the lowest port that asks."""
        chosen = values[-1]
        for asked, value in reversed(list(zip(asks, values[:-1], strict=True))):
            chosen = Mux(asked, value, chosen)
        return chosen
