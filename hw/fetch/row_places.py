"""Where a row of a tensor goes: slots, addresses and columns of its rows of outputs, behind its walk."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data

from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.fetch.command import quads, row_layout
from cpt.hw.fetch.held import ROOM
from cpt.hw.fetch.window_memory import QUAD, SHIFTS
from cpt.hw.matrix.copies import copies, one_less, one_more

UP, CENTRE, DOWN = range(SHIFTS)
"""dy + 1. A row ``y`` is row dy of the outputs of row ``(y - dy) / stride``."""
ADDRESSES = ("addr", "addr_first", "addr_last")
STAGES = 4
"""Cycles from a row of the walk to the queue."""
CARRIED = ("zero", "flush", "last", "starts", "ends", "tap")


def place_rows(m, config, rows, command, first, rest, pointers, offset, emit):
    """Rows that a walk gives, `walked_row`, into a queue before ``rows``; ``emit``: it gives one.

    ``rest``: what the walk says beside it; ``pointers``: slots of the tiles of outputs before, at and below;
    ``offset``: of its words within a slot.
    """
    depth = config.b_depth_words
    count = quads(config)
    (kernel1,) = copies(m, command.kernel1, 1, "kernel1")
    stride2, late_stride2 = copies(m, command.stride2, 2, "stride2")

    # Second: which row of outputs it is, by dy, counted from their tile's first.
    second = Signal(_second(), reset_less=True)
    clear = first.before & kernel1
    at = first.at
    signed_at = at.as_signed()
    half = (signed_at >> 1)[:4]
    along = Mux(stride2, half, at)
    rows_of = {
        UP: Mux(stride2, one_more(half), one_more(at)),
        CENTRE: along,
        DOWN: Mux(stride2, half, one_less(at)),
    }
    whole_of = {UP: at[0], CENTRE: ~at[0], DOWN: at[0] & ~at[-1]}
    one_row = Mux(clear, 0, along)
    # Rows of outputs of the tile below begin where ``along`` is this.
    turns_at = {UP: command.out_rows - 1, CENTRE: command.out_rows, DOWN: command.out_rows + ~stride2}
    within = Signal(3, reset_less=True)
    m.d.sync += within.eq(command.out_rows - 1)
    for dy in range(SHIFTS):
        u = Signal(4, name=f"u_{dy}")
        edge = Signal(4, name=f"edge_{dy}", reset_less=True)
        m.d.comb += u.eq(Mux(kernel1, one_row, rows_of[dy]))
        m.d.sync += edge.eq(Mux(kernel1, command.out_rows, turns_at[dy]))
        m.d.sync += [
            second.u[dy].eq(u),
            second.whole[dy].eq(Mux(kernel1, ~stride2 | ~at[0], ~stride2 | whole_of[dy])),
            second.below[dy].eq((along == edge) & ~clear),
        ]
    m.d.sync += [
        second.clear.eq(clear),
        second.many.eq(rest["many"]),
        second.few.eq(rest["few"]),
        second.first_down.eq(rest["first_down"]),
        *(second[name].eq(first[name]) for name in CARRIED),
    ]
    held = []
    for n, pointer in enumerate(pointers):
        item = Signal(range(depth), name=f"slot_{n}", reset_less=True)
        m.d.sync += item.eq(pointer.base)
        held.append(item)
    beside = {}
    for name in ("ahead", "behind"):
        beside[name] = []
        for n, pointer in enumerate(pointers):
            item = Signal(range(depth), name=f"{name}_{n}", reset_less=True)
            m.d.sync += item.eq(getattr(pointer, name))
            beside[name].append(item)
    slots = {"addr": held, "addr_first": beside["ahead"], "addr_last": beside["behind"]}

    # Third: its slot, and whether it is written.
    third = Signal(_third(depth), reset_less=True)
    offsets = [offset]
    for n in range(STAGES - 1):
        later = Signal.like(offset, name=f"offset_{n}", reset_less=True)
        m.d.sync += later.eq(offsets[-1])
        offsets.append(later)
    many, few = second.many, second.few
    for dy in range(SHIFTS):
        u, before, below = second.u[dy], second.u[dy][-1], second.below[dy]
        inside = Mux(before, ~second.first_down, many | (u[:3] < few))
        m.d.sync += [
            third.on[dy].eq(second.whole[dy] & inside),
            third.place[dy].eq(u[:2] & within[:2]),
            third.finishes[dy].eq(before | ((u[:3] & within) == within) | (~many & (one_more(u[:3]) == few))),
            *(
                third[name][dy].eq(Mux(before, lag, Mux(below, lead, mid)))
                for name, (lag, mid, lead) in slots.items()
            ),
        ]
    (begin,) = copies(m, Mux(stride2 & ~second.starts, command.blocks, 0), 1, "begin_at")
    m.d.sync += [third.clear.eq(second.clear), *(third[name].eq(second[name]) for name in CARRIED)]
    clears, zeros = (copies(m, second[name], SHIFTS, name) for name in ("clear", "zero"))
    tapped = Signal(SHIFTS, reset_less=True)
    of_dy = (second.tap[SHIFTS * dy : SHIFTS * (dy + 1)].any() for dy in range(SHIFTS))
    m.d.sync += tapped.eq(Cat(~kernel1 | some for some in of_dy))

    # Fourth: addresses and columns.
    row = Signal(row_layout(config), reset_less=True)
    finishes = Mux(kernel1, third.finishes[CENTRE] & third.on[CENTRE], third.finishes[DOWN] & third.on[DOWN])
    own = Mux(kernel1 & ~late_stride2, 1, third.ends)
    before = ~kernel1 & ~late_stride2 & ~third.starts
    taps = Cat(Cat(third.tap[n::SHIFTS]).any() for n in range(SHIFTS))
    m.d.sync += [
        row.zero.eq(third.zero),
        row.starts.eq(third.starts),
        row.ends.eq(third.ends),
        row.flush.eq(third.flush),
        row.done.eq(Mux(finishes & third.last & ~third.clear, own + before, 0)),
        row.dx.eq(Mux(kernel1 & ~third.clear, taps, (1 << SHIFTS) - 1)),
    ]
    for dy in range(SHIFTS):
        mine, start = Signal(count, name=f"mine_{dy}"), Signal(count, name=f"start_{dy}")
        with m.Switch(command.out_pitch):
            for pitch in range((config.cols // FILL_PIXELS).bit_length()):
                with m.Case(pitch):
                    row_quads = FILL_PIXELS // QUAD << pitch
                    for q in range(count):
                        is_mine = third.place[dy] == q // row_quads
                        m.d.comb += [mine[q].eq(is_mine), start[q].eq(is_mine & (q % row_quads == begin))]
        enabled = clears[dy] | (third.on[dy] & tapped[dy])
        block = Mux(late_stride2, start, start | start << 1)
        hot = Mux(clears[dy], (1 << count) - 1, Mux(zeros[dy], mine, block))
        m.d.sync += [
            row.hot[dy].eq(Mux(enabled, hot, 0)),
            *(row[name][dy].eq(third[name][dy] + offsets[-1]) for name in ADDRESSES),
        ]

    # Behind the walk nothing waits: it goes on only while the queue has room.
    m.submodules.queue = queue = WideQueue(row_layout(config), ROOM)
    push = emit
    for n in range(STAGES):
        later = Signal(name=f"valid_{n}")
        m.d.sync += later.eq(push)
        push = later
    m.d.comb += [
        rows.valid.eq(queue.o.valid),
        rows.payload.eq(queue.o.payload),
        queue.o.ready.eq(rows.ready),
        queue.push.eq(push.replicate(PUSHES)),
        queue.payload.eq(row),
    ]


def _carried() -> dict:
    return {**dict.fromkeys(CARRIED, 1), "tap": TAPS}


def walked_row() -> data.StructLayout:
    """A row as the walk gives it: ``at``: row of the source from the first of its tile of outputs;
    ``before``: zeros before the first."""
    return data.StructLayout({**_carried(), "at": 4, "before": 1})


def _second() -> data.StructLayout:
    """A row with its rows of outputs: ``u`` by dy; ``below``: in the tile below."""
    each = {"u": data.ArrayLayout(4, SHIFTS), "whole": SHIFTS, "below": SHIFTS}
    rest = {"clear": 1, "many": 1, "few": 3, "first_down": 1}
    return data.StructLayout({**_carried(), **each, **rest})


def _third(depth: int) -> data.StructLayout:
    """A row with its slots."""
    address = data.ArrayLayout((depth - 1).bit_length(), SHIFTS)
    each = {"on": SHIFTS, "finishes": SHIFTS, "place": data.ArrayLayout(2, SHIFTS)}
    return data.StructLayout({**_carried(), **each, **dict.fromkeys(ADDRESSES, address), "clear": 1})
