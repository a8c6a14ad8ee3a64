"""From scratch or local memory: what is read, as beats for a write master."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.bus.write_master import Beats
from cpt.hw.channel.ports import WORD_BITS, local_read
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.move.command import beats_of_word
from cpt.hw.move.places import ADDRESS
from cpt.hw.move.word_splitter import WordSplitter
from cpt.hw.vector.ports import scratch_read

WORDS, PAIRS, BEATS = 8, 8, 4
"""Most words and pairs that are asked for and not yet sent; beats behind them."""


class Outward(wiring.Component):
    """Reads words one after the other, as many ahead as there is room for.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``local``: pairs of local memory are read, else words of scratch; ``addr`` (in); ``scratch``,
    ``pairs``: the ports; ``beats`` (out), one a cycle.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config = config
        super().__init__(
            {
                "local": In(1),
                "addr": In(stream.Signature(ADDRESS)),
                "scratch": Out(scratch_read(config, words)),
                "pairs": Out(local_read()),
                "beats": Out(stream.Signature(BEAT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.splitter = splitter = WordSplitter(beats_of_word(self.config), WORDS)
        m.submodules.words = words = Outstanding(WORDS)
        m.submodules.pairs_ahead = pairs = Outstanding(PAIRS)
        m.submodules.queue = queue = Beats(BEATS)
        scratch, local = self.scratch, self.pairs
        m.d.comb += [
            scratch.valid.eq(self.addr.valid & ~self.local & ~words.full),
            scratch.addr.eq(self.addr.payload.place),
            local.valid.eq(self.addr.valid & self.local & ~pairs.full),
            local.addr.eq(self.addr.payload.place),
            words.issue.eq(scratch.valid & scratch.ready),
            pairs.issue.eq(local.valid & local.ready),
            self.addr.ready.eq(words.issue | pairs.issue),
            words.finish.eq(splitter.gone),
            splitter.word.eq(scratch.data),
        ]
        # The splitter knows a cycle before that a word comes.
        coming_words = Signal(MACHINE.scratch_cycles - 1)
        coming_pairs = Signal(MACHINE.local_cycles)
        m.d.sync += [
            coming_words.eq(Cat(words.issue, coming_words)),
            coming_pairs.eq(Cat(pairs.issue, coming_pairs)),
        ]
        m.d.comb += splitter.push.eq(coming_words[-1])
        queues = []
        for number in range(len(local.data)):
            queues.append(RoomyQueue(WORD_BITS, PAIRS))
            m.submodules[f"queue_{number}"] = queues[-1]
            m.d.comb += [
                queues[-1].push.eq(coming_pairs[-1]),
                queues[-1].payload.eq(local.data[number]),
                queues[-1].o.ready.eq(self.local & queue.i.ready),
            ]
        m.d.comb += [
            pairs.finish.eq(queues[0].o.valid & self.local & queue.i.ready),
            splitter.o.ready.eq(~self.local & queue.i.ready),
            queue.i.valid.eq(Mux(self.local, queues[0].o.valid, splitter.o.valid)),
            queue.i.payload.eq(Mux(self.local, Cat(part.o.payload for part in queues), splitter.o.payload)),
            self.beats.valid.eq(queue.o.valid),
            self.beats.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.beats.ready),
        ]
        return m
