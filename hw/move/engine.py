"""The engine MOVE."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.bus.write_master import Beats
from cpt.hw.channel.ports import local_read, local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.move.command import STRETCH, Decode
from cpt.hw.move.inward import Inward
from cpt.hw.move.outward import Outward
from cpt.hw.move.pack import Pack
from cpt.hw.move.places import PlaceWalker
from cpt.hw.move.stretches import Stretches
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, waits
from cpt.hw.vector.ports import scratch_read, scratch_write

_HELD_BITS = 24
"""Bits of the instruction that share an enable."""
_SHARED_BITS = 32
"""Bits of a beat that share a flag."""
_PACKS = 2 + len(STRETCH.members) + BEAT_BITS // _SHARED_BITS
"""Copies of the flag that says PACK: for starts, runs, ports and beats."""
_RUNS = 2 * MACHINE.outstanding_bursts
"""Runs without an answer, at most: those in flight and the two that the write master holds."""


class Move(wiring.Component):
    """Executes MOVE, one at a time: between memory and words of scratch or pairs of local memory, and PACK.

    Moves of local memory have an even number of words, at even places, and addresses of whole beats. Kinds
    that there are not, and moves of nothing, are not for this engine to refuse.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``commands`` (in); ``marks``: of all engines; ``done``: the next instruction is finished: what it
    wrote to memory is answered for, what it wrote on chip can be read; ``idle``;
    ``read_runs``, ``beat_valid``, ``beat``: to and from a `ReadMaster`; ``write_runs``, ``write_beats``,
    ``answered``: to and from a `WriteMaster`; ``scratch_read``, ``scratch_write``, ``local_read``,
    ``local_write``: the ports.
    A beat a cycle; seven cycles from an instruction to its first run where it need not wait.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config, self.words = config, words
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "done": Out(1),
                "idle": Out(1),
                "read_runs": Out(stream.Signature(RUN)),
                "beat_valid": In(1),
                "beat": In(BEAT_BITS),
                "write_runs": Out(stream.Signature(RUN)),
                "write_beats": Out(stream.Signature(BEAT_BITS)),
                "answered": In(1),
                "scratch_read": Out(scratch_read(config, words)),
                "scratch_write": Out(scratch_write(config, words)),
                "local_read": Out(local_read()),
                "local_write": Out(local_write()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decode = decode = Decode(self.config)
        m.submodules.gate = gate = Gate(once=True)
        m.submodules.places = places = PlaceWalker()
        m.submodules.stretches = stretches = Stretches()
        m.submodules.outward = outward = Outward(self.config, self.words)
        m.submodules.inward = inward = Inward(self.config, self.words)
        m.submodules.pack = pack = Pack(self.config)
        m.submodules.ends = ends = RoomyQueue(1, _RUNS)
        decoded = decode.decoded

        # An instruction is held, waits, is at work; what it says is worked out while it waits.
        held = Signal(COMMAND, reset_less=True)
        free = [Signal(name=f"free_{bit}", init=1, attrs=KEEP) for bit in range(0, COMMAND.size, _HELD_BITS)]
        fresh, waiting, start = Signal(), Signal(), Signal()
        accept, finished = Signal(), Signal()
        for flag, low in zip(free, range(0, COMMAND.size, _HELD_BITS), strict=True):
            part = slice(low, low + _HELD_BITS)
            with m.If(flag):
                m.d.sync += Value.cast(held)[part].eq(Value.cast(self.commands.payload)[part])
        m.d.comb += [
            self.commands.ready.eq(free[0]),
            accept.eq(self.commands.valid & free[0]),
            decode.command.eq(held),
            gate.marks.eq(self.marks),
            gate.load.eq(fresh),
            *(gate.waits[index].eq(wait) for index, wait in enumerate(waits(held.word))),
            start.eq(waiting & gate.open),
            self.idle.eq(free[0]),
        ]
        m.d.sync += [
            fresh.eq(accept),
            waiting.eq(fresh | (waiting & ~start)),
            finished.eq(inward.done | (self.answered & ends.o.payload)),
            self.done.eq(finished),
            *(flag.eq((flag & ~self.commands.valid) | finished) for flag in free),
        ]

        read_runs, write_runs = self.read_runs, self.write_runs
        inwards = copies(m, decoded.inward, 2, "inwards")
        packs = copies(m, decoded.pack, _PACKS, "packs")
        final = Signal()
        """The K step whose runs are named is the last; the walker may be a step further."""
        chosen = Signal(STRETCH, reset_less=True)
        with m.If(pack.go):
            m.d.sync += final.eq(pack.final)
        m.d.sync += [
            *(
                chosen[name].eq(Mux(packs[1 + number], pack.stretch[name], decoded.stretch[name]))
                for number, name in enumerate(STRETCH.members)
            ),
        ]
        m.d.comb += [
            places.start.eq(start & ~packs[0]),
            places.places.eq(decoded.places),
            pack.start.eq(start & packs[0]),
            pack.command.eq(held),
            pack.ready.eq(stretches.idle),
            stretches.start.eq((start & ~packs[0]) | pack.go),
            stretches.room.eq(inward.room | ~inwards[0]),
            stretches.stretch.eq(chosen),
            read_runs.valid.eq(stretches.runs.valid & inwards[0]),
            read_runs.payload.eq(stretches.runs.payload),
            write_runs.valid.eq(stretches.runs.valid & ~inwards[0]),
            write_runs.payload.eq(stretches.runs.payload),
            stretches.runs.ready.eq(Mux(inwards[0], read_runs.ready, write_runs.ready)),
            ends.push.eq(write_runs.valid & write_runs.ready),
            ends.payload.eq(stretches.last & (final | ~packs[0])),
            ends.o.ready.eq(self.answered),
            inward.taken.eq(read_runs.valid & read_runs.ready),
            inward.beats.eq(read_runs.payload.beats),
            inward.beat_valid.eq(self.beat_valid),
            inward.beat.eq(self.beat),
            inward.local.eq(decoded.local),
            inward.bytes.eq(decoded.bytes),
            outward.local.eq(decoded.local),
            inward.addr.payload.eq(places.addr.payload),
            outward.addr.payload.eq(places.addr.payload),
            inward.addr.valid.eq(places.addr.valid & inwards[1]),
            outward.addr.valid.eq(places.addr.valid & ~inwards[1]),
            places.addr.ready.eq(Mux(inwards[1], inward.addr.ready, outward.addr.ready)),
        ]
        self._either(m, packs[1 + len(STRETCH.members) :], pack, outward)
        connect(m, outward.scratch, flipped(self.scratch_read))
        connect(m, inward.scratch, flipped(self.scratch_write))
        connect(m, inward.pairs, flipped(self.local_write))
        return m

    def _either(self, m, packs, pack, outward):
        """Beats, and the port to local memory, of the one that is at work; ``packs`` says so, in copies."""
        m.submodules.sent = sent = Beats(MACHINE.write_beats)
        connect(m, sent.o, flipped(self.write_beats))
        beats, port = sent.i, self.local_read
        m.d.comb += [
            beats.valid.eq(Mux(packs[0], pack.beats.valid, outward.beats.valid)),
            port.valid.eq(Mux(packs[0], pack.pairs.valid, outward.pairs.valid)),
            port.addr.eq(Mux(packs[0], pack.pairs.addr, outward.pairs.addr)),
        ]
        for number, flag in enumerate(packs[1:]):
            part = slice(number * _SHARED_BITS, (number + 1) * _SHARED_BITS)
            m.d.comb += beats.payload[part].eq(
                Mux(flag, pack.beats.payload[part], outward.beats.payload[part])
            )
        for part, works in ((pack, packs[0]), (outward, ~packs[0])):
            m.d.comb += [
                part.beats.ready.eq(beats.ready & works),
                part.pairs.ready.eq(port.ready & works),
                *(part.pairs.data[number].eq(word) for number, word in enumerate(port.data)),
            ]
