"""Turns words of codes, one channel each, into planes: the lanes whose bits of a plane are one bus beat."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import MAX_BITS
from cpt.hw.matrix.copies import KEEP

PAIR = 2
"""Lanes that a memory holds, so that its address pins are few."""
FOUR = 4
_SELECT_BITS = 2
"""A plane's bit is chosen in two steps, of four each: a LUT has room for them."""


def part_write(steps: int) -> data.StructLayout:
    """A word goes to ``addr``: half, then which of the ``steps`` reads takes it."""
    return data.StructLayout({"en": 1, "addr": range(2 * steps)})


def part_read(steps: int) -> data.StructLayout:
    """Bits of ``plane`` of the channels at ``addr``; ``last``: of a group; ``blank``: 0 is meant instead."""
    return data.StructLayout({"addr": range(2 * steps), "plane": range(MAX_BITS), "last": 1, "blank": 1})


class PlanePart(wiring.Component):
    """Holds two groups of channels of ``lanes`` lanes, and gives a plane of one, channels side by side.

    ``together`` channels are read at once, so a group takes ``steps`` reads. Parts form a row: each reads a
    cycle after the one before it, so that they complete their bits of a plane one after the other.

    Parameters: ``lanes``, even; ``together``; ``steps``.
    Members: ``write``: of each of the ``together`` channels that share an address; ``codes``: the word;
    ``read`` (`part_read`); ``next``: ``read``, for the next part; ``valid``, ``blank``, ``bits``: lane 0
    first, a group's channels each, `latency_cycles` after the ``last`` read. No read waits for anything.
    """

    latency_cycles = 3
    """Copies of the address; bits of four planes; the bit."""

    def __init__(self, lanes: int, together: int, steps: int):
        self.lanes, self.together, self.steps = lanes, together, steps
        super().__init__(
            {
                "write": In(part_write(steps)).array(together),
                "codes": In(MAX_BITS).array(lanes),
                "read": In(part_read(steps)),
                "next": Out(part_read(steps)),
                "valid": Out(1),
                "blank": Out(1),
                "bits": Out(lanes * together * steps),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.next.eq(self.read)
        found = [[] for _ in range(self.lanes)]
        """Bits of the channels read, by lane."""
        for first in range(0, self.lanes, PAIR):
            for channel in range(self.together):
                name = f"{first}_{channel}"
                memory = Memory(shape=unsigned(PAIR * MAX_BITS), depth=2 * self.steps, init=[])
                m.submodules[f"memory_{name}"] = memory
                write, read = memory.write_port(), memory.read_port(domain="comb")
                addr = Signal(range(2 * self.steps), name=f"addr_{name}", attrs=KEEP, reset_less=True)
                plane = Signal(range(MAX_BITS), name=f"plane_{name}", attrs=KEEP, reset_less=True)
                upper = Signal(_SELECT_BITS, name=f"upper_{name}", attrs=KEEP, reset_less=True)
                some = Signal(PAIR * MAX_BITS // FOUR, name=f"some_{name}", reset_less=True)
                m.d.sync += [
                    addr.eq(self.read.addr),
                    plane.eq(self.read.plane),
                    upper.eq(plane[_SELECT_BITS:]),
                    some.eq(
                        Cat(
                            read.data[bit : bit + FOUR].bit_select(plane[:_SELECT_BITS], 1)
                            for bit in range(0, PAIR * MAX_BITS, FOUR)
                        )
                    ),
                ]
                m.d.comb += [
                    write.en.eq(self.write[channel].en),
                    write.addr.eq(self.write[channel].addr),
                    write.data.eq(Cat(self.codes[first : first + PAIR])),
                    read.addr.eq(addr),
                ]
                for lane in range(PAIR):
                    fours = some[FOUR * lane : FOUR * (lane + 1)]
                    found[first + lane].append(fours.bit_select(upper, 1))

        # Bits are shifted in whether they are wanted or not: `valid` says when a group is complete.
        for lane, bits in enumerate(found):
            group = Signal(self.together * self.steps, name=f"group_{lane}", reset_less=True)
            m.d.sync += group.eq(Cat(group[self.together :], *bits))
            m.d.comb += self.bits[len(group) * lane : len(group) * (lane + 1)].eq(group)
        ends = Signal(data.ArrayLayout(data.StructLayout({"last": 1, "blank": 1}), self.latency_cycles))
        m.d.sync += [
            ends[0].last.eq(self.read.last),
            ends[0].blank.eq(self.read.blank),
            *(ends[stage].eq(ends[stage - 1]) for stage in range(1, self.latency_cycles)),
        ]
        m.d.comb += [self.valid.eq(ends[-1].last), self.blank.eq(ends[-1].blank)]
        return m
