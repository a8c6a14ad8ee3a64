"""Walks a tensor row by row in the order of memory, and says where each row goes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.fetch.command import TILES_WIDTH, row_layout, window_command
from cpt.hw.fetch.held import count_rows, hold
from cpt.hw.fetch.ports import row_ports
from cpt.hw.fetch.row_places import STAGES, place_rows, walked_row
from cpt.hw.fetch.slots import SlotPointer
from cpt.hw.matrix.copies import KEEP, copies

TURNS = 2
"""Cycles between planes."""
SETTLING = 3
"""Further cycles where a tile begins: what it ends is known then."""


class Rows(wiring.Component):
    """A row of every plane, group and tile of a tensor, with zeros where the image ends.

    Parameters: ``config``.
    Members: `row_ports`.
    A command starts when the slots of the one before are given back. A row a cycle, `TURNS` idle ones
    between planes, and `SETTLING` more between tiles.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(row_ports(window_command(config), row_layout(config), config.b_depth_words))

    def elaborate(self, platform):
        m = Module()
        depth = self.config.b_depth_words
        resting = Signal(init=1)
        allowed = Signal()
        over = Signal()
        ended = Signal()
        """``resting``: no row is in the queue, or on its way there; ``over``: the walk is; ``ended``: its
        last row is queued."""
        m.d.sync += allowed.eq(self.empty & resting)
        command, begins, vacant = hold(m, self.commands, allowed, ended, 13)
        m.d.comb += self.idle.eq(vacant & resting)
        m.d.sync += self.slots.start.eq(begins[0])
        # They stand until the next command begins, which may be held already.
        with m.If(begins[5]):
            m.d.sync += [
                self.slots.words.eq(command.words),
                self.slots.limit.eq(Mux(command.half, depth // 2, depth) - command.words),
            ]

        # Where the walk is: counted in the first cycle of a turn. What ends is known before it does.
        ends_plane = Signal()
        emit = Signal()
        turns = copies(m, emit & ends_plane, 6, "turn", reset_less=False)
        turned = Signal()
        images_left = Signal.like(command.images)
        down_left = Signal.like(command.down)
        strips_left = Signal.like(command.strips)
        groups_left = Signal.like(command.groups)
        planes_left = Signal.like(command.bits)
        flags = {
            name: Signal(name=f"last_{name}", attrs=KEEP)
            for name in ("image", "down", "strip", "group", "plane")
        }
        lefts = (images_left, down_left, strips_left, groups_left, planes_left)
        m.d.sync += [turned.eq(turns[0])]
        m.d.sync += [flag.eq(left == 1) for flag, left in zip(flags.values(), lefts, strict=True)]
        last_image, last_down, last_strip, last_group, last_plane = flags.values()
        (plane_ends,) = copies(m, planes_left == 1, 1, "plane_ends")
        first_strip, first_down, fresh, lag_moves = (
            Signal(name=name) for name in ("first_strip", "first_down", "fresh", "lag_moves")
        )
        """``fresh``: no row went into the tile of outputs yet."""
        wraps_group = [turn & (plane_ends if n == 2 else last_plane) for n, turn in enumerate(turns)]
        wraps_tile = [wrap & last_group for wrap in wraps_group]
        wraps_down = [wrap & last_strip for wrap in wraps_tile]
        with m.If(turns[0] | begins[0]):
            m.d.sync += planes_left.eq(Mux(last_plane | begins[0], command.bits, planes_left - 1))
        with m.If(wraps_group[1] | begins[0]):
            m.d.sync += groups_left.eq(Mux(last_group | begins[0], command.groups, groups_left - 1))
        with m.If(wraps_tile[2] | begins[1]):
            m.d.sync += [
                strips_left.eq(Mux(last_strip | begins[1], command.strips, strips_left - 1)),
                first_strip.eq(last_strip | begins[1]),
            ]
        with m.If(wraps_down[3] | begins[6]):
            m.d.sync += [
                down_left.eq(Mux(last_down | begins[6], command.down, down_left - 1)),
                first_down.eq(last_down | begins[6]),
            ]
        with m.If((wraps_down[4] & last_down) | begins[10]):
            m.d.sync += images_left.eq(Mux(begins[10], command.images, images_left - 1))
        m.d.sync += over.eq(wraps_down[5] & last_down & last_image)
        late = over
        for n in range(STAGES):
            later = Signal(name=f"over_{n}")
            m.d.sync += later.eq(late)
            late = later
        m.d.comb += ended.eq(late)

        # Words: of a plane and group within the slot; with a 1 x 1 kernel nine groups share one.
        tap = Signal(TAPS)
        kstep = Signal.like(command.ksteps)
        next_kstep = Signal.like(command.ksteps)
        offset = Signal(range(depth))
        next_offset = Signal(range(depth))
        m.d.sync += [
            next_kstep.eq(Mux(last_group, 0, Mux(command.kernel1, kstep + tap[-1], kstep + 1))),
            next_offset.eq(offset + command.ksteps),
        ]
        with m.If(wraps_group[2] | begins[2]):
            m.d.sync += [
                kstep.eq(Mux(begins[2], 0, next_kstep)),
                tap.eq(Mux(last_group | begins[2], 1, tap.rotate_left(1))),
            ]
        step_offset = Signal.like(offset)
        m.d.comb += step_offset.eq(Mux(plane_ends, next_kstep, next_offset))
        with m.If(turns[3] | begins[8]):
            m.d.sync += offset.eq(Mux(begins[8], 0, step_offset))

        # Tiles of outputs: which row of the source a tile begins with, from the first that they need.
        place = Signal(3)
        rows_left = Signal(TILES_WIDTH)
        """``rows_left``: rows of outputs from the first of their tile to the end of the image."""
        next_place = Signal(4)
        next_left = Signal(TILES_WIDTH)
        full = Signal()
        moves = Signal()
        steps_place = Signal()
        ends_image = last_strip & last_down
        span = Signal(4)
        m.d.sync += [
            span.eq(Mux(command.stride2, command.out_rows << 1, command.out_rows)),
            next_place.eq(place + command.rows),
            next_left.eq(rows_left - command.out_rows),
            full.eq(next_place == span),
            steps_place.eq(last_strip | ~command.stride2),
            moves.eq(ends_image | (full & steps_place)),
        ]
        with m.If((wraps_tile[3] & steps_place) | begins[3]):
            m.d.sync += place.eq(Mux(moves | begins[3], 0, next_place))
        with m.If((wraps_down[0] & moves) | begins[7]):
            m.d.sync += rows_left.eq(Mux(last_down | begins[7], command.height, next_left))
        with m.If(wraps_tile[4] | begins[3]):
            m.d.sync += fresh.eq(moves | begins[3])
        with m.If(wraps_down[1] | begins[3]):
            m.d.sync += lag_moves.eq(~begins[3])

        moved, opened, ends, ends_all, lag_moved = (
            Signal(name=name) for name in ("moved", "opened", "ends", "ends_all", "lag_moved")
        )
        m.d.sync += [
            moved.eq(wraps_tile[5] & moves),
            ends.eq(wraps_down[2] & last_down),
            ends_all.eq(last_image),
            lag_moved.eq(wraps_tile[5] & moves & lag_moves),
        ]
        pointers, settled = self._pointers(m, command, begins[9], begins[4], moved, lag_moved, opened)
        owes = self._slots(m, command, opened, moved, ends, ends_all)
        running = Signal()
        m.d.sync += running.eq((running | opened) & ~over)

        # Rows of a plane: 0: zeros before the first; then the rows; behind them zeros below the last.
        index = Signal(3)
        walking = Signal()
        special = Signal()
        next_special = Signal()
        settling = Signal()
        final = Signal(3)
        clears_next, clears_first, special_group, special_tile = (
            Signal(name=name) for name in ("clears_next", "clears_first", "special_group", "special_tile")
        )
        """``special``: zeros before the rows of the plane, as before all of its group."""
        clear_left = Signal.like(command.groups)
        m.d.sync += [
            final.eq(command.rows + (last_down & command.zero_below)),
            clear_left.eq(command.groups - command.clear_group + 1),
            clears_next.eq(command.clears & (groups_left == clear_left)),
            clears_first.eq(command.clears & (command.clear_group == 0)),
            next_special.eq(Mux(last_group, special_tile, special_group)),
        ]
        m.d.comb += [
            special_group.eq(Mux(command.kernel1, fresh & clears_next, first_down)),
            special_tile.eq(
                Mux(command.kernel1, moves & clears_first, (first_down & ~last_strip) | ends_image)
            ),
        ]
        with m.If(turns[4] & last_plane):
            m.d.sync += special.eq(next_special)
        with m.Elif(settling):
            m.d.sync += special.eq(Mux(command.kernel1, clears_first, 1))
        waiting = Signal(SETTLING)
        may = Signal()
        go = Signal()
        m.d.sync += [
            settling.eq(begins[4]),
            waiting.eq(Mux(wraps_tile[0] | opened, (1 << SETTLING) - 1, waiting >> 1)),
            may.eq(running & ~owes & settled & ~waiting[0]),
        ]
        m.d.comb += [emit.eq(walking & go & may), ends_plane.eq(index == final)]
        with m.If(emit):
            m.d.sync += [index.eq(index + 1), walking.eq(~ends_plane)]
        with m.If((turned & ~over) | opened):
            m.d.sync += [walking.eq(1), index.eq(~special)]
        first = Signal(walked_row(), reset_less=True)
        m.d.sync += [
            first.at.eq(place + index - 1),
            first.before.eq(index == 0),
            first.zero.eq((index == 0) | (index > command.rows)),
            first.flush.eq((index == command.rows) & last_plane),
            first.last.eq(last_plane & last_group),
            first.starts.eq(first_strip),
            first.ends.eq(last_strip),
            first.tap.eq(tap),
        ]
        rest = {"many": rows_left[3:].any(), "few": rows_left[:3], "first_down": first_down}
        place_rows(m, self.config, self.rows, command, first, rest, pointers, offset, emit)
        taken = self.rows.valid & self.rows.ready
        count_rows(m, emit, taken, resting, go)
        return m

    def _pointers(self, m, command, begins, begin, moved, lag_moved, opened):
        """Slots of the tiles of outputs before, at and below the tile; whether they are known. ``opened``:
        they are, for a new command."""
        pointers, starts = [], copies(m, begins, 3, "starts")
        for name, start in zip(("lag", "mid", "lead"), starts, strict=True):
            pointer = SlotPointer(self.config.b_depth_words)
            m.submodules[name] = pointer
            m.d.comb += [
                pointer.start.eq(start),
                pointer.words.eq(self.slots.words),
                pointer.limit.eq(self.slots.limit),
            ]
            pointers.append(pointer)
        lag, mid, lead = pointers
        opening = Signal()
        begun = Signal()
        steps = Signal.like(command.strips)
        none_left = Signal()
        settled = Signal()
        leads = Signal()
        m.d.comb += [
            settled.eq(lag.settled & mid.settled & lead.settled),
            leads.eq(opening & settled & ~none_left),
            opened.eq(opening & settled & none_left),
            lag.advance.eq(lag_moved),
            mid.advance.eq(moved),
            lead.advance.eq(moved | leads),
        ]
        m.d.sync += [begun.eq(begin), opening.eq((opening & ~opened) | begun), none_left.eq(steps == 0)]
        with m.If(begin):
            m.d.sync += steps.eq(Mux(command.stride2, 1, command.strips))
        with m.Elif(leads):
            m.d.sync += steps.eq(steps - 1)
        return pointers, settled

    def _slots(self, m, command, opened, moved, ends_image, last_image):
        """Asks for slots, one more than are needed now; whether one that is needed is missing."""
        debt = Signal(TILES_WIDTH)
        tiles_left = Signal(TILES_WIDTH)
        """Slots to ask for: now, and later in this image."""
        spare = Signal()
        extra = Signal()
        first_debt = Signal(TILES_WIDTH)
        first_left = Signal(TILES_WIDTH)
        owes, any_debt, asking, taken, some_left = (
            Signal(name=name) for name in ("owes", "any_debt", "asking", "taken", "some_left")
        )
        m.d.comb += [self.slots.wanted.eq(asking), taken.eq(asking & self.slots.granted)]
        m.d.sync += [
            extra.eq(command.outputs > command.first_slots),
            first_debt.eq(command.first_slots + extra),
            first_left.eq(command.outputs - first_debt),
            owes.eq((debt > 1) | (debt[0] & ~spare)),
            any_debt.eq(debt != 0),
            asking.eq(any_debt & ~taken),
            some_left.eq(tiles_left != 0),
        ]
        took = Signal()
        more = Signal()
        starts = [Signal(name=f"starts_{n}") for n in range(2)]
        m.d.comb += [
            more.eq(moved & ~ends_image & some_left),
            *(start.eq(opened | (moved & ends_image & ~last_image)) for start in starts),
        ]
        m.d.sync += took.eq(taken)
        with m.If(starts[0]):
            m.d.sync += debt.eq(first_debt)
        with m.Else():
            m.d.sync += debt.eq(debt + more - took)
        with m.If(starts[1]):
            m.d.sync += [tiles_left.eq(first_left), spare.eq(extra)]
        with m.Elif(moved):
            with m.If(more):
                m.d.sync += tiles_left.eq(tiles_left - 1)
            with m.If(~some_left):
                m.d.sync += spare.eq(0)
        return owes
