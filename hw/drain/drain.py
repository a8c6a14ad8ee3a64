"""DRAIN engine: complete result tiles to memory."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, WRITE_STREAMS
from cpt.hw.bus.write_master import WriteMaster
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.drain.serialiser import Serialiser
from cpt.hw.drain.tile_walker import TileWalker
from cpt.hw.layouts import RESULT_TILE, drain_command, result_row, result_rows


class Drain(wiring.Component):
    """Sends result tiles in the order they were collected.

    Members: ``commands`` (in); ``complete``: a tile was collected; ``tile_free``: its place may be used
    again; ``drain_*``: result buffer; ``aw``, ``w``, ``b`` (AXI); ``stop``, ``error``, ``idle``, ``quiet`` as
    in `WriteMaster`.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(drain_command())),
                "complete": In(1),
                "tile_free": Out(1),
                "drain_addr": Out(range(MACHINE.result_tiles * result_rows(config))),
                "drain_row": In(result_row(config)),
                **WRITE_STREAMS,
                **MASTER_STATE,
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = TileWalker(self.config)
        m.submodules.tiles = tiles = Queue(RESULT_TILE, MACHINE.result_tiles)
        m.submodules.serialiser = serialiser = Serialiser(self.config)
        m.submodules.master = master = WriteMaster()
        connect(m, flipped(self.commands), walker.commands)
        connect(m, walker.runs, master.runs)
        connect(m, walker.tiles, tiles.i)
        connect(m, tiles.o, serialiser.tiles)
        connect(m, serialiser.beats, master.beats)
        connect(m, master.aw, flipped(self.aw))
        connect(m, master.w, flipped(self.w))
        connect(m, flipped(self.b), master.b)
        m.d.comb += [
            walker.complete.eq(self.complete),
            self.tile_free.eq(serialiser.tile_free),
            self.drain_addr.eq(serialiser.drain_addr),
            serialiser.drain_row.eq(self.drain_row),
            master.stop.eq(self.stop),
            self.error.eq(master.error),
            self.quiet.eq(master.quiet),
            self.idle.eq(walker.idle & master.idle),
        ]
        return m
