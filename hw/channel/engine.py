"""The float engine: FLOAT instructions over local memory, statistics, coefficients, sums and numbers."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.arithmetic import INTERVALS, Arithmetic, latency_cycles
from cpt.hw.channel.operands import INTERVAL_BITS, Operands
from cpt.hw.channel.plan import BEHIND_BITS, SOURCES, Planner
from cpt.hw.channel.ports import WORD_BITS, local_read, local_write
from cpt.hw.channel.slot_numbers import SLOT_NUMBERS, SlotNumbers
from cpt.hw.channel.walk import LOOP, OPERAND
from cpt.hw.channel.writer import Writer
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Coefficient, Op, Space, Statistic
from cpt.hw.contract.step import Code
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, WAITS, fields, slot_read, waits
from cpt.hw.vector.ports import channel_memory, scratch_read

FLOATS = {
    **dict.fromkeys(
        (Op.ADD, Op.SUBTRACT, Op.MULTIPLY, Op.MULTIPLY_ADD, Op.MAXIMUM, Op.MINIMUM, Op.LARGEST), "abc"
    ),
    **dict.fromkeys((Op.RECIPROCAL, Op.RECIPROCAL_ROOT), "abc"),
    **dict.fromkeys((Op.SCALE, Op.EXPONENT, Op.POWER, Op.TO_FIXED), "a"),
}
"""Operands that are float32, by operation."""
_LOOKUPS = (*SOURCES, "constant")
"""What a slot is looked up for, a cycle each."""


def behind_cycles(op: Op, lanes: int) -> int:
    """From an element's last read to the cycle before what came of it can be read."""
    return Operands.latency_cycles + latency_cycles(op, lanes) + Writer.latency_cycles


