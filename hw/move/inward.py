"""From memory: beats that have arrived, into words of scratch or pairs of local memory."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.channel.ports import WORD_BITS, local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.move.beat_buffer import BEATS_ASKED_FOR, BeatBuffer
from cpt.hw.move.command import beats_of_word
from cpt.hw.move.places import ADDRESS
from cpt.hw.move.widen import Widen
from cpt.hw.move.word_builder import WordBuilder
from cpt.hw.vector.ports import scratch_write


class Inward(wiring.Component):
    """Writes words one after the other, as they come.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``local``: pairs of local memory are written, else words of scratch; ``bytes``: lanes come as
    bytes; ``addr`` (in); ``taken``, ``beats``, ``room``, ``beat_valid``, ``beat`` as in `BeatBuffer`;
    ``scratch``, ``pairs``: the ports; ``done``: the last word is written.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config = config
        super().__init__(
            {
                "local": In(1),
                "bytes": In(1),
                "addr": In(stream.Signature(ADDRESS)),
                **BEATS_ASKED_FOR,
                "scratch": Out(scratch_write(config, words)),
                "pairs": Out(local_write()),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = BeatBuffer()
        m.submodules.widen = widen = Widen()
        m.submodules.builder = builder = WordBuilder(beats_of_word(self.config))
        connect(m, buffer.o, widen.i)
        m.submodules.places = places = Queue(ADDRESS, 2)
        connect(m, flipped(self.addr), places.i)
        scratch, local = self.scratch, self.pairs
        pairs = Signal()
        m.d.sync += pairs.eq(self.local)
        place = places.o.payload
        m.d.comb += [
            buffer.taken.eq(self.taken),
            buffer.beats.eq(self.beats),
            self.room.eq(buffer.room),
            buffer.beat_valid.eq(self.beat_valid),
            buffer.beat.eq(self.beat),
            widen.bytes.eq(self.bytes),
            builder.i.valid.eq(widen.o.valid & ~pairs),
            builder.i.payload.eq(widen.o.payload),
            scratch.valid.eq(builder.o.valid & places.o.valid),
            scratch.addr.eq(place.place),
            scratch.data.eq(builder.o.payload),
            local.valid.eq(widen.o.valid & places.o.valid & pairs),
            local.addr.eq(place.place),
            local.en.eq(~0),
            *(
                local.data[number].eq(widen.o.payload.word_select(number, WORD_BITS))
                for number in range(BEAT_BITS // WORD_BITS)
            ),
        ]
        word, pair = Signal(), Signal()
        m.d.comb += [
            word.eq(scratch.valid & scratch.ready),
            pair.eq(local.valid & local.ready),
            builder.o.ready.eq(places.o.valid & scratch.ready),
            widen.o.ready.eq(pair | (~pairs & builder.i.ready)),
            places.o.ready.eq(word | pair),
        ]
        m.d.sync += self.done.eq((word | pair) & place.last)
        return m
