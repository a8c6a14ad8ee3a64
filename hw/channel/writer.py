"""Puts the results of a FLOAT where its destination says."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER
from cpt.hw.channel.plan import PLAN
from cpt.hw.channel.ports import PAIR, WORD_BITS, local_write
from cpt.hw.channel.walk import LOOP, OPERAND, Countdown, Walk
from cpt.hw.contract.floats import Coefficient, Space, Statistic
from cpt.hw.vector.ports import channel_memory


class Writer(wiring.Component):
    """Walks the destination as results come. Results for one pair of local memory become one write.

    Members: ``loop``, ``to``, ``plan``: of an instruction, they stay; ``start``; ``valid``, ``result``;
    ``written``: all that came so far, where others wait for it, can be read from now on; ``finished``: that
    was the last. Ports: ``local``, which must be ready always; ``write`` to (statistics, coefficients) at
    ``addr`` with ``data``.
    `latency_cycles` from a result that others wait for to ``written``.
    """

    latency_cycles = 4

    def __init__(self):
        fields = max(len(Statistic), len(Coefficient))
        super().__init__(
            {
                "loop": In(LOOP),
                "to": In(OPERAND),
                "plan": In(PLAN),
                "start": In(1),
                "valid": In(1),
                "result": In(INTEGER),
                "written": Out(1),
                "finished": Out(1),
                "local": Out(local_write()),
                "write": Out(2),
                "addr": Out(channel_memory(fields).members["addr"].shape),
                "data": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = Walk()
        m.submodules.count = count = Countdown()
        m.d.comb += [
            walk.operand.eq(self.to),
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
        valid, ends, last = Signal(), Signal(), Signal()
        addr, value = Signal.like(walk.addr, reset_less=True), Signal(INTEGER, reset_less=True)
        m.d.sync += [
            valid.eq(self.valid),
            ends.eq(self.valid & (count.last | self.plan.serial | (self.plan.serial_rows & count.row_end))),
            last.eq(self.valid & count.last),
            addr.eq(walk.addr),
            value.eq(self.result),
        ]

        # Pairs: held until another one comes, or somebody waits.
        held, held_en = Signal.like(self.local.addr, reset_less=True), Signal(PAIR)
        words = [Signal(WORD_BITS, name=f"held_{n}", reset_less=True) for n in range(PAIR)]
        takes, leaves, ended, was_last = Signal(), Signal(), Signal(), Signal()
        mine = Signal(PAIR)
        m.d.comb += [
            takes.eq(valid & in_local),
            mine.eq(Mux(addr[0], 2, 1)),
            leaves.eq(held_en.any() & ((takes & (addr[1:] != held)) | ended)),
        ]
        m.d.sync += [ended.eq(ends), was_last.eq(last)]
        with m.If(takes):
            m.d.sync += [held.eq(addr[1:]), held_en.eq(mine | Mux(leaves, 0, held_en))]
            for n, word in enumerate(words):
                with m.If(mine[n]):
                    m.d.sync += word.eq(value)
        with m.Elif(leaves):
            m.d.sync += held_en.eq(0)
        m.d.sync += [
            self.local.valid.eq(leaves),
            self.local.addr.eq(held),
            self.local.en.eq(held_en),
            *(port.eq(word) for port, word in zip(self.local.data, words, strict=True)),
        ]
        m.d.sync += [
            self.write[0].eq(valid & in_statistics),
            self.write[1].eq(valid & in_coefficients),
            self.addr.eq(addr),
            self.data.eq(value),
        ]

        # After the write has been on its port for a cycle.
        on_port, last_on_port = Signal(), Signal()
        m.d.sync += [
            on_port.eq(ended),
            last_on_port.eq(was_last),
            self.written.eq(on_port),
            self.finished.eq(last_on_port),
        ]
        return m
