"""Two result tiles between collector and drain."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import result_row, result_rows


class ResultBuffer(wiring.Component):
    """Memory of whole rows: one write port, a read port for the collector and one for the drain.

    Addresses are ``tile * (rows + 1) + row``. The drain's read latency is one cycle, and its port holds its
    data while ``drain_en`` is low; the collector's is two, with the memory's output register.
    """

    latency_cycles = MACHINE.result_buffer_cycles
    old_latency_cycles = MACHINE.old_row_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.depth_rows = MACHINE.result_tiles * result_rows(config)
        address, row = range(self.depth_rows), result_row(config)
        super().__init__(
            {
                "write_en": In(1),
                "write_addr": In(address),
                "write_row": In(row),
                "old_addr": In(address),
                "old_row": Out(row),
                "drain_en": In(1),
                "drain_addr": In(address),
                "drain_row": Out(row),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=result_row(self.config), depth=self.depth_rows, init=[])
        write, old, drain = memory.write_port(), memory.read_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_row),
            old.addr.eq(self.old_addr),
            drain.en.eq(self.drain_en),
            drain.addr.eq(self.drain_addr),
            self.drain_row.eq(drain.data),
        ]
        old_row = Signal(result_row(self.config), reset_less=True)
        m.d.sync += old_row.eq(old.data)
        m.d.comb += self.old_row.eq(old_row)
        return m
