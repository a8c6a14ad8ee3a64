"""Walks a tensor whose pixels go along K (dW) in the order of memory, and says where each row goes."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.utils import bits_for

from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import FILL_PIXELS, PIECES
from cpt.hw.fetch.command import pixel_command
from cpt.hw.fetch.held import ROOM, count_rows, hold
from cpt.hw.fetch.pixel_rows import pixel_row
from cpt.hw.fetch.ports import row_ports
from cpt.hw.matrix.copies import KEEP, copies

MOST_ROWS = 4
"""Rows of a tile, at most."""
TURNS = 3
"""Cycles between planes: what ends is known in the last of them."""
SETTLING = 5
"""Cycles from a set's beginning until it is known what is cleared."""


class PixelFill(wiring.Component):
    """A slot for every set of images: zeros first, then every row of every plane, group, tile and image.

    Inputs of one group go into both halves of the columns, of two into a half each; errors of any number of
    groups into places of their own.

    Parameters: ``config``; ``depth`` of the memory in words.
    Members: `row_ports`; ``rows`` go to `PixelRows`.
    A row a cycle, or a strip of one, and `TURNS` idle ones between planes; a cycle for each word of zeros.
    """

    def __init__(self, config: ArrayConfig, depth: int):
        self.config, self.depth = config, depth
        super().__init__(
            row_ports(pixel_command(depth), pixel_row(depth), depth),
        )

    def elaborate(self, platform):
        m = Module()
        depth, group_channels = self.depth, self.config.group_channels
        resting = Signal(init=1)
        allowed = Signal()
        ended = Signal()
        """``resting``: no row is in the queue, or on its way there."""
        m.d.sync += allowed.eq(self.empty & resting)
        command, begins, vacant = hold(m, self.commands, allowed, ended, 5)
        m.d.comb += self.idle.eq(vacant & resting)
        m.d.sync += self.slots.start.eq(begins[0])
        # They stand until the next command begins, which may be held already.
        with m.If(begins[4]):
            m.d.sync += [
                self.slots.words.eq(command.words),
                self.slots.limit.eq(Mux(command.half, depth // 2, depth) - command.words),
            ]

        # Where the walk is: all but the plane is counted in the second cycle of a turn. What ends is known
        # before it does.
        turn = Signal(TURNS)
        counts = copies(m, turn[0], 5, "counts", reset_less=False)
        images_left = Signal.like(command.images)
        set_left = Signal.like(command.set_images)
        down_left = Signal.like(command.down)
        groups_left = Signal.like(command.groups)
        planes_left = Signal.like(command.bits)
        last_image, last_set, last_down, last_group, last_plane = (
            Signal(name=f"last_{name}", attrs=KEEP) for name in ("image", "set", "down", "group", "plane")
        )
        m.d.sync += [
            last_image.eq(images_left == 1),
            last_set.eq((set_left == 1) | (images_left == 1)),
            last_down.eq(down_left == 1),
            last_group.eq(groups_left == 1),
            last_plane.eq(planes_left == 1),
        ]
        (run_down,) = copies(m, down_left == 1, 1, "run_down")
        second = Signal()
        ends_image = Signal()
        """``second``: not the first group; ``ends_image``: with this turn, known in its second cycle."""
        m.d.sync += ends_image.eq(last_plane & last_group & last_down)
        wraps_tile = [count & last_plane & last_group for count in counts]
        with m.If(turn[0] | begins[0]):
            m.d.sync += planes_left.eq(Mux(last_plane | begins[0], command.bits, planes_left - 1))
        with m.If((counts[0] & last_plane) | begins[0]):
            m.d.sync += [
                groups_left.eq(Mux(last_group | begins[0], command.groups, groups_left - 1)),
                second.eq(~last_group & ~begins[0]),
            ]
        with m.If(wraps_tile[1] | begins[1]):
            m.d.sync += down_left.eq(Mux(last_down | begins[1], command.down, down_left - 1))
        with m.If((counts[4] & ends_image) | begins[2]):
            m.d.sync += images_left.eq(Mux(begins[2], command.images, images_left - 1))
        with m.If((counts[3] & ends_image) | begins[3]):
            m.d.sync += set_left.eq(Mux(last_set | begins[3], command.set_images, set_left - 1))

        # Strips of a row come one behind the other, at one address.
        several = Signal()
        strips_left = Signal.like(command.strips)
        first_strip = Signal()
        last_strip = Signal()
        row_step = Signal.like(command.row_words, reset_less=True)
        m.d.sync += [
            several.eq(command.strips != 1),
            row_step.eq(Mux(several, 0, command.row_words)),
        ]

        # Addresses of the slot's words, and which rows of the tile are the slot's.
        width = bits_for(depth)
        address, plane, group, tile, next_plane, next_group, next_tile, next_run, first = (
            Signal(width, name=f"{name}_address", reset_less=True)
            for name in (
                "row",
                "plane",
                "group",
                "tile",
                "next_plane",
                "next_group",
                "next_tile",
                "run",
                "first",
            )
        )
        m.d.sync += [
            first.eq(Mux(command.above, command.row_words, 0)),
            next_plane.eq(plane + command.plane_words),
            next_group.eq(group + command.group_words),
            next_tile.eq(tile + command.tile_words),
            next_run.eq(Mux(last_group, Mux(run_down, first, next_tile), next_group)),
        ]
        inside, inside_next, inside_first = (
            Signal(MOST_ROWS, name=name) for name in ("inside", "inside_next", "inside_first")
        )
        slot_left, first_left, next_left = (
            Signal(len(command.slot_rows) + 1, name=name) for name in ("slot_left", "first_left", "next_left")
        )
        for left, rows in ((first_left, inside_first), (next_left, inside_next)):
            many = Signal(name=f"many_{rows.name}")
            few = Signal(3, name=f"few_{rows.name}")
            m.d.sync += [
                many.eq(left[3:-1].any() & ~left[-1]),
                few.eq(Mux(left[-1], 0, left[:3])),
                rows.eq(Cat(many | (few > n) for n in range(MOST_ROWS))),
            ]
        m.d.sync += [
            first_left.eq(command.slot_rows - command.above),
            next_left.eq(slot_left - command.rows),
        ]

        # A set opens: its slot is asked for, and cleared where no pixel reaches, or all of it.
        settling, asking, taken, granted, opens_next = (
            Signal(SETTLING if name == "settling" else 1, name=name)
            for name in ("settling", "asking", "taken", "granted", "opens_next")
        )
        """``granted``: a slot was taken in the cycle before."""
        opens = copies(m, opens_next, 4, "opens", reset_less=False)
        opening = opens[0]
        slot = Signal(range(depth), reset_less=True)
        lacks, above, below, above_one, below_one = (
            Signal(name=name) for name in ("lacks", "above", "below", "above_one", "below_one")
        )
        above_words, below_words, left = (
            Signal(width, name=f"{name}_words", reset_less=True) for name in ("above", "below", "left")
        )
        m.d.comb += [
            self.slots.wanted.eq(asking),
            taken.eq(asking & self.slots.granted),
        ]
        m.d.sync += [
            settling.eq(Mux(opening, Cat(settling[1:], 1), 0)),
            asking.eq(Mux(asking, ~taken, opening & settling[0] & ~granted)),
            granted.eq(taken),
            lacks.eq(command.gaps | (images_left < command.set_images)),
            above_words.eq(Mux(lacks, command.words, command.clear_above)),
            below_words.eq(command.words - command.clear_below),
            above.eq(above_words != 0),
            below.eq((below_words != 0) & ~lacks),
            above_one.eq(above_words == 1),
            below_one.eq(below_words == 1),
        ]

        # Words of zeros; rows of a plane, then the turn to the next.
        clearing = Signal()
        again = Signal()
        clear_last = Signal()
        word = Signal(width, reset_less=True)
        at = Signal(MOST_ROWS)
        row_end = Signal(MOST_ROWS)
        walking, moving = (Signal(name=name, attrs=KEEP) for name in ("walking", "moving"))
        """A row leaves, as soon as it may; a copy that moves what goes with it."""
        go = Signal()
        emit = Signal()
        clears = Signal()
        ends_plane = Signal()
        starts_rows = Signal()
        m.d.sync += row_end.eq(Cat(command.rows[0], command.rows[1], 0, command.rows[2]))
        m.d.comb += [
            emit.eq((clearing | walking) & go),
            clears.eq(clearing & go),
            ends_plane.eq((at & row_end).any() & last_strip),
            starts_rows.eq((clears & clear_last & ~again) | (granted & ~above & ~below)),
        ]
        with m.If(asking):
            m.d.sync += slot.eq(self.slots.base)
        with m.If(granted):
            m.d.sync += [clearing.eq(above | below), again.eq(above & below)]
        with m.Elif(clears & clear_last):
            m.d.sync += [clearing.eq(again), again.eq(0)]
        with m.If(granted | (clears & clear_last)):
            m.d.sync += [
                word.eq(Mux(granted & above, 0, command.clear_below)),
                left.eq(Mux(granted & above, above_words, below_words)),
                clear_last.eq(Mux(granted & above, above_one, below_one)),
            ]
        with m.Elif(clears):
            m.d.sync += [word.eq(word + 1), left.eq(left - 1), clear_last.eq(left == 2)]
        ends_set = Signal()
        """The set's last plane has ended."""
        m.d.sync += [
            turn.eq(Cat(go & ends_plane, turn[:-1])),
            ends_set.eq(wraps_tile[0] & last_down & last_set),
        ]
        with m.If(starts_rows | (turn[-1] & ~ends_set)):
            m.d.sync += [at.eq(1), walking.eq(1), moving.eq(1)]
        with m.Elif(go & last_strip):
            in_plane = ~(at & row_end).any()
            m.d.sync += [
                at.eq(Mux(in_plane, at << 1, 0)),
                walking.eq(walking & in_plane),
                moving.eq(moving & in_plane),
            ]
        with m.If(~moving):
            m.d.sync += [strips_left.eq(command.strips), first_strip.eq(1), last_strip.eq(~several)]
        with m.Elif(go & several):
            m.d.sync += [
                strips_left.eq(strips_left - 1),
                first_strip.eq(0),
                last_strip.eq(strips_left == 2),
            ]
        ended_all = Signal()
        m.d.sync += ended_all.eq(wraps_tile[0] & last_down & last_image)
        m.d.comb += ended.eq(turn[-1] & ended_all)
        m.d.comb += opens_next.eq(begins[1] | (turn[-1] & ends_set & ~ended_all) | (opening & ~granted))

        with m.If(turn[0]):
            m.d.sync += [
                address.eq(Mux(last_plane, next_run, next_plane)),
                plane.eq(Mux(last_plane, next_run, next_plane)),
            ]
        with m.Elif(opens[1]):
            m.d.sync += [address.eq(first), plane.eq(first)]
        with m.Elif(go & moving):
            m.d.sync += address.eq(address + row_step)
        with m.If(counts[0] & last_plane):
            m.d.sync += group.eq(next_run)
        with m.Elif(opens[2]):
            m.d.sync += group.eq(first)
        with m.If(wraps_tile[1]):
            m.d.sync += tile.eq(next_run)
        with m.Elif(opens[2]):
            m.d.sync += tile.eq(first)
        with m.If(wraps_tile[2]):
            m.d.sync += [
                slot_left.eq(Mux(last_down, first_left, next_left)),
                inside.eq(Mux(last_down, inside_first, inside_next)),
            ]
        with m.Elif(opens[3]):
            m.d.sync += [slot_left.eq(first_left), inside.eq(inside_first)]

        # Which piece of a word the image begins with, and the row that leaves.
        image = Signal(PIECES, init=1)
        piece = Signal(PIECES, init=1)
        part = Signal()
        wide = Signal()
        narrow = Signal()
        by = Signal(3)
        """``wide``: a row, or a strip of one, is two pieces; ``narrow``: half of one; ``by``: an image takes
        one, two or four; all of them, where neither."""
        m.d.sync += [
            wide.eq((FILL_PIXELS << command.out_pitch) > group_channels),
            narrow.eq(command.set_images == 2 * PIECES),
            by.eq(Cat(command.set_images == PIECES >> n for n in range(len(by)))),
        ]
        with m.If(opens[3]):
            m.d.sync += [image.eq(1), part.eq(0)]
        with m.Elif(counts[3] & ends_image):
            m.d.sync += part.eq(narrow & ~part)
            with m.If(by[0] | (narrow & part)):
                m.d.sync += image.eq(image.rotate_left(1))
            for n in (1, 2):
                with m.Elif(by[n]):
                    m.d.sync += image.eq(image.rotate_left(1 << n))
        with m.If(opens[3]):
            m.d.sync += piece.eq(1)
        with m.Elif(turn[-1]):
            m.d.sync += piece.eq(image)
        with m.Elif(go & moving & several):
            m.d.sync += piece.eq(Mux(wide, piece.rotate_left(2), piece.rotate_left(1)))

        # Behind the walk nothing waits: it goes on only while the queue has room.
        m.submodules.queue = queue = RoomyQueue(pixel_row(depth), ROOM)
        row = Signal(pixel_row(depth), reset_less=True)
        stage = Signal(pixel_row(depth), reset_less=True)
        found = Signal()
        push = Signal()
        m.d.comb += [
            self.rows.valid.eq(queue.o.valid),
            self.rows.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.rows.ready),
            queue.push.eq(push),
            queue.payload.eq(row),
        ]
        count_rows(m, emit, self.rows.valid & self.rows.ready, resting, go)
        m.d.sync += [
            found.eq(emit),
            push.eq(found),
            stage.addr.eq(Mux(clearing, word, address)),
            stage.piece.eq(piece),
            stage.part.eq(part),
            stage.halves.eq(Mux(clearing | (command.groups == 1), 3, Mux(second, 2, 1))),
            stage.wanted.eq(clearing | (at & inside).any()),
            stage.zero.eq(clearing),
            stage.starts.eq(first_strip),
            stage.joins.eq(walking & ~last_strip & ~command.stride2),
            stage.flush.eq(several | (ends_plane & last_plane)),
            stage.done.eq(ends_plane & last_plane & last_group & last_down & last_set),
            row.eq(stage),
            row.addr.eq(stage.addr + slot),
        ]
        return m
