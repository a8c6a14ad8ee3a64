"""Address side of a loader: blocks, tiles and planes as runs of memory."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RUN, load_command


class Walker(wiring.Component):
    """Emits one run for every (block, tile, plane) of each LOAD command.

    Parameters: ``config``, ``operand``.
    Members: ``commands`` (in), ``runs`` (out), ``blocks`` (out: words of every block started; its consumer
    must always be ready), ``release``: a buffer half became free; ``stop``: start nothing; ``idle``.
    One run per cycle and one idle cycle between commands; a block starts only while a half is free.
    """

    def __init__(self, config: ArrayConfig, operand: str):
        self.config, self.operand = config, operand
        self._command = load_command(config, operand)
        super().__init__(
            {
                "commands": In(stream.Signature(self._command)),
                "runs": Out(stream.Signature(RUN)),
                "blocks": Out(stream.Signature(self._command.members["block_words"])),
                "release": In(1),
                "stop": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        group_beats = self.config.group_bytes(self.operand) // BEAT_BYTES
        command = Signal(self._command)
        active = Signal()
        held = Signal()
        """The current block owns a half."""
        free_halves = Signal(range(MACHINE.halves + 1), init=MACHINE.halves)

        planes_left = Signal.like(command.bits)
        tiles_left = Signal.like(command.tiles)
        blocks_left = Signal.like(command.blocks)
        plane_addr, tile_addr, block_addr = Signal(32), Signal(32), Signal(32)
        run_beats = Signal(RUN.members["beats"])

        take = Signal()
        advance = Signal()
        m.d.comb += [
            take.eq(active & ~held & (free_halves != 0) & ~self.stop),
            self.blocks.valid.eq(take),
            self.blocks.payload.eq(command.block_words),
            self.runs.valid.eq(active & held),
            self.runs.payload.addr.eq(plane_addr),
            self.runs.payload.beats.eq(run_beats),
            advance.eq(self.runs.valid & self.runs.ready),
            self.commands.ready.eq(~active),
            self.idle.eq(~active),
        ]
        m.d.sync += free_halves.eq(free_halves + self.release - take)
        with m.If(take):
            m.d.sync += held.eq(1)

        next_block = block_addr + command.block_stride
        next_tile = tile_addr + command.tile_stride
        with m.If(advance):
            with m.If(planes_left != 1):
                m.d.sync += [
                    planes_left.eq(planes_left - 1),
                    plane_addr.eq(plane_addr + command.plane_stride),
                ]
            with m.Else():
                m.d.sync += planes_left.eq(command.bits)
                with m.If(tiles_left != 1):
                    m.d.sync += [
                        tiles_left.eq(tiles_left - 1),
                        tile_addr.eq(next_tile),
                        plane_addr.eq(next_tile),
                    ]
                with m.Else():
                    m.d.sync += [
                        tiles_left.eq(command.tiles),
                        held.eq(0),
                        blocks_left.eq(blocks_left - 1),
                        block_addr.eq(next_block),
                        tile_addr.eq(next_block),
                        plane_addr.eq(next_block),
                    ]
                    with m.If(blocks_left == 1):
                        m.d.sync += active.eq(0)

        start = self.commands.payload
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [
                active.eq(1),
                command.eq(start),
                planes_left.eq(start.bits),
                tiles_left.eq(start.tiles),
                blocks_left.eq(start.blocks),
                plane_addr.eq(start.base),
                tile_addr.eq(start.base),
                block_addr.eq(start.base),
                run_beats.eq(start.ksteps * group_beats),
            ]
        return m
