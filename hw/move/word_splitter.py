"""Words of scratch to beats."""

from amaranth import Array, Module, Signal
from amaranth.lib import wiring
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

    Parameters: ``parts``, at least 2, and ``depth``, powers of two.
    Members: ``push``: a word comes in the next cycle; ``word``; ``room``: a beat may go now; ``goes``: one
    does, and ``valid``, ``beat`` show it `latency_cycles` later; ``gone``: it is the last of its word.
    A beat a cycle.
    """

    latency_cycles = 2
    """The part's number; the part."""

    def __init__(self, parts: int, depth: int):
        self.parts, self.depth = parts, depth
        super().__init__(
            {
                "push": In(1),
                "word": In(parts * BEAT_BITS),
                "room": In(1),
                "goes": Out(1),
                "gone": Out(1),
                "valid": Out(1),
                "beat": Out(BEAT_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        banks = range(0, BEAT_BITS, BANK_BITS)
        pushes = copies(m, self.push, self.parts * len(banks), "pushes", reset_less=False)
        place = Signal(self.parts, init=1)
        """The part that comes next, a bit each."""
        number = Signal(range(self.parts))
        went = Signal()
        queues = []
        for part in range(self.parts):
            # It is taken in the cycle after, from where it is read then: no part goes twice in two cycles.
            taken = Signal(name=f"taken_{part}", attrs=KEEP)
            m.d.sync += taken.eq(self.goes & place[part])
            for low in banks:
                queue = RoomyQueue(BANK_BITS, self.depth)
                m.submodules[f"queue_{part}_{low}"] = queue
                m.d.comb += [
                    queue.push.eq(pushes[len(queues)]),
                    queue.payload.eq(self.word[part * BEAT_BITS + low :][:BANK_BITS]),
                    queue.o.ready.eq(taken),
                ]
                queues.append(queue)
        m.d.comb += [
            # All parts come together.
            self.goes.eq(self.room & (queues[0].o.valid | ~place[0])),
            self.gone.eq(self.goes & place[-1]),
        ]
        with m.If(self.goes):
            m.d.sync += [place.eq(place.rotate_left(1)), number.eq(number + 1)]
        m.d.sync += [went.eq(self.goes), self.valid.eq(went)]
        for low in range(0, BEAT_BITS, _SELECT_LOADS):
            which = Signal(range(self.parts), name=f"which_{low}", attrs=KEEP)
            bank, bit = divmod(low, BANK_BITS)
            choices = Array(
                queues[part * len(banks) + bank].o.payload[bit : bit + _SELECT_LOADS]
                for part in range(self.parts)
            )
            m.d.sync += [
                which.eq(number),
                self.beat[low : low + _SELECT_LOADS].eq(choices[which]),
            ]
        return m
