"""Fetches instructions from the command ring."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.machine import FETCH_INSTRUCTIONS, INSTRUCTION_BEATS, MACHINE
from cpt.hw.contract.regs import RING_ALIGNMENT, RING_LOG2_MAX
from cpt.hw.control.reach import ADDRESS_BITS, WINDOW
from cpt.hw.control.words import Words
from cpt.hw.layouts import INSTRUCTION_BITS

_BYTE_BITS = (INSTRUCTION_BYTES - 1).bit_length()


class Ring(wiring.Component):
    """Reads instructions while ``tail`` is ahead and there is room for a whole burst.

    Members: ``base``, ``log2``, ``tail``: the ring registers; ``head``: instructions handed on;
    ``instructions`` (out, one every other cycle at most), with ``unreadable``: a beat of it came with an
    error response; ``mask``: ring size - 1; ``window``: what may be read; ``bad``: there is something to
    read, but the ring is misaligned, too large or not inside the window, so nothing is read; ``ar``, ``r``
    (AXI); ``stop``, ``quiet`` as in `ReadMaster`; ``idle``: a cycle ago everything up to ``tail`` was handed
    on.
    The ring's place must stand still for `place_cycles` before ``tail`` moves.
    """

    place_cycles = 4

    def __init__(self):
        super().__init__(
            {
                "base": In(32),
                "log2": In(5),
                "tail": In(32),
                "head": Out(32),
                "mask": Out(RING_LOG2_MAX),
                "window": In(WINDOW),
                "bad": Out(1),
                "instructions": Out(stream.Signature(INSTRUCTION_BITS)),
                "unreadable": Out(1),
                **READ_STREAMS,
                "stop": In(1),
                "idle": Out(1, init=1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Words()
        connect(m, words.ar, flipped(self.ar))
        connect(m, flipped(self.r), words.r)
        connect(m, words.instructions, flipped(self.instructions))
        m.d.comb += [
            words.stop.eq(self.stop),
            self.quiet.eq(words.quiet),
            self.unreadable.eq(words.unreadable),
        ]

        requested = Signal(32)
        held = Signal(range(MACHINE.prefetch_instructions + 1))
        """Requested and not yet handed on; the low bits of both counts tell."""
        count = Signal(range(FETCH_INSTRUCTIONS + 1))
        """Of the run that is asked for, or would be."""
        asking = Signal()
        taken = Signal()
        counted = Signal()
        handed_on = Signal()
        m.d.comb += handed_on.eq(self.instructions.valid & self.instructions.ready)
        m.d.sync += [
            taken.eq(asking & words.runs.ready),
            counted.eq(taken),
            requested.eq(requested + Mux(taken, count, 0)),
            self.head.eq(self.head + handed_on),
            # All ones and a carry into them: equality that needs one carry chain, not three LUTs in a row.
            self.idle.eq((Const(1, 32) + ~(self.tail ^ self.head))[-1]),
        ]
        m.d.comb += held.eq(requested - self.head)

        # Base, size and window stand still while anything is to be read, so there is time to look at them.
        end = Signal(ADDRESS_BITS + 1, reset_less=True)
        """The ring's last byte, if its base is aligned."""
        placed, begins, ends, sound = (
            Signal(reset_less=True, name=name) for name in ("placed", "begins", "ends", "sound")
        )
        last_byte = Cat(Const(INSTRUCTION_BYTES - 1, _BYTE_BITS), self.mask)
        m.d.sync += [
            self.mask.eq(Cat(self.log2 > bit for bit in range(len(self.mask)))),
            end.eq(self.base + last_byte),
            placed.eq((self.base % RING_ALIGNMENT == 0) & (self.log2 <= RING_LOG2_MAX)),
            begins.eq(self.base >= self.window.base),
            ends.eq(end < self.window.limit),
            sound.eq(placed & begins & ends),
        ]

        # How many to ask for, and where: from register to register, so what was taken shows two cycles later.
        gap = Signal(32, reset_less=True)
        addr = Signal(32, reset_less=True)
        within = Signal(range(FETCH_INSTRUCTIONS))
        aligned = Signal(range(FETCH_INSTRUCTIONS + 1))
        few = gap[: len(within)]
        room = Signal()
        many = Signal()
        some = Signal()
        m.d.comb += [
            within.eq(self.mask),
            many.eq(gap[len(within) :].any()),
            some.eq(many | few.any()),
            words.runs.valid.eq(asking),
            words.runs.payload.addr.eq(addr),
            words.runs.payload.beats.eq(count * INSTRUCTION_BEATS),
        ]
        m.d.sync += [
            gap.eq(self.tail - requested),
            aligned.eq(within + 1 - (requested & within)),
            room.eq(held <= MACHINE.prefetch_instructions - FETCH_INSTRUCTIONS),
            addr.eq(self.base + ((requested & self.mask) << _BYTE_BITS)),
            self.bad.eq(some & ~sound & ~self.stop),
        ]
        with m.If(asking):
            m.d.sync += asking.eq(~words.runs.ready)
        with m.Elif(~taken & ~counted):
            m.d.sync += [
                asking.eq(some & room & sound),
                count.eq(Mux(many | (few >= aligned), aligned, few)),
            ]

        return m
