"""Fetches instructions from the command ring."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.machine import FETCH_INSTRUCTIONS, INSTRUCTION_BEATS, MACHINE
from cpt.hw.contract.regs import RING_ALIGNMENT, RING_LOG2_MAX
from cpt.hw.control.queue import Queue
from cpt.hw.control.reach import ADDRESS_BITS, WINDOW
from cpt.hw.layouts import INSTRUCTION_BITS


class Ring(wiring.Component):
    """Reads instructions while ``tail`` is ahead and there is room for a whole burst.

    Members: ``base``, ``log2``, ``tail``: the ring registers; ``head``: instructions handed on;
    ``instructions`` (out), with ``unreadable``: a beat of it came with an error response; ``mask``: ring
    size - 1; ``window``: what may be read; ``bad``: there is something to read, but the ring is misaligned,
    too large or not inside the window, so nothing is read; ``ar``, ``r`` (AXI); ``stop``, ``quiet`` as in
    `ReadMaster`; ``idle``: everything up to ``tail`` was handed on.
    """

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
                "idle": Out(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.master = master = ReadMaster()
        entry = data.StructLayout({"word": INSTRUCTION_BITS, "unreadable": 1})
        m.submodules.queue = queue = Queue(entry, MACHINE.prefetch_instructions)
        connect(m, master.ar, flipped(self.ar))
        connect(m, flipped(self.r), master.r)
        m.d.comb += [
            self.instructions.valid.eq(queue.o.valid),
            self.instructions.payload.eq(queue.o.payload.word),
            self.unreadable.eq(queue.o.payload.unreadable),
            queue.o.ready.eq(self.instructions.ready),
        ]

        requested = Signal(32)
        held = Signal(range(MACHINE.prefetch_instructions + 1))
        """Requested and not yet handed on."""
        available, aligned, count = (
            Signal(32),
            Signal(range(FETCH_INSTRUCTIONS + 1)),
            Signal(range(FETCH_INSTRUCTIONS + 1)),
        )
        burst_mask = Signal(range(FETCH_INSTRUCTIONS))
        # Base, size and window stand still while anything is to be read, so there is time to look at them.
        end, sound = Signal(ADDRESS_BITS + 1, reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            end.eq(self.base + (INSTRUCTION_BYTES << self.log2)),
            sound.eq(
                (self.base % RING_ALIGNMENT == 0)
                & (self.log2 <= RING_LOG2_MAX)
                & (self.base >= self.window.base)
                & (end <= self.window.limit)
            ),
        ]
        m.d.comb += self.bad.eq((available != 0) & ~sound & ~self.stop)
        request = Signal()
        m.d.comb += [
            self.mask.eq((1 << self.log2[:5]) - 1),
            burst_mask.eq(self.mask),
            available.eq(self.tail - requested),
            aligned.eq(burst_mask + 1 - (requested & burst_mask)),
            count.eq(Mux(available < aligned, available, aligned)),
            master.runs.valid.eq(
                (available != 0) & sound & (held <= MACHINE.prefetch_instructions - FETCH_INSTRUCTIONS)
            ),
            master.runs.payload.addr.eq(
                self.base + ((requested & self.mask) << (INSTRUCTION_BYTES - 1).bit_length())
            ),
            master.runs.payload.beats.eq(count * INSTRUCTION_BEATS),
            request.eq(master.runs.valid & master.runs.ready),
            master.stop.eq(self.stop),
            self.quiet.eq(master.quiet),
            self.idle.eq((available == 0) & (held == 0)),
        ]
        handed_on = self.instructions.valid & self.instructions.ready
        m.d.sync += [held.eq(held + Mux(request, count, 0) - handed_on), self.head.eq(self.head + handed_on)]
        with m.If(request):
            m.d.sync += requested.eq(requested + count)

        # The last beat completes an instruction, the ones before wait here.
        beats = Signal(64 * (INSTRUCTION_BEATS - 1))
        index = Signal(range(INSTRUCTION_BEATS))
        complete, refused = Signal(), Signal()
        m.d.comb += [
            complete.eq(master.beat_valid & (index == INSTRUCTION_BEATS - 1)),
            queue.i.valid.eq(complete),
            queue.i.payload.word.eq(Cat(beats, master.beat)),
            queue.i.payload.unreadable.eq(refused | master.error),
        ]
        with m.If(master.beat_valid):
            m.d.sync += [
                index.eq(index + 1),
                beats.eq(Cat(beats[64:], master.beat)),
                refused.eq(~complete & (refused | master.error)),
            ]
        return m
