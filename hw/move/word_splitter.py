"""Words of scratch to beats."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.matrix.copies import KEEP, copies

BANK_BITS = BEAT_BITS // 2
"""Bits that share pointers: memory in LUTs has three address pins for six bits."""
_SELECT_LOADS = 8
"""Bits of a beat that share a select."""


class WordSplitter(wiring.Component):
    """Gives words as ``parts`` beats each, the lowest first. Who pushes counts: ``depth`` words at most.

    Parameters: ``parts``, a power of two; ``depth``, a power of two.
    Members: ``push``: a word comes in the next cycle; ``word``; ``o``, a beat a cycle; ``gone``: the last
    beat of a word is on its way.
    """

    latency_cycles = 2
    """From a word to its first beat."""

    def __init__(self, parts: int, depth: int):
        self.parts, self.depth = parts, depth
        super().__init__(
            {
                "push": In(1),
                "word": In(parts * BEAT_BITS),
                "o": Out(stream.Signature(BEAT_BITS)),
                "gone": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        banks = range(0, BEAT_BITS, BANK_BITS)
        pushes = copies(m, self.push, self.parts * len(banks), "pushes", reset_less=False)
        step, advance = Signal(), Signal()
        place = Signal(self.parts, init=1)
        """The part that comes next, a bit each."""
        queues = []
        for part in range(self.parts):
            for low in banks:
                queue = RoomyQueue(BANK_BITS, self.depth)
                m.submodules[f"queue_{part}_{low}"] = queue
                m.d.comb += [
                    queue.push.eq(pushes[len(queues)]),
                    queue.payload.eq(self.word[part * BEAT_BITS + low :][:BANK_BITS]),
                    queue.o.ready.eq(step & place[part]),
                ]
                queues.append(queue)
        m.d.comb += [
            step.eq(~self.o.valid | self.o.ready),
            # All parts come together, and each leaves in its turn.
            advance.eq(step & queues[-1].o.valid),
            self.gone.eq(advance & place[-1]),
        ]
        with m.If(step):
            m.d.sync += self.o.valid.eq(queues[-1].o.valid)
        with m.If(advance):
            m.d.sync += place.eq(place.rotate_left(1))
        for low in range(0, BEAT_BITS, _SELECT_LOADS):
            which = Signal(range(self.parts), name=f"which_{low}", attrs=KEEP)
            bank, bit = divmod(low, BANK_BITS)
            choices = Array(
                queues[part * len(banks) + bank].o.payload[bit : bit + _SELECT_LOADS]
                for part in range(self.parts)
            )
            with m.If(advance):
                m.d.sync += which.eq(Mux(place[-1], 0, which + 1))
            with m.If(step):
                m.d.sync += self.o.payload[low : low + _SELECT_LOADS].eq(choices[which])
        return m
