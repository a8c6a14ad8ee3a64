"""Reads the operands of a FLOAT, element by element."""

from amaranth import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, late, twins
from cpt.hw.channel.number import chosen as chosen_of
from cpt.hw.channel.plan import PLAN, SOURCES
from cpt.hw.channel.ports import PAIR, WORD_BITS, local_read
from cpt.hw.channel.walk import LOOP, OPERAND, Countdown, Walk
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Coefficient, Space, Statistic
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.matrix.copies import MOST_LOADS, copies
from cpt.hw.vector.ports import NUMBER_BITS, channel_memory, scratch_read

SUM_BANKS = INTEGER.width // NUMBER_BITS
"""Banks of scratch that a 48-bit sum lies in."""
INTERVAL_BITS = 5
_LANE_BITS = 8
"""Bits of a sum that share a copy of the lane: four loads each."""


class Operands(wiring.Component):
    """Makes elements of a, b, c: reads what their memories hold, in order, a read a cycle.

    Of local memory a pair of words is read at once: two elements, where all operands that move lie there at
    even addresses. A pair, or an element, takes as many cycles as it needs reads, and at least its elements
    (times ``interval`` - 1 more). Operand a alone may be sums: a repetition's are read in three cycles.
    Numbers stand in an operand's pair from `set` on.

    Parameters: ``config``; ``scratch_words``.
    Members: ``loop``, ``a``, ``b``, ``c``, ``plan``, ``interval``: of an instruction, they stay; ``set``: the
    pair of an operand takes ``number``; ``start``: reads begin; ``written``: what elements have left so far
    is in memory; ``busy``: the port of (statistics, coefficients) is being written to;
    ``valid``, ``first`` (of what a unit keeps), ``element``: out. Ports: ``local``, ``statistics_addr``,
    ``statistics``, ``coefficients_addr``, ``coefficients``, ``sums``.
    `latency_cycles` from a read that is accepted, the last of its element, to the element.
    """

    read_cycles = max(MACHINE.local_cycles, MACHINE.scratch_cycles, MACHINE.channel_memory_cycles)
    latency_cycles = read_cycles + 2

    def __init__(self, config: ArrayConfig, scratch_words: int):
        self.config, self.scratch_words = config, scratch_words
        statistics, coefficients = (channel_memory(len(fields)) for fields in (Statistic, Coefficient))
        super().__init__(
            {
                "loop": In(LOOP),
                **{name: In(OPERAND) for name in SOURCES},
                "plan": In(PLAN),
                "interval": In(INTERVAL_BITS),
                "set": In(len(SOURCES)),
                "number": In(WORD_BITS),
                "start": In(1),
                "written": In(1),
                "busy": In(2),
                "valid": Out(1),
                "first": Out(1),
                "element": Out(INTEGER).array(len(SOURCES)),
                "local": Out(local_read()),
                "statistics_addr": Out(statistics.members["addr"].shape),
                "statistics": In(INTEGER),
                "coefficients_addr": Out(coefficients.members["addr"].shape),
                "coefficients": In(INTEGER),
                "sums": Out(scratch_read(config, scratch_words)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        operands = [getattr(self, name) for name in SOURCES]
        walks = [Walk() for _ in SOURCES]
        m.submodules.count = count = Countdown()
        for name, walk, operand in zip(SOURCES, walks, operands, strict=True):
            m.submodules[f"walk_{name}"] = walk
            m.d.comb += walk.operand.eq(operand)
            if name == "a":  # elements of sums are lanes of the word that it names
                with m.If(operand.space == Space.SUMS):
                    m.d.comb += walk.operand.moves.eq(0)
        m.d.comb += count.loop.eq(self.loop)

        # What each operand is, from registers.
        is_in = {
            space: [Signal(name=f"{name}_in_{space.name.lower()}", reset_less=True) for name in SOURCES]
            for space in (Space.LOCAL, Space.STATISTICS, Space.COEFFICIENTS, Space.SUMS)
        }
        for space, flags in is_in.items():
            for flag, operand in zip(flags, operands, strict=True):
                m.d.sync += flag.eq(operand.space == space)
        local, of_sums = is_in[Space.LOCAL], is_in[Space.SUMS][0]
        memory = [Cat(flags[n] for flags in is_in.values()).any() for n in range(len(SOURCES))]
        memory[1], memory[2] = (
            Cat(flags[n] for space, flags in is_in.items() if space is not Space.SUMS).any() for n in (1, 2)
        )
        walks_memory = [Signal(name=f"{name}_walks", reset_less=True) for name in SOURCES]
        by_rows = [Signal(name=f"{name}_by_rows", reset_less=True) for name in SOURCES]
        plan = self.plan
        for n, (operand, walk) in enumerate(zip(operands, walks, strict=True)):
            changes = walk.operand.moves | (operand.stride != 0) | plan.serial_rows
            m.d.sync += [
                walks_memory[n].eq(memory[n] & walk.operand.moves),
                by_rows[n].eq(memory[n] & (changes | plan.serial)),
            ]

        # The reads that this element, or pair of elements, still needs.
        todo = Signal(len(SOURCES))
        bank = Signal(range(SUM_BANKS))
        active, waits = Signal(), Signal()
        young, rest = Signal(), Signal(INTERVAL_BITS)
        """The element before still takes its cycles: this one, and ``rest`` more."""
        slow, gap = Signal(reset_less=True), Signal(INTERVAL_BITS, reset_less=True)
        m.d.sync += [slow.eq(self.interval != 1), gap.eq(self.interval - 2)]
        even = [~walks_memory[n] | (local[n] & ~walks[n].addr[0]) for n in range(len(SOURCES))]
        pairs, two = Signal(reset_less=True), Signal()
        m.d.sync += pairs.eq(~plan.serial & ~of_sums & (self.interval == 1))
        m.d.comb += two.eq(Cat(even).all() & pairs & ~count.one_left)
        chosen = [todo[n] & ~todo[:n].any() for n in range(len(SOURCES))]
        wants = {
            space: Cat(chosen[n] & flags[n] for n in range(len(SOURCES))).any() & active
            for space, flags in is_in.items()
        }
        accepted = Signal()
        m.d.comb += [
            self.local.valid.eq(wants[Space.LOCAL]),
            self.sums.valid.eq(wants[Space.SUMS]),
            accepted.eq(
                (wants[Space.LOCAL] & self.local.ready)
                | (wants[Space.SUMS] & self.sums.ready)
                | (wants[Space.STATISTICS] & ~self.busy[0])
                | (wants[Space.COEFFICIENTS] & ~self.busy[1])
            ),
        ]
        addr = Signal.like(walks[0].addr)
        for n, walk in enumerate(walks):
            with m.If(chosen[n]):
                m.d.comb += addr.eq(walk.addr)
        bank_words = self.scratch_words // SCRATCH_BANKS
        m.d.comb += [
            self.local.addr.eq(addr[1:]),
            self.statistics_addr.eq(addr),
            self.coefficients_addr.eq(addr),
            self.sums.addr.eq(bank * bank_words + walks[0].addr[1:]),
        ]
        more_banks = chosen[0] & of_sums & (bank != SUM_BANKS - 1)
        single = ~(todo & (todo - 1)[: len(SOURCES)]).any()
        read_all, complete = Signal(), Signal()
        m.d.comb += [
            read_all.eq((todo == 0) | (accepted & single & ~more_banks)),
            complete.eq(active & read_all & ~young),
            count.advance.eq(complete),
            count.two.eq(two),
        ]
        for walk in walks:
            m.d.comb += [
                walk.start.eq(self.start),
                walk.advance.eq(complete),
                walk.two.eq(two),
                walk.row_end.eq(count.row_end),
            ]
        m.d.comb += count.start.eq(self.start)
        with m.If(active & young):
            m.d.sync += [young.eq(rest != 0), rest.eq(rest - 1)]
        with m.If(accepted):
            with m.If(more_banks):
                m.d.sync += bank.eq(bank + 1)
            with m.Else():
                m.d.sync += [todo.eq(todo & ~Cat(chosen)), bank.eq(0)]
        with m.If(complete):
            m.d.sync += [young.eq(two | slow), rest.eq(Mux(two, 0, gap))]
            for n in range(len(SOURCES)):
                crosses = walks_memory[n] & (~local[n] | walks[n].addr[0] | two)
                again = Mux(count.row_end, by_rows[n], crosses)
                m.d.sync += todo[n].eq(Mux(plan.serial, memory[n], again))
            with m.If(count.last):
                m.d.sync += active.eq(0)
            with m.Elif(plan.serial | (plan.serial_rows & count.row_end)):
                m.d.sync += [active.eq(0), waits.eq(1)]
        with m.If(waits & self.written):
            m.d.sync += [active.eq(1), waits.eq(0)]
        with m.If(self.start):
            m.d.sync += [active.eq(1), waits.eq(0), young.eq(slow), rest.eq(gap), bank.eq(0)]
            m.d.sync += todo.eq(Cat(memory))

        self._capture(m, walks, is_in, accepted, chosen, bank, complete, two, count)
        return m

    def _capture(self, m: Module, walks, is_in, accepted, chosen, bank, complete, two, count) -> None:
        """What comes back into the operands' pairs; elements from them, a cycle behind their last read."""
        group = self.config.group_channels
        cycles = self.read_cycles
        of_sums, local = is_in[Space.SUMS][0], is_in[Space.LOCAL]
        taken = [
            late(m, accepted & chosen[n], cycles - 1, f"taken_{name}", reset_less=False)
            for n, name in enumerate(SOURCES)
        ]
        half, of_bank = late(m, walks[0].addr[0], cycles - 1, "half"), late(m, bank, cycles - 1, "bank")

        # An element's fire follows its last read by a cycle.
        fires_before = late(m, complete, cycles, "fires_before", reset_less=False)
        fires = late(m, fires_before, 1, "fires", reset_less=False)
        both = late(m, two, cycles + 1, "both")
        places = [late(m, walks[n].addr[0] & local[n], cycles, f"place_{n}") for n in range(len(SOURCES))]
        lane_place, starts = Signal(range(group)), Signal()
        with m.If(complete):
            m.d.sync += [
                lane_place.eq(Mux(count.row_end, 0, lane_place + self.a.moves)),
                starts.eq(count.row_end & ~self.plan.chain_all),
            ]
        with m.If(self.start):
            m.d.sync += [lane_place.eq(0), starts.eq(1)]
        lane = late(m, lane_place, cycles, "lane")
        is_number = [~Cat(flags[n] for flags in is_in.values()).any() for n in range(len(SOURCES))]
        first = late(m, starts | ~self.plan.chain, cycles + 1, "first_of_row")

        found = {
            Space.LOCAL: Cat(self.local.data[word] for word in range(PAIR)),
            Space.STATISTICS: self._late_by(m, self.statistics, MACHINE.channel_memory_cycles, "statistics"),
            Space.COEFFICIENTS: self._late_by(
                m, self.coefficients, MACHINE.channel_memory_cycles, "coefficients"
            ),
        }
        second = Signal()
        m.d.sync += [second.eq(fires & both), self.valid.eq(fires | second)]
        m.d.sync += self.first.eq(Mux(fires, first, ~self.plan.chain))
        sums = [Signal(group * NUMBER_BITS, name=f"sums_{n}", reset_less=True) for n in range(SUM_BANKS)]
        assert MACHINE.scratch_cycles == MACHINE.local_cycles == cycles
        row = self.sums.data.as_value()
        for number, held in enumerate(sums):
            takes = taken[0] & (of_bank == number)
            enables, halves = (
                twins(m, value, len(held), f"{name}_{number}")
                for name, value in (("takes", takes), ("halves", half))
            )
            for n, (enable, upper) in enumerate(zip(enables, halves, strict=True)):
                part = slice(n * MOST_LOADS, min((n + 1) * MOST_LOADS, len(held)))
                with m.If(enable):
                    m.d.sync += held[part].eq(
                        Mux(upper, row[group * NUMBER_BITS :][part], row[: group * NUMBER_BITS][part])
                    )
        summed = Signal(INTEGER)
        for n, place in enumerate(copies(m, lane, INTEGER.width // _LANE_BITS, "lanes")):
            number, low = divmod(n * _LANE_BITS, NUMBER_BITS)
            words_of = [sums[number][start * NUMBER_BITS + low :][:_LANE_BITS] for start in range(group)]
            m.d.comb += summed[n * _LANE_BITS : (n + 1) * _LANE_BITS].eq(Array(words_of)[place])

        number = late(m, self.number, 1, "number")
        for n, name in enumerate(SOURCES):
            pair = Signal(PAIR * WORD_BITS, name=f"{name}_pair", reset_less=True)
            odd = Signal(INTEGER, name=f"{name}_odd", reset_less=True)
            value = Mux(is_number[n], number.replicate(PAIR), 0)
            for space, held in found.items():
                flags = twins(m, is_in[space][n], len(pair), f"{name}_from_{space.name.lower()}")
                value = value | chosen_of(m, flags, held[: PAIR * WORD_BITS], 0, len(pair))
            for part, enable in enumerate(twins(m, taken[n] | self.set[n], len(pair), f"takes_{name}")):
                with m.If(enable):
                    m.d.sync += pair.word_select(part, MOST_LOADS).eq(value.word_select(part, MOST_LOADS))
            # Of pairs the first or the second word; of longer integers all; of sums what is added there.
            low, high = pair[:WORD_BITS].as_signed(), pair[WORD_BITS:].as_signed()
            odd_words = twins(m, places[n], INTEGER.width, f"{name}_odd_word")
            is_long = twins(
                m, is_in[Space.STATISTICS][n] | is_in[Space.COEFFICIENTS][n], INTEGER.width, f"{name}_long"
            )
            word = chosen_of(m, odd_words, high, low, INTEGER)
            now = chosen_of(m, is_long, pair[: INTEGER.width].as_signed(), word, INTEGER)
            if name == "a":
                now = chosen_of(m, twins(m, of_sums, INTEGER.width, "from_sums"), summed, now, INTEGER)
            # The second of a pair follows; where elements come slowly, they stay.
            moves = walks[n].operand.moves & local[n] & (self.interval == 1)
            moving = twins(m, moves, INTEGER.width, f"{name}_moving")
            follows = chosen_of(m, moving, high, now, INTEGER)
            for part, (fire, other) in enumerate(
                zip(
                    *(twins(m, fires_before, INTEGER.width, f"{name}_{kind}") for kind in ("now", "next")),
                    strict=True,
                )
            ):
                bits = slice(part * MOST_LOADS, min((part + 1) * MOST_LOADS, INTEGER.width))
                m.d.sync += self.element[n][bits].eq(Mux(fire, now[bits], odd[bits]))
                with m.If(other):
                    m.d.sync += odd[bits].eq(follows[bits])

    def _late_by(self, m: Module, value, cycles: int, name: str):
        """``value`` that comes after ``cycles`` when that of local memory does; its sign kept in 64 bits."""
        wide = Signal(signed(PAIR * WORD_BITS), name=f"{name}_wide")
        m.d.comb += wide.eq(late(m, value, self.read_cycles - cycles, name))
        return wide.as_unsigned()
