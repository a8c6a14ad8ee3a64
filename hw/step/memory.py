"""Ways to memory: who reads and writes through which port, and the windows that all of it stays in."""

from types import SimpleNamespace

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS, WRITE_STREAMS
from cpt.hw.bus.read_arbiter import ReadArbiter
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.bus.write_arbiter import WriteArbiter
from cpt.hw.bus.write_master import WriteMaster
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.guard import Guard
from cpt.hw.control.host_side import all_of
from cpt.hw.control.reach import WINDOW
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.reader import Reader
from cpt.hw.layouts import BEAT_BITS, RUN

READERS = ("ring", "lists", "load_0", "load_1", "fetch_0", "fetch_1")
"""Who has a read master of its own; BRING's is here."""
PORTS = 2
WRITERS = 3
"""The packers, then STORE."""


class MemoryPorts(wiring.Component):
    """Arbiters of the read ports, BRING's read master, the write masters of both ports.

    Port 0 reads the ring, lists, weights and every second run of errors, of the fetch and of BRING's 16-bit
    numbers, port 1 the others and whatever else BRING asks for. Port 0 writes what the first packer and STORE
    have, in turn, port 1 what the second packer has.

    Members: ``ar_ring``, ``r_ring`` .. (`READERS`); ``ar_0``, ``r_0``, ``ar_1``, ``r_1``: the read ports;
    ``read_runs``, ``beat_valid``, ``beat``: BRING's; ``stream_runs``, ``stream_words``: its 16-bit numbers;
    ``runs_0``, ``beats_0``, ``answered_0``, ``.._1``: the packers', ``.._2``: STORE's; ``aw_0``, ``w_0``,
    ``b_0``, ``aw_1``, ``w_1``, ``b_1``: the write ports; ``read_window``, ``write_window``;
    ``leaves_read``, ``leaves_write``, ``misaligned``: of the guards of what goes through here; ``stop``,
    ``idle``, ``quiet`` as in `WriteMaster`, a cycle ago; ``read_error``, ``write_error``.
    """

    def __init__(self):
        read = {f"{name}_{who}": member.flip() for who in READERS for name, member in READ_STREAMS.items()}
        streams = {**READ_STREAMS, **WRITE_STREAMS}
        ports = {f"{name}_{n}": member for n in range(PORTS) for name, member in streams.items()}
        write = {}
        for n in range(WRITERS):
            write |= {
                f"runs_{n}": In(stream.Signature(RUN)),
                f"beats_{n}": In(stream.Signature(BEAT_BITS)),
                f"answered_{n}": Out(1),
            }
        state = {name: member for name, member in MASTER_STATE.items() if name != "error"}
        super().__init__(
            {
                **read,
                **ports,
                "read_runs": In(stream.Signature(RUN)),
                "beat_valid": Out(1),
                "beat": Out(BEAT_BITS),
                "stream_runs": In(stream.Signature(RUN)),
                "stream_words": Out(stream.Signature(STREAM_BITS)),
                **write,
                "read_window": In(WINDOW),
                "write_window": In(WINDOW),
                **dict.fromkeys(("leaves_read", "leaves_write", "misaligned"), Out(1)),
                **state,
                "read_error": Out(1),
                "write_error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bursts = MACHINE.outstanding_bursts
        m.submodules.reader = reader = ReadMaster()
        writers = [WriteMaster() for _ in range(PORTS)]
        m.submodules.writes = writes = WriteArbiter(4 * bursts)
        m.submodules.streamer = streamer = Reader()
        m.submodules.read_guard = read_guard = Guard()
        m.submodules.stream_guard = stream_guard = Guard()
        guards = [Guard() for _ in range(WRITERS)]

        def shared(name, masters, first, second):
            """The read port of an arbiter between two."""
            arbiter = ReadArbiter(masters * bursts)
            m.submodules[name] = arbiter
            for n, side in enumerate((first, second)):
                connect(m, side.ar, getattr(arbiter, f"ar{n}"))
                connect(m, getattr(arbiter, f"r{n}"), side.r)
            return arbiter

        def of(who):
            sides = (flipped(getattr(self, f"{name}_{who}")) for name in READ_STREAMS)
            return SimpleNamespace(**dict(zip(READ_STREAMS, sides, strict=True)))

        words = shared("words", 2, of("ring"), of("lists"))
        operands = shared("operands", 2, of("load_0"), of("fetch_0"))
        others = shared("others", 2, of("load_1"), of("fetch_1"))
        halves = [
            SimpleNamespace(ar=getattr(streamer, f"ar_{n}"), r=getattr(streamer, f"r_{n}")) for n in range(2)
        ]
        port_0 = shared("port_0", 8, words, shared("operands_too", 4, operands, halves[0]))
        port_1 = shared("port_1", 4, others, shared("moved", 2, reader, halves[1]))
        for n, port in enumerate((port_0, port_1)):
            connect(m, port.ar, flipped(getattr(self, f"ar_{n}")))
            connect(m, flipped(getattr(self, f"r_{n}")), port.r)

        connect(m, flipped(self.read_runs), read_guard.asked)
        connect(m, read_guard.runs, reader.runs)
        connect(m, flipped(self.stream_runs), stream_guard.asked)
        connect(m, stream_guard.runs, streamer.runs)
        connect(m, streamer.words, flipped(self.stream_words))
        ways = (
            (writes.runs_0, writes.beats_0, writes.answered_0),
            (writers[1].runs, writers[1].beats, writers[1].answered),
            (writes.runs_1, writes.beats_1, writes.answered_1),
        )
        for n, (guard, (runs, beats, answered)) in enumerate(zip(guards, ways, strict=True)):
            m.submodules[f"write_guard_{n}"] = guard
            connect(m, flipped(getattr(self, f"runs_{n}")), guard.asked)
            connect(m, guard.runs, runs)
            connect(m, flipped(getattr(self, f"beats_{n}")), beats)
            m.d.comb += [
                guard.window.eq(self.write_window),
                getattr(self, f"answered_{n}").eq(answered),
            ]
        connect(m, writes.runs, writers[0].runs)
        connect(m, writes.beats, writers[0].beats)
        for n, writer in enumerate(writers):
            m.submodules[f"writer_{n}"] = writer
            for name in WRITE_STREAMS:
                here, there = flipped(getattr(self, f"{name}_{n}")), getattr(writer, name)
                connect(m, here, there) if name == "b" else connect(m, there, here)
            m.d.comb += writer.stop.eq(self.stop)
        idle = Signal(init=1)
        quiet = Signal(init=1)
        m.d.sync += [
            idle.eq(all_of(part.idle for part in (reader, streamer, writes, *writers))),
            quiet.eq(all_of(part.quiet for part in (reader, streamer, *writers))),
        ]
        m.d.comb += [
            read_guard.window.eq(self.read_window),
            stream_guard.window.eq(self.read_window),
            streamer.stop.eq(self.stop),
            reader.stop.eq(self.stop),
            writes.answered.eq(writers[0].answered),
            self.beat_valid.eq(reader.beat_valid),
            self.beat.eq(reader.beat),
            self.read_error.eq(reader.error | streamer.error),
            self.write_error.eq(Cat(writer.error for writer in writers).any()),
            self.leaves_read.eq(read_guard.leaves | stream_guard.leaves),
            self.leaves_write.eq(Cat(guard.leaves for guard in guards).any()),
            self.misaligned.eq(Cat(guard.misaligned for guard in (read_guard, stream_guard, *guards)).any()),
            self.idle.eq(idle),
            self.quiet.eq(quiet),
        ]
        return m
