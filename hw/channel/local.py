"""Local memory: words of vectors, between the float engine, moves and lanes."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.channel.ports import PAIR, WORD_BITS, local_read, local_write
from cpt.hw.contract.floats import LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE


class LocalMemory(wiring.Component):
    """One memory of pairs of words that reads one and writes one a cycle, behind several ports.

    Parameters: how many ports ``reads`` and ``writes``.
    Members: ``read_0`` .., ``write_0`` ..: `local_read` and `local_write`. The lowest that asks is ready, so
    port 0 always is. ``data`` comes `latency_cycles` after a read is accepted: address, memory, its output
    register, and a register of the port.
    """

    latency_cycles = MACHINE.local_cycles

    def __init__(self, *, reads: int, writes: int):
        self.reads, self.writes = reads, writes
        super().__init__(
            {f"read_{n}": In(local_read()) for n in range(reads)}
            | {f"write_{n}": In(local_write()) for n in range(writes)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=unsigned(PAIR * WORD_BITS), depth=LOCAL_WORDS // PAIR, init=[]
        )
        into, out = memory.write_port(granularity=WORD_BITS), memory.read_port()
        reads = [getattr(self, f"read_{n}") for n in range(self.reads)]
        writes = [getattr(self, f"write_{n}") for n in range(self.writes)]
        for ports in (reads, writes):
            for n, port in enumerate(ports):
                m.d.comb += port.ready.eq(~Cat(lower.valid for lower in ports[:n]).any())

        # A cycle for who is first, registers at the memory's pins.
        address = Signal.like(out.addr, name="read_addr", reset_less=True)
        m.d.sync += address.eq(self._first(reads, "addr"))
        m.d.comb += out.addr.eq(address)
        write_address = Signal.like(into.addr, name="write_addr", reset_less=True)
        enable = Signal(PAIR)
        m.d.sync += [
            write_address.eq(self._first(writes, "addr")),
            enable.eq(Mux(Cat(port.valid for port in writes).any(), self._first(writes, "en"), 0)),
        ]
        m.d.comb += [into.addr.eq(write_address), into.en.eq(enable)]
        for word in range(PAIR):
            data = Signal(WORD_BITS, name=f"write_data_{word}", reset_less=True)
            m.d.sync += data.eq(self._first(writes, "data", word))
            m.d.comb += into.data[word * WORD_BITS :][:WORD_BITS].eq(data)

        register = Signal(PAIR * WORD_BITS, reset_less=True)
        m.d.sync += register.eq(out.data)
        for n, port in enumerate(reads):
            found = Signal.like(register, name=f"data_{n}", reset_less=True)
            m.d.sync += found.eq(register)
            m.d.comb += [port.data[word].eq(found[word * WORD_BITS :][:WORD_BITS]) for word in range(PAIR)]
        return m

    @staticmethod
    def _first(ports, name: str, index: int | None = None):
        """What the lowest port that asks has as ``name``."""
        values = [getattr(port, name) if index is None else getattr(port, name)[index] for port in ports]
        chosen = values[-1]
        for port, value in reversed(list(zip(ports[:-1], values[:-1], strict=True))):
            chosen = Mux(port.valid, value, chosen)
        return chosen
