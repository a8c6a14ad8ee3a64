"""Walks a tensor whose pixels go along K (dW) in the order of memory, and says where each row goes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import PIECES
from cpt.hw.fetch.command import TILES_WIDTH, pixel_command
from cpt.hw.fetch.pixel_rows import pixel_row
from cpt.hw.fetch.ports import row_ports


class PixelFill(wiring.Component):
    """A slot for every set of images: zeros first, then every row of every plane, group, tile and image.

    Inputs of one group go into both halves of the columns, of two into a half each; errors of any number of
    groups into places of their own.

    Parameters: ``config``; ``depth`` of the memory in words.
    Members: `row_ports`; ``rows`` go to `PixelRows`.
    A row a cycle; a cycle for each word of zeros.
    """

    def __init__(self, config: ArrayConfig, depth: int):
        self.config, self.depth = config, depth
        super().__init__(row_ports(pixel_command(depth), pixel_row(depth), depth))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        depth, group_channels = self.depth, config.group_channels
        command = Signal(pixel_command(depth))
        slot = Signal(range(depth))
        active, asking = Signal(), Signal()
        clearing, filling = Signal(), Signal()
        word = Signal(bits_for(depth))
        """Of the slot, while it is cleared."""
        images_left, set_left = Signal.like(command.images), Signal.like(command.set_images)
        down_left, rows_left = Signal.like(command.down), Signal.like(command.rows)
        planes_left = Signal.like(command.bits)
        groups_left, second = Signal.like(command.groups), Signal()
        """``second``: not the first group."""
        piece, part = Signal(PIECES, init=1), Signal()
        row, tile_row = Signal(TILES_WIDTH), Signal(TILES_WIDTH)
        """Row of the slot, and that of its tile's first."""
        width = bits_for(depth)
        address, plane_address, group_address, tile_address = (
            Signal(width, name=f"{name}_address") for name in ("row", "plane", "group", "tile")
        )

        step, last_row, last_plane, last_group = (Signal() for _ in range(4))
        ends_tile, ends_image, ends_set = Signal(), Signal(), Signal()
        out = self.rows.payload
        m.d.comb += [
            self.slots.words.eq(command.words),
            self.slots.wanted.eq(asking & ~self.slots.start),
            self.idle.eq(~active & ~self.rows.valid),
            self.commands.ready.eq(~active & self.empty & ~self.rows.valid),
            step.eq(~self.rows.valid | self.rows.ready),
            last_row.eq(rows_left == 1),
            last_plane.eq(planes_left == 1),
            last_group.eq(groups_left == 1),
            ends_tile.eq(last_row & last_plane & last_group),
            ends_image.eq(ends_tile & (down_left == 1)),
            ends_set.eq(ends_image & ((set_left == 1) | (images_left == 1))),
        ]
        m.d.sync += [self.slots.limit.eq(depth - command.words), self.slots.start.eq(0)]

        # A slot: ask for it, clear what no pixel reaches, fill it.
        lacks = images_left < command.set_images
        with m.If(self.slots.wanted & self.slots.granted):
            from_start = lacks | (command.clear_above != 0)
            nothing = ~from_start & (command.clear_below == command.words)
            m.d.sync += [
                asking.eq(0),
                slot.eq(self.slots.base),
                clearing.eq(~nothing),
                filling.eq(nothing),
                word.eq(Mux(from_start, 0, command.clear_below)),
            ]
        with m.If(clearing & step):
            skip = ~lacks & (word + 1 == command.clear_above)
            following = Mux(skip, command.clear_below, word + 1)
            m.d.sync += word.eq(following)
            with m.If(following == command.words):
                m.d.sync += [clearing.eq(0), filling.eq(1)]
        with m.If(step):
            m.d.sync += [
                self.rows.valid.eq(clearing | filling),
                out.addr.eq(slot + Mux(clearing, word, address)),
                out.piece.eq(piece),
                out.part.eq(part),
                out.halves.eq(Mux(clearing | (command.groups == 1), 3, Mux(second, 2, 1))),
                out.wanted.eq(clearing | (row < command.slot_rows)),
                out.zero.eq(clearing),
                out.flush.eq(filling & last_row & last_plane),
                out.done.eq(filling & ends_set),
            ]

        wide = (8 << command.out_pitch) > group_channels
        narrow = (8 << command.out_pitch) < group_channels
        with m.If(filling & step):
            m.d.sync += [
                rows_left.eq(rows_left - 1),
                row.eq(row + 1),
                address.eq(address + command.row_words),
            ]
            with m.If(last_row):
                m.d.sync += [
                    rows_left.eq(command.rows),
                    planes_left.eq(planes_left - 1),
                    row.eq(tile_row),
                    plane_address.eq(plane_address + command.plane_words),
                    address.eq(plane_address + command.plane_words),
                ]
                with m.If(last_plane):
                    following = group_address + command.group_words
                    m.d.sync += [
                        planes_left.eq(command.bits),
                        groups_left.eq(groups_left - 1),
                        second.eq(1),
                        group_address.eq(following),
                        plane_address.eq(following),
                        address.eq(following),
                    ]
            with m.If(ends_tile):
                following = tile_address + command.tile_words
                m.d.sync += [
                    second.eq(0),
                    groups_left.eq(command.groups),
                    down_left.eq(down_left - 1),
                    tile_row.eq(tile_row + command.rows),
                    row.eq(tile_row + command.rows),
                    tile_address.eq(following),
                    group_address.eq(following),
                    plane_address.eq(following),
                    address.eq(following),
                ]
            first = Mux(command.above, command.row_words, 0)
            with m.If(ends_image):
                m.d.sync += [
                    down_left.eq(command.down),
                    tile_row.eq(command.above),
                    row.eq(command.above),
                    tile_address.eq(first),
                    group_address.eq(first),
                    plane_address.eq(first),
                    address.eq(first),
                    images_left.eq(images_left - 1),
                    set_left.eq(set_left - 1),
                    part.eq(narrow & ~part),
                ]
                with m.If(~narrow | part):
                    m.d.sync += piece.eq(Mux(wide, piece.rotate_left(2), piece.rotate_left(1)))
            with m.If(ends_set):
                m.d.sync += [
                    set_left.eq(command.set_images),
                    piece.eq(1),
                    part.eq(0),
                    filling.eq(0),
                    active.eq(images_left != 1),
                    asking.eq(images_left != 1),
                ]
        new = self.commands.payload
        with m.If(self.commands.valid & self.commands.ready):
            first = Mux(new.above, new.row_words, 0)
            m.d.sync += [
                command.eq(new),
                active.eq(1),
                asking.eq(1),
                self.slots.start.eq(1),
                images_left.eq(new.images),
                set_left.eq(new.set_images),
                down_left.eq(new.down),
                rows_left.eq(new.rows),
                planes_left.eq(new.bits),
                second.eq(0),
                groups_left.eq(new.groups),
                piece.eq(1),
                part.eq(0),
                tile_row.eq(new.above),
                row.eq(new.above),
                tile_address.eq(first),
                group_address.eq(first),
                plane_address.eq(first),
                address.eq(first),
            ]
        return m
