"""From data in address order to steps and pieces for the window memories, slot by slot."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.turns import SHARED_BITS, Turns
from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import DONE_WIDTH, MODE, fetch_command, row_layout, step_layout
from cpt.hw.fetch.cutter import STREAM_BITS, Cutter
from cpt.hw.fetch.pixel_fill import PixelFill
from cpt.hw.fetch.pixel_rows import PixelRows, pixel_write
from cpt.hw.fetch.rows import Rows
from cpt.hw.fetch.scatter import Scatter
from cpt.hw.fetch.slots import Slots
from cpt.hw.fetch.spread_rows import SpreadRows
from cpt.hw.fetch.steps import Steps
from cpt.hw.matrix.copies import copies

STEP_CYCLES = Steps.latency_cycles + Scatter.latency_cycles + 2
"""From a row that is taken until its last step is in the memories."""


class Fill(wiring.Component):
    """Says what the window memories take each cycle, and which slots are complete.

    Parameters: ``config``.
    Members: ``commands`` (in), executed in order; ``words`` (in): what their runs hold, in the order of
    `PixelWalker`; ``mode``: of the command at work; ``step``, ``piece`` (out, registered), ``piece_done``: a
    slot is complete with the piece; ``filled``: the memories hold the last words of so many more slots;
    ``tiles`` (out): base of the next slot that is complete, taken when EXEC begins with it; ``release``: EXEC
    has finished with one, in the same order; ``idle``: no command and no slot is held.
    A step of 8 pixels a cycle while slots are free, or as `PixelRows` says.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        depth = config.b_depth_words
        super().__init__(
            {
                "commands": In(stream.Signature(fetch_command(config))),
                "words": In(stream.Signature(STREAM_BITS)),
                "mode": Out(MODE),
                "step": Out(step_layout(config)),
                "piece": Out(pixel_write(config, depth)),
                "piece_done": Out(1),
                "filled": In(DONE_WIDTH),
                "tiles": Out(stream.Signature(range(depth))),
                "release": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, depth = self.config, self.config.b_depth_words
        m.submodules.cutter = cutter = Cutter(config)
        m.submodules.rows = rows = Rows(config)
        m.submodules.spread = spread = SpreadRows(config)
        m.submodules.pixel_fill = pixel_fill = PixelFill(config, depth)
        m.submodules.slots = slots = Slots(config)
        m.submodules.steps = steps = Steps(config)
        m.submodules.pixel_rows = pixel_rows = PixelRows(config, depth)
        # Rows and words wait in registers, so that what takes them reaches neither walks nor the bus.
        m.submodules.next_words = next_words = Turns(STREAM_BITS)
        m.submodules.next_row = next_row = Turns(row_layout(config), early=1)
        connect(m, flipped(self.words), next_words.i)
        connect(m, next_words.o, cutter.words)
        connect(m, slots.tiles, flipped(self.tiles))
        connect(m, next_row.o, steps.rows)
        connect(m, pixel_fill.rows, pixel_rows.rows)
        walks = [rows, spread, pixel_fill]
        others_idle = [[other.idle for other in walks if other is not walk] for walk in walks]
        quiet = Signal()
        settling = Signal(STEP_CYCLES)
        """``quiet``: no row is anywhere; ``settling``: its steps may be on their way."""
        m.d.sync += settling.eq(Mux(quiet, settling >> 1, (1 << STEP_CYCLES) - 1))
        m.d.comb += [
            quiet.eq(pixel_rows.idle & ~next_row.o.valid & rows.idle & spread.idle & pixel_fill.idle),
            slots.release.eq(self.release),
            slots.filled.eq(self.filled),
            steps.mode.eq(self.mode),
            self.step.eq(steps.step),
            pixel_rows.mode.eq(self.mode),
            self.piece.eq(pixel_rows.write),
            self.piece_done.eq(pixel_rows.filled),
            self.idle.eq(slots.empty & quiet),
        ]

        # One walk at a time: a command starts when all of the one before is in the memories.
        command = self.commands.payload
        windows, pixels = command.body.windows, command.body.pixels
        half = Mux(command.pixels, pixels.half, windows.half)
        wanted = [
            ~command.pixels & ~windows.spread,
            ~command.pixels & windows.spread,
            command.pixels,
        ]
        bodies = [windows, windows, pixels]
        taken = Signal(len(walks), init=1)
        shown = Signal(len(walks))
        accepted = Signal()
        turn, *turns = copies(m, taken, 3, "turn")
        """A cycle behind the mode, which says the same and has its own loads."""
        """``shown``: the command is shown to the walk that it is for, a cycle after it came."""
        m.d.comb += [
            accepted.eq(
                Cat(here & walk.commands.ready for here, walk in zip(shown, walks, strict=True)).any()
            ),
            self.commands.ready.eq(accepted),
        ]
        # Gates, not a choice: that would become a reset, a further net.
        m.d.sync += shown.eq(Cat(wanted) & (self.commands.valid & ~accepted).replicate(len(walks)))
        with m.If(accepted):
            for number, mine in enumerate(wanted):
                m.d.sync += taken[number].eq(mine)
            m.d.sync += [
                self.mode.pixels.eq(command.pixels),
                self.mode.strips.eq(pixels.strips != 1),
                self.mode.kernel1.eq(~command.pixels & windows.kernel1),
                self.mode.spread.eq(~command.pixels & windows.spread),
                self.mode.upper.eq(half & slots.upper),
                *(
                    self.mode[name].eq(Mux(command.pixels, pixels[name], windows[name]))
                    for name in ("stride2", "out_pitch", "blocks")
                ),
            ]
        allowed = (slots.may | (slots.may_half & half)) & ~settling[0]
        m.d.comb += [slots.begins.eq(accepted), slots.half.eq(half)]
        for number, (walk, body, others) in enumerate(zip(walks, bodies, others_idle, strict=True)):
            m.d.comb += [
                walk.commands.valid.eq(shown[number]),
                walk.commands.payload.eq(body),
                walk.slots.granted.eq(slots.requests.granted & turn[number]),
                walk.slots.base.eq(slots.requests.base),
                walk.empty.eq(allowed & others[0] & others[1]),
            ]
        m.d.comb += slots.requests.start.eq(Cat(walk.slots.start for walk in walks).any())
        for name, mine in zip(("wanted", "words", "limit"), (turn, *turns), strict=True):
            chosen = 0
            for number, walk in enumerate(walks):
                chosen |= Mux(mine[number], getattr(walk.slots, name), 0)
            m.d.comb += getattr(slots.requests, name).eq(chosen)
        m.d.comb += [
            next_row.i.valid.eq(Mux(turn[1], spread.rows.valid, turn[0] & rows.rows.valid)),
            rows.rows.ready.eq(next_row.i.ready & turn[0]),
            spread.rows.ready.eq(next_row.i.ready & turn[1]),
        ]

        spreads = copies(m, taken[1], -(-row_layout(config).size // SHARED_BITS), "spreads")
        ways = [walk.rows.payload.as_value() for walk in (spread, rows)]
        for n, flag in enumerate(spreads):
            part = slice(n * SHARED_BITS, (n + 1) * SHARED_BITS)
            m.d.comb += next_row.i.payload.as_value()[part].eq(Mux(flag, *(way[part] for way in ways)))

        # Data go to the walk whose turn it is.
        along = self.mode.pixels
        m.d.comb += [
            steps.pixels.payload.eq(cutter.steps.payload),
            pixel_rows.pixels.payload.eq(cutter.steps.payload),
            # Who takes them has rows, which come when it is its turn; so who has none is not ready.
            steps.pixels.valid.eq(cutter.steps.valid),
            pixel_rows.pixels.valid.eq(cutter.steps.valid),
            cutter.steps.ready.eq(pixel_rows.pixels.ready | steps.pixels.ready),
            cutter.flush.eq(Mux(along, pixel_rows.flush, steps.flush)),
        ]
        return m
