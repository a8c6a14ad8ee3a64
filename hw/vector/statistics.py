"""Statistics of every channel: counted by the lanes, read by the float engine."""

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import FIELD, Statistic
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.channel_numbers import ChannelNumbers
from cpt.hw.vector.ports import NUMBER_BITS, channel_read

WIDTHS = {
    Statistic.TOTAL: ACC_BITS,
    Statistic.PRODUCT: ACC_BITS,
    Statistic.LOWEST: NUMBER_BITS,
    Statistic.HIGHEST: NUMBER_BITS,
}
"""Bits that lanes count with."""
PART_BITS = 24
"""... that share a copy of what starts them anew."""
CLEARS = sum(-(-width // PART_BITS) for width in WIDTHS.values())
_CHOSEN_BITS = 12
"""Bits of a number for the float engine that share a choice."""


class Statistics(wiring.Component):
    """Adds a word's sums to its channel's, and compares its extremes.

    Members: ``float``: `channel_read`. ``count``: a word of ``channel`` comes; `numbers_cycles` later its
    ``total``, ``product``, ``lowest``, ``highest``, and ``clear``, in copies: it starts them anew. A channel
    may come again after `again_cycles`.
    """

    latency_cycles = MACHINE.channel_memory_cycles
    numbers_cycles = 3
    again_cycles = 4

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "float": In(channel_read(len(Statistic))),
                "count": In(1),
                "channel": In(range(config.channels)),
                "clear": In(CLEARS),
                **{which.name.lower(): In(signed(width)) for which, width in WIDTHS.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        parts = {which.name.lower(): signed(width) for which, width in WIDTHS.items()}
        m.submodules.numbers = numbers = ChannelNumbers(self.config.channels, parts, 2)
        channel, ends = [Signal.like(self.channel, name="channel_0")], [Signal(name="count_0")]
        m.d.sync += [channel[0].eq(self.channel), ends[0].eq(self.count)]
        for n in range(1, self.numbers_cycles + 1):
            channel.append(Signal.like(self.channel, name=f"channel_{n}", reset_less=True))
            ends.append(Signal(name=f"count_{n}"))
            m.d.sync += [channel[n].eq(channel[n - 1]), ends[n].eq(ends[n - 1])]
        beyond = numbers.beyond(channel[-2])
        of_float = self.float.addr[: len(self.channel)]
        m.d.comb += [
            numbers.addr_0.eq(channel[0]),
            numbers.addr_1.eq(of_float),
            numbers.into.eq(channel[-1]),
        ]
        field = Signal(range(len(Statistic)), reset_less=True)
        m.d.sync += field.eq(self.float.addr[(FIELD - 1).bit_length() :])
        pieces = range(0, ACC_BITS, _CHOSEN_BITS)
        asked = copies(m, field, len(pieces), "asked")

        wides, cleared = [], 0
        for place, (name, shape) in enumerate(parts.items()):
            width = shape.width
            splits = numbers.splits(name)
            first = ends[-2] & ~beyond if splits else ends[-2]
            m.d.comb += numbers.write[place].eq(copies(m, first, 1, f"{name}_writes", reset_less=False)[0])
            if splits:
                (other,) = copies(m, ends[-2] & beyond, 1, f"{name}_beyond", reset_less=False)
                m.d.comb += numbers.write_beyond[place].eq(other)
            counted = Signal(shape, name=f"{name}_counted", reset_less=True)
            value, held = getattr(self, name), getattr(numbers.found_0, name)
            joined = {
                "lowest": Mux(value < held, value, held),
                "highest": Mux(value > held, value, held),
            }.get(name, value + held)
            for low in range(0, width, PART_BITS):
                part = slice(low, low + PART_BITS)
                m.d.sync += counted[part].eq(Mux(self.clear[cleared], value[part], joined[part]))
                cleared += 1
            m.d.comb += getattr(numbers.data, name).eq(counted)
            wide = Signal(signed(ACC_BITS), name=f"{name}_wide")
            m.d.comb += wide.eq(getattr(numbers.found_1, name))
            wides.append(wide)
        for low, which in zip(pieces, asked, strict=True):
            piece = slice(low, low + _CHOSEN_BITS)
            m.d.sync += self.float.read_data[piece].eq(Array(wide[piece] for wide in wides)[which])
        return m
