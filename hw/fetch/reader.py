"""Reads runs of memory through two ports at once, and gives their words back in order."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies, counted

PORTS = 2
WORD_BEATS = STREAM_BYTES // BEAT_BYTES
RUNS = 16
"""Runs whose words are not all given on yet, at most."""
OUT = 8
"""Places behind the choice between ports; words on their way there take one too."""
_SHARED_BITS = 24
"""Bits of a word that share a copy of its port."""
AHEAD = 3
"""Words that may leave before a taken place is seen."""


def _size_layout(most: int) -> data.StructLayout:
    """A run's words; ``single``: it is one."""
    return data.StructLayout({"words": range(most + 1), "single": 1})


def run_words(config: ArrayConfig) -> int:
    """Words of the longest run of planes: as many as there may be, of a tile and group."""
    return -(-MAX_BITS * config.cols * config.group_channels // (8 * STREAM_BYTES))


class Reader(wiring.Component):
    """Runs in, their words out in the same order; runs go to both ports in turn.

    A run is asked for when its port's queue, `MACHINE.reader_words` long, has room for all of it; longer ones
    are not allowed. So a port reads ahead while the words of the other go on, and both together bring
    `STREAM_BYTES` a cycle where runs are of a length.

    Parameters: ``run_words``: of the longest run; a queue is not longer than what can be under way;
    ``shared``: port 0 reads for others too, while nothing else is read.
    Members: ``runs`` (in): whole words; ``ar_0``, ``r_0``, ``ar_1``, ``r_1`` (AXI); ``words`` (out);
    ``stop``, ``error``, ``idle``, ``quiet`` as in `ReadMaster`, of both ports. If it is shared, ``direct``:
    runs are for others; ``beat_valid``, ``beat``: what they bring, as it comes.
    A run in `run_cycles`, a word a cycle.
    """

    run_cycles = 5

    def __init__(self, run_words: int = MACHINE.reader_words, *, shared: bool = False):
        self.shared = shared
        self.depth = min(MACHINE.reader_words, 1 << (RUNS // PORTS * run_words - 1).bit_length())
        ports = {f"{name}_{n}": member for n in range(PORTS) for name, member in READ_STREAMS.items()}
        others = {
            "direct": In(1),
            "beat_valid": Out(1),
            "beat": Out(BEAT_BITS),
        }
        super().__init__(
            {
                "runs": In(stream.Signature(RUN)),
                **ports,
                "words": Out(stream.Signature(STREAM_BITS)),
                **(others if shared else {}),
                **MASTER_STATE,
            }
        )

    def elaborate(self, platform):
        m = Module()
        direct = self.direct if self.shared else Const(0)
        masters, queues = [], []
        for n in range(PORTS):
            m.submodules[f"master_{n}"] = master = ReadMaster()
            m.submodules[f"queue_{n}"] = queue = WideQueue(STREAM_BITS, self.depth)
            connect(m, master.ar, flipped(getattr(self, f"ar_{n}")))
            connect(m, flipped(getattr(self, f"r_{n}")), master.r)
            m.d.comb += master.stop.eq(self.stop)
            comes = master.beat_valid & ~direct if n == 0 else master.beat_valid
            self._pair(m, n, comes, master.beat, queue)
            masters.append(master)
            queues.append(queue)
        m.submodules.order = order = RoomyQueue(_size_layout(self.depth), RUNS)
        taken = [queue.o.valid & queue.o.ready for queue in queues]
        self._ask(m, masters, order, taken, direct)
        if self.shared:
            m.d.comb += [self.beat_valid.eq(masters[0].beat_valid & direct), self.beat.eq(masters[0].beat)]
        none_held = self._give(m, queues, order)
        error = Signal()
        idle = none_held & masters[0].idle & masters[1].idle & ~error & ~self.runs.valid
        m.d.sync += [error.eq(masters[0].error | masters[1].error), self.idle.eq(idle)]
        m.d.comb += [
            self.error.eq(error),
            self.quiet.eq(masters[0].quiet & masters[1].quiet & ~error),
        ]
        return m

    def _pair(self, m, n, valid, data, queue):
        """Two beats a word."""
        odd = Signal(name=f"odd_{n}")
        beat, low = (Signal(BEAT_BITS, name=f"{name}_{n}", reset_less=True) for name in ("beat", "low"))
        m.d.sync += [
            odd.eq(odd ^ valid),
            beat.eq(data),
        ]
        for k, first in enumerate(copies(m, valid & ~odd, BEAT_BITS // MOST_LOADS, f"first_{n}")):
            part = slice(MOST_LOADS * k, MOST_LOADS * (k + 1))
            with m.If(first):
                m.d.sync += low[part].eq(beat[part])
        whole = copies(m, valid & odd, PUSHES, f"whole_{n}", reset_less=False)
        m.d.comb += [queue.push.eq(Cat(whole)), queue.payload.eq(Cat(low, beat))]

    def _ask(self, m, masters, order, taken, direct):
        """Runs to ports, when there is room."""
        depth = self.depth
        run = Signal(RUN, reset_less=True)
        settled = Signal(3)
        sending = Signal(PORTS)
        """A run is offered to a port, whose turn it is."""
        holds = Signal()
        helds = copies(m, holds, len(run.as_value()) // MOST_LOADS + 1, "held", reset_less=False)
        held = helds[0]
        turn = Signal(init=1)
        size = Signal(range(depth + 1), reset_less=True)
        free = [Signal(range(depth + 1), name=f"free_{n}", init=depth) for n in range(PORTS)]
        places = Signal(range(RUNS + 1))
        """Runs that are not given on yet."""
        room = Signal(PORTS)
        issue = Signal()
        queued = Signal()
        ended = Signal()
        self._ended = ended
        m.d.comb += [
            self.runs.ready.eq(~held),
            issue.eq((sending & Cat(master.runs.ready for master in masters)).any()),
            queued.eq(issue & ~direct),
            size.eq(run.beats[WORD_BEATS.bit_length() - 1 :]),
        ]
        m.d.comb += holds.eq(Mux(held, ~issue, self.runs.valid))
        for n, flag in enumerate(helds):
            part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
            with m.If(~flag):
                m.d.sync += run.as_value()[part].eq(self.runs.payload.as_value()[part])
        fits = [Signal(name=f"fits_{n}", reset_less=True) for n in range(PORTS)]
        m.d.sync += [
            *(fit.eq(places_free >= size) for fit, places_free in zip(fits, free, strict=True)),
            # Gates, not a choice: that would become a reset, a further net.
            settled.eq(Cat(1, settled[:-1]) & (held & ~issue).replicate(len(settled))),
            room.eq(
                Cat(direct | (~turn & fits[0]), ~direct & turn & fits[1])
                & (places < RUNS - 1).replicate(PORTS)
            ),
            sending.eq((held & ~issue).replicate(PORTS) & (sending | (settled[-1].replicate(PORTS) & room))),
            places.eq(counted(places, queued, ended)),
            turn.eq(turn ^ queued),
        ]
        for n, master in enumerate(masters):
            m.d.comb += [master.runs.valid.eq(sending[n]), master.runs.payload.eq(run)]
            change = Signal(signed(len(size) + 1), name=f"change_{n}")
            gives = queued & (turn == n)
            m.d.sync += [
                change.eq(taken[n] - Mux(gives, size, 0)),
                free[n].eq(free[n] + change),
            ]
        m.d.comb += [
            order.push.eq(queued),
            order.payload.words.eq(size),
            order.payload.single.eq(size == 1),
        ]
        self._asks = held | (places != 0)

    def _give(self, m, queues, order):
        """Words of the run whose turn it is; whether none is on its way."""
        m.submodules.out = out = WideQueue(STREAM_BITS, OUT)
        size = order.o.payload
        left = Signal.like(size.words)
        # Whose words go on, a bit for each port; copies for the queues, for what follows from a word that is
        # taken, and of its run's last word, so that they share nothing.
        for_queues, takes, ends = (
            [Signal(name=f"{name}_{n}", attrs=KEEP) for n in range(PORTS)]
            for name in ("gives", "takes", "ends")
        )
        rests = Signal(init=1)
        go, go_too = (Signal(name=f"go_{n}", attrs=KEEP) for n in range(2))
        used = Signal(range(OUT))
        take = Signal()
        end = Signal()
        fresh = Signal()
        ports = [Signal(name=f"port_{n}", attrs=KEEP) for n in range(1 + -(-STREAM_BITS // _SHARED_BITS))]
        """Whose words go on, also of those between: for what decides, and for parts of a word."""
        port = ports[0]
        there = Cat(queue.o.valid for queue in queues)
        m.d.comb += [
            take.eq(go_too & (Cat(takes) & there).any()),
            end.eq(go_too & (Cat(ends) & there).any()),
            fresh.eq(rests | end),
            order.o.ready.eq(fresh),
            *(queue.o.ready.eq(flag & go) for queue, flag in zip(queues, for_queues, strict=True)),
        ]
        m.d.sync += [
            self._ended.eq(end),
            rests.eq(fresh & ~order.o.valid),
            *(each.eq(each ^ (fresh & order.o.valid)) for each in ports),
        ]
        for flags in (for_queues, takes):
            for flag, begins in zip(flags, (port, ~port), strict=True):
                m.d.sync += flag.eq(Mux(fresh, order.o.valid & begins, flag))
        for flag, mine, begins in zip(ends, takes, (port, ~port), strict=True):
            following = Mux(take, mine & (left == 2), flag)
            m.d.sync += flag.eq(Mux(fresh, order.o.valid & begins & size.single, following))
        with m.If(fresh):
            m.d.sync += left.eq(size.words)
        with m.Elif(take):
            m.d.sync += left.eq(left - 1)
        word = Signal(STREAM_BITS, reset_less=True)
        push = Cat(copies(m, take, PUSHES, "push", reset_less=False))
        for n, select in enumerate(ports[1:]):
            part = slice(_SHARED_BITS * n, _SHARED_BITS * (n + 1))
            m.d.sync += word[part].eq(Mux(select, queues[1].o.payload[part], queues[0].o.payload[part]))
        gone = Signal()
        m.d.comb += [
            out.push.eq(push),
            out.payload.eq(word),
            gone.eq(self.words.valid & self.words.ready),
        ]
        connect(m, out.o, flipped(self.words))
        m.d.sync += [
            used.eq(counted(used, take, gone)),
            *(flag.eq(used < OUT - AHEAD) for flag in (go, go_too)),
        ]
        return ~self._asks & (used == 0)
