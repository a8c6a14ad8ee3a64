"""Result tiles between collector and drain."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import result_row, result_rows
from cpt.hw.matrix.copies import spread

PART_BITS = 24
"""Bits of a row that one memory holds: an address has a load for each of them where it reads."""


def places(adds: bool) -> int:
    """Result tiles that have room, with a collector that adds, or without."""
    return MACHINE.result_tiles if adds else MACHINE.step_result_tiles


class ResultBuffer(wiring.Component):
    """Memory of whole rows: one write port, a read port for the drain, one for a collector that ``adds``.

    Addresses are ``tile * (rows + 1) + row``. Every memory has its own copy of each address, so
    ``write_addr`` and ``write_en`` come `address_cycles` before ``write_row``. ``old_row`` comes
    `old_latency_cycles` after ``old_addr``, with the memory's output register, ``drain_row`` `latency_cycles`
    after ``drain_addr``; a row a cycle.
    """

    address_cycles = MACHINE.result_address_cycles
    latency_cycles = MACHINE.result_buffer_cycles
    old_latency_cycles = MACHINE.old_row_cycles

    def __init__(self, config: ArrayConfig, *, adds: bool = True):
        self.config, self.adds = config, adds
        self.depth_rows = places(adds) * result_rows(config)
        address, row = range(self.depth_rows), result_row(config)
        super().__init__(
            {
                "write_en": In(1),
                "write_addr": In(address),
                "write_row": In(row),
                **({"old_addr": In(address), "old_row": Out(row)} if adds else {}),
                "drain_addr": In(address),
                "drain_row": Out(row),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = result_row(self.config).size
        parts = [slice(start, start + PART_BITS) for start in range(0, bits, PART_BITS)]
        write = Signal(data.StructLayout({"addr": len(self.write_addr), "en": 1}))
        m.d.comb += [write.addr.eq(self.write_addr), write.en.eq(self.write_en)]
        writes = spread(m, write, len(parts), "write")
        drains = spread(m, self.drain_addr, len(parts), "drain")
        memories = []
        for number, part in enumerate(parts):
            memory = Memory(shape=PART_BITS, depth=self.depth_rows, init=[])
            m.submodules[f"memory_{number}"] = memory
            memories.append(memory)
            into, drain = memory.write_port(), memory.read_port()
            m.d.comb += [
                into.en.eq(writes[number].en),
                into.addr.eq(writes[number].addr),
                into.data.eq(self.write_row.as_value()[part]),
                drain.addr.eq(drains[number]),
                self.drain_row.as_value()[part].eq(drain.data),
            ]
        if self.adds:
            olds = spread(m, self.old_addr, len(parts), "old")
            for number, (memory, part) in enumerate(zip(memories, parts, strict=True)):
                old = memory.read_port()
                old_row = Signal(PART_BITS, name=f"old_row_{number}", reset_less=True)
                m.d.sync += old_row.eq(old.data)
                m.d.comb += [old.addr.eq(olds[number]), self.old_row.as_value()[part].eq(old_row)]
        return m
