"""Names words on chip one by one, run by run."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import KEEP
from cpt.hw.move.command import COUNT_BITS, PLACE_BITS, PLACES

ADDRESS = data.StructLayout({"place": PLACE_BITS, "last": 1})
"""A unit on chip, and whether it is the instruction's last."""


class PlaceWalker(wiring.Component):
    """Addresses of all units of an instruction.

    Members: ``start``: one begins, with ``places``, which came two cycles before and stay; ``addr`` (out).
    An address a cycle.
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "places": In(PLACES),
                "addr": Out(stream.Signature(ADDRESS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        active = [Signal(name=f"active_{n}", attrs=KEEP) for n in range(4)]
        resting = [Signal(name=f"resting_{n}", init=1, attrs=KEEP) for n in range(4)]
        """What is used at the start is loaded until then."""
        addr = Signal(PLACE_BITS, reset_less=True)
        after = Signal(PLACE_BITS, reset_less=True)
        """Of the unit; of the first unit of the next run."""
        units = Signal(COUNT_BITS, reset_less=True)
        runs = Signal(COUNT_BITS, reset_less=True)
        """Units after this one, runs after this one."""
        unit_last = [Signal(name=f"unit_last_{n}", attrs=KEEP) for n in range(4)]
        run_last = Signal()
        m.d.comb += [self.addr.valid.eq(active[3]), self.addr.payload.place.eq(addr)]
        step = [flag & self.addr.ready for flag in active]
        ends = Signal()
        m.d.comb += [
            ends.eq(step[3] & unit_last[3] & run_last),
            self.addr.payload.last.eq(unit_last[3] & run_last),
        ]
        m.d.sync += [
            *(flag.eq(self.start | (flag & ~ends)) for flag in active),
            *(flag.eq(~self.start & (flag | ends)) for flag in resting),
        ]
        with m.If(resting[0]):
            m.d.sync += addr.eq(self.places.place)
        with m.Elif(step[0]):
            m.d.sync += addr.eq(Mux(unit_last[0], after, addr + 1))
        with m.If(resting[1]):
            m.d.sync += after.eq(self.places.next)
        with m.Elif(step[1] & unit_last[2]):
            m.d.sync += after.eq(after + self.places.stride)
        single = Signal()
        double = Signal()
        others = Signal(COUNT_BITS, reset_less=True)
        """A run has one unit, has two; how many it has beside the first."""
        second_last = Signal()
        """The unit after this one is the last of its run."""
        m.d.sync += [
            single.eq(self.places.units == 1),
            double.eq(self.places.units == 2),
            others.eq(self.places.units - 1),
        ]
        with m.If(resting[2]):
            m.d.sync += [
                units.eq(others),
                second_last.eq(double),
                *(flag.eq(single) for flag in unit_last),
            ]
        with m.Elif(step[2]):
            m.d.sync += [
                units.eq(Mux(unit_last[1], others, units - 1)),
                second_last.eq(Mux(unit_last[1], double, units == 2)),
                *(flag.eq(Mux(unit_last[1], single, second_last)) for flag in unit_last),
            ]
        with m.If(resting[3]):
            m.d.sync += [runs.eq(self.places.runs - 1), run_last.eq(self.places.runs == 1)]
        with m.Elif(step[3] & unit_last[3]):
            m.d.sync += [runs.eq(runs - 1), run_last.eq(runs == 1)]
        return m
