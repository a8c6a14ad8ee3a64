"""The register port: what AXI4-Lite demands of a slave.

Written after the AMBA AXI4-Lite specification (valid and ready, ordering of responses, bounded answers).
"""

from __future__ import annotations

from amaranth import Signal

from cpt.hw.control.registers import RegisterFile
from cpt.sim.formal.properties import Properties

TAKEN_CYCLES = 1
"""Most cycles an address or data waits while nothing is unanswered."""
ANSWER_CYCLES = {"write": 2, "read": 3}
"""Most cycles between the last transfer of an access and its answer."""


class RegisterPortProperties(Properties):
    """Answers follow requests one for one, stay until they are taken, and come in bounded time."""

    def __init__(self) -> None:
        super().__init__(RegisterFile())

    def describe(self) -> None:
        """The master keeps its side of the rule; the slave must keep its own."""
        bus = self.block.bus
        self.assume(self.kept(bus.awvalid, bus.awready, bus.awaddr, bus.awprot))
        self.assume(self.kept(bus.wvalid, bus.wready, bus.wdata, bus.wstrb))
        self.assume(self.kept(bus.arvalid, bus.arready, bus.araddr, bus.arprot))
        self.demand("b is kept", self.kept(bus.bvalid, bus.bready, bus.bresp))
        self.demand("r is kept", self.kept(bus.rvalid, bus.rready, bus.rdata, bus.rresp))

        answered = bus.bvalid & bus.bready
        addresses = self.counter("addresses", 3, bus.awvalid & bus.awready, answered)
        words = self.counter("words", 3, bus.wvalid & bus.wready, answered)
        reads = self.counter("reads", 3, bus.arvalid & bus.arready, bus.rvalid & bus.rready)
        self.demand("b has its address", ~bus.bvalid | (addresses != 0))
        self.demand("b has its data", ~bus.bvalid | (words != 0))
        self.demand("r has its address", ~bus.rvalid | (reads != 0))
        self.demand("one write at a time", (addresses <= 1) & (words <= 1))
        self.demand("one read at a time", reads <= 1)
        self.demand("no response is an error", (bus.bresp == 0) & (bus.rresp == 0))

        written = (addresses != 0) & (words != 0) & ~bus.bvalid
        self.demand("a write is answered in time", self._wait("write", written) <= ANSWER_CYCLES["write"])
        self.demand(
            "a read is answered in time",
            self._wait("read", (reads != 0) & ~bus.rvalid) <= ANSWER_CYCLES["read"],
        )
        for channel, unanswered in (("aw", addresses), ("w", words), ("ar", reads)):
            offered = getattr(bus, f"{channel}valid") & ~getattr(bus, f"{channel}ready")
            refused = self._wait(channel, offered & (unanswered == 0))
            self.demand(f"{channel} is taken in time", refused <= TAKEN_CYCLES)
            # Registered, and a function of what happened before: no path from this cycle's valids.
            self.demand(
                f"{channel} is ready while nothing is held",
                getattr(bus, f"{channel}ready") == (unanswered == 0),
            )

        self.reach("a write is answered", answered)
        self.reach("a read is answered", bus.rvalid & bus.rready)

        # What the induction needs to know of the inside: where an access is on its way.
        done, stages = self.peek("done"), [self.peek(name) for name in ("looked_up", "selected", "gathered")]
        self.inside("done is a write's", ~done | ((addresses == 1) & (words == 1) & ~bus.bvalid))
        on_its_way = stages[0] + stages[1] + stages[2] + bus.rvalid
        self.inside("a read is in one place", on_its_way == reads)
        self.inside("a write waits for nothing", ~written | (self._waits["write"] == done))
        for place, stage in enumerate(stages):
            self.inside(f"read stage {place}", ~stage | (self._waits["read"] == place))
        self.inside("halves of the data", self.peek("gathered_upper") == self.peek("gathered"))

    _waits: dict[str, Signal]

    def _wait(self, name: str, waiting: Signal) -> Signal:
        """Cycles in a row, before this one, in which ``waiting`` held."""
        count = Signal(4, name=f"wait_{name}")
        with self._module.If(waiting):
            self._module.d.sync += count.eq(count + 1)
        with self._module.Else():
            self._module.d.sync += count.eq(0)
        self._waits = {**getattr(self, "_waits", {}), name: count}
        return count
