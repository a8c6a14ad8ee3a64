"""Codes one by one to planes of a K step."""

from amaranth import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.layouts import BEAT_BITS, BITS_WIDTH
from cpt.hw.matrix.copies import KEEP
from cpt.hw.move.pack_command import step_beats

_COPY_BITS = 32
"""Bits that share an enable."""
_FOUR = 4
_READS = 8
"""Beats between the memory and the output, at most."""


class PlaneBuffer(wiring.Component):
    """Collects the codes of a K step, 64 to a beat of every plane, and gives its planes one after the other.

    The planes of a beat are complete one cycle after the other, as their bits come later and later.

    Parameters: ``config``.
    Members: ``valid``, ``code``, ``last``: the next code, and whether it ends the K step; ``bits``: planes
    that are given; ``full``: all codes are in; ``beats`` (out): those of plane 0, then of plane 1, a beat a
    cycle; ``empty``: the last one is read, codes may come again.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "code": In(MAX_BITS),
                "last": In(1),
                "bits": In(BITS_WIDTH),
                "full": Out(1),
                "beats": Out(stream.Signature(BEAT_BITS)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = step_beats(self.config)
        beat_bits = (count - 1).bit_length()
        memory = Memory(shape=unsigned(BEAT_BITS), depth=MAX_BITS << beat_bits, init=[])
        m.submodules.memory = memory
        self._collect(m, memory.write_port(), count, beat_bits)
        self._give(m, memory.read_port(), count, beat_bits)
        return m

    def _collect(self, m, write, count, beat_bits):
        # What a last beat has beyond the codes is 0.
        padding = Signal()
        place = Signal(range(BEAT_BITS))
        taken = Signal()
        code = Signal(MAX_BITS)
        ends = Signal()
        closes = Signal()
        m.d.comb += [
            taken.eq(self.valid | padding),
            closes.eq(taken & ends & (padding | self.last)),
        ]
        with m.If(taken):
            m.d.sync += [place.eq(place + 1), ends.eq(place == BEAT_BITS - 2)]
        m.d.sync += padding.eq(((self.valid & self.last) | padding) & ~ends)

        # Plane n gets its bit n cycles later than plane 0.
        stage = data.StructLayout({"code": MAX_BITS, "beat": 1, "last": 1})
        later = Signal(data.ArrayLayout(stage, MAX_BITS + 1), reset_less=True)
        moves = Signal(MAX_BITS)
        m.d.comb += code.eq(Mux(padding, 0, self.code))
        m.d.sync += [
            later[0].code.eq(code),
            later[0].beat.eq(taken & ends),
            later[0].last.eq(closes),
            *(later[n].eq(later[n - 1]) for n in range(1, MAX_BITS + 1)),
            moves.eq(Cat(taken, moves)),
        ]
        planes = []
        for n in range(MAX_BITS):
            parts = []
            for low in range(0, BEAT_BITS, _COPY_BITS):
                move = Signal(name=f"move_{n}_{low}", attrs=KEEP)
                part = Signal(_COPY_BITS, name=f"plane_{n}_{low}", reset_less=True)
                m.d.sync += move.eq(moves[n - 1] if n else taken)
                parts.append((move, part))
            bits = Cat(part for _, part in parts)
            shifted = Cat(bits[1:], later[n].code[n])
            for number, (move, part) in enumerate(parts):
                with m.If(move):
                    m.d.sync += part.eq(shifted[number * _COPY_BITS : (number + 1) * _COPY_BITS])
            planes.append(bits)

        # A beat of plane n is there a cycle after its last bit; it is chosen in two steps.
        which = Signal(range(MAX_BITS))
        beat = Signal(beat_bits)
        writing = Signal()
        more = Signal()
        ended = Signal()
        m.d.comb += [writing.eq(later[0].beat | more), self.full.eq(ended)]
        fours = Signal(data.ArrayLayout(BEAT_BITS, MAX_BITS // _FOUR), reset_less=True)
        low_copies = [Signal(2, name=f"low_{bit}", attrs=KEEP) for bit in range(0, BEAT_BITS, 4)]
        m.d.sync += more.eq(writing & (which != MAX_BITS - 1))
        with m.If(writing):
            m.d.sync += which.eq(which + 1)
            with m.If(which == MAX_BITS - 1):
                m.d.sync += beat.eq(Mux(beat == count - 1, 0, beat + 1))
        for index, low in enumerate(low_copies):
            m.d.sync += low.eq(which[:2])
            part = slice(4 * index, 4 * index + 4)
            for number in range(MAX_BITS // _FOUR):
                choices = Array(plane[part] for plane in planes[_FOUR * number :][:_FOUR])
                m.d.sync += fours[number][part].eq(choices[low])
        high_copies = [Signal(2, name=f"high_{bit}", attrs=KEEP) for bit in range(0, BEAT_BITS, 16)]
        stored = Signal(BEAT_BITS, reset_less=True)
        enable = Signal(3)
        where = Signal(data.ArrayLayout(beat_bits + 4, 3), reset_less=True)
        m.d.sync += [
            *(high.eq(where[0][beat_bits + 2 :]) for high in high_copies),
            enable.eq(Cat(writing, enable)),
            where[0].eq(Cat(beat, which)),
            where[1].eq(where[0]),
            where[2].eq(where[1]),
        ]
        for index, high in enumerate(high_copies):
            part = slice(16 * index, 16 * index + 16)
            m.d.sync += stored[part].eq(Array(four[part] for four in fours)[high])
        m.d.comb += [write.en.eq(enable[-1]), write.addr.eq(where[2]), write.data.eq(stored)]
        # The last plane is written two cycles after it is chosen.
        m.d.sync += ended.eq(later[MAX_BITS].last)

    def _give(self, m, read, count, beat_bits):
        m.submodules.reads = reads = Outstanding(_READS)
        m.submodules.queue = queue = WideQueue(BEAT_BITS, _READS)
        connect(m, queue.o, flipped(self.beats))
        begins = Signal(3)
        active = Signal()
        plane = Signal(range(MAX_BITS))
        beat = Signal(beat_bits)
        beat_last = Signal()
        plane_last = Signal()
        fetch = Signal()
        ends = Signal()
        left = Signal(BITS_WIDTH)
        m.d.comb += [
            read.en.eq(1),
            read.addr.eq(Cat(beat, plane)),
            fetch.eq(active & ~reads.full),
            ends.eq(fetch & beat_last & plane_last),
            reads.issue.eq(fetch),
        ]
        m.d.sync += reads.finish.eq(self.beats.valid & self.beats.ready)
        m.d.sync += [
            begins.eq(Cat(self.full, begins)),
            active.eq(begins[-1] | (active & ~ends)),
            self.empty.eq(ends),
        ]
        with m.If(begins[-1]):
            m.d.sync += [left.eq(self.bits - 1), plane_last.eq(self.bits == 1), plane.eq(0)]
        with m.Elif(fetch & beat_last):
            m.d.sync += [left.eq(left - 1), plane_last.eq(left == 1), plane.eq(plane + 1)]
        with m.If(fetch):
            m.d.sync += [beat.eq(Mux(beat_last, 0, beat + 1)), beat_last.eq(beat == count - 2)]
        held = Signal(BEAT_BITS, reset_less=True)
        coming = Signal(2)
        m.d.sync += [held.eq(read.data), coming.eq(Cat(fetch, coming))]
        m.d.comb += [queue.push.eq(coming[-1].replicate(PUSHES)), queue.payload.eq(held)]
