"""The engine STORE."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.bus.write_master import Beats
from cpt.hw.channel.ports import local_read
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import Code
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import copies
from cpt.hw.move.command import STRETCH, Decode
from cpt.hw.move.followers import flags_of, follow
from cpt.hw.move.front import Front
from cpt.hw.move.outward import Outward
from cpt.hw.move.pack import Pack
from cpt.hw.move.places import PlaceWalker
from cpt.hw.move.stretches import Stretches
from cpt.hw.program.layouts import COMMAND, MARKS
from cpt.hw.vector.ports import late_read

_SHARED_BITS = 32
"""Bits of a beat that share a flag."""
_RUNS = 2 * MACHINE.outstanding_bursts
"""Runs without an answer, at most: those in flight and those that wait on their way to the bus."""


class Store(wiring.Component):
    """Executes STORE: from words of scratch or pairs of local memory to memory, and PACK, in order.

    The next instruction begins when all runs and places of the one before are named; one of another kind
    when its beats have left, and behind a PACK one begins when the bus has answered. Moves of local memory
    have an even number of words, at even places, and addresses of whole beats. Kinds that there are not, and
    moves of nothing, are not for this engine to refuse.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``commands`` (in); ``marks``: of all engines; ``done``: the next instruction is finished: what it
    wrote is answered for; ``idle``; ``write_runs``, ``write_beats``, ``answered``: to and from a
    `WriteMaster`; ``scratch``, ``local``: the ports.
    A beat a cycle; nine cycles from an instruction to its first run where it need not wait.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config, self.words = config, words
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "done": Out(1),
                "idle": Out(1),
                "write_runs": Out(stream.Signature(RUN)),
                "write_beats": Out(stream.Signature(BEAT_BITS)),
                "answered": In(1),
                "scratch": Out(late_read(config, words)),
                "local": Out(local_read()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.front = front = Front()
        m.submodules.decode = decode = Decode(self.config, Code.STORE)
        m.submodules.places = places = PlaceWalker()
        m.submodules.stretches = stretches = Stretches()
        m.submodules.outward = outward = Outward(self.config, self.words)
        m.submodules.pack = pack = Pack(self.config)
        m.submodules.ends = ends = RoomyQueue(2, _RUNS)
        connect(m, flipped(self.commands), front.commands)
        decoded, runs = decode.decoded, stretches.runs

        # Runs and places are named from copies of their own, so that the next instruction may come.
        asked = Signal(STRETCH, reset_less=True)
        now = Signal.like(decoded.places, reset_less=True)
        vacant = flags_of(STRETCH, "vacant")
        """No runs are named, or those of a PACK, which gives new ones for every K step."""
        resting = flags_of(decoded.places.shape(), "resting")
        """No places are named."""
        start, starts, packs, ended = (Signal(name=name) for name in ("start", "starts", "packs", "ended"))
        packing = Signal()
        local = Signal()
        """What is at work: a PACK; pairs of local memory."""
        quiet = Signal()
        rested = Signal()
        settled = Signal()
        same = Signal()
        packs_runs = copies(m, packing, len(STRETCH.members), "packs_runs")
        named = {
            name: Mux(flag, pack.stretch[name], decoded.stretch[name])
            for name, flag in zip(STRETCH.members, packs_runs, strict=True)
        }
        follow(m, asked, Cat(named.values()), vacant)
        follow(m, now, decoded.places, resting)
        with m.If(quiet):
            m.d.sync += local.eq(decoded.local)
        final = Signal()
        """The K step whose runs are named is the last; the walker may be a step further."""
        with m.If(pack.go):
            m.d.sync += final.eq(pack.final)
        last = Signal()
        done = Signal()
        packed = Signal()
        m.d.comb += [
            front.marks.eq(self.marks),
            decode.command.eq(front.command),
            start.eq(front.open & settled & same),
            starts.eq(start & ~decoded.pack),
            packs.eq(start & decoded.pack),
            front.start.eq(start),
            front.release.eq(starts | packed),
            quiet.eq(resting[0] & outward.empty),
            places.start.eq(starts),
            places.places.eq(now),
            ended.eq(places.addr.valid & places.addr.ready & places.addr.payload.last),
            pack.start.eq(packs),
            pack.command.eq(front.command),
            pack.ready.eq(stretches.idle),
            stretches.start.eq(starts | pack.go),
            stretches.room.eq(1),
            stretches.stretch.eq(asked),
            last.eq(stretches.last & (final | ~packing)),
            ends.push.eq(runs.valid & runs.ready),
            ends.payload.eq(Cat(last, last & packing)),
            ends.o.ready.eq(self.answered),
            done.eq(self.answered & ends.o.payload[0]),
            packed.eq(self.answered & ends.o.payload[1]),
            outward.local.eq(local),
            self.idle.eq(front.free & resting[0] & vacant[0] & ~ends.o.valid),
        ]
        m.d.sync += [
            *(flag.eq((~start & stretches.idle) | packing) for flag in vacant),
            *(flag.eq(~starts & (flag | ended)) for flag in resting),
            # A cycle for the copies, one for what the walker makes of them.
            rested.eq(vacant[0] & resting[0]),
            settled.eq(rested & vacant[0] & resting[0]),
            same.eq(quiet | ~((local ^ decoded.local) | decoded.pack)),
            packing.eq(packs | (packing & ~packed)),
            self.done.eq(done),
        ]
        connect(m, runs, flipped(self.write_runs))
        connect(m, places.addr, outward.addr)
        connect(m, outward.scratch, flipped(self.scratch))
        self._either(m, packing, pack, outward)
        return m

    def _either(self, m, packing, pack, outward):
        """Beats, and the port to local memory, of the one that is at work."""
        m.submodules.sent = sent = Beats(MACHINE.write_beats)
        connect(m, sent.o, flipped(self.write_beats))
        flags = copies(m, packing, 1 + BEAT_BITS // _SHARED_BITS, "packs")
        beats, port = sent.i, self.local
        m.d.comb += [
            beats.valid.eq(Mux(flags[0], pack.beats.valid, outward.beats.valid)),
            port.valid.eq(Mux(flags[0], pack.pairs.valid, outward.pairs.valid)),
            port.addr.eq(Mux(flags[0], pack.pairs.addr, outward.pairs.addr)),
        ]
        for number, flag in enumerate(flags[1:]):
            part = slice(number * _SHARED_BITS, (number + 1) * _SHARED_BITS)
            m.d.comb += beats.payload[part].eq(
                Mux(flag, pack.beats.payload[part], outward.beats.payload[part])
            )
        for part, works in ((pack, flags[0]), (outward, ~flags[0])):
            m.d.comb += [
                part.beats.ready.eq(beats.ready & works),
                part.pairs.ready.eq(port.ready & works),
                *(part.pairs.data[number].eq(word) for number, word in enumerate(port.data)),
            ]
