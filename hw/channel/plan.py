"""How an instruction's loop may run: which elements wait for which."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.arithmetic import INTERVALS, OP_BITS
from cpt.hw.channel.walk import ADDRESS_BITS, COUNT_BITS, LOOP, OPERAND
from cpt.hw.contract.floats import Op, Space

CHAINS = {
    **dict.fromkeys((Op.MAXIMUM, Op.MINIMUM, Op.LARGEST, Op.INT_MAXIMUM, Op.INT_MINIMUM), "a"),
    Op.SUM_MAGNITUDES: "c",
}
"""Operations whose unit can keep a row's result so far, and the operand that it stands for."""
SOURCES = "abc"
_END_BITS = ADDRESS_BITS + COUNT_BITS + 1
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

    latency_cycles = 6

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
        # The last address of each: stride times repetitions, a bit of these a cycle.
        ends = {name: Signal(_END_BITS, name=f"end_{name}", reset_less=True) for name in names}
        steps = {name: Signal(_END_BITS, name=f"step_{name}", reset_less=True) for name in names}
        more = Signal(COUNT_BITS)
        adds, began = Signal(), Signal()
        m.d.comb += adds.eq(more != 0)
        m.d.sync += began.eq(self.start)
        with m.If(self.start):
            m.d.sync += more.eq(Mux(self.loop.reps == 0, 0, self.loop.reps - 1))
        with m.Elif(adds):
            m.d.sync += more.eq(more >> 1)
        for name, item in operands.items():
            with m.If(self.start):
                m.d.sync += [
                    ends[name].eq(item.address + Mux(item.moves, self.loop.n - 1, 0)),
                    steps[name].eq(item.stride),
                ]
            with m.Elif(adds):
                m.d.sync += steps[name].eq(steps[name] << 1)
                with m.If(more[0]):
                    m.d.sync += ends[name].eq(ends[name] + steps[name])

        # Then, in a cycle each: who shares a space, who meets whom, what follows.
        counted = Signal(self.latency_cycles - 1)
        m.d.sync += counted.eq(Mux(self.start | began | adds, 0, (counted << 1) | 1))
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
                same[name].eq(item.as_value() == to.as_value()),
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
        self._steps(m, operands, chain)
        self._before(m, operands, ends)
        return m

    def _before(self, m: Module, operands, ends) -> None:
        """Whether the instruction before writes what this one reads, other than at its own pace."""
        before, to, plan = self.before, self.before.to, self.plan
        paced, touches = Signal(reset_less=True), []
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
                alike.eq(item.as_value() == to.as_value()),
                touch.eq(near & ~apart),
            ]
            touches.append(touch & ~(alike & paced & plan.wide))
        m.d.sync += [plan.follows.eq(Cat(touches).any()), plan.end.eq(ends["to"])]

    def _steps(self, m: Module, operands, chain) -> None:
        """How many elements a step has, and how long a repetition waits for the one before it."""
        lanes, loop, to, plan = self.lanes, self.loop, self.to, self.plan
        low = slice(0, (lanes - 1).bit_length())
        aligned, suits = {}, {}
        for name, item in operands.items():
            aligned[name] = Signal(name=f"aligned_{name}", reset_less=True)
            suits[name] = Signal(name=f"suits_{name}", reset_less=True)
            starts = ~item.address[low].any() & ((loop.reps == 1) | ~item.stride[low].any())
            m.d.sync += aligned[name].eq(starts)
            if name != "to":
                of_channels = (item.space == Space.STATISTICS) | (item.space == Space.COEFFICIENTS)
                others = Mux(item.space == Space.SUMS, item.moves, ~of_channels)
                m.d.sync += suits[name].eq(
                    Mux(item.space == Space.LOCAL, ~item.moves | aligned[name], others)
                )
        long, sources = Signal(reset_less=True), Signal(reset_less=True)
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
        numbers = []
        for name, count, ahead in (
            ("wide", (loop.n + (lanes - 1)) >> low.stop, 1),
            ("single", loop.n, 2 * lanes - 1),
        ):
            steps = Signal(COUNT_BITS, name=f"steps_{name}", reset_less=True)
            short = Signal(signed(COUNT_BITS + 2), name=f"short_{name}", reset_less=True)
            pause = Signal(BEHIND_BITS, name=f"pause_{name}", reset_less=True)
            whole = (to.stride != 0) | (short >= self.behind)
            m.d.sync += [
                steps.eq(count),
                short.eq(self.behind + (2 + ahead) - steps),
                pause.eq(Mux(whole, self.behind, Mux(short < 0, 0, short))),
            ]
            numbers.append((steps, pause))
        (wide_steps, wide_pause), (steps, pause) = numbers
        waits = Mux(plan.wide, wide_pause, Mux(plan.serial, self.behind, pause))
        m.d.sync += [
            plan.steps.eq(Mux(plan.wide, wide_steps, steps)),
            plan.pause.eq(waits),
            plan.pauses.eq(waits != 0),
        ]
