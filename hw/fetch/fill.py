"""From data in address order to steps for the window memories, slot by slot."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import step_layout, window_command
from cpt.hw.fetch.cutter import STREAM_BITS, Cutter
from cpt.hw.fetch.rows import Rows
from cpt.hw.fetch.slots import Slots
from cpt.hw.fetch.spread_rows import SpreadRows
from cpt.hw.fetch.steps import Steps


class Fill(wiring.Component):
    """Says what the window memories take each cycle, and which slots are complete.

    Parameters: ``config``.
    Members: ``commands`` (in); ``words`` (in): what the tensor's runs hold, in the order of `FetchWalker`;
    ``valid``, ``step`` (out, registered); ``filled``: the memories hold the last words of so many more slots;
    ``tiles`` (out): base of the next tile of outputs whose windows are complete, taken when EXEC begins with
    it; ``release``: EXEC has finished with one, in the same order; ``idle``: no command and no slot is held.
    A step of 8 pixels a cycle while slots are free.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(window_command(config))),
                "words": In(stream.Signature(STREAM_BITS)),
                "valid": Out(1),
                "step": Out(step_layout(config)),
                "filled": In(2),
                "tiles": Out(stream.Signature(range(config.b_depth_words))),
                "release": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.cutter = cutter = Cutter(config)
        m.submodules.rows = rows = Rows(config)
        m.submodules.spread = spread = SpreadRows(config)
        m.submodules.slots = slots = Slots(config)
        m.submodules.steps = steps = Steps(config)
        connect(m, flipped(self.words), cutter.words)
        connect(m, cutter.steps, steps.pixels)
        connect(m, slots.tiles, flipped(self.tiles))
        m.d.comb += [
            cutter.flush.eq(steps.flush),
            rows.empty.eq(slots.empty & spread.idle),
            spread.empty.eq(slots.empty & rows.idle),
            slots.release.eq(self.release),
            slots.filled.eq(self.filled),
            self.valid.eq(steps.valid),
            self.step.eq(steps.step),
            self.idle.eq(rows.idle & spread.idle & slots.empty),
        ]

        # One of both walks at a time, as a command starts when no slot is taken.
        spreads = self.commands.payload.spread
        turn = Signal()
        walks = [rows, spread]
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += turn.eq(spreads)
        m.d.comb += self.commands.ready.eq(Mux(spreads, spread.commands.ready, rows.commands.ready))
        for number, walk in enumerate(walks):
            m.d.comb += [
                walk.commands.valid.eq(self.commands.valid & (spreads == number)),
                walk.commands.payload.eq(self.commands.payload),
                walk.rows.ready.eq(steps.rows.ready & (turn == number)),
                walk.slots.granted.eq(slots.requests.granted & (turn == number)),
                walk.slots.base.eq(slots.requests.base),
            ]
        for name in ("start", "words", "limit", "wanted"):
            m.d.comb += getattr(slots.requests, name).eq(
                Mux(turn, *(getattr(walk.slots, name) for walk in reversed(walks)))
            )
        m.d.comb += [
            steps.rows.valid.eq(Mux(turn, spread.rows.valid, rows.rows.valid)),
            steps.rows.payload.eq(Mux(turn, spread.rows.payload, rows.rows.payload)),
        ]
        return m
