"""How an instruction's loop may run: which elements wait for which."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.arithmetic import INTERVALS, OP_BITS
from cpt.hw.channel.number import late
from cpt.hw.channel.steps import SOURCES
from cpt.hw.channel.walk import ADDRESS_BITS, COUNT_BITS, LOOP, OPERAND
from cpt.hw.contract.floats import Op, Space
from cpt.hw.matrix.copies import KEEP, copies

CHAINS = {
    **dict.fromkeys((Op.MAXIMUM, Op.MINIMUM, Op.LARGEST, Op.INT_MAXIMUM, Op.INT_MINIMUM), "a"),
    Op.SUM_MAGNITUDES: "c",
}
"""Operations whose unit can keep a row's result so far, and the operand that it stands for."""
_END_BITS = ADDRESS_BITS + COUNT_BITS + 1
_ALIKE_BITS = 8
"""Bits of two operands that are compared in one register."""
BEHIND_BITS = 7
"""Of a number of cycles from an element's reads to its result in memory."""
PLAN = data.StructLayout(
    {
        "chain": 1,
        "chain_all": 1,
        "serial": 1,
        "serial_rows": 1,
        "empty": 1,
        "wide": 1,
        "steps": COUNT_BITS,
        "pauses": 1,
        "pause": BEHIND_BITS,
        "follows": 1,
        "end": _END_BITS,
    }
)
"""``chain``: the unit keeps the result of a repetition, ``chain_all``: of all of them; ``serial``: each
element waits for the one before it, ``serial_rows``: each repetition for the one before it; ``empty``: there
is no element; ``wide``: the elements of all lanes are a step; ``steps`` of a repetition; ``pauses``: where
something waits there is a ``pause`` of some cycles; ``follows``: an operand may read what the instruction
before is still about to write; ``end``: last address of the destination.
"""
PACED_STEPS = 10
"""Steps from which on an instruction that walks as the one before it wrote does not catch up with it."""
BEFORE = data.StructLayout({"to": OPERAND, "end": _END_BITS, "n": COUNT_BITS, "paced": 1})
"""What of an instruction the next must know; ``paced``: a single repetition of `PACED_STEPS` wide steps."""


