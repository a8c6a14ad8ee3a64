"""From steps to writes of the window memories: fixed wires, one multiplexer, and who is enabled."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.fetch.command import quads, step_layout
from cpt.hw.fetch.window_memory import QUAD, SHIFTS, window_write, write_parts
from cpt.hw.matrix.copies import KEEP

SPAN = 2 * FILL_PIXELS
"""Columns that one step serves where the picture is spread."""


class Scatter(wiring.Component):
    """Puts each pixel of a step into every memory that wants it.

    Column ``c`` of dx takes pixel ``(stride*c + dx) mod 8`` of a step (``stride*c`` with a 1 x 1 kernel), or
    of a spread picture pixel ``(c + dx)/2 mod 8`` where whole, else 0; so sixteen multiplexers for each dx
    serve all columns; those whose pixel is beyond the image's side take 0.
    A column belongs to the block of its quad; the first of dx = -1 belongs to the block before, the last of
    dx = 1 to the block behind.

    Parameters: ``config``.
    Members: ``valid``, ``step``; ``write`` (`window_write`, registered); ``filled``: slots whose last word is
    in the memories.
    Latency `latency_cycles` to ``write``, one more to ``filled``.
    """

    latency_cycles = MACHINE.scatter_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "step": In(step_layout(config)),
                "write": Out(window_write(config)),
                "filled": Out(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, step = self.config, self.step
        count, blocks = quads(config), config.cols // FILL_PIXELS
        span = min(SPAN, config.cols)
        middle = sum(1 << quad for quad in range(1, count, SPAN // QUAD))
        """Quads whose last column of dx = 1 belongs to the same step where the picture is spread."""
        width = config.group_channels
        pixel = [step.pixels[n * width : (n + 1) * width] for n in range(FILL_PIXELS)]

        # First register: pixels by dx and column of a block; who is at a side.
        chosen = [
            [Signal(width, name=f"pixel_{dx}_{c}", reset_less=True) for c in range(span)]
            for dx in range(SHIFTS)
        ]
        for dx in range(SHIFTS):
            for c in range(span):
                near, far = (c + dx - 1) % FILL_PIXELS, (2 * c + dx - 1) % FILL_PIXELS
                own = Mux(step.stride2, pixel[2 * c % FILL_PIXELS], pixel[c % FILL_PIXELS])
                whole = Mux(step.kernel1, own, Mux(step.stride2, pixel[far], pixel[near]))
                if dx == 1:
                    apart = pixel[c // 2] if c % 2 == 0 else 0
                elif c % 2 == 0:
                    apart = Mux(step.kernel1, pixel[c // 2], 0)
                else:
                    apart = Mux(step.kernel1, 0, pixel[(c + dx - 1) // 2 % FILL_PIXELS])
                m.d.sync += chosen[dx][c].eq(Mux(step.spread, apart, whole))
        first, last = Signal(blocks), Signal(blocks)
        """Blocks of columns whose first, or last, column is at the side of the image."""
        with m.Switch(step.out_pitch):
            for pitch in range(blocks.bit_length()):
                with m.Case(pitch):
                    starts = [block % (1 << pitch) == 0 for block in range(blocks)]
                    ends = [(block + 1) % (1 << pitch) == 0 for block in range(blocks)]
                    m.d.comb += [first.eq(Cat(starts)), last.eq(Cat(ends))]
        zero_first, zero_last = Signal(blocks), Signal(blocks)
        m.d.sync += [
            zero_first.eq(Mux(step.starts & ~step.kernel1, first, 0)),
            zero_last.eq(Mux(step.ends & ~step.kernel1 & ~step.stride2, last, 0)),
        ]
        # Enables by tap, for the inner columns of every quad, and for those at the sides of blocks.
        inner, at_first, at_last = (
            [Signal(count, name=f"{name}_{tap}") for tap in range(TAPS)]
            for name in ("inner", "at_first", "at_last")
        )
        addresses = {name: [] for name in ("addr", "addr_first", "addr_last")}
        for dy in range(SHIFTS):
            hot = step.hot[dy]
            left, right = (hot << 1)[:count], hot >> 1
            for dx in range(SHIFTS):
                tap = SHIFTS * dy + dx
                on = self.valid & step.dx[dx]
                spilt = Mux(step.starts, hot, 0) | Mux(step.ends, 0, left)
                drawn = (
                    Mux(step.ends, hot, 0) | Mux(step.starts, 0, right) | Mux(step.spread, hot & middle, 0)
                )
                m.d.sync += [
                    inner[tap].eq(Mux(on, hot, 0)),
                    at_first[tap].eq(Mux(on, Mux(step.kernel1, hot, spilt), 0)),
                    at_last[tap].eq(Mux(on, Mux(step.kernel1 | step.stride2, hot, drawn), 0)),
                ]
                if dx == 0:
                    m.d.sync += at_first[tap][0].eq(
                        on & (Mux(step.kernel1 | step.starts, hot[0], 0) | (step.over & hot.any()))
                    )
                if dx == SHIFTS - 1:
                    m.d.sync += at_last[tap][count - 1].eq(
                        on
                        & (
                            Mux(step.kernel1 | step.stride2 | step.ends, hot[-1], 0)
                            | (step.under & hot.any())
                        )
                    )
            before, behind = Signal.like(step.addr[dy]), Signal.like(step.addr[dy])
            addr = Signal.like(step.addr[dy], name=f"addr_{dy}")
            m.d.sync += [
                addr.eq(step.addr[dy]),
                before.eq(Mux(step.over, step.addr_first[dy], step.addr[dy])),
                behind.eq(Mux(step.under, step.addr_last[dy], step.addr[dy])),
            ]
            addresses["addr"].append(addr)
            addresses["addr_first"].append(before)
            addresses["addr_last"].append(behind)
        stride2 = Signal()
        m.d.sync += stride2.eq(step.stride2)
        done = [step.done]
        for n in range(self.latency_cycles + 1):
            later = Signal(2, name=f"done_{n}")
            m.d.sync += later.eq(done[-1])
            done.append(later)
        m.d.comb += self.filled.eq(done[-1])

        # Second register: at the pins of the memories.
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
                    on = Mux(stride2, at_first[tap][quad], on)
                elif dx == SHIFTS - 1 and c % FILL_PIXELS == FILL_PIXELS - 1:
                    on = at_last[tap][quad]
                enable = Signal(name=f"en_{tap}_{c}")
                m.d.sync += enable.eq(on)
                m.d.comb += self.write.en[tap][c].eq(enable.replicate(write_parts(config)))
        for name, sources in addresses.items():
            for dy, source in enumerate(sources):
                later = Signal.like(source, name=f"{name}_{dy}_later")
                m.d.sync += later.eq(source)
                m.d.comb += getattr(self.write, name)[dy].eq(later)
        return m
