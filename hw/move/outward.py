"""From scratch or local memory: what is read, as beats for a write master."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.channel.ports import local_read
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import copies
from cpt.hw.move.command import beats_of_word
from cpt.hw.move.places import ADDRESS
from cpt.hw.move.word_splitter import WordSplitter
from cpt.hw.vector.ports import late_read

BANKS = 2
"""Parts of a beat with a flag of their own."""
WORDS, PAIRS, BEATS = 8, 8, 8
"""Most words and pairs that are asked for and not yet sent; beats behind them."""


class Outward(wiring.Component):
    """Reads words one after the other, as many ahead as there is room for.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``local``: pairs of local memory are read, else words of scratch; ``addr`` (in); ``scratch``,
    ``pairs``: the ports; ``beats`` (out), one a cycle; ``empty``: all addresses' beats have left.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config = config
        super().__init__(
            {
                "local": In(1),
                "addr": In(stream.Signature(ADDRESS)),
                "scratch": Out(late_read(config, words)),
                "pairs": Out(local_read()),
                "beats": Out(stream.Signature(BEAT_BITS)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.places = places = Queue(ADDRESS, 2)
        m.submodules.splitter = splitter = WordSplitter(beats_of_word(self.config), WORDS)
        m.submodules.words = words = Outstanding(WORDS)
        m.submodules.pairs_ahead = pairs = Outstanding(PAIRS)
        m.submodules.waiting = waiting = WideQueue(BEAT_BITS, PAIRS)
        m.submodules.room = room = Outstanding(BEATS)
        m.submodules.queue = queue = WideQueue(BEAT_BITS, BEATS)
        connect(m, flipped(self.addr), places.i)
        connect(m, queue.o, flipped(self.beats))
        scratch, local = self.scratch, self.pairs
        of_pairs = copies(m, self.local, 1 + BANKS, "of_pairs")
        m.d.comb += [
            scratch.valid.eq(places.o.valid & ~of_pairs[0] & ~words.full),
            scratch.addr.eq(places.o.payload.place),
            local.valid.eq(places.o.valid & of_pairs[0] & ~pairs.full),
            local.addr.eq(places.o.payload.place),
            words.issue.eq(scratch.valid & scratch.ready),
            pairs.issue.eq(local.valid & local.ready),
            places.o.ready.eq(words.issue | pairs.issue),
            splitter.word.eq(scratch.data),
            waiting.payload.eq(Cat(local.data)),
            self.empty.eq(places.empty & words.none & pairs.none & room.none),
        ]
        # The splitter knows a cycle before that a word comes.
        coming_pairs = Signal(MACHINE.local_cycles)
        m.d.sync += coming_pairs.eq(Cat(pairs.issue, coming_pairs))
        m.d.comb += [splitter.push.eq(scratch.arrives), waiting.push.eq(coming_pairs[-1].replicate(PUSHES))]

        # Both come to the queue, where there is a place for what has gone.
        goes = Signal()
        went = Signal()
        pair = Signal(BEAT_BITS, reset_less=True)
        m.d.comb += [
            splitter.room.eq(~room.full),
            goes.eq(waiting.o.valid & ~room.full),
            waiting.o.ready.eq(~room.full),
            room.issue.eq(splitter.goes | goes),
            words.finish.eq(splitter.gone),
            pairs.finish.eq(goes),
            queue.push.eq((splitter.valid | went).replicate(PUSHES)),
        ]
        m.d.sync += [
            room.finish.eq(self.beats.valid & self.beats.ready),
            went.eq(goes),
            pair.eq(waiting.o.payload),
        ]
        for number in range(BANKS):
            part = slice(number * BEAT_BITS // BANKS, (number + 1) * BEAT_BITS // BANKS)
            m.d.comb += queue.payload[part].eq(Mux(of_pairs[1 + number], pair[part], splitter.beat[part]))
        return m
