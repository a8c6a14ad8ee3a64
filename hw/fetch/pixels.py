"""The window memories filled along K: dW's operand B behind the bus."""

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.tiles import PIECES
from cpt.hw.fetch.command import pixel_command
from cpt.hw.fetch.cutter import Cutter
from cpt.hw.fetch.pixel_fill import PixelFill
from cpt.hw.fetch.pixel_rows import PixelRows
from cpt.hw.fetch.ports import fetch_ports
from cpt.hw.fetch.slots import Slots
from cpt.hw.fetch.window_memory import HALVES, SHIFTS, WindowMemory


class Pixels(wiring.Component):
    """Data in address order in, pixels along K out: a word of every channel in both halves each cycle.

    It has window memories of its own until the fills share them.

    Parameters: ``config``.
    Members: `fetch_ports`.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(fetch_ports(config, pixel_command(config.b_depth_words)))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.cutter = cutter = Cutter(config)
        m.submodules.fill = fill = PixelFill(config, config.b_depth_words)
        m.submodules.rows = rows = PixelRows(config, config.b_depth_words)
        m.submodules.slots = slots = Slots(config)
        m.submodules.memory = memory = WindowMemory(config)
        connect(m, flipped(self.commands), fill.commands)
        connect(m, flipped(self.words), cutter.words)
        connect(m, cutter.steps, rows.pixels)
        connect(m, fill.rows, rows.rows)
        connect(m, fill.slots, slots.requests)
        connect(m, slots.tiles, flipped(self.tiles))
        connect(m, flipped(self.read), memory.read)
        m.d.comb += [
            cutter.flush.eq(rows.flush),
            fill.empty.eq(slots.empty & rows.idle),
            slots.release.eq(self.release),
            slots.filled.eq(rows.filled),
            self.idle.eq(fill.idle & rows.idle & slots.empty),
        ]
        write, half = rows.write, config.cols // HALVES
        for dy in range(SHIFTS):
            m.d.comb += [
                port[dy].eq(write.addr)
                for port in (memory.write.addr, memory.write.addr_first, memory.write.addr_last)
            ]
        for column in range(config.cols):
            for dx in range(SHIFTS):
                m.d.comb += memory.write.data[dx][column].eq(write.data[column % half])
            for tap in range(PIECES):
                on = rows.valid & write.piece[tap] & write.halves[column // half]
                m.d.comb += memory.write.en[tap][column].eq(Mux(on, write.parts, 0))
            m.d.comb += memory.write.en[TAPS - 1][column].eq(0)
        return m
