"""Beats of a read master to instruction words."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.machine import INSTRUCTION_BEATS, MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import BEAT_BITS, INSTRUCTION_BITS
from cpt.hw.matrix.copies import copies


class Words(wiring.Component):
    """Collects beats to instructions and keeps `Machine.prefetch_instructions` of them.

    Beats are taken at once, so no more may be asked for than there is room.

    Members: ``beat_valid``, ``beat``, ``error`` as `ReadMaster` gives them; ``instructions`` (out, one every
    other cycle at most), with ``unreadable``: a beat of it came with an error response.
    """

    def __init__(self):
        super().__init__(
            {
                "beat_valid": In(1),
                "beat": In(BEAT_BITS),
                "error": In(1),
                "instructions": Out(stream.Signature(INSTRUCTION_BITS)),
                "unreadable": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        handed_on = Signal()
        m.d.comb += handed_on.eq(self.instructions.valid & self.instructions.ready)
        # Beats lie in queues by their place in the instruction, which is there when the last one is. The
        # queues hear a cycle late that it was handed on: one net would have too many loads.
        place, refused = Signal(INSTRUCTION_BEATS, init=1), Signal()
        last = place[-1]
        with m.If(self.beat_valid):
            m.d.sync += [place.eq(place.rotate_left(1)), refused.eq(~last & (refused | self.error))]
        left = copies(m, handed_on, INSTRUCTION_BEATS // 2, "left")
        payload = []
        for number in range(INSTRUCTION_BEATS):
            entry = data.StructLayout({"beat": BEAT_BITS, "unreadable": 1})
            m.submodules[f"beats_{number}"] = queue = Queue(entry, MACHINE.prefetch_instructions)
            m.d.comb += [
                queue.i.valid.eq(self.beat_valid & place[number]),
                queue.i.payload.beat.eq(self.beat),
                queue.o.ready.eq(left[number // 2]),
            ]
            payload.append(queue.o.payload.beat)
        m.d.comb += [
            queue.i.payload.unreadable.eq(refused | self.error),
            self.unreadable.eq(queue.o.payload.unreadable),
            self.instructions.valid.eq(queue.o.valid & ~left[-1]),
            self.instructions.payload.eq(Cat(payload)),
        ]
        return m
