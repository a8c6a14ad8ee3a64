"""Stream FIFO with a payload of any shape."""

from amaranth import Module, Shape
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.machine import MACHINE


class Queue(wiring.Component):
    """First-in first-out queue.

    Parameters: ``shape`` of the payload, ``depth`` in entries.
    Members: ``i`` and ``o`` streams, ``empty`` while nothing is stored.
    Latency one cycle, one transfer per cycle on each side.
    """

    latency_cycles = MACHINE.queue_cycles

    def __init__(self, shape, depth: int):
        self._shape, self._depth = shape, depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=Shape.cast(self._shape).width, depth=self._depth)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            self.o.payload.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o.ready),
            self.empty.eq(~fifo.r_rdy),
        ]
        return m
