"""Address side of a loader: blocks, tiles and planes as runs of memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RUN, load_command
from cpt.hw.matrix.copies import KEEP

HALF_ADDRESS = 16
"""Bits of an address register that share the signals it loads by."""


def _times(value, constant: int):
    """``value * constant`` in adders, for constants of few ones."""
    return sum(value << bit for bit in range(constant.bit_length()) if constant >> bit & 1)


def _registers(m, value, count: int, name: str, init: int = 0) -> list:
    """``count`` registers of one value, with reset."""
    found = [Signal(name=f"{name}_{n}", init=init, attrs=KEEP) for n in range(count)]
    m.d.sync += [register.eq(value) for register in found]
    return found


class Walker(wiring.Component):
    """Emits one run for every (block, tile, plane) of each LOAD command.

    Parameters: ``config``, ``operand``.
    Members: ``commands`` (in), ``runs`` (out), ``blocks`` (out: block words - 1 of every block started; its
    consumer must always be ready), ``release``: a buffer half became free; ``stop``: start nothing, from the
    next cycle on; ``idle``.
    One run in two cycles, the first of a block two cycles after its half was taken, and one idle cycle
    between commands; a block starts only while a half is free.
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
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        group_beats = self.config.group_bytes(self.operand) // BEAT_BYTES
        m.submodules.halves = halves = Outstanding(MACHINE.halves)
        stopped = Signal()
        m.d.sync += stopped.eq(self.stop)

        # A command is taken in as long as there is none, so nothing that comes late loads its registers.
        command = Signal(self._command, reset_less=True)
        accepted = Signal()
        advance = Signal()
        ended = Signal()
        narrow = ("bits", "tiles", "blocks")
        wide = [name for name in self._command.members if name not in narrow]
        vacant = [Signal(name=f"vacant_{n}", init=1, attrs=KEEP) for n in range(2 + len(wide))]
        m.d.sync += [flag.eq(ended | (vacant[0] & ~self.commands.valid)) for flag in vacant]
        start = self.commands.payload
        for flag, names in zip(vacant[1:], (narrow, *((name,) for name in wide)), strict=True):
            with m.If(flag):
                m.d.sync += [command[name].eq(start[name]) for name in names]
        m.d.comb += [
            self.commands.ready.eq(vacant[0]),
            self.idle.eq(vacant[0]),
            accepted.eq(self.commands.valid & vacant[0]),
        ]

        # What has to happen is known a cycle before it does, so that its signals have copies.
        wants = Signal()
        take = Signal()
        last_plane, last_tile, last_block = (
            Signal(name=name, reset_less=True) for name in ("last_plane", "last_tile", "last_block")
        )
        m.d.comb += [
            take.eq(wants & ~halves.full & ~stopped),
            halves.issue.eq(take),
            halves.finish.eq(self.release),
            advance.eq(self.runs.valid & self.runs.ready),
            ended.eq(advance & last_plane & last_tile & last_block),
        ]
        m.d.sync += wants.eq(accepted | (wants & ~take) | (advance & last_plane & last_tile & ~last_block))
        plane_steps = _registers(m, advance & ~last_plane, 3, "plane_step")
        tile_steps = _registers(m, advance & last_plane & ~last_tile, 5, "tile_step")
        block_steps = _registers(m, take, 8, "block_step")
        plane_step, tile_step, block_step = plane_steps[0], tile_steps[0], block_steps[0]
        fresh = [Signal(name=f"fresh_{n}", attrs=KEEP) for n in range(2)]
        """The next block is its command's first."""
        m.d.sync += [flag.eq(accepted | (fresh[0] & ~block_step)) for flag in fresh]

        planes_left, tiles_left, blocks_left = (
            Signal.like(command[name], name=f"{name}_left", reset_less=True)
            for name in ("bits", "tiles", "blocks")
        )
        with m.If(plane_step):
            m.d.sync += [planes_left.eq(planes_left - 1), last_plane.eq(planes_left == 2)]
        with m.If(tile_step | block_step):
            m.d.sync += [planes_left.eq(command.bits), last_plane.eq(command.bits == 1)]
        with m.If(tile_step):
            m.d.sync += [tiles_left.eq(tiles_left - 1), last_tile.eq(tiles_left == 2)]
        with m.If(block_step):
            m.d.sync += [tiles_left.eq(command.tiles), last_tile.eq(command.tiles == 1)]
        with m.If(block_steps[6]):
            m.d.sync += [
                blocks_left.eq(Mux(fresh[0], command.blocks, blocks_left - 1)),
                last_block.eq(Mux(fresh[0], command.blocks == 1, blocks_left == 2)),
            ]
        m.d.sync += self.runs.valid.eq(plane_step | tile_step | block_step | (self.runs.valid & ~advance))

        # Sums stand ready before they are asked for: a run takes two cycles at least, a block four.
        plane_addr, tile_addr, block_addr, next_plane, next_tile, next_block = (
            Signal(32, name=name, reset_less=True)
            for name in ("plane_addr", "tile_addr", "block_addr", "next_plane", "next_tile", "next_block")
        )
        run_beats = Signal(RUN.members["beats"], reset_less=True)
        last_word = Signal.like(command.block_words, reset_less=True)
        m.d.sync += [
            next_plane.eq(plane_addr + command.plane_stride),
            next_tile.eq(tile_addr + command.tile_stride),
            next_block.eq(Mux(fresh[1], command.base, block_addr + command.block_stride)),
            run_beats.eq(_times(command.ksteps, group_beats)),
            last_word.eq(command.block_words - 1),
        ]
        for half in range(2):
            part = slice(HALF_ADDRESS * half, HALF_ADDRESS * (half + 1))
            with m.If(block_steps[1 + half]):
                m.d.sync += plane_addr[part].eq(next_block[part])
            with m.Elif(tile_steps[1 + half]):
                m.d.sync += plane_addr[part].eq(next_tile[part])
            with m.Elif(plane_steps[1 + half]):
                m.d.sync += plane_addr[part].eq(next_plane[part])
            with m.If(block_steps[3 + half]):
                m.d.sync += tile_addr[part].eq(next_block[part])
            with m.Elif(tile_steps[3 + half]):
                m.d.sync += tile_addr[part].eq(next_tile[part])
        with m.If(block_steps[5]):
            m.d.sync += block_addr.eq(next_block)
        m.d.comb += [
            self.runs.payload.addr.eq(plane_addr),
            self.runs.payload.beats.eq(run_beats),
            self.blocks.valid.eq(block_steps[7]),
            self.blocks.payload.eq(last_word),
        ]
        return m
