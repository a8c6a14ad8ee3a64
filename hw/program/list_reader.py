"""Reads a list of instructions from memory."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.contract.machine import FETCH_INSTRUCTIONS, INSTRUCTION_BEATS, MACHINE
from cpt.hw.contract.step import MARK_BITS, WORD_BYTES
from cpt.hw.control.guard import Guard
from cpt.hw.control.reach import WINDOW
from cpt.hw.control.words import Words
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.program.layouts import WORD_BITS

CALL = data.StructLayout({"address": 32, "count": MARK_BITS})
"""A list: byte address (a multiple of `WORD_BYTES`) and instructions."""
_BYTE_BITS = (WORD_BYTES - 1).bit_length()
_PLACE_BITS = (FETCH_INSTRUCTIONS - 1).bit_length()


class ListReader(wiring.Component):
    """Hands on the instructions of one list after the other, a burst read ahead where there is room.

    Members: ``calls`` (in); ``instructions`` (out, one every other cycle at most), with ``unreadable``: a
    beat of it came with an error response; ``window``: what may be read; ``leaves``: as `Guard` says it;
    ``ar``, ``r`` (AXI); ``stop``, ``quiet`` as in `ReadMaster`; ``idle``: a cycle ago everything that was
    called for was handed on.
    """

    def __init__(self):
        super().__init__(
            {
                "calls": In(stream.Signature(CALL)),
                "instructions": Out(stream.Signature(WORD_BITS)),
                "unreadable": Out(1),
                "window": In(WINDOW),
                "leaves": Out(1),
                **READ_STREAMS,
                "stop": In(1),
                "idle": Out(1, init=1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Words()
        m.submodules.guard = guard = Guard()
        connect(m, guard.runs, words.runs)
        connect(m, words.ar, flipped(self.ar))
        connect(m, flipped(self.r), words.r)
        connect(m, words.instructions, flipped(self.instructions))
        m.d.comb += [
            words.stop.eq(self.stop),
            self.quiet.eq(words.quiet),
            self.unreadable.eq(words.unreadable),
            guard.window.eq(self.window),
            self.leaves.eq(guard.leaves),
        ]

        place = Signal(32 - _BYTE_BITS, reset_less=True)
        """Of the next instruction to ask for, in instructions."""
        left = Signal(MARK_BITS)
        held = Signal(range(MACHINE.prefetch_instructions + 1))
        """Asked for and not yet handed on."""
        accepted = Signal()
        taken = Signal()
        handed_on = Signal()
        some = Signal()
        """Something is left."""
        asking = Signal()
        settled = Signal(4)
        """``settled``: what is known of the next run follows from what was taken before."""
        count = Signal(range(FETCH_INSTRUCTIONS + 1), reset_less=True)
        moved = copies(m, taken, 3, "moved", reset_less=False)
        """A run was taken, a cycle ago; so what of it counts shows a cycle later."""
        free = [Signal(name=f"free_{n}", init=1, attrs=KEEP) for n in range(3)]
        """``idle`` once more, for what loads the next list's place and length."""
        idle = Signal()
        m.d.comb += [
            self.calls.ready.eq(self.idle),
            accepted.eq(self.calls.valid & self.idle),
            handed_on.eq(self.instructions.valid & self.instructions.ready),
            taken.eq(asking & guard.asked.ready),
            # Nothing is left, and nothing of what was taken is not counted yet.
            idle.eq(~accepted & ~asking & ~moved[2] & ~some & (settled[-1] | self.idle) & (held == 0)),
        ]
        m.d.sync += held.eq(held + Mux(moved[2], count, 0) - handed_on)
        half, start, next_place = len(place) // 2, self.calls.payload.address >> _BYTE_BITS, place + count
        for flag, part in ((free[0], slice(None, half)), (free[2], slice(half, len(place)))):
            with m.If(flag):
                m.d.sync += place[part].eq(start[part])
            with m.Elif(moved[0]):
                m.d.sync += place[part].eq(next_place[part])
        with m.If(free[1]):
            m.d.sync += left.eq(Mux(self.calls.valid, self.calls.payload.count, 0))
        with m.Elif(moved[1]):
            m.d.sync += left.eq(left - count)

        # From register to register: how many to the end of a burst, how many are left, how many to ask for.
        aligned = Signal(range(FETCH_INSTRUCTIONS + 1), reset_less=True)
        many = Signal(reset_less=True)
        room = Signal(reset_less=True)
        few = Signal(_PLACE_BITS, reset_less=True)
        m.d.sync += [
            aligned.eq(FETCH_INSTRUCTIONS - place[:_PLACE_BITS]),
            many.eq(left[_PLACE_BITS:].any()),
            few.eq(left),
            room.eq(held <= MACHINE.prefetch_instructions - FETCH_INSTRUCTIONS),
            settled.eq(Cat(~(accepted | taken), settled) & ~(accepted | taken).replicate(len(settled))),
            some.eq(left.any()),
            *(flag.eq(idle) for flag in (self.idle, *free)),
        ]
        with m.If(asking):
            m.d.sync += asking.eq(~guard.asked.ready)
        with m.Else():
            m.d.sync += [
                asking.eq(settled[-1] & some & room & ~accepted),
                count.eq(Mux(many | (few >= aligned), aligned, few)),
            ]
        m.d.comb += [
            guard.asked.valid.eq(asking),
            guard.asked.payload.addr.eq(Cat(Const(0, _BYTE_BITS), place)),
            guard.asked.payload.beats.eq(count * INSTRUCTION_BEATS),
        ]
        return m
