"""From memory: what has arrived, into words of scratch or pairs of local memory."""

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.channel.ports import WORD_BITS, local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.control.queue import Queue
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import copies
from cpt.hw.move.beat_buffer import BEATS_ASKED_FOR, BeatBuffer
from cpt.hw.move.places import ADDRESS
from cpt.hw.move.word_builder import WordBuilder
from cpt.hw.vector.ports import NUMBER_BITS, scratch_bank, scratch_word, scratch_write

_BYTE_BITS = 8
_SHARED_BITS = 32
"""Bits that share a choice."""


class Inward(wiring.Component):
    """Writes words one after the other, as they come: of scratch from words of the memory stream, or from
    beats whose bytes become numbers; of local memory from beats.

    Parameters: ``config``; ``words`` of scratch.
    Members: ``local``: pairs of local memory are written, else words of scratch; ``bytes``: lanes come as
    bytes; ``addr``, ``words`` (in); ``taken``, ``beats``, ``room``, ``beat_valid``, ``beat`` as in
    `BeatBuffer`; ``scratch``, ``pairs``: the ports; ``done``: the last word is written.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config = config
        super().__init__(
            {
                "local": In(1),
                "bytes": In(1),
                "addr": In(stream.Signature(ADDRESS)),
                "words": In(stream.Signature(STREAM_BITS)),
                **BEATS_ASKED_FOR,
                "scratch": Out(scratch_write(config, words)),
                "pairs": Out(local_write()),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = BeatBuffer()
        m.submodules.parts = parts = Queue(STREAM_BITS, 2)
        m.submodules.places = places = Queue(ADDRESS, 2)
        connect(m, flipped(self.addr), places.i)
        count = scratch_word(self.config).size // STREAM_BITS
        whole = parts.o
        if count > 1:
            m.submodules.builder = builder = WordBuilder(count, STREAM_BITS)
            connect(m, parts.o, builder.i)
            whole = builder.o
        scratch, local, place, beat = self.scratch, self.pairs, places.o.payload, buffer.o
        pairs = Signal()
        narrow = copies(m, self.bytes, 1 + STREAM_BITS // _SHARED_BITS, "narrow")
        free = Signal()
        m.d.sync += pairs.eq(self.local)
        widened = Cat(
            Cat(beat.payload.word_select(number, _BYTE_BITS), Const(0, NUMBER_BITS - _BYTE_BITS))
            for number in range(BEAT_BITS // _BYTE_BITS)
        )
        m.d.comb += [
            free.eq(Array(scratch.free)[scratch_bank(scratch.addr)]),
            buffer.taken.eq(self.taken),
            buffer.beats.eq(self.beats),
            self.room.eq(buffer.room),
            buffer.beat_valid.eq(self.beat_valid),
            buffer.beat.eq(self.beat),
            parts.i.valid.eq(Mux(narrow[0], beat.valid, self.words.valid)),
            self.words.ready.eq(parts.i.ready & ~narrow[0]),
            scratch.valid.eq(whole.valid & places.o.valid),
            scratch.addr.eq(place.place),
            scratch.data.eq(whole.payload),
            whole.ready.eq(places.o.valid & free),
            local.valid.eq(beat.valid & places.o.valid & pairs),
            local.addr.eq(place.place),
            local.en.eq(~0),
            *(
                local.data[number].eq(beat.payload.word_select(number, WORD_BITS))
                for number in range(BEAT_BITS // WORD_BITS)
            ),
        ]
        for number, flag in enumerate(narrow[1:]):
            part = slice(number * _SHARED_BITS, (number + 1) * _SHARED_BITS)
            m.d.comb += parts.i.payload[part].eq(Mux(flag, widened[part], self.words.payload[part]))
        word = Signal()
        pair = Signal()
        m.d.comb += [
            word.eq(scratch.valid & free),
            pair.eq(local.valid & local.ready),
            beat.ready.eq(pair | (narrow[0] & parts.i.ready)),
            places.o.ready.eq(word | pair),
        ]
        m.d.sync += self.done.eq((word | pair) & place.last)
        return m
