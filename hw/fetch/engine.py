"""The engine FETCH: from instruction words to windows, or inputs of dW, that the array reads."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import bits_for

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS
from cpt.hw.contract import ArrayConfig
from cpt.hw.control.guard import Guard
from cpt.hw.control.reach import WINDOW
from cpt.hw.fetch.decode import Decode
from cpt.hw.fetch.fetch import Fetch
from cpt.hw.fetch.held import hold
from cpt.hw.fetch.pieces import Pieces
from cpt.hw.fetch.pixel_walker import PixelWalker
from cpt.hw.fetch.reader import PORTS, Reader, run_words
from cpt.hw.fetch.window_memory import window_read
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, waits


class FetchEngine(wiring.Component):
    """Executes FETCH and FETCH_X in order; while one fills the memories, the next is read ahead.

    An instruction waits for its marks once, before it reads anything. A FETCH_X of more than two groups is
    filled a pair of groups at a time. What `Decode` refuses, and a run outside of the window, ends all work
    until the reset: nothing more is read.

    Parameters: ``config``.
    Members: ``commands`` (in), ``marks``: of all engines; ``done``: a tile of outputs of a FETCH, or all of a
    FETCH_X, is in the memories; ``window``: that may be read; ``ar_0``, ``r_0``, ``ar_1``, ``r_1`` (AXI);
    ``tiles`` (out): first word of the next slot that is full, taken when EXEC begins with it; ``release``:
    EXEC has finished with one; ``read`` (`window_read`); ``leaves``, ``misaligned``: as in `Guard`; ``bad``:
    the instruction is refused; these three stay; ``error``, ``quiet``: as in `Reader`; ``stop``: start
    nothing; ``idle``: a cycle ago there was no instruction and no slot that is taken.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        ports = {f"{name}_{n}": member for n in range(PORTS) for name, member in READ_STREAMS.items()}
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "done": Out(1),
                "window": In(WINDOW),
                **ports,
                "tiles": Out(stream.Signature(range(config.b_depth_words))),
                "release": In(1),
                "read": In(window_read(config)),
                **{name: Out(1) for name in ("leaves", "misaligned", "bad")},
                **MASTER_STATE,
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.decode = decode = Decode(config)
        m.submodules.walker = walker = PixelWalker(config)
        m.submodules.pieces = pieces = Pieces()
        m.submodules.guard = guard = Guard()
        m.submodules.reader = reader = Reader(run_words(config))
        m.submodules.fetch = fetch = Fetch(config)
        connect(m, walker.runs, guard.asked)
        connect(m, guard.runs, pieces.runs)
        connect(m, pieces.pieces, reader.runs)
        connect(m, reader.words, fetch.words)
        connect(m, fetch.tiles, flipped(self.tiles))
        connect(m, flipped(self.read), fetch.read)
        for n in range(PORTS):
            connect(m, getattr(reader, f"ar_{n}"), flipped(getattr(self, f"ar_{n}")))
            connect(m, flipped(getattr(self, f"r_{n}")), getattr(reader, f"r_{n}"))
        m.d.comb += [
            guard.window.eq(self.window),
            self.leaves.eq(guard.leaves),
            self.misaligned.eq(guard.misaligned),
            reader.stop.eq(self.stop),
            self.error.eq(reader.error),
            self.quiet.eq(reader.quiet),
            fetch.release.eq(self.release),
        ]
        waiting = self._command(m, decode, walker, fetch)
        counting = self._count(m, decode, fetch)
        parts = Signal(2)
        """What an instruction left to do is, a cycle ago; by then the instruction itself was here."""
        m.d.sync += [
            parts[0].eq(counting | ~walker.idle | ~guard.asked.ready),
            parts[1].eq(~(pieces.idle & reader.idle & fetch.idle)),
            self.idle.eq(~(waiting | parts.any() | self.commands.valid)),
        ]
        return m

    def _command(self, m, decode, walker, fetch):
        """From the queue, behind its gate and decoded, to walker and fetch; whether one is here."""
        m.submodules.gate = gate = Gate(once=True)
        ended = Signal()
        known = Signal()
        allowed = Signal()
        held, begins, vacant = hold(m, self.commands, Const(1), ended, 2)
        parts = (walker.walks, fetch.commands)
        given = Signal(len(parts))
        offered = Signal(len(parts))
        """``known``: what was decoded is this instruction; ``given``: the walker has it, the fetch has it."""
        taken = Cat(part.valid & part.ready for part in parts)
        m.d.comb += [
            gate.marks.eq(self.marks),
            gate.load.eq(begins[0]),
            *(gate.waits[index].eq(wait) for index, wait in enumerate(waits(held.word))),
            decode.command.eq(held),
            decode.start.eq(begins[1]),
            decode.again.eq(given.all() & ~decode.last),
            ended.eq(given.all() & decode.last),
            walker.walks.payload.eq(decode.walk),
            fetch.commands.payload.eq(decode.fetch),
            *(part.valid.eq(offered[n]) for n, part in enumerate(parts)),
        ]
        m.d.sync += [
            known.eq(~vacant & ~begins[1] & ~given.any() & decode.known),
            allowed.eq(
                known & gate.open & ~decode.bad & ~self.stop & ~(allowed | offered.any() | given.any())
            ),
            offered.eq(Mux(allowed, (1 << len(parts)) - 1, offered & ~taken)),
            given.eq(Mux(given.all(), 0, given | taken)),
            self.bad.eq(self.bad | (known & decode.bad)),
        ]
        return ~vacant

    def _count(self, m, decode, fetch):
        """A pulse of ``done`` for each slot, or for the last of a FETCH_X; whether some are to come."""
        silent = Signal()
        """What fills the memories is a pair of groups that others follow."""
        due = Signal(bits_for(self.config.b_depth_words))
        pulse = Signal()
        m.d.comb += pulse.eq(due != 0)
        with m.If(fetch.commands.valid & fetch.commands.ready):
            m.d.sync += silent.eq(~decode.last)
        m.d.sync += [due.eq(due + Mux(silent, 0, fetch.filled) - pulse), self.done.eq(pulse)]
        return pulse
