"""The float engine: FLOAT instructions over local memory, statistics, coefficients, sums and numbers."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.arithmetic import INTERVALS, Arithmetic, latency_cycles
from cpt.hw.channel.number import late, parts, twins
from cpt.hw.channel.operands import Operands
from cpt.hw.channel.plan import BEHIND_BITS, PACED_STEPS
from cpt.hw.channel.ports import local_read, local_write
from cpt.hw.channel.preparation import PREPARED, Preparation, place
from cpt.hw.channel.reads import INTERVAL_BITS
from cpt.hw.channel.steps import SOURCES
from cpt.hw.channel.walk import LOOP
from cpt.hw.channel.writer import Writer
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Coefficient, Op, Statistic
from cpt.hw.program.layouts import COMMAND, MARKS, slot_read
from cpt.hw.vector.ports import channel_memory, channel_read, scratch_read

START_CYCLES = 2
"""From the begin of an instruction to the start of its steps: registers of what it is, and what follows."""
READ_CYCLES = START_CYCLES + Operands.start_cycles
"""From the begin to its first read."""
SWITCH_CYCLES = READ_CYCLES + 3
"""From the begin to the registers of what its results are: units and writer are done with the last ones."""
LEAST_APART = 7
"""Cycles in which elements of the instruction before are still on their way to the units."""
EMPTY_CYCLES = READ_CYCLES
"""From the begin of an instruction without elements to its mark, behind the one before it."""


def behind_cycles(op: Op, lanes: int) -> int:
    """From an element's last read to the cycle before what came of it can be read."""
    return Operands.latency_cycles + latency_cycles(op, lanes) + Writer.latency_cycles


def apart_cycles(op: Op, lanes: int) -> int:
    """Between an instruction's last read and the first of the next one that reads nothing of it, at least."""
    return max(latency_cycles(op, lanes), LEAST_APART) + 3


