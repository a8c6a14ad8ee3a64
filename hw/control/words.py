"""Reads instruction words: a read master, and its beats collected."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.contract.machine import INSTRUCTION_BEATS, MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import BEAT_BITS, INSTRUCTION_BITS, RUN
from cpt.hw.matrix.copies import copies


class Words(wiring.Component):
    """Reads runs of instructions and keeps `Machine.prefetch_instructions` of them.

    Beats are taken at once, so no more may be asked for than there is room.

    Members: ``runs`` (in), of whole instructions; ``ar``, ``r`` (AXI); ``instructions`` (out, one every other
    cycle at most), with ``unreadable``: a beat of it came with an error response; ``stop``, ``quiet`` as in
    `ReadMaster`.
    """

    def __init__(self):
        super().__init__(
            {
                "runs": In(stream.Signature(RUN)),
                **READ_STREAMS,
                "instructions": Out(stream.Signature(INSTRUCTION_BITS)),
                "unreadable": Out(1),
                "stop": In(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.master = master = ReadMaster()
        connect(m, flipped(self.runs), master.runs)
        connect(m, master.ar, flipped(self.ar))
        connect(m, flipped(self.r), master.r)
        handed_on = Signal()
        m.d.comb += [
            master.stop.eq(self.stop),
            self.quiet.eq(master.quiet),
            handed_on.eq(self.instructions.valid & self.instructions.ready),
        ]
        # Beats lie in queues by their place in the instruction, which is there when the last one is. The
        # queues hear a cycle late that it was handed on: one net would have too many loads.
        place = Signal(INSTRUCTION_BEATS, init=1)
        refused = Signal()
        last = place[-1]
        with m.If(master.beat_valid):
            m.d.sync += [place.eq(place.rotate_left(1)), refused.eq(~last & (refused | master.error))]
        left = copies(m, handed_on, INSTRUCTION_BEATS // 2, "left")
        payload = []
        for number in range(INSTRUCTION_BEATS):
            entry = data.StructLayout({"beat": BEAT_BITS, "unreadable": 1})
            m.submodules[f"beats_{number}"] = queue = Queue(entry, MACHINE.prefetch_instructions)
            m.d.comb += [
                queue.i.valid.eq(master.beat_valid & place[number]),
                queue.i.payload.beat.eq(master.beat),
                queue.o.ready.eq(left[number // 2]),
            ]
            payload.append(queue.o.payload.beat)
        m.d.comb += [
            queue.i.payload.unreadable.eq(refused | master.error),
            self.unreadable.eq(queue.o.payload.unreadable),
            self.instructions.valid.eq(queue.o.valid & ~left[-1]),
            self.instructions.payload.eq(Cat(payload)),
        ]
        return m
