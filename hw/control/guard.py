"""Lets runs of memory through that lie in a window."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.control.reach import ADDRESS_BITS, WINDOW
from cpt.hw.layouts import RUN
from cpt.hw.matrix.copies import KEEP

_LOW_BITS = BEAT_BYTES.bit_length() - 1


class Guard(wiring.Component):
    """Passes runs on, one at a time, until one leaves the window or is not aligned to beats.

    Members: ``asked`` (in), ``runs`` (out); ``window``: must stand still while there are runs; ``leaves``:
    the run that is held leaves the window, ``misaligned``: it does not begin at a beat. Either stays until
    the reset, and nothing passes any more.
    Latency `latency_cycles`, and a run in as many cycles and one at most.
    """

    latency_cycles = 4

    def __init__(self):
        super().__init__(
            {
                "asked": In(stream.Signature(RUN)),
                "runs": Out(stream.Signature(RUN)),
                "window": In(WINDOW),
                "leaves": Out(1),
                "misaligned": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run = Signal(RUN, reset_less=True)
        vacant = [Signal(name=f"vacant_{n}", init=1, attrs=KEEP) for n in range(3)]
        """The first answers, the others load halves of the register."""
        looked = Signal(self.latency_cycles - 1)
        """How many cycles the run has been looked at, as ones that move up."""
        end = Signal(ADDRESS_BITS + 1, reset_less=True)
        # The sign of a difference comes straight out of its carry chain.
        below, above = (
            Signal(signed(ADDRESS_BITS + 2), name=name, reset_less=True) for name in ("below", "above")
        )
        accepted = Signal()
        passed = Signal()
        m.d.comb += [
            self.asked.ready.eq(vacant[0]),
            self.runs.payload.eq(run),
            accepted.eq(self.asked.valid & vacant[0]),
            passed.eq(self.runs.valid & self.runs.ready),
        ]
        for flag, field in zip(vacant[1:], RUN.members, strict=True):
            with m.If(flag):
                m.d.sync += run[field].eq(self.asked.payload[field])
        m.d.sync += [flag.eq(Mux(vacant[0], ~self.asked.valid, passed)) for flag in vacant]
        m.d.sync += [
            looked.eq(Cat(accepted, looked)),
            end.eq(run.addr + Cat(Const(0, _LOW_BITS), run.beats)),
            below.eq(run.addr - self.window.base),
            above.eq(self.window.limit - end),
        ]
        beyond = Signal()
        odd = Signal()
        m.d.comb += [beyond.eq(below[-1] | above[-1]), odd.eq(run.addr[:_LOW_BITS].any())]
        with m.If(looked[-1]):
            m.d.sync += [
                self.runs.valid.eq(~beyond & ~odd),
                self.leaves.eq(beyond & ~odd),
                self.misaligned.eq(odd),
            ]
        with m.Elif(passed):
            m.d.sync += self.runs.valid.eq(0)
        return m
