"""Walks a tensor row by row where its pixels are spread by two, with zeros between them."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring

from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.fetch.command import quads, row_layout, window_command
from cpt.hw.fetch.held import ROOM, count_rows, hold
from cpt.hw.fetch.ports import row_ports
from cpt.hw.fetch.window_memory import QUAD, SHIFTS

MOST_REACH = 4
"""Tiles of outputs that even rows of one tile of the source stand in, at most."""
MOST_ROWS = 4
"""Rows of a tile, at most."""
TURNS = 3
"""Cycles between planes: plane, group and tile are counted, one after the other."""
SETTLING = 4
"""Cycles from a tile's beginning until its rows and slots are known."""
UP, CENTRE, DOWN = range(SHIFTS)
"""dy + 1: row ``s`` of the source is that of outputs ``2s + 1``, ``2s`` and ``2s - 1``."""
OUTPUT = {UP: 1, CENTRE: 0, DOWN: -1}


class SpreadRows(wiring.Component):
    """A row of every plane, group and tile of a tensor; before them zeros into all words they belong to.

    Where a tile of the source begins, the tiles of outputs that its even rows stand in get slots. For each
    plane and group their words are cleared, a cycle each (with a 1 x 1 kernel, before the first of nine
    groups); then the rows are written, so zeros between pixels take no data. Where outputs lie in two strips,
    a row is written as two, left half and right half; the right one's first pixel is also the neighbour of
    the left strip's last column.

    Parameters: ``config``.
    Members: `row_ports`.
    A row a cycle, `TURNS` idle cycles between planes, and three for each slot where a tile begins.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(row_ports(window_command(config), row_layout(config), config.b_depth_words))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        depth = config.b_depth_words
        resting = Signal(init=1)
        allowed = Signal()
        ended = Signal()
        """``resting``: no row is in the queue, or on its way there."""
        m.d.sync += allowed.eq(self.empty & resting)
        command, begins, vacant = hold(m, self.commands, allowed, ended, 5)
        m.d.comb += self.idle.eq(vacant & resting)
        m.d.sync += self.slots.start.eq(begins[0])
        # They stand until the next command begins, which may be held already.
        with m.If(begins[0]):
            m.d.sync += [
                self.slots.words.eq(command.words),
                self.slots.limit.eq(Mux(command.half, depth // 2, depth) - command.words),
            ]

        # Where the walk is. What ends is known before it does.
        images_left = Signal.like(command.images)
        down_left = Signal.like(command.down)
        rows_left = Signal.like(command.source_height)
        outputs_left = Signal.like(command.outputs)
        """Rows of the source from the tile's first on; tiles of outputs of the image without a slot."""
        groups_left = Signal.like(command.groups)
        planes_left = Signal.like(command.bits)
        tap = Signal(TAPS, init=1)
        kstep = Signal.like(command.ksteps)
        offset = Signal(range(depth))
        next_kstep = Signal.like(kstep)
        next_plane = Signal.like(offset)
        last_image, last_down, last_group, last_plane = (
            Signal(name=f"last_{name}") for name in ("image", "down", "group", "plane")
        )
        first_down = Signal()
        m.d.sync += [
            last_image.eq(images_left == 1),
            last_down.eq(down_left == 1),
            last_group.eq(groups_left == 1),
            last_plane.eq(planes_left == 1),
            next_kstep.eq(Mux(last_group, 0, Mux(command.kernel1, kstep + tap[-1], kstep + 1))),
            next_plane.eq(offset + command.ksteps),
        ]

        # A tile opens: slots for the tiles of outputs that its even rows stand in.
        opening = Signal()
        settling = Signal(SETTLING)
        bases = Signal(data.ArrayLayout(range(depth), MOST_REACH), reset_less=True)
        before, before_left = (
            Signal(range(depth), name=name, reset_less=True) for name in ("before", "before_left")
        )
        held = Signal(MOST_REACH)
        wanted = Signal(MOST_REACH)
        inside = Signal(MOST_ROWS)
        """``before``: the last slot of the tile before, ``before_left`` that of the strip left of it. Slots
        that there are, and that there must be; rows of the tile that are the image's; from bit 0."""
        asking = Signal()
        granted = Signal()
        complete = Signal()
        many_outputs = Signal()
        many_rows = Signal()
        met = Signal()
        m.d.comb += [
            self.slots.wanted.eq(asking),
            granted.eq(asking & self.slots.granted),
            complete.eq(opening & met),
        ]
        m.d.sync += [
            many_outputs.eq(outputs_left[3:].any()),
            many_rows.eq(rows_left[3:].any()),
            inside.eq(Cat(many_rows | (rows_left[:3] > n) for n in range(MOST_ROWS))),
            # Gates, not a choice: that would become a reset, a further net.
            settling.eq(Cat(settling[1:], opening) & ~complete.replicate(SETTLING)),
            met.eq(opening & settling[0] & (held == wanted) & ~complete),
            asking.eq(opening & settling[0] & (held != wanted) & ~granted),
        ]
        with m.If(~settling[0]):
            short = Cat(many_outputs | (outputs_left[:3] > n) for n in range(MOST_REACH))
            m.d.sync += wanted.eq(short & Cat(command.reach > n for n in range(MOST_REACH)))
        with m.If(granted):
            m.d.sync += [held.eq((held << 1) | 1), outputs_left.eq(outputs_left - 1)]
        for n in range(MOST_REACH):
            with m.If(granted & ~held[n] & (held[n - 1] if n else 1)):
                m.d.sync += bases[n].eq(self.slots.base)

        # A plane: its words cleared, its rows, then the turn to the next.
        clear = Signal(MOST_REACH)
        at = Signal(MOST_ROWS)
        turn = Signal(TURNS)
        go = Signal()
        emit = Signal()
        row_end = Signal(MOST_ROWS)
        walks = Signal()
        clears = Signal()
        """A word is cleared or a row written next; a word is."""
        right = Signal()
        """It is the right half of a row that is halved."""
        ends_clear = Signal()
        ends_plane = Signal()
        m.d.sync += row_end.eq(Cat(command.rows[0], command.rows[1], 0, command.rows[2]))
        m.d.comb += [
            emit.eq(walks & go),
            ends_clear.eq((clear & ~(held >> 1)).any()),
            ends_plane.eq((at & row_end).any() & (right | ~command.halved)),
        ]
        with m.If(emit):
            m.d.sync += [
                clear.eq(Mux(ends_clear, 0, clear << 1)),
                at.eq(Mux(ends_plane, 0, Mux(clears, ends_clear, Mux(command.halved, 1, at << 1)))),
                right.eq(command.halved & ~clears & ~right),
                walks.eq(~ends_plane),
                clears.eq(clears & ~ends_clear),
            ]
        m.d.sync += turn.eq(Cat(emit & ends_plane, turn[:-1]))
        wrapped_plane = Signal()
        wrapped_group = Signal()
        with m.If(turn[0]):
            m.d.sync += [
                wrapped_plane.eq(last_plane),
                planes_left.eq(Mux(last_plane, command.bits, planes_left - 1)),
                offset.eq(Mux(last_plane, next_kstep, next_plane)),
            ]
        m.d.sync += wrapped_group.eq(turn[1] & wrapped_plane & last_group)
        with m.If(turn[1] & wrapped_plane):
            m.d.sync += [
                kstep.eq(next_kstep),
                tap.eq(Mux(last_group, 1, tap.rotate_left(1))),
                groups_left.eq(Mux(last_group, command.groups, groups_left - 1)),
            ]
        fresh = Signal()
        """The next plane's words are to be cleared."""
        m.d.comb += fresh.eq(~command.kernel1 | tap[0])
        with m.If(turn[2] & ~wrapped_group):
            m.d.sync += [clear.eq(fresh), at.eq(~fresh), walks.eq(1), clears.eq(fresh)]
        with m.If(complete):
            m.d.sync += [clear.eq(1), walks.eq(1), clears.eq(1), opening.eq(0)]
        with m.If(turn[2] & wrapped_group):
            m.d.sync += [
                held.eq(0),
                first_down.eq(last_down),
                down_left.eq(Mux(last_down, command.down, down_left - 1)),
                rows_left.eq(Mux(last_down, command.source_height, rows_left - command.rows)),
                opening.eq(~(last_down & last_image)),
            ]
            with m.If(last_down):
                m.d.sync += [images_left.eq(images_left - 1), outputs_left.eq(command.outputs)]
        m.d.comb += ended.eq(turn[2] & wrapped_group & last_down & last_image)
        closed = Signal()
        m.d.sync += closed.eq(wrapped_group)
        with m.If(closed):
            m.d.sync += [before.eq(Mux(command.reach[2], bases[3], bases[1])), before_left.eq(bases[2])]
        with m.If(begins[1]):
            m.d.sync += [opening.eq(1), held.eq(0), first_down.eq(1), images_left.eq(command.images)]
        with m.If(begins[2]):
            m.d.sync += [down_left.eq(command.down), rows_left.eq(command.source_height)]
        with m.If(begins[3]):
            m.d.sync += [outputs_left.eq(command.outputs), groups_left.eq(command.groups)]
        with m.If(begins[4]):
            m.d.sync += [planes_left.eq(command.bits), tap.eq(1), kstep.eq(0), offset.eq(0)]

        # Behind the walk nothing waits: it goes on only while the queue has room.
        m.submodules.queue = queue = WideQueue(row_layout(config), ROOM)
        taken = Signal()
        m.d.comb += [
            self.rows.valid.eq(queue.o.valid),
            self.rows.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.rows.ready),
            taken.eq(self.rows.valid & self.rows.ready),
        ]
        count_rows(m, emit, taken, resting, go)
        plan = self._plan(m, command, at, right, clear, inside, first_down, last_down)
        stage = Signal(_stage(config), reset_less=True)
        valid = Signal()
        last = Signal()
        m.d.comb += last.eq(last_plane & last_group)
        m.d.sync += [
            valid.eq(emit),
            stage.zero.eq(clears),
            stage.offset.eq(offset),
            stage.tap.eq(Mux(command.kernel1 & ~clears, tap, (1 << TAPS) - 1)),
            stage.right.eq(right),
            stage.flush.eq(ends_plane & last_plane),
            stage.done.eq(Mux(last, plan["done"], 0)),
        ]
        for dy in range(SHIFTS):
            m.d.sync += [
                stage.tile[dy].eq(plan["tile"][dy]),
                stage.place[dy].eq(plan["place"][dy]),
                stage.on[dy].eq(plan["on"][dy]),
            ]
        left = {UP: bases[2], CENTRE: bases[0], DOWN: before_left}
        self._place(m, command, stage, valid, [before, *bases, before_left], left, queue)
        return m

    def _plan(self, m, command, at, right, clear, inside, first_down, last_down):
        """Of the row that leaves, by dy: which tile it goes to (one bit each, the one before first, that of
        the strip left of it last), which row of it, and whether it goes there; and how many slots are
        complete with it, in each strip."""
        sizes = {1 << n: command.out_rows[n] for n in range(MOST_ROWS.bit_length())}
        whole = Signal()
        """Outputs of one row a tile in one strip."""
        m.d.sync += whole.eq(sizes[1] & ~command.halved)
        bottom = Signal(MOST_ROWS)
        ends = Signal()
        """``bottom``: the image's last row, if it is in this tile; ``ends``: that is it."""
        m.d.sync += bottom.eq(Mux(last_down, inside & ~(inside >> 1), 0))
        m.d.comb += ends.eq((at & bottom).any())
        here = (at & inside).any()
        spare = ends & command.odd
        """The row of outputs below it is outside."""
        on = {UP: here & ~spare, CENTRE: here, DOWN: here & ~(first_down & at[0])}
        tiles, places = [], []
        for dy in range(SHIFTS):
            tile = [0] * (MOST_REACH + 2)
            place = [0] * MOST_ROWS
            for row in range(MOST_ROWS):
                for size, is_size in sizes.items():
                    number, rest = divmod(2 * row + OUTPUT[dy], size)
                    if number < MOST_REACH:
                        tile[number + 1] |= at[row] & (whole if size == 1 else is_size)
                        place[rest] |= at[row] & is_size
            # Both strips of a row of outputs, the left one first.
            number = 2 * OUTPUT[dy] + 1
            tile[number % (MOST_REACH + 2)] |= at[0] & command.halved & ~right
            tile[number + 1] |= at[0] & command.halved & right
            tiles.append(Cat(tile[0], *(tile[n + 1] | clear[n] for n in range(MOST_REACH)), tile[-1]))
            places.append(Cat(place))
        clears = clear.any()
        even = at[0] | at[2]
        above = Mux(command.kernel1, 0, on[DOWN] & (~sizes[4] | even))
        own = here & (sizes[1] | spare)
        below = on[UP] & Mux(command.kernel1, ~sizes[4] | ~even | ends, ends)
        return {
            "tile": [Mux(command.kernel1, tiles[CENTRE], item) for item in tiles],
            "place": [Mux(command.kernel1, places[CENTRE], item) for item in places],
            "on": [clears | Mux(command.kernel1, here, on[dy]) for dy in range(SHIFTS)],
            "done": above + own + below,
        }

    def _place(self, m, command, stage, valid, bases, left, queue):
        """Columns and addresses of a row, into the queue: two cycles. ``left``: by dy, the slot left of it
        where it is a right half."""
        config = self.config
        count = quads(config)
        row = Signal(row_layout(config), reset_less=True)
        m.d.comb += queue.payload.eq(row)
        offset = Signal.like(stage.offset, reset_less=True)
        found = Signal()
        pushed = Signal()
        m.d.comb += queue.push.eq(pushed.replicate(PUSHES))
        m.d.sync += [
            found.eq(valid),
            offset.eq(stage.offset),
            pushed.eq(found),
        ]
        for name in ("zero", "flush"):
            later = Signal(name=f"later_{name}", reset_less=True)
            m.d.sync += [later.eq(stage[name]), row[name].eq(later)]
        right = Signal(reset_less=True)
        done = Signal.like(row.done, reset_less=True)
        of_both = Mux(stage.right, stage.done << 1, 0)
        m.d.sync += [
            right.eq(stage.right),
            done.eq(Mux(command.halved, of_both, stage.done)),
            row.starts.eq(~right),
            # The last column of either strip waits for the right half, or stays clear.
            row.ends.eq(~command.halved),
            row.done.eq(done),
        ]
        taps = Signal(TAPS, reset_less=True)
        zero = Signal(reset_less=True)
        m.d.sync += [taps.eq(stage.tap), zero.eq(stage.zero)]
        m.d.sync += row.dx.eq(Cat(Cat(taps[n::SHIFTS]).any() for n in range(SHIFTS)))
        for dy in range(SHIFTS):
            base = Signal(range(config.b_depth_words), name=f"base_{dy}", reset_less=True)
            hot = Signal(count, name=f"hot_{dy}", reset_less=True)
            chosen = 0
            for n, item in enumerate(bases):
                chosen |= Mux(stage.tile[dy][n], item, 0)
            m.d.sync += base.eq(chosen)
            on = stage.on[dy] & stage.tap[SHIFTS * dy : SHIFTS * (dy + 1)].any()
            enabled = Signal(name=f"enabled_{dy}", reset_less=True)
            m.d.sync += enabled.eq(on)
            with m.Switch(command.out_pitch):
                for pitch in range((config.cols // FILL_PIXELS).bit_length()):
                    with m.Case(pitch):
                        size = FILL_PIXELS // QUAD << pitch
                        first = [
                            stage.place[dy][q // size] if q % size < 2 * FILL_PIXELS // QUAD else 0
                            for q in range(count)
                        ]
                        m.d.sync += hot.eq(Cat(first))
            m.d.sync += [
                row.hot[dy].eq(Mux(enabled, Mux(zero, (1 << count) - 1, hot), 0)),
                row.addr[dy].eq(base + offset),
                row.addr_first[dy].eq(0),
                row.addr_last[dy].eq(left[dy] + offset),
            ]


def _stage(config: ArrayConfig) -> data.StructLayout:
    """A row before its base is chosen."""
    return data.StructLayout(
        {
            "zero": 1,
            "right": 1,
            "flush": 1,
            "done": 2,
            "tap": TAPS,
            "offset": (config.b_depth_words - 1).bit_length(),
            "on": SHIFTS,
            "tile": data.ArrayLayout(MOST_REACH + 2, SHIFTS),
            "place": data.ArrayLayout(MOST_ROWS, SHIFTS),
        }
    )
