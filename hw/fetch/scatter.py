"""From steps, and pieces of pixels, to writes of the window memories: fixed wires and who is enabled."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.fetch.command import DONE_WIDTH, MODE, quads, step_layout
from cpt.hw.fetch.pixel_rows import pixel_write
from cpt.hw.fetch.window_memory import HALVES, QUAD, SHIFTS, window_write, write_parts
from cpt.hw.matrix.copies import KEEP, copies, spread

SPAN = 2 * FILL_PIXELS
"""Columns that one step serves where the picture is spread."""
PLAIN, STRIDE, ONE, ONE_STRIDE, SPREAD, ONE_SPREAD, PIECE = range(7)
"""Where a column's pixel comes from, by kernel and sampling; and from a piece of pixels along K."""


def _sources(dx: int, column: int) -> dict[int, int | None]:
    """The pixel of a step that ``column`` of dx + 1 takes, by kind; None where it is zero."""
    shift = dx - 1
    halved, rest = divmod(column + shift, 2)
    of_one, odd = divmod(column, 2)
    return {
        PLAIN: (column + shift) % FILL_PIXELS,
        STRIDE: (2 * column + shift) % FILL_PIXELS,
        ONE: column % FILL_PIXELS,
        ONE_STRIDE: 2 * column % FILL_PIXELS,
        SPREAD: None if rest else halved % FILL_PIXELS,
        ONE_SPREAD: None if odd else of_one % FILL_PIXELS,
    }


