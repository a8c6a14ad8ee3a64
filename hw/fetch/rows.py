"""Walks a tensor row by row in the order of memory, and says where each row goes."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.fetch.command import TILES_WIDTH, quads, row_layout, window_command
from cpt.hw.fetch.ports import row_ports
from cpt.hw.fetch.slots import SlotPointer
from cpt.hw.fetch.window_memory import QUAD, SHIFTS

LAG, MID, LEAD = range(3)
"""Tiles of outputs that rows of one tile of the source belong to: the one before, its own, the next below."""
UP, CENTRE, DOWN = range(3)
"""dy + 1. A row ``y`` is row dy of the outputs of row ``(y - dy) / stride``."""


class Rows(wiring.Component):
    """A row of every plane, group and tile of a tensor, with zeros where the image ends.

    Parameters: ``config``.
    Members: `row_ports`.
    A command starts when the slots of the one before are given back. A row a cycle; two or three idle cycles
    after each tile that completes one.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(row_ports(window_command(config), row_layout(config), config.b_depth_words))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        depth = config.b_depth_words
        command = Signal(window_command(config))
        active, running = Signal(), Signal()
        """A command is held; its first slots are known."""
        first_down, last_down = Signal(), Signal()
        first_strip, last_strip = Signal(), Signal()
        lag_moves = Signal()
        fresh = Signal()
        """No row went into the tile of outputs yet."""
        images_left, down_left = Signal.like(command.images), Signal.like(command.down)
        strips_left = Signal.like(command.strips)
        group, planes_left = Signal.like(command.groups), Signal.like(command.bits)
        tap = Signal(TAPS, init=1)
        """Of a 1 x 1 kernel: the group's place in its word, one of nine."""
        kstep = Signal.like(command.ksteps)
        offset = Signal(range(depth))
        place = Signal(3)
        """Row of the source that the tile begins with, from the first that its tile of outputs needs."""
        rows_left = Signal(TILES_WIDTH)
        """Rows of outputs from the first of their tile to the end of the image."""
        tiles_left, debt = Signal(TILES_WIDTH), Signal(TILES_WIDTH)
        """Slots to ask for: later in this image, and now."""
        lead_steps = Signal(TILES_WIDTH)
        index = Signal(3)
        """0: zeros before the first row; then the rows; behind them zeros below the last."""

        pointers = []
        for name in ("lag", "mid", "lead"):
            pointer = SlotPointer(depth)
            m.submodules[name] = pointer
            m.d.comb += [
                pointer.start.eq(self.slots.start),
                pointer.words.eq(self.slots.words),
                pointer.limit.eq(self.slots.limit),
            ]
            pointers.append(pointer)
        lag, mid, lead = pointers

        several = Signal()
        """There are strips."""
        ready, step, last_row, last_plane, last_group = (Signal() for _ in range(5))
        ends_tile, moves = Signal(), Signal()
        raw = Signal(_raw_layout(config))
        raw_valid = Signal()
        raw_step, out_step = Signal(), Signal()
        m.d.comb += [
            several.eq(~(command.strips == 1)),
            ready.eq(running & (debt == 0) & (mid.settled | ~(several | ends_tile))),
            raw_step.eq(~raw_valid | out_step),
            step.eq(ready & raw_step),
            last_row.eq(index == Mux(last_down & command.zero_below, command.rows + 1, command.rows)),
            last_plane.eq(planes_left == 1),
            last_group.eq(group == command.groups - 1),
            ends_tile.eq(last_row & last_plane & last_group),
            self.slots.wanted.eq(debt != 0),
            self.slots.words.eq(command.words),
            self.idle.eq(~active & ~raw_valid & ~self.rows.valid),
            self.commands.ready.eq(~active & self.empty & ~raw_valid & ~self.rows.valid),
        ]
        m.d.sync += [self.slots.limit.eq(depth - command.words), self.slots.start.eq(0)]

        # Where the row goes: ``at`` counts rows of the source from the first of its tile of outputs.
        at = Signal(4)
        row = Signal(4)
        m.d.comb += [row.eq(index - 1), at.eq(place + row)]
        out_row = [Signal(4, name=f"out_row_{n}") for n in range(SHIFTS)]
        whole = [Signal(name=f"whole_{n}") for n in range(SHIFTS)]
        signed_at = at.as_signed()
        with m.If(command.kernel1):
            # Whatever the tap, and the zeros before the first row are for all of the tile.
            m.d.comb += [item.eq(Mux(index == 0, 0, Mux(command.stride2, at >> 1, at))) for item in out_row]
            m.d.comb += [item.eq(~command.stride2 | ~at[0]) for item in whole]
        with m.Elif(command.stride2):
            m.d.comb += [
                out_row[UP].eq((signed_at >> 1) + 1),
                out_row[CENTRE].eq(at >> 1),
                out_row[DOWN].eq(at >> 1),
                whole[UP].eq(at[0]),
                whole[CENTRE].eq(~at[0]),
                whole[DOWN].eq(at[0] & ~at[-1]),
            ]
        with m.Else():
            m.d.comb += [
                out_row[UP].eq(at + 1),
                out_row[CENTRE].eq(at),
                out_row[DOWN].eq(at - 1),
                *(item.eq(1) for item in whole),
            ]
        many = Signal()
        m.d.comb += many.eq(rows_left[3:].any())
        with m.If(step):
            m.d.sync += [
                raw.zero.eq((index == 0) | (index > command.rows)),
                raw.clear.eq((index == 0) & command.kernel1),
                raw.ends_run.eq((index == command.rows) & last_plane),
                raw.last.eq(last_plane & last_group),
                raw.starts.eq(first_strip),
                raw.ends.eq(last_strip),
                raw.odd.eq(command.stride2 & ~first_strip),
                raw.tap.eq(tap),
                raw.offset.eq(offset),
                raw.whole.eq(Cat(whole)),
            ]
            for n in range(SHIFTS):
                u = out_row[n]
                before, below = u[-1], Signal(name=f"below_{n}")
                inside = many | (u[:3] < rows_left[:3])
                m.d.comb += below.eq(~before & (u[:3] == command.out_rows))
                owners = pointers
                chosen = {
                    "addr": [pointer.base for pointer in owners],
                    "addr_first": [pointer.ahead for pointer in owners],
                    "addr_last": [pointer.behind for pointer in owners],
                }
                for name, (first, own, last) in chosen.items():
                    m.d.sync += raw[name][n].eq(Mux(before, first, Mux(below, last, own)))
                m.d.sync += [
                    raw.inside[n].eq(Mux(before, ~first_down, inside)),
                    raw.place[n].eq(u[:2] & (command.out_rows - 1)[:2]),
                    raw.finishes[n].eq(
                        before
                        | ((u[:3] & (command.out_rows - 1)) == command.out_rows - 1)
                        | (~many & (u[:3] + 1 == rows_left[:3]))
                    ),
                ]

        with m.If(raw_step):
            m.d.sync += raw_valid.eq(ready)
        self._place(m, command, raw, raw_valid, out_step)

        # Which row is next. ``special``: zeros before the rows of the next plane, group or tile.
        special_group, special_tile = Signal(), Signal()
        span = Signal(4)
        next_place = Signal(4)
        ends_down, ends_image = Signal(), Signal()
        m.d.comb += [
            ends_down.eq(ends_tile & last_strip),
            ends_image.eq(ends_down & last_down),
            span.eq(Mux(command.stride2, command.out_rows << 1, command.out_rows)),
            next_place.eq(place + command.rows),
            moves.eq(ends_image | (ends_tile & (next_place == span) & (last_strip | ~command.stride2))),
            special_group.eq(
                Mux(
                    command.kernel1,
                    fresh & command.clears & (group + 1 == command.clear_group),
                    first_down,
                )
            ),
            special_tile.eq(
                Mux(
                    command.kernel1,
                    moves & command.clears & (command.clear_group == 0),
                    (first_down & ~last_strip) | ends_image,
                )
            ),
        ]
        repeats = Signal()
        """The next plane of this group begins as this one did."""
        with m.If(step):
            m.d.sync += index.eq(index + 1)
            with m.If(last_row):
                m.d.sync += [
                    planes_left.eq(planes_left - 1),
                    offset.eq(offset + command.ksteps),
                    index.eq(~repeats),
                ]
                with m.If(last_plane):
                    next_kstep = Mux(command.kernel1, kstep + tap[-1], kstep + 1)
                    m.d.sync += [
                        planes_left.eq(command.bits),
                        group.eq(group + 1),
                        tap.eq(tap.rotate_left(1)),
                        kstep.eq(next_kstep),
                        offset.eq(next_kstep),
                        index.eq(~special_group),
                        repeats.eq(special_group),
                    ]
                    with m.If(last_group):
                        m.d.sync += [
                            group.eq(0),
                            tap.eq(1),
                            kstep.eq(0),
                            offset.eq(0),
                            index.eq(~special_tile),
                            repeats.eq(special_tile),
                            fresh.eq(moves),
                            strips_left.eq(strips_left - 1),
                            first_strip.eq(0),
                            last_strip.eq(strips_left == 2),
                        ]
        with m.If(step & ends_tile & (last_strip | ~command.stride2)):
            m.d.sync += place.eq(Mux(moves, 0, next_place))
        with m.If(step & ends_down):
            m.d.sync += [
                strips_left.eq(command.strips),
                first_strip.eq(1),
                last_strip.eq(command.strips == 1),
                down_left.eq(down_left - 1),
                first_down.eq(0),
                last_down.eq(down_left == 2),
                lag_moves.eq(1),
            ]
            with m.If(moves):
                m.d.sync += rows_left.eq(rows_left - command.out_rows)
        with m.If(step & ends_image):
            m.d.sync += [
                down_left.eq(command.down),
                first_down.eq(1),
                last_down.eq(command.down == 1),
                rows_left.eq(command.height),
                images_left.eq(images_left - 1),
            ]
            with m.If(images_left == 1):
                m.d.sync += [active.eq(0), running.eq(0)]
        moved = step & moves
        starting = active & ~running & ~self.slots.start & lead.settled
        m.d.comb += [
            mid.advance.eq(moved),
            lag.advance.eq(moved & lag_moves),
            lead.advance.eq(moved | (starting & (lead_steps != 0))),
        ]
        with m.If(self.slots.granted):
            m.d.sync += debt.eq(debt - 1)
        with m.If(moved):
            with m.If(ends_image):
                m.d.sync += [
                    debt.eq(Mux(images_left == 1, 0, command.first_slots)),
                    tiles_left.eq(command.outputs - command.first_slots),
                ]
            with m.Elif(tiles_left != 0):
                m.d.sync += [debt.eq(1), tiles_left.eq(tiles_left - 1)]

        with m.If(starting):
            m.d.sync += lead_steps.eq(lead_steps - 1)
            with m.If(lead_steps == 0):
                m.d.sync += [running.eq(1), debt.eq(command.first_slots)]

        new = self.commands.payload
        with m.If(self.commands.valid & self.commands.ready):
            special = Mux(new.kernel1, new.clears & (new.clear_group == 0), 1)
            m.d.sync += [
                command.eq(new),
                active.eq(1),
                self.slots.start.eq(1),
                images_left.eq(new.images),
                down_left.eq(new.down),
                strips_left.eq(new.strips),
                planes_left.eq(new.bits),
                first_down.eq(1),
                last_down.eq(new.down == 1),
                first_strip.eq(1),
                last_strip.eq(new.strips == 1),
                fresh.eq(1),
                lag_moves.eq(0),
                group.eq(0),
                tap.eq(1),
                kstep.eq(0),
                offset.eq(0),
                place.eq(0),
                index.eq(~special),
                repeats.eq(special),
                rows_left.eq(new.height),
                tiles_left.eq(new.outputs - new.first_slots),
                lead_steps.eq(Mux(new.stride2, 1, new.strips)),
            ]
        return m

    def _place(self, m, command, raw, raw_valid, out_step):
        """Addresses and columns of a row, into the output."""
        config = self.config
        out = self.rows.payload
        count = quads(config)
        m.d.comb += out_step.eq(~self.rows.valid | self.rows.ready)
        kernel1 = command.kernel1
        with m.If(out_step):
            m.d.sync += [
                self.rows.valid.eq(raw_valid),
                out.zero.eq(raw.zero),
                out.starts.eq(raw.starts),
                out.ends.eq(raw.ends),
                out.flush.eq(raw.ends_run),
            ]
            finishes = Mux(
                kernel1,
                raw.finishes[CENTRE] & raw.whole[CENTRE] & raw.inside[CENTRE],
                raw.finishes[DOWN] & raw.whole[DOWN] & raw.inside[DOWN],
            )
            own = Mux(kernel1 & ~command.stride2, 1, raw.ends)
            before = ~kernel1 & ~command.stride2 & ~raw.starts
            complete = finishes & raw.last & ~raw.clear
            m.d.sync += out.done.eq(Mux(complete, own + before, 0))
            for n in range(SHIFTS):
                mine, first = Signal(count, name=f"mine_{n}"), Signal(count, name=f"first_{n}")
                width, enabled = Signal(count, name=f"width_{n}"), Signal(name=f"enabled_{n}")
                begin = Mux(raw.odd, command.blocks, 0)
                with m.Switch(command.out_pitch):
                    for pitch in range((config.cols // FILL_PIXELS).bit_length()):
                        with m.Case(pitch):
                            row_quads = FILL_PIXELS // QUAD << pitch
                            for q in range(count):
                                own = raw.place[n] == q // row_quads
                                m.d.comb += [mine[q].eq(own), first[q].eq(own & (q % row_quads == begin))]
                tapped = ~kernel1 | raw.tap[SHIFTS * n : SHIFTS * (n + 1)].any()
                m.d.comb += [
                    width.eq(Mux(command.stride2, first, first | first << 1)),
                    enabled.eq(raw.clear | (raw.whole[n] & raw.inside[n] & tapped)),
                ]
                hot = Mux(raw.clear, (1 << count) - 1, Mux(raw.zero, mine, width))
                m.d.sync += [
                    out.hot[n].eq(Mux(enabled, hot, 0)),
                    out.addr[n].eq(raw.addr[n] + raw.offset),
                    out.addr_first[n].eq(raw.addr_first[n] + raw.offset),
                    out.addr_last[n].eq(raw.addr_last[n] + raw.offset),
                ]
            taps = Cat(Cat(raw.tap[n::SHIFTS]).any() for n in range(SHIFTS))
            m.d.sync += out.dx.eq(Mux(kernel1 & ~raw.clear, taps, (1 << SHIFTS) - 1))


def _raw_layout(config: ArrayConfig) -> data.StructLayout:
    """A row before its addresses are added up."""
    address = data.ArrayLayout((config.b_depth_words - 1).bit_length(), SHIFTS)
    return data.StructLayout(
        {
            **dict.fromkeys(("zero", "clear", "ends_run", "last", "starts", "ends", "odd"), 1),
            "tap": TAPS,
            "offset": (config.b_depth_words - 1).bit_length(),
            "whole": SHIFTS,
            "inside": SHIFTS,
            "finishes": SHIFTS,
            "place": data.ArrayLayout(2, SHIFTS),
            "addr": address,
            "addr_first": address,
            "addr_last": address,
        }
    )