class FloatEngine(wiring.Component):
    """Executes FLOAT, as if the elements of all instructions came one by one.

    An instruction is prepared while the one before it is at work. It begins when that one's elements are in
    the units, and where it may read what that still writes, so that it reads it.
    Parameters: ``config``; ``scratch_words``: of all banks of scratch.
    Members: ``commands``: stream of `COMMAND`; ``marks``: of all engines; ``done``: an instruction is
    finished, what it wrote can be read; ``overflow``: a float became infinite; ``idle``: nothing is under
    way.
    Ports: ``local_read``; ``local_write``, which must be ready always, so the first of local memory;
    ``statistics`` (`channel_read`), ``coefficients`` (`channel_memory`); ``sums`` (`scratch_read`);
    ``slots`` (`slot_read`).
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
                "statistics": Out(channel_read(len(Statistic))),
                "coefficients": Out(channel_memory(len(Coefficient))),
                "sums": Out(scratch_read(config, scratch_words)),
                "slots": Out(slot_read()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.float_lanes
        m.submodules.preparation = preparation = Preparation(lanes)
        m.submodules.operands = operands = Operands(self.config, self.scratch_words)
        m.submodules.arithmetic = arithmetic = Arithmetic(lanes)
        m.submodules.writer = writer = Writer(lanes)
        wiring.connect(m, wiring.flipped(self.commands), preparation.commands)
        wiring.connect(m, wiring.flipped(self.local_read), operands.local)
        wiring.connect(m, wiring.flipped(self.local_write), writer.local)
        wiring.connect(m, wiring.flipped(self.sums), operands.sums)
        wiring.connect(m, wiring.flipped(self.slots), preparation.slots)
        m.d.comb += [
            preparation.marks.eq(self.marks),
            preparation.behind.eq(self._of_op(m, preparation.op, "behind", behind_cycles)),
        ]

        # The instruction whose elements are read, and the one whose results come.
        next_one = preparation.prepared
        work = Signal(PREPARED, reset_less=True)
        made = Signal(PREPARED, reset_less=True)
        begins = Signal()
        empties = Signal()
        goes = Signal()
        clear = Signal(init=1)
        clear_apart = Signal(init=1)
        plan = next_one.payload.plan
        m.d.comb += [
            next_one.ready.eq(Mux(plan.follows | plan.empty, clear, clear_apart)),
            begins.eq(next_one.valid & next_one.ready),
            empties.eq(begins & plan.empty),
            goes.eq(begins & ~plan.empty),
            self.done.eq(writer.finished | late(m, empties, EMPTY_CYCLES, "empty", reset_less=False)),
        ]
        gone = late(m, goes, 1, "gone", reset_less=False)
        starts = late(m, gone, START_CYCLES - 1, "starts", reset_less=False)
        switches = late(m, starts, SWITCH_CYCLES - START_CYCLES - 1, "switches", reset_less=False)
        for to, value, loads, name in (
            (work, next_one.payload, goes, "takes"),
            (made, work, switches, "switch"),
        ):
            to, value = to.as_value(), value.as_value()
            for load, bits in parts(twins(m, loads, len(to), name), len(to)):
                with m.If(load):
                    m.d.sync += to[bits].eq(value[bits])
        # So many cycles behind its last reads the next one finds what it wrote, or its place taken by none.
        left, left_apart = (
            Signal(BEHIND_BITS, name=name, reset_less=True) for name in ("left", "left_apart")
        )
        for number, cleared, cycles in (
            (left, clear, self._of_op(m, work.word.op, "behind_work", behind_cycles)),
            (left_apart, clear_apart, self._of_op(m, work.word.op, "apart_work", apart_cycles)),
        ):
            with m.If(operands.ended):
                m.d.sync += number.eq(cycles - (READ_CYCLES + 1))
            with m.Elif(number != 0):
                m.d.sync += [number.eq(number - 1), cleared.eq(number == 1)]
            with m.If(gone):
                m.d.sync += [number.eq(0), cleared.eq(0)]
        switched = late(m, switches, 2, "switched", reset_less=False)
        under_way = Signal(range(4))
        m.d.sync += under_way.eq(under_way + begins - self.done)
        before = preparation.before
        m.d.comb += [
            self.idle.eq(preparation.idle & (under_way == 0)),
            before.to.eq(place(work.word, "to")),
            before.end.eq(work.plan.end),
            before.n.eq(work.word.n),
        ]
        long = work.word.n > (PACED_STEPS - 1) * lanes
        paced = Signal(reset_less=True)
        m.d.sync += paced.eq(work.plan.wide & work.word.to_moves & (work.word.reps == 1) & long)
        m.d.comb += before.paced.eq(paced)

        word = work.word
        steps = Signal(LOOP)
        made_steps = Signal(LOOP)
        m.d.comb += [
            steps.n.eq(work.plan.steps),
            steps.reps.eq(word.reps),
            made_steps.n.eq(made.plan.steps),
            made_steps.reps.eq(made.word.reps),
        ]
        full, tail = self._lanes(m, word, work.plan)
        made_full, made_tail = self._lanes(m, made.word, made.plan)
        interval = Signal(INTERVAL_BITS, reset_less=True)
        with m.Switch(word.op):
            for op, cycles in INTERVALS.items():
                with m.Case(op):
                    m.d.sync += interval.eq(cycles)
            with m.Default():
                m.d.sync += interval.eq(1)
        m.d.comb += [
            operands.loop.eq(steps),
            operands.full.eq(full),
            operands.tail.eq(tail),
            operands.plan.eq(work.plan),
            operands.interval.eq(interval),
            operands.start.eq(starts),
            *(port.eq(number) for port, number in zip(operands.numbers, work.numbers, strict=True)),
            *(getattr(operands, name).eq(place(word, name)) for name in SOURCES),
            writer.loop.eq(made_steps),
            writer.full.eq(made_full),
            writer.tail.eq(made_tail),
            writer.to.eq(place(made.word, "to")),
            writer.plan.eq(made.plan),
            writer.start.eq(switched),
            writer.coming.eq(arithmetic.coming),
            *(port.eq(result) for port, result in zip(writer.result, arithmetic.result, strict=True)),
            arithmetic.chain.eq(made.plan.chain),
            arithmetic.mask.eq(operands.mask),
            arithmetic.op.eq(made.word.op),
            arithmetic.constant.eq(made.word.constant),
            arithmetic.fraction_bits.eq(made.fraction_bits),
            arithmetic.valid.eq(operands.valid),
            arithmetic.first.eq(operands.first),
            *(
                getattr(arithmetic, name)[lane].eq(operands.element[n][lane])
                for n, name in enumerate(SOURCES)
                for lane in range(lanes)
            ),
            self.overflow.eq(arithmetic.overflow),
            operands.busy.eq(writer.write),
        ]
        m.d.comb += [
            self.statistics.addr.eq(operands.statistics_addr),
            operands.statistics.eq(self.statistics.read_data),
            self.coefficients.addr.eq(Mux(writer.write, writer.addr, operands.coefficients_addr)),
            self.coefficients.write.eq(writer.write),
            self.coefficients.write_data.eq(writer.data),
            operands.coefficients.eq(self.coefficients.read_data),
        ]
        return m

    def _of_op(self, m: Module, op, name: str, cycles) -> Signal:
        """``cycles`` of ``op``, a cycle later."""
        found = Signal(BEHIND_BITS, name=name, reset_less=True)
        with m.Switch(op):
            for each in Op:
                with m.Case(each):
                    m.d.sync += found.eq(cycles(each, self.config.float_lanes))
        return found

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
