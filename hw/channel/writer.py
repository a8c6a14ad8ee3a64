"""Puts the results of a FLOAT where its destination says."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER
from cpt.hw.channel.plan import PLAN
from cpt.hw.channel.ports import WORD_BITS, local_write
from cpt.hw.channel.walk import LOOP, OPERAND, Countdown, Walk
from cpt.hw.contract.floats import Coefficient, Space
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.ports import channel_memory


class Writer(wiring.Component):
    """Walks the destination as results come. Two that touch and follow each other become one write.

    Parameters: ``lanes``, results of a step that is wide.
    Members: ``loop``, ``to``, ``plan``, ``full`` and ``tail``: lanes that count, of a repetition's last step
    ``tail``: of an instruction, they stay; ``start``: two cycles later results may come; ``coming``: a cycle
    before a ``result``; ``finished``: the last is on its port, reads from the next cycle on find it.
    Ports: ``local``, which must be ready always; ``write`` to coefficients at ``addr`` with
    ``data``.
    `latency_cycles` from a result to its write, one more where it waits for a second one.
    """

    latency_cycles = 3

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "loop": In(LOOP),
                "to": In(OPERAND),
                "plan": In(PLAN),
                "full": In(lanes),
                "tail": In(lanes),
                "start": In(1),
                "coming": In(1),
                "result": In(INTEGER).array(lanes),
                "finished": Out(1),
                "local": Out(local_write(2 * lanes)),
                "write": Out(1),
                "addr": Out(channel_memory(len(Coefficient)).members["addr"].shape),
                "data": Out(INTEGER),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = Walk(self.lanes)
        m.submodules.count = count = Countdown()
        wide = self.plan.wide & self.to.moves
        """Results of all lanes are elements that touch."""
        spreads, walks_wide = copies(m, wide, 2, "spreads")
        of_lanes = copies(m, wide, 2 * self.lanes, "of_lanes")
        starts_walk, starts_count = copies(m, self.start, 2, "starts", reset_less=False)
        comes, *advances = copies(m, self.coming, 3, "comes", reset_less=False)
        m.d.comb += [
            walk.operand.eq(self.to),
            walk.wide.eq(walks_wide),
            count.loop.eq(self.loop),
            walk.start.eq(starts_walk),
            count.start.eq(starts_count),
            walk.advance.eq(advances[0]),
            count.advance.eq(advances[1]),
            walk.row_end.eq(count.row_end[0]),
        ]
        # A result with its place; the words of a row that it becomes are known with it.
        row_bits = (2 * self.lanes - 1).bit_length()
        in_local, in_coefficients = (
            Signal(name=f"in_{name}", reset_less=True) for name in ("local", "coefficients")
        )
        m.d.sync += [
            in_local.eq(self.to.space == Space.LOCAL),
            in_coefficients.eq(self.to.space == Space.COEFFICIENTS),
        ]
        valid = Signal()
        last = Signal()
        takes = Signal()
        addr = Signal.like(walk.addr, reset_less=True)
        values = [Signal(INTEGER, name=f"value_{lane}", reset_less=True) for lane in range(self.lanes)]
        coming = Signal(2 * self.lanes)
        mask = Signal(self.lanes)
        upper = walk.addr[row_bits - 1]
        m.d.comb += [
            mask.eq(Mux(count.row_end[1], self.tail, self.full)),
            coming.eq(
                Mux(
                    spreads,
                    Cat(Mux(upper, 0, mask), Mux(upper, mask, 0)),
                    Cat(walk.addr[:row_bits] == n for n in range(2 * self.lanes)),
                )
                & (comes & in_local).replicate(2 * self.lanes)
            ),
        ]
        mine, *loads = copies(m, coming, 3, "mine", reset_less=False)
        """Words that come; for their enables, a copy each for half of their bits."""
        m.d.sync += [
            valid.eq(comes),
            takes.eq(comes & in_local),
            last.eq(comes & count.last),
            addr.eq(walk.addr),
            *(value.eq(result) for value, result in zip(values, self.result, strict=True)),
        ]

        # Held for a cycle, in which the one that touches it may come.
        pair, newest, held = (
            Signal(len(addr) - 1),
            *(Signal(len(addr) - 1, name=name, reset_less=True) for name in ("newest", "held")),
        )
        held_en = Signal(2 * self.lanes)
        occupied = Signal()
        alike = Signal(reset_less=True)
        words = [Signal(WORD_BITS, name=f"held_{n}", reset_less=True) for n in range(2 * self.lanes)]
        ways = walk.addr[row_bits:] << (row_bits - 1), walk.addr[1:]
        m.d.comb += [
            pair.eq(Mux(spreads, *ways)),
            self.local.next.eq(occupied & ~(takes & alike)),
        ]
        with m.If(comes & in_local):
            m.d.sync += newest.eq(pair)
        joined = held_en & (occupied & alike).replicate(len(held_en))
        m.d.sync += [
            alike.eq(Mux(spreads, *(way == newest for way in ways))),
            held.eq(newest),
            occupied.eq(takes),
            held_en.eq((mine | joined) & takes.replicate(len(held_en))),
        ]
        for n, word in enumerate(words):
            value = Mux(of_lanes[n], values[n % self.lanes], values[0])
            for part, load in enumerate(loads):
                with m.If(load[n]):
                    m.d.sync += word.word_select(part, 16).eq(value[:WORD_BITS].word_select(part, 16))
        m.d.sync += [
            self.local.valid.eq(self.local.next),
            self.local.addr.eq(held[row_bits - 1 :]),
            self.local.en.eq(held_en),
            *(port.eq(word) for port, word in zip(self.local.data, words, strict=True)),
        ]
        m.d.sync += [
            self.write.eq(valid & in_coefficients),
            self.addr.eq(addr),
            self.data.eq(values[0]),
        ]
        was_last = Signal()
        m.d.sync += [was_last.eq(last), self.finished.eq(was_last)]
        return m
