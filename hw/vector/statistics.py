"""Statistics of every channel: counted by the lanes, read and now and then written by the float engine."""

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import CHANNELS, Statistic
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.ports import NUMBER_BITS, channel_memory

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


class Statistics(wiring.Component):
    """Adds a word's sums to its channel's, and compares its extremes.

    Lanes and float engine write memories of their own, so neither waits for the other; a bit for each number
    says whose is the later. The lanes go on from what they counted last themselves.

    Members: ``float``: `channel_memory`; a number written is read three cycles later. ``count``: a word of
    ``channel`` comes; `numbers_cycles` later its ``total``, ``product``, ``lowest``, ``highest``, and
    ``clear``, in copies: it starts them anew. A channel may come again after `again_cycles`.
    """

    latency_cycles = MACHINE.channel_memory_cycles
    numbers_cycles = 3
    again_cycles = 4

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "float": In(channel_memory(len(Statistic))),
                "count": In(1),
                "channel": In(range(CHANNELS)),
                "clear": In(CLEARS),
                **{which.name.lower(): In(signed(width)) for which, width in WIDTHS.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        inner = (CHANNELS - 1).bit_length()
        channel, ends = [Signal.like(self.channel, name="channel_0")], [Signal(name="count_0")]
        m.d.sync += [channel[0].eq(self.channel), ends[0].eq(self.count)]
        for n in range(1, self.numbers_cycles + 1):
            channel.append(Signal.like(self.channel, name=f"channel_{n}", reset_less=True))
            ends.append(Signal(name=f"count_{n}"))
            m.d.sync += [channel[n].eq(channel[n - 1]), ends[n].eq(ends[n - 1])]
        writing, *writes = copies(m, ends[-2], 1 + len(WIDTHS), "writing", reset_less=False)
        """For the owners, and for each number."""
        written = channel[-1]

        # Whose number is the later: the two bits are the same if it is the lanes'.
        owners = {}
        for name in ("lanes", "floats"):
            memory = Memory(shape=len(Statistic), depth=CHANNELS, init=[])
            m.submodules[f"owner_{name}"] = memory
            into = memory.write_port(granularity=1 if name == "floats" else None)
            owners[name] = into, memory.read_port(), memory.read_port()
        into, _, lanes_asked = owners["lanes"]
        other, floats_of_channel, floats_asked = owners["floats"]
        # What the float engine writes waits for the lanes' bit of it.
        address, writes_of = self.float.addr[:inner], self.float.write << self.float.addr[inner:]
        for n in range(2):
            late, late_writes = (
                Signal(inner, name=f"address_{n}", reset_less=True),
                Signal(len(Statistic), name=f"writes_{n}"),
            )
            m.d.sync += [late.eq(address), late_writes.eq(writes_of)]
            address, writes_of = late, late_writes
        field = Signal(range(len(Statistic)), reset_less=True)
        of_lanes, of_floats = (
            Signal(len(Statistic), name=name, reset_less=True) for name in ("of_lanes", "of_floats")
        )
        m.d.sync += [
            field.eq(self.float.addr[inner:]),
            of_lanes.eq(lanes_asked.data),
            of_floats.eq(floats_asked.data),
        ]
        taken = floats_of_channel.data
        for n in range(self.numbers_cycles - 1):
            late = Signal(len(Statistic), name=f"taken_{n}", reset_less=True)
            m.d.sync += late.eq(taken)
            taken = late
        m.d.comb += [
            floats_of_channel.addr.eq(channel[0]),
            lanes_asked.addr.eq(self.float.addr),
            floats_asked.addr.eq(self.float.addr),
            into.addr.eq(written),
            into.en.eq(writing),
            into.data.eq(taken),
            other.addr.eq(address),
            other.en.eq(writes_of),
            other.data.eq(~of_lanes),
        ]

        memory = Memory(shape=signed(ACC_BITS), depth=len(Statistic) * CHANNELS, init=[])
        m.submodules.written = memory
        into, back = memory.write_port(), memory.read_port()
        m.d.comb += [
            into.addr.eq(self.float.addr),
            into.data.eq(self.float.write_data),
            into.en.eq(self.float.write),
            back.addr.eq(self.float.addr),
        ]
        of_float = Signal(signed(ACC_BITS), reset_less=True)
        parts = range(0, ACC_BITS, PART_BITS)
        m.d.sync += of_float.eq(back.data)
        asked = copies(m, field, len(parts), "asked")

        numbers, cleared = [], 0
        for (which, width), mine in zip(WIDTHS.items(), writes, strict=True):
            name = which.name.lower()
            shape = signed(width)
            memory = Memory(shape=shape, depth=CHANNELS, init=[])
            m.submodules[name] = memory
            into, out, back = memory.write_port(), memory.read_port(), memory.read_port()
            held, number, counted = (
                Signal(shape, name=f"{name}_{kind}", reset_less=True) for kind in ("held", "back", "counted")
            )
            value = getattr(self, name)
            joined = {
                Statistic.LOWEST: Mux(value < held, value, held),
                Statistic.HIGHEST: Mux(value > held, value, held),
            }.get(which, value + held)
            m.d.sync += [held.eq(out.data), number.eq(back.data)]
            for low in range(0, width, PART_BITS):
                part = slice(low, low + PART_BITS)
                m.d.sync += counted[part].eq(Mux(self.clear[cleared], value[part], joined[part]))
                cleared += 1
            m.d.comb += [
                out.addr.eq(channel[0]),
                back.addr.eq(self.float.addr),
                into.addr.eq(written),
                into.data.eq(counted),
                into.en.eq(mine),
            ]
            wide = Signal(signed(ACC_BITS), name=f"{name}_wide")
            m.d.comb += wide.eq(number)
            numbers.append(wide)
        for low, which in zip(parts, asked, strict=True):
            choice = Array(of_lanes ^ of_floats)[which]
            part = slice(low, low + PART_BITS)
            m.d.sync += self.float.read_data[part].eq(
                Mux(choice, of_float[part], Array(number[part] for number in numbers)[which])
            )
        return m
