"""Puts the results of a FLOAT where its destination says."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER
from cpt.hw.channel.plan import PLAN
from cpt.hw.channel.ports import WORD_BITS, local_write
from cpt.hw.channel.walk import LOOP, OPERAND, Countdown, Walk
from cpt.hw.contract.floats import Coefficient, Space, Statistic
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.ports import channel_memory


class Writer(wiring.Component):
    """Walks the destination as results come. Two that touch and follow each other become one write.

    Parameters: ``lanes``, results of a step that is wide.
    Members: ``loop``, ``to``, ``plan``, ``full`` and ``tail``: lanes that count, of a repetition's last step
    ``tail``: of an instruction, they stay; ``start``; ``valid``, ``result``; ``finished``: the last is on
    its port, reads from the next cycle on find it. Ports: ``local``, which must be ready always; ``write`` to
    (statistics, coefficients) at ``addr`` with ``data``.
    `latency_cycles` from a result to its write, one more where it waits for a second one.
    """

    latency_cycles = 3

    def __init__(self, lanes: int):
        self.lanes = lanes
        fields = max(len(Statistic), len(Coefficient))
        super().__init__(
            {
                "loop": In(LOOP),
                "to": In(OPERAND),
                "plan": In(PLAN),
                "full": In(lanes),
                "tail": In(lanes),
                "start": In(1),
                "valid": In(1),
                "result": In(INTEGER).array(lanes),
                "finished": Out(1),
                "local": Out(local_write(2 * lanes)),
                "write": Out(2),
                "addr": Out(channel_memory(fields).members["addr"].shape),
                "data": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = Walk(self.lanes)
        m.submodules.count = count = Countdown()
        spreads = Signal(reset_less=True)
        """Results of all lanes are elements that touch."""
        wide = self.plan.wide & self.to.moves
        m.d.sync += spreads.eq(wide)
        of_lanes = copies(m, wide, 2 * self.lanes, "of_lanes")
        m.d.comb += [
            walk.operand.eq(self.to),
            walk.wide.eq(spreads),
            count.loop.eq(self.loop),
            walk.start.eq(self.start),
            count.start.eq(self.start),
            walk.advance.eq(self.valid),
            count.advance.eq(self.valid),
            walk.row_end.eq(count.row_end),
        ]
        # A result with its place.
        in_local, in_statistics, in_coefficients = (
            Signal(name=f"in_{name}", reset_less=True) for name in ("local", "statistics", "coefficients")
        )
        m.d.sync += [
            in_local.eq(self.to.space == Space.LOCAL),
            in_statistics.eq(self.to.space == Space.STATISTICS),
            in_coefficients.eq(self.to.space == Space.COEFFICIENTS),
        ]
        valid, last = Signal(), Signal()
        addr, mask = Signal.like(walk.addr, reset_less=True), Signal(self.lanes, reset_less=True)
        values = [Signal(INTEGER, name=f"value_{lane}", reset_less=True) for lane in range(self.lanes)]
        m.d.sync += [
            valid.eq(self.valid),
            last.eq(self.valid & count.last),
            addr.eq(walk.addr),
            mask.eq(Mux(count.row_end, self.tail, self.full)),
            *(value.eq(result) for value, result in zip(values, self.result, strict=True)),
        ]

        # Held for a cycle, in which the one that touches it may come.
        row_bits = (2 * self.lanes - 1).bit_length()
        held = Signal(len(addr) - 1, reset_less=True)
        held_en = Signal(2 * self.lanes)
        words = [Signal(WORD_BITS, name=f"held_{n}", reset_less=True) for n in range(2 * self.lanes)]
        takes, leaves = Signal(), Signal()
        mine, pair = Signal(2 * self.lanes), Signal.like(held)
        alone = Cat(addr[:row_bits] == n for n in range(2 * self.lanes))
        upper = addr[row_bits - 1]
        m.d.comb += [
            takes.eq(valid & in_local),
            mine.eq(
                Mux(
                    spreads,
                    Cat(mask & ~upper.replicate(self.lanes), mask & upper.replicate(self.lanes)),
                    alone,
                )
            ),
            pair.eq(Mux(spreads, addr[row_bits:] << (row_bits - 1), addr[1:])),
            leaves.eq(held_en.any() & (~takes | (pair != held))),
        ]
        with m.If(takes):
            m.d.sync += [held.eq(pair), held_en.eq(mine | Mux(leaves, 0, held_en))]
            for n, word in enumerate(words):
                with m.If(mine[n]):
                    m.d.sync += word.eq(Mux(of_lanes[n], values[n % self.lanes], values[0]))
        with m.Elif(leaves):
            m.d.sync += held_en.eq(0)
        m.d.sync += [
            self.local.valid.eq(leaves),
            self.local.addr.eq(held[row_bits - 1 :]),
            self.local.en.eq(held_en),
            *(port.eq(word) for port, word in zip(self.local.data, words, strict=True)),
        ]
        m.d.sync += [
            self.write[0].eq(valid & in_statistics),
            self.write[1].eq(valid & in_coefficients),
            self.addr.eq(addr),
            self.data.eq(values[0]),
        ]
        was_last = Signal()
        m.d.sync += [was_last.eq(last), self.finished.eq(was_last)]
        return m