class Scatter(wiring.Component):
    """Puts each pixel of a step into every memory that wants it, and pieces of pixels into theirs.

    Column ``c`` of dx takes pixel ``(stride*c + dx) mod 8`` of a step (``stride*c`` with a 1 x 1 kernel), or
    of a spread picture pixel ``(c + dx)/2 mod 8`` where whole, else 0; so sixteen multiplexers for each dx
    serve all columns; those whose pixel is beyond the image's side take 0.
    A column belongs to the block of its quad; the first of dx = -1 belongs to the block before, the last of
    dx = 1 to the block behind.

    Parameters: ``config``.
    Members: ``mode``, which stands some cycles before the first step; ``step``; ``piece`` (`pixel_write`),
    with ``piece_done``: a slot is complete with it; ``write`` (`window_write`, registered); ``filled``: slots
    whose last word is in the memories.
    Latency `latency_cycles` to ``write``, one more to ``filled``.
    """

    latency_cycles = MACHINE.scatter_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "mode": In(MODE),
                "step": In(step_layout(config)),
                "piece": In(pixel_write(config, config.b_depth_words)),
                "piece_done": In(1),
                "write": Out(window_write(config)),
                "filled": Out(DONE_WIDTH),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chosen = self._pixels(m)
        zero_first, zero_last, stride2 = self._sides(m)
        inner, at_first, at_last, pieces = self._enables(m)
        addresses = self._addresses(m)
        done = [self.step.done | self.piece_done]
        for n in range(self.latency_cycles + 1):
            later = Signal(DONE_WIDTH, name=f"done_{n}")
            m.d.sync += later.eq(done[-1])
            done.append(later)
        m.d.comb += self.filled.eq(done[-1])

        # Second register: at the pins of the memories.
        config, width = self.config, self.config.group_channels
        span, half = len(chosen[0]), config.cols // HALVES
        for dx in range(SHIFTS):
            for c in range(config.cols):
                word = Signal(width, name=f"data_{dx}_{c}", reset_less=True, attrs=KEEP)
                value = chosen[dx][c % span]
                if dx == 0 and c % FILL_PIXELS == 0:
                    value = Mux(zero_first[c // FILL_PIXELS], 0, value)
                if dx == SHIFTS - 1 and c % FILL_PIXELS == FILL_PIXELS - 1:
                    value = Mux(zero_last[c // FILL_PIXELS], 0, value)
                m.d.sync += word.eq(value)
                m.d.comb += self.write.data[dx][c].eq(word)
        for tap in range(TAPS):
            dx = tap % SHIFTS
            for c in range(config.cols):
                quad = c // QUAD
                on = inner[tap][quad]
                if dx == 0 and c % FILL_PIXELS == 0:
                    on = at_first[tap][quad]
                elif dx == 0 and c % QUAD == 0:
                    on = Mux(stride2[tap], at_first[tap][quad], on)
                elif dx == SHIFTS - 1 and c % FILL_PIXELS == FILL_PIXELS - 1:
                    on = at_last[tap][quad]
                enable = Signal(write_parts(config), name=f"en_{tap}_{c}")
                m.d.sync += enable.eq(on.replicate(len(enable)) | pieces[tap][c // half])
                m.d.comb += self.write.en[tap][c].eq(enable)
        for dy in range(SHIFTS):
            for dx, copy in enumerate(copies(m, addresses["addr"][dy], SHIFTS, f"addr_{dy}")):
                m.d.comb += self.write.addr[SHIFTS * dy + dx].eq(copy)
            for name in ("addr_first", "addr_last"):
                (copy,) = copies(m, addresses[name][dy], 1, f"{name}_{dy}")
                m.d.comb += getattr(self.write, name)[dy].eq(copy)
        return m

    def _pixels(self, m):
        """First register of data: pixels by dx and column of a span."""
        config, step, mode = self.config, self.step, self.mode
        width, span = config.group_channels, min(SPAN, config.cols)
        pixel = [step.pixels[n * width : (n + 1) * width] for n in range(FILL_PIXELS)]
        kind = Signal(range(PIECE + 1), reset_less=True)
        plain = Mux(mode.spread, SPREAD, Mux(mode.stride2, STRIDE, PLAIN))
        of_one = Mux(mode.spread, ONE_SPREAD, Mux(mode.stride2, ONE_STRIDE, ONE))
        m.d.sync += kind.eq(Mux(mode.pixels, PIECE, Mux(mode.kernel1, of_one, plain)))
        kinds = spread(m, kind, SHIFTS * span, "kind")
        chosen = []
        for dx in range(SHIFTS):
            row = []
            for c in range(span):
                value = Signal(width, name=f"pixel_{dx}_{c}", reset_less=True)
                with m.Switch(kinds[span * dx + c]):
                    for number, source in _sources(dx, c).items():
                        with m.Case(number):
                            m.d.sync += value.eq(0 if source is None else pixel[source])
                    with m.Default():
                        m.d.sync += value.eq(self.piece.data[c % width])
                row.append(value)
            chosen.append(row)
        return chosen

    def _sides(self, m):
        """First register of what is zero: by block of columns, its first, or last, column is at a side."""
        step, mode = self.step, self.mode
        blocks = self.config.cols // FILL_PIXELS
        first = Signal(blocks)
        last = Signal(blocks)
        strided = Signal(reset_less=True)
        m.d.sync += strided.eq(mode.stride2)
        with m.Switch(mode.out_pitch):
            for pitch in range(blocks.bit_length()):
                with m.Case(pitch):
                    starts = [block % (1 << pitch) == 0 for block in range(blocks)]
                    ends = [(block + 1) % (1 << pitch) == 0 for block in range(blocks)]
                    firsts, lasts = Cat(starts), Cat(ends)
                    m.d.sync += [
                        first.eq(Mux(mode.kernel1 | mode.pixels, 0, firsts)),
                        last.eq(Mux(mode.kernel1 | mode.stride2 | mode.pixels, 0, lasts)),
                    ]
        zero_first = Signal(blocks)
        zero_last = Signal(blocks)
        m.d.sync += [
            zero_first.eq(Mux(step.starts[0], first, 0)),
            zero_last.eq(Mux(step.ends[0], last, 0)),
        ]
        return zero_first, zero_last, copies(m, strided, TAPS, "strided")

    def _enables(self, m):
        """First register of enables by tap: for the inner columns of every quad, for those at the sides of
        blocks, and of pieces by half and part."""
        config, step, mode, piece = self.config, self.step, self.mode, self.piece
        count = quads(config)
        middle = sum(1 << quad for quad in range(1, count, SPAN // QUAD))
        """Quads whose last column of dx = 1 belongs to the same step where the picture is spread."""
        inner, at_first, at_last = (
            [Signal(count, name=f"{name}_{tap}") for tap in range(TAPS)]
            for name in ("inner", "at_first", "at_last")
        )
        modes = [
            Cat(copies(m, value, SHIFTS, f"mode_{name}"))
            for name, value in (
                ("one", mode.kernel1),
                ("own", mode.kernel1 | mode.stride2),
                ("spread", mode.spread),
            )
        ]
        for dy in range(SHIFTS):
            one, own, apart = (values[dy] for values in modes)
            hot, starts, ends = step.hot[dy], step.starts[dy], step.ends[dy]
            left, right = (hot << 1)[:count], hot >> 1
            spilt = Mux(starts, hot, 0) | Mux(ends, 0, left)
            drawn = Mux(ends, hot, 0) | Mux(starts, 0, right) | Mux(apart, hot & middle, 0)
            for dx in range(SHIFTS):
                tap, on = SHIFTS * dy + dx, step.dx[dy][dx]
                m.d.sync += inner[tap].eq(Mux(on, hot, 0))
                if dx == 0:
                    wanted = Signal(count, name=f"first_wanted_{dy}")
                    m.d.comb += wanted.eq(Mux(one, hot, spilt))
                    m.d.sync += at_first[tap].eq(Mux(on, wanted, 0))
                    whole = Mux(one | starts, hot[0], 0) | (step.over[dy] & hot.any())
                    m.d.sync += at_first[tap][0].eq(on & whole)
                if dx == SHIFTS - 1:
                    wanted = Signal(count, name=f"last_wanted_{dy}")
                    m.d.comb += wanted.eq(Mux(own, hot, drawn))
                    m.d.sync += at_last[tap].eq(Mux(on, wanted, 0))
                    whole = Mux(own | ends, hot[-1], 0) | (step.under[dy] & hot.any())
                    m.d.sync += at_last[tap][count - 1].eq(on & whole)
        pieces = []
        for tap in range(TAPS):
            row = []
            for half in range(HALVES):
                parts = Signal(write_parts(config), name=f"piece_{tap}_{half}")
                if tap < len(piece.piece):
                    wanted = piece.piece[tap] & piece.halves[half]
                    m.d.sync += parts.eq(Mux(wanted, piece.parts, 0))
                row.append(parts)
            pieces.append(row)
        return inner, at_first, at_last, pieces

    def _addresses(self, m):
        """First register of addresses, by dy."""
        step, piece = self.step, self.piece
        found = {name: [] for name in ("addr", "addr_first", "addr_last")}
        for dy, pixels in enumerate(copies(m, self.mode.pixels, SHIFTS, "mode_pixels")):
            own = step.addr[dy]
            values = {
                "addr": own,
                "addr_first": Mux(step.over[dy], step.addr_first[dy], own),
                "addr_last": Mux(step.under[dy], step.addr_last[dy], own),
            }
            for name, value in values.items():
                address = Signal.like(own, name=f"{name}_{dy}", reset_less=True)
                m.d.sync += address.eq(Mux(pixels, piece.addr, value) | (self.mode.upper << len(address) - 1))
                found[name].append(address)
        return found
