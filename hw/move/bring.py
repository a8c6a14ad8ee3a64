"""The engine BRING."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.channel.ports import local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import Code
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import copies
from cpt.hw.move.command import KINDS, PLACES, STRETCH, Decode
from cpt.hw.move.followers import flags_of, follow
from cpt.hw.move.front import Front
from cpt.hw.move.inward import Inward
from cpt.hw.move.places import PlaceWalker
from cpt.hw.move.stretches import ASKED_BEATS, Stretches
from cpt.hw.program.layouts import COMMAND, MARKS
from cpt.hw.vector.ports import scratch_write

AHEAD = 8
"""Instructions whose runs are asked for and whose last word is not written, at most."""


class Bring(wiring.Component):
    """Executes BRING: from memory to words of scratch or pairs of local memory, in order.

    Runs of an instruction are asked for while words of those before come, where they are of the same kind;
    another kind waits until all are written. Moves to local memory have an even number of words, at even
    places, and addresses of whole beats. Kinds that there are not, and moves of nothing, are not for this
    engine to refuse.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``commands`` (in); ``marks``: of all engines; ``done``: the next instruction is finished: what it
    wrote can be read; ``idle``; ``stream_runs``, ``stream_words``: of 16-bit numbers, to and from a `Reader`;
    ``read_runs``, ``beat_valid``, ``beat``: of others, to and from a `ReadMaster`; ``scratch``, ``local``:
    the ports.
    Two beats a cycle of 16-bit numbers, one of others; nine cycles from an instruction to its first run where
    it need not wait.
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
                "stream_runs": Out(stream.Signature(RUN)),
                "stream_words": In(stream.Signature(STREAM_BITS)),
                "scratch": Out(scratch_write(config, words)),
                "local": Out(local_write()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.front = front = Front()
        m.submodules.decode = decode = Decode(self.config, Code.BRING)
        m.submodules.stretches = stretches = Stretches(ASKED_BEATS)
        m.submodules.inward = inward = Inward(self.config, self.words)
        m.submodules.ahead = ahead = Outstanding(AHEAD)
        connect(m, flipped(self.commands), front.commands)
        decoded = decode.decoded

        # Runs are named from a copy of their own, taken while none are; so the next instruction may come.
        asked = Signal(STRETCH, reset_less=True)
        vacant = flags_of(STRETCH, "vacant")
        settled = Signal()
        start = Signal()
        kind = {name: Signal(name=name) for name in KINDS[Code.BRING]}
        """Of all that is at work."""
        streams = Signal()
        """They are 16-bit numbers."""
        same = Signal()
        follow(m, asked, decoded.stretch, vacant)
        with m.If(ahead.none):
            m.d.sync += [flag.eq(decoded[name]) for name, flag in kind.items()]
        runs, narrow, wide = stretches.runs, self.read_runs, self.stream_runs
        m.d.sync += [
            streams.eq(~kind["local"] & ~kind["bytes"]),
            *(flag.eq(~start & stretches.idle) for flag in vacant),
            settled.eq(vacant[0] & ~ahead.full),
            same.eq(ahead.none | ~((kind["local"] ^ decoded.local) | (kind["bytes"] ^ decoded.bytes))),
        ]
        m.d.comb += [
            front.marks.eq(self.marks),
            decode.command.eq(front.command),
            start.eq(front.open & settled & same),
            front.start.eq(start),
            front.release.eq(start),
            stretches.start.eq(start),
            stretches.stretch.eq(asked),
            stretches.room.eq(inward.room | streams),
            narrow.payload.eq(runs.payload),
            wide.payload.eq(runs.payload),
            narrow.valid.eq(runs.valid & ~streams),
            wide.valid.eq(runs.valid & streams),
            runs.ready.eq(Mux(streams, wide.ready, narrow.ready)),
            ahead.issue.eq(start),
            ahead.finish.eq(inward.done),
            inward.taken.eq(narrow.valid & narrow.ready),
            inward.beats.eq(runs.payload.beats),
            inward.beat_valid.eq(self.beat_valid),
            inward.beat.eq(self.beat),
            inward.local.eq(kind["local"]),
            inward.bytes.eq(kind["bytes"]),
            self.done.eq(inward.done),
            self.idle.eq(front.free & ahead.none),
        ]
        connect(m, flipped(self.stream_words), inward.words)
        connect(m, inward.scratch, flipped(self.scratch))
        connect(m, inward.pairs, flipped(self.local))
        self._places(m, start, decoded.places, inward.addr)
        return m

    def _places(self, m, start, places, addr):
        """Places of one instruction after the other."""
        m.submodules.queue = queue = WideQueue(PLACES, AHEAD)
        m.submodules.walker = walker = PlaceWalker()
        now = Signal(PLACES, reset_less=True)
        vacant = flags_of(PLACES, "resting")
        seen = Signal(2)
        goes = Signal()
        ends = Signal()
        """``seen``: cycles in which the walker rested and there was one."""
        pushes = copies(m, start, PUSHES, "pushes", reset_less=False)
        follow(m, now, queue.o.payload, vacant)
        connect(m, walker.addr, addr)
        m.d.comb += [
            queue.push.eq(Cat(pushes)),
            queue.payload.eq(places),
            queue.o.ready.eq(goes),
            goes.eq(seen[-1]),
            walker.start.eq(goes),
            walker.places.eq(now),
            ends.eq(addr.valid & addr.ready & addr.payload.last),
        ]
        m.d.sync += [
            seen.eq(Mux(goes, 0, Cat(queue.o.valid & vacant[0], seen))),
            *(flag.eq(~goes & (flag | ends)) for flag in vacant),
        ]
