"""Address side of the window fetch: a tensor's tiles and groups as runs of memory."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.fetch.command import window_command
from cpt.hw.layouts import RUN


class FetchWalker(wiring.Component):
    """Emits one run for every image, tile and group of a FETCH: the planes that its precision has.

    Runs are whole words of both ports (`STREAM_BYTES`), so a run may end with planes that nobody wants.
    Parameters: ``config``.
    Members: ``commands`` (in), ``runs`` (out); ``stop``: start nothing; ``idle``.
    A run every second cycle: the address behind it is added up while it waits.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(window_command(config))),
                "runs": Out(stream.Signature(RUN)),
                "stop": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plane_bytes = self.config.cols * self.config.group_channels // 8
        command = Signal(window_command(self.config))
        active, ready = Signal(), Signal()
        """``ready``: the run's address is known."""
        groups_left, down_left, strips_left, images_left = (
            Signal.like(field, name=name)
            for name, field in (
                ("groups_left", command.groups),
                ("down_left", command.down),
                ("strips_left", command.strips),
                ("images_left", command.images),
            )
        )
        group_addr, tile_addr, image_addr = Signal(32), Signal(32), Signal(32)
        next_group, next_tile, next_image = (Signal(32, name=f"next_{n}") for n in ("group", "tile", "image"))
        beats = Signal(RUN.members["beats"])
        last_group, last_strip, last_down = Signal(), Signal(), Signal()
        m.d.comb += [
            self.commands.ready.eq(~active),
            self.idle.eq(~active),
            self.runs.valid.eq(ready),
            self.runs.payload.addr.eq(group_addr),
            self.runs.payload.beats.eq(beats),
        ]
        size = Signal(len(command.bits) + plane_bytes.bit_length())
        bytes_of_planes = self.commands.payload.bits * plane_bytes
        m.d.comb += size.eq((bytes_of_planes + STREAM_BYTES - 1)[(STREAM_BYTES - 1).bit_length() :])
        m.d.sync += [
            next_group.eq(group_addr + command.group_stride),
            next_tile.eq(tile_addr + command.tile_stride),
            next_image.eq(image_addr + command.image_stride),
            last_group.eq(groups_left == 1),
            last_strip.eq(strips_left == 1),
            last_down.eq(down_left == 1),
        ]
        with m.If(active & ~self.stop):
            m.d.sync += ready.eq(1)
        with m.If(self.runs.valid & self.runs.ready):
            m.d.sync += [ready.eq(0), groups_left.eq(groups_left - 1), group_addr.eq(next_group)]
            with m.If(last_group):
                m.d.sync += [
                    groups_left.eq(command.groups),
                    strips_left.eq(strips_left - 1),
                    group_addr.eq(next_tile),
                    tile_addr.eq(next_tile),
                ]
                with m.If(last_strip):
                    m.d.sync += [strips_left.eq(command.strips), down_left.eq(down_left - 1)]
                    with m.If(last_down):
                        m.d.sync += [
                            down_left.eq(command.down),
                            images_left.eq(images_left - 1),
                            group_addr.eq(next_image),
                            tile_addr.eq(next_image),
                            image_addr.eq(next_image),
                        ]
                        with m.If(images_left == 1):
                            m.d.sync += active.eq(0)
        new = self.commands.payload
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [
                active.eq(1),
                ready.eq(0),
                command.eq(new),
                beats.eq(size << (STREAM_BYTES // BEAT_BYTES - 1)),
                groups_left.eq(new.groups),
                strips_left.eq(new.strips),
                down_left.eq(new.down),
                images_left.eq(new.images),
                group_addr.eq(new.base),
                tile_addr.eq(new.base),
                image_addr.eq(new.base),
            ]
        return m