class FloatEngine(wiring.Component):
    """Executes FLOAT, one instruction after the other, as if its elements came one by one.

    Parameters: ``config``; ``scratch_words``: of all banks of scratch.
    Members: ``commands``: stream of `COMMAND`; ``marks``: of all engines; ``done``: the instruction is
    finished, what it wrote can be read; ``overflow``: a float became infinite; ``idle``: nothing is under
    way.
    Ports: ``local_read``; ``local_write``, which must be ready always, so the first of local memory;
    ``statistics``, ``coefficients`` (`channel_memory`); ``sums`` (`scratch_read`); ``slots`` (`slot_read`).
    Cycles of an instruction: docs/fabric.md, "Float".
    """

    def __init__(self, config: ArrayConfig, scratch_words: int):
        self.config, self.scratch_words = config, scratch_words
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "done": Out(1),
                "overflow": Out(1),
                "idle": Out(1),
                "local_read": Out(local_read(2 * config.float_lanes)),
                "local_write": Out(local_write(2 * config.float_lanes)),
                "statistics": Out(channel_memory(len(Statistic))),
                "coefficients": Out(channel_memory(len(Coefficient))),
                "sums": Out(scratch_read(config, scratch_words)),
                "slots": Out(slot_read()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = Gate(once=True)
        m.submodules.planner = planner = Planner(self.config.float_lanes)
        m.submodules.numbers = numbers = SlotNumbers()
        m.submodules.operands = operands = Operands(self.config, self.scratch_words)
        m.submodules.arithmetic = arithmetic = Arithmetic(self.config.float_lanes)
        m.submodules.writer = writer = Writer(self.config.float_lanes)
        wiring.connect(m, wiring.flipped(self.local_read), operands.local)
        wiring.connect(m, wiring.flipped(self.local_write), writer.local)
        wiring.connect(m, wiring.flipped(self.sums), operands.sums)
        wiring.connect(m, wiring.flipped(self.slots), numbers.slots)

        # The instruction at work.
        word = Signal(fields(Code.FLOAT), reset_less=True)
        held_waits = Signal(WAITS, reset_less=True)
        loop = Signal(LOOP)
        m.d.comb += [loop.n.eq(word.n), loop.reps.eq(word.reps)]
        places = {}
        for name in ("to", *SOURCES):
            places[name] = Signal(OPERAND, name=f"place_{name}")
            m.d.comb += [
                places[name].space.eq(word[f"{name}_space"]),
                places[name].moves.eq(word[f"{name}_moves"]),
                places[name].address.eq(word[name]),
                places[name].stride.eq(word[f"{name}_stride"]),
            ]
        starts, begins, ends = Signal(), Signal(), Signal()
        working, running, planned = Signal(), Signal(), Signal()
        take = Signal()
        m.d.comb += [
            self.commands.ready.eq(~working),
            take.eq(self.commands.valid & ~working),
            self.idle.eq(~working),
            begins.eq(working & ~running & planned & planner.done & gate.open),
        ]
        with m.If(take):
            m.d.sync += [
                working.eq(1),
                word.eq(self.commands.payload.word),
                *(
                    held.eq(found)
                    for held, found in zip(held_waits, waits(self.commands.payload.word), strict=True)
                ),
            ]
        m.d.sync += starts.eq(take)
        with m.If(begins):
            m.d.sync += running.eq(1)
        m.d.comb += [ends.eq((begins & planner.plan.empty) | writer.finished), self.done.eq(ends)]
        with m.If(ends):
            m.d.sync += [working.eq(0), running.eq(0)]

        m.d.comb += [
            gate.marks.eq(self.marks),
            gate.load.eq(starts),
            gate.waits.eq(held_waits),
            planner.op.eq(word.op),
            planner.loop.eq(loop),
            planner.start.eq(starts),
            *(getattr(planner, name).eq(place) for name, place in places.items()),
        ]
        self._numbers(m, word, places, take, starts, planned, numbers, operands)

        behind = Signal(BEHIND_BITS, reset_less=True)
        with m.Switch(word.op):
            for op in Op:
                with m.Case(op):
                    m.d.sync += behind.eq(behind_cycles(op, self.config.float_lanes))
        m.d.comb += planner.behind.eq(behind)
        steps = Signal(LOOP)
        m.d.comb += [steps.n.eq(planner.plan.steps), steps.reps.eq(word.reps)]
        full, tail = self._lanes(m, word, planner.plan)
        interval = Signal(INTERVAL_BITS, reset_less=True)
        with m.Switch(word.op):
            for op, cycles in INTERVALS.items():
                with m.Case(op):
                    m.d.sync += interval.eq(cycles)
            with m.Default():
                m.d.sync += interval.eq(1)
        goes = begins & ~planner.plan.empty
        m.d.comb += [
            operands.loop.eq(steps),
            operands.full.eq(full),
            operands.tail.eq(tail),
            operands.plan.eq(planner.plan),
            operands.interval.eq(interval),
            operands.start.eq(goes),
            *(getattr(operands, name).eq(places[name]) for name in SOURCES),
            writer.loop.eq(steps),
            writer.full.eq(full),
            writer.tail.eq(tail),
            writer.to.eq(places["to"]),
            writer.plan.eq(planner.plan),
            writer.start.eq(goes),
            writer.valid.eq(arithmetic.done),
            *(port.eq(result) for port, result in zip(writer.result, arithmetic.result, strict=True)),
            arithmetic.chain.eq(planner.plan.chain),
            arithmetic.mask.eq(operands.mask),
            arithmetic.op.eq(word.op),
            arithmetic.constant.eq(word.constant),
            arithmetic.valid.eq(operands.valid),
            arithmetic.first.eq(operands.first),
            *(
                getattr(arithmetic, name)[lane].eq(operands.element[n][lane])
                for n, name in enumerate(SOURCES)
                for lane in range(self.config.float_lanes)
            ),
            self.overflow.eq(arithmetic.overflow),
            operands.busy.eq(writer.write),
        ]
        for n, (port, addr, found) in enumerate(
            (
                (self.statistics, operands.statistics_addr, operands.statistics),
                (self.coefficients, operands.coefficients_addr, operands.coefficients),
            )
        ):
            m.d.comb += [
                port.addr.eq(Mux(writer.write[n], writer.addr, addr)),
                port.write.eq(writer.write[n]),
                port.write_data.eq(writer.data),
                found.eq(port.read_data),
            ]
        self._fraction(m, numbers, arithmetic)
        return m

    def _lanes(self, m: Module, word, plan) -> tuple[Signal, Signal]:
        """Lanes that count in a step, and in the last one of a repetition."""
        lanes = self.config.float_lanes
        full, tail = (Signal(lanes, name=name, reset_less=True) for name in ("full", "tail"))
        rest = word.n[: (lanes - 1).bit_length()]
        m.d.sync += [
            full.eq(Mux(plan.wide, (1 << lanes) - 1, 1)),
            tail.eq(Mux(plan.wide, Mux(rest == 0, (1 << lanes) - 1, Cat(n < rest for n in range(lanes))), 1)),
        ]
        return full, tail

    def _numbers(self, m: Module, word, places, take, starts, planned, numbers, operands) -> None:
        """Numbers of the instruction and of slots go where operands come from, one a cycle."""
        steps = len(_LOOKUPS) + numbers.latency_cycles
        step = Signal(steps + 1)
        m.d.sync += step.eq(Mux(starts, 1, step << 1))
        with m.If(take):
            m.d.sync += planned.eq(0)
        with m.Elif(step[-1]):
            m.d.sync += planned.eq(1)
        of_op = Signal(2, reset_less=True)
        """Whether operand a is a float; whether the others are."""
        m.d.sync += of_op.eq(
            Cat(
                Cat(word.op == op for op in FLOATS).any(),
                Cat(word.op == op for op, names in FLOATS.items() if "b" in names).any(),
            )
        )
        addr, as_float = Signal.like(numbers.addr, reset_less=True), Signal(reset_less=True)
        m.d.comb += [numbers.addr.eq(addr), numbers.as_float.eq(as_float)]
        for n, name in enumerate(_LOOKUPS):
            with m.If(step[n]):
                if name in SOURCES:
                    m.d.sync += [addr.eq(places[name].address), as_float.eq(of_op[min(n, 1)])]
                else:
                    m.d.sync += addr.eq(word.constant[:8] * SLOT_NUMBERS)
        number = Signal(WORD_BITS, reset_less=True)
        sets = Signal(len(SOURCES))
        m.d.comb += [operands.set.eq(sets), operands.number.eq(number)]
        m.d.sync += sets.eq(0)
        for n, name in enumerate(SOURCES):
            with m.If(step[n + numbers.latency_cycles + 1]):
                m.d.sync += [
                    sets[n].eq(1),
                    number.eq(Mux(places[name].space == Space.SLOT, numbers.number, word.constant)),
                ]
        self._fraction_step = step[len(SOURCES) + numbers.latency_cycles + 1]

    def _fraction(self, m: Module, numbers, arithmetic) -> None:
        """The fraction bits of the slot that the constant names."""
        fraction = Signal.like(numbers.fraction_bits, reset_less=True)
        with m.If(self._fraction_step):
            m.d.sync += fraction.eq(numbers.fraction_bits)
        m.d.comb += arithmetic.fraction_bits.eq(fraction)
