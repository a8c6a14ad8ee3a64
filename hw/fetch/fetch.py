"""The fetch behind the bus: windows, and inputs of dW, in one set of memories."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import fetch_command
from cpt.hw.fetch.fill import Fill
from cpt.hw.fetch.ports import fetch_ports
from cpt.hw.fetch.scatter import Scatter
from cpt.hw.fetch.window_memory import WindowMemory


class Fetch(wiring.Component):
    """Data in address order in; out windows, or pixels along K: a word of every column each cycle.

    Commands of both kinds come in order; one starts when all slots of the one before are filled, in the other
    half of the memories, or when they are given back, if either needs more than a half.

    Parameters: ``config``.
    Members: `fetch_ports`.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(fetch_ports(config, fetch_command(config)))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.fill = fill = Fill(config)
        m.submodules.scatter = scatter = Scatter(config)
        m.submodules.memory = memory = WindowMemory(config)
        connect(m, flipped(self.commands), fill.commands)
        connect(m, flipped(self.words), fill.words)
        connect(m, fill.tiles, flipped(self.tiles))
        connect(m, scatter.write, memory.write)
        connect(m, flipped(self.read), memory.read)
        m.d.comb += [
            scatter.mode.eq(fill.mode),
            scatter.step.eq(fill.step),
            scatter.piece.eq(fill.piece),
            scatter.piece_done.eq(fill.piece_done),
            fill.filled.eq(scatter.filled),
            self.filled.eq(scatter.filled),
            fill.release.eq(self.release),
            self.idle.eq(fill.idle),
        ]
        return m