class Planner(wiring.Component):
    """Finds out, from where operands lie, what must wait, so that it is as if elements came one by one.

    A source in the destination's space that walks as it does reads what this element overwrites; it meets
    other elements where the destination rests or repetitions overlap. One that walks otherwise may read
    anything between its first and last address.
    Elements of all lanes are taken at once where all that moves does so through local memory, from multiples
    of the lanes on.
    Parameters: ``lanes``.
    Members: ``op``, ``loop``, ``to``, ``a``, ``b``, ``c``: of an instruction, they stay; ``behind``: the
    cycles in which an element cannot yet be read that the one before it made; ``before``: of the instruction
    before, it stays too; ``start``; ``done``: ``plan`` stands; low from the cycle after ``start`` on for
    `latency_cycles`, and as many cycles more as ``reps - 1`` has bits.
    """

    latency_cycles = 10

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "op": In(OP_BITS),
                "behind": In(BEHIND_BITS),
                "before": In(BEFORE),
                "loop": In(LOOP),
                **{name: In(OPERAND) for name in ("to", *SOURCES)},
                "start": In(1),
                "done": Out(1),
                "plan": Out(PLAN),
            }
        )

    def elaborate(self, platform):
        m = Module()
        names = ("to", *SOURCES)
        operands = {name: getattr(self, name) for name in names}
        # The last address of each: n - 1 elements on, then stride times repetitions, a bit of these a cycle.
        less = {name: late(m, self.loop[name] - 1, 1, f"{name}_less") for name in ("n", "reps")}
        loads = Signal()
        begins = Signal()
        adds = Signal()
        more = Signal(COUNT_BITS, reset_less=True)
        next_more = Signal(COUNT_BITS)
        m.d.sync += [loads.eq(self.start), begins.eq(loads)]
        m.d.comb += next_more.eq(Mux(begins, less["reps"][:COUNT_BITS], more >> 1))
        several = late(m, self.loop.reps > 1, 1, "several_left")
        m.d.sync += [more.eq(next_more), adds.eq(Mux(begins, several, more[1:].any() & several))]
        ends = {name: Signal(_END_BITS, name=f"end_{name}", reset_less=True) for name in names}
        for name, item in operands.items():
            by = Signal(_END_BITS, name=f"by_{name}", reset_less=True)
            counts = Signal(name=f"counts_{name}", reset_less=True, attrs=KEEP)
            load, starts = copies(m, self.start, 2, f"load_{name}")
            (begin,) = copies(m, loads, 1, f"begin_{name}")
            before = less["n"][:COUNT_BITS] & item.moves.replicate(COUNT_BITS)
            m.d.sync += [
                counts.eq(loads | (begins & less["reps"][0]) | (~begins & more[1])),
                by.eq(Mux(load, before, Mux(begin, item.stride, by << 1))),
                ends[name].eq(Mux(starts, item.address, ends[name] + Mux(counts, by, 0))),
            ]

        # Then, in a cycle each: who shares a space, who meets whom, what follows.
        counted = Signal(self.latency_cycles - 3)
        busy = Signal()
        m.d.comb += busy.eq(self.start | loads | begins | adds)
        m.d.sync += counted.eq(Mux(busy, 0, (counted << 1) | 1))
        m.d.comb += self.done.eq(counted[-1])
        to, loop = self.to, self.loop
        same, apart, near = {}, {}, {}
        for name in SOURCES:
            item = operands[name]
            same[name], apart[name], near[name] = (
                Signal(name=f"{kind}_{name}", reset_less=True) for kind in ("same", "apart", "near")
            )
            m.d.sync += [
                near[name].eq(item.space == to.space),
                same[name].eq(self._alike(m, item, to, f"same_{name}")),
                apart[name].eq((ends[name] < to.address) | (ends["to"] < item.address)),
            ]
        rests, meets, empty = (Signal(name=name, reset_less=True) for name in ("rests", "meets", "empty"))
        several = Signal(reset_less=True)
        m.d.sync += [
            several.eq(loop.reps > 1),
            rests.eq(~to.moves & (loop.n > 1)),
            meets.eq(several & ((to.stride == 0) | (to.moves & (to.stride < loop.n)))),
            empty.eq((loop.n == 0) | (loop.reps == 0)),
        ]
        conflict, reads_own, held = (
            Signal(name=name, reset_less=True) for name in ("conflict", "own", "held")
        )
        others = {name: [other for other in SOURCES if other != name] for name in SOURCES}
        m.d.sync += [
            conflict.eq(0),
            reads_own.eq(same["a"] | same["b"] | same["c"]),
            held.eq(0),
        ]
        for name in SOURCES:
            with m.If(near[name] & ~same[name] & ~apart[name]):
                m.d.sync += conflict.eq(1)
            ops = [op for op, of in CHAINS.items() if of == name]
            if ops:
                alone = ~same[others[name][0]] & ~same[others[name][1]]
                chains = 0
                for op in ops:
                    chains = chains | (self.op == op)
                with m.If(same[name] & alone & chains):
                    m.d.sync += held.eq(1)
        plan = self.plan
        chain = held & ~conflict & rests
        m.d.sync += [
            plan.chain.eq(chain),
            plan.chain_all.eq(chain & meets),
            plan.serial.eq(conflict | (reads_own & rests & ~chain)),
            plan.serial_rows.eq(reads_own & meets & ~rests & ~conflict),
            plan.empty.eq(empty),
        ]
        self._steps(m, operands, chain, several)
        self._before(m, operands, ends)
        return m

    @staticmethod
    def _alike(m: Module, one, other, name: str):
        """Whether two operands are the same, from registers of what differs in parts of them."""
        one, other = one.as_value(), other.as_value()
        ends = [*range(0, len(one), _ALIKE_BITS), len(one)]
        found = Signal(len(ends) - 1, name=f"{name}_parts", reset_less=True)
        m.d.sync += found.eq(Cat(one[a:b] == other[a:b] for a, b in pairwise(ends)))
        return found.all()

    def _before(self, m: Module, operands, ends) -> None:
        """Whether the instruction before writes what this one reads, other than at its own pace."""
        before, to, plan = self.before, self.before.to, self.plan
        paced = Signal(reset_less=True)
        touches = []
        m.d.sync += paced.eq(before.paced & (self.loop.reps == 1) & (self.loop.n == before.n))
        for name in SOURCES:
            item = operands[name]
            near, apart, alike = (
                Signal(name=f"{kind}_before_{name}", reset_less=True) for kind in ("near", "apart", "alike")
            )
            touch = Signal(name=f"touch_{name}", reset_less=True)
            m.d.sync += [
                near.eq(item.space == to.space),
                apart.eq(
                    (item.space == Space.LOCAL) & ((ends[name] < to.address) | (before.end < item.address))
                ),
                alike.eq(self._alike(m, item, to, f"before_{name}")),
                touch.eq(near & ~apart),
            ]
            touches.append(touch & ~(alike & paced & plan.wide))
        m.d.sync += [plan.follows.eq(Cat(touches).any()), plan.end.eq(ends["to"])]

    def _steps(self, m: Module, operands, chain, several) -> None:
        """How many elements a step has, and how long a repetition waits for the one before it."""
        lanes, loop, to, plan = self.lanes, self.loop, self.to, self.plan
        low = slice(0, (lanes - 1).bit_length())
        aligned, suits = {}, {}
        for name, item in operands.items():
            aligned[name] = Signal(name=f"aligned_{name}", reset_less=True)
            suits[name] = Signal(name=f"suits_{name}", reset_less=True)
            starts = ~item.address[low].any() & (~several | ~item.stride[low].any())
            m.d.sync += aligned[name].eq(starts)
            if name != "to":
                of_channels = (item.space == Space.STATISTICS) | (item.space == Space.COEFFICIENTS)
                others = Mux(item.space == Space.SUMS, item.moves, ~of_channels)
                m.d.sync += suits[name].eq(
                    Mux(item.space == Space.LOCAL, ~item.moves | aligned[name], others)
                )
        long = Signal(reset_less=True)
        sources = Signal(reset_less=True)
        in_local = Signal(reset_less=True)
        m.d.sync += [
            long.eq(Cat(self.op == op for op in INTERVALS).any()),
            sources.eq(Cat(suits[name] for name in SOURCES).all()),
            in_local.eq(to.space == Space.LOCAL),
            plan.wide.eq(
                sources & in_local & ~long & ~plan.serial & Mux(to.moves, aligned["to"], plan.chain)
            ),
        ]
        # A repetition reads what the one before it wrote, step by step: from its first step on at that pace.
        numbers, strided = [], late(m, to.stride.any(), 1, "strided")
        for name, count, ahead in (
            ("wide", (loop.n + (lanes - 1)) >> low.stop, 1),
            ("single", loop.n, 2 * lanes - 1),
        ):
            steps, most = Signal(COUNT_BITS, name=f"steps_{name}", reset_less=True), 2 + ahead
            short = Signal(signed(COUNT_BITS + 2), name=f"short_{name}", reset_less=True)
            whole, pause = (
                Signal(name=f"whole_{name}", reset_less=True),
                Signal(BEHIND_BITS, name=f"pause_{name}", reset_less=True),
            )
            m.d.sync += [
                steps.eq(count),
                short.eq(late(m, self.behind + most, 1, f"behind_{name}") - steps),
                whole.eq(strided | (steps <= most)),
                pause.eq(Mux(whole, self.behind, Mux(short[-1], 0, short[:BEHIND_BITS]))),
            ]
            numbers.append((steps, pause))
        (wide_steps, wide_pause), (steps, pause) = numbers
        m.d.sync += [
            plan.steps.eq(Mux(plan.wide, wide_steps, steps)),
            plan.pause.eq(Mux(plan.wide, wide_pause, Mux(plan.serial, self.behind, pause))),
            plan.pauses.eq(plan.pause != 0),
        ]
