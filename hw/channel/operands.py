"""Reads the operands of a FLOAT, element by element."""

from amaranth import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, late, twins
from cpt.hw.channel.number import chosen as chosen_of
from cpt.hw.channel.plan import BEHIND_BITS, PLAN, SOURCES
from cpt.hw.channel.ports import WORD_BITS, local_read
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
"""Bits of a sum that share a copy of their group's number."""


class Operands(wiring.Component):
    """Makes elements of a, b, c: reads what their memories hold, in order, a read a cycle.

    A step is an element or, where the plan is ``wide``, those of all lanes. Of local memory a row of words is
    read at once, twice as many as lanes: two wide steps, where all operands that move begin a row there. A
    step, or two, takes as many cycles as it needs reads, and at least one each (times ``interval``). Operand
    a alone may be sums: a repetition's are read in three cycles. Numbers stand in their operand's row.

    Parameters: ``config``; ``scratch_words``.
    Members: ``loop`` (of steps), ``a``, ``b``, ``c``, ``plan``, ``interval``, ``full`` and ``tail``: lanes
    that count, of a repetition's last step ``tail``, ``numbers``: of an instruction, they stay; ``start``:
    reads begin; ``ended``: the last one was accepted; ``busy``: the port of (statistics, coefficients) is
    being written to; ``valid``, ``first`` (of what a unit keeps), ``mask`` (of lanes), ``element`` (of
    operands, and of their lanes): out. Ports: ``local``, ``statistics_addr``, ``statistics``,
    ``coefficients_addr``, ``coefficients``, ``sums``.
    `latency_cycles` from a read that is accepted, the last of its step, to the elements.
    """

    read_cycles = max(MACHINE.local_cycles, MACHINE.scratch_cycles, MACHINE.channel_memory_cycles)
    latency_cycles = read_cycles + 3

    def __init__(self, config: ArrayConfig, scratch_words: int):
        self.config, self.scratch_words = config, scratch_words
        self.lanes = config.float_lanes
        statistics, coefficients = (channel_memory(len(fields)) for fields in (Statistic, Coefficient))
        super().__init__(
            {
                "loop": In(LOOP),
                **{name: In(OPERAND) for name in SOURCES},
                "plan": In(PLAN),
                "interval": In(INTERVAL_BITS),
                "full": In(self.lanes),
                "tail": In(self.lanes),
                "numbers": In(WORD_BITS).array(len(SOURCES)),
                "start": In(1),
                "ended": Out(1),
                "busy": In(2),
                "valid": Out(1),
                "first": Out(1),
                "mask": Out(self.lanes),
                "element": Out(INTEGER).array(len(SOURCES), self.lanes),
                "local": Out(local_read(2 * self.lanes)),
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
        walks = [Walk(self.lanes) for _ in SOURCES]
        m.submodules.count = count = Countdown()
        for name, walk, operand in zip(SOURCES, walks, operands, strict=True):
            m.submodules[f"walk_{name}"] = walk
            m.d.comb += [walk.operand.eq(operand), walk.wide.eq(self.plan.wide)]
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

        # The reads that this step, or two, still need.
        row_bits = (2 * self.lanes - 1).bit_length()
        todo = Signal(len(SOURCES))
        bank = Signal(range(SUM_BANKS))
        active, waits, left = Signal(), Signal(), Signal(BEHIND_BITS + 1, reset_less=True)
        young, rest = Signal(), Signal(INTERVAL_BITS)
        """The step before still takes its cycles: this one, and ``rest`` more."""
        slow, gap = Signal(reset_less=True), Signal(INTERVAL_BITS, reset_less=True)
        m.d.sync += [slow.eq(self.interval != 1), gap.eq(self.interval - 2)]
        upper = [walk.addr[row_bits - 1] for walk in walks]
        begins = [~walks_memory[n] | ~upper[n] for n in range(len(SOURCES))]
        doubles, two = Signal(reset_less=True), Signal()
        m.d.sync += doubles.eq(plan.wide & ~of_sums)
        m.d.comb += two.eq(Cat(begins).all() & doubles & ~count.one_left)
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
            self.local.addr.eq(addr[row_bits:]),
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
        last_of_two = Signal()
        m.d.sync += [self.ended.eq(last_of_two), last_of_two.eq(0)]
        with m.If(waits):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [active.eq(1), waits.eq(0)]
        with m.If(complete):
            m.d.sync += [young.eq(two | slow), rest.eq(Mux(two, 0, gap))]
            for n in range(len(SOURCES)):
                ends_row = Mux(plan.wide, upper[n] | two, walks[n].addr[:row_bits].all())
                again = Mux(count.row_end, by_rows[n], walks_memory[n] & (~local[n] | ends_row))
                m.d.sync += todo[n].eq(Mux(plan.serial, memory[n], again))
            with m.If(count.last):
                m.d.sync += [active.eq(0), self.ended.eq(~two), last_of_two.eq(two)]
            with m.Elif(plan.pauses & (plan.serial | (plan.serial_rows & count.row_end))):
                m.d.sync += [active.eq(0), waits.eq(1), left.eq(plan.pause - 1 + two), young.eq(slow)]
        with m.If(self.start):
            m.d.sync += [active.eq(1), waits.eq(0), young.eq(slow), rest.eq(gap), bank.eq(0)]
            m.d.sync += todo.eq(Cat(memory))

        self._capture(m, walks, is_in, accepted, chosen, bank, complete, two, count)
        return m

    def _capture(self, m: Module, walks, is_in, accepted, chosen, bank, complete, two, count) -> None:
        """What comes back into the operands' rows; elements from them, two cycles behind their last read."""
        lanes, cycles = self.lanes, self.read_cycles
        row_bits = (2 * lanes - 1).bit_length()
        lane_bits = row_bits - 1
        of_sums, local, wide = is_in[Space.SUMS][0], is_in[Space.LOCAL], self.plan.wide
        taken = [
            late(m, accepted & chosen[n], cycles - 1, f"taken_{name}", reset_less=False)
            for n, name in enumerate(SOURCES)
        ]

        # A step's fire follows its last read by a cycle.
        fires_before = late(m, complete, cycles, "fires_before", reset_less=False)
        fires = late(m, fires_before, 1, "fires", reset_less=False)
        both = late(m, two, cycles + 1, "both")
        ends = late(m, count.row_end, cycles + 1, "ends_row")
        lane_place, starts = Signal(range(self.config.group_channels)), Signal()
        with m.If(complete):
            m.d.sync += [
                lane_place.eq(Mux(count.row_end, 0, lane_place + self.a.moves)),
                starts.eq(count.row_end & ~self.plan.chain_all),
            ]
        with m.If(self.start):
            m.d.sync += [lane_place.eq(0), starts.eq(1)]
        is_number = [~Cat(flags[n] for flags in is_in.values()).any() for n in range(len(SOURCES))]
        first = late(m, starts | ~self.plan.chain, cycles + 1, "first_of_row")
        near_valid, near_first = Signal(), Signal(reset_less=True)
        near_mask, second = Signal(lanes, reset_less=True), Signal()
        m.d.sync += [
            second.eq(fires & both),
            near_valid.eq(fires | second),
            near_first.eq(Mux(fires, first, ~self.plan.chain)),
            near_mask.eq(
                Mux(Mux(fires, ends & ~both, late(m, ends, 1, "second_ends")), self.tail, self.full)
            ),
            self.valid.eq(near_valid),
            self.first.eq(near_first),
            self.mask.eq(near_mask),
        ]
        found = {
            Space.LOCAL: Cat(self.local.data[word] for word in range(2 * lanes)),
            Space.STATISTICS: self._late_by(m, self.statistics, MACHINE.channel_memory_cycles, "statistics"),
            Space.COEFFICIENTS: self._late_by(
                m, self.coefficients, MACHINE.channel_memory_cycles, "coefficients"
            ),
        }
        group = Signal(range(max(self.config.group_channels // lanes, 2)))
        place = Signal(lane_bits)
        m.d.comb += [
            group.eq(Mux(wide, lane_place, lane_place >> lane_bits)),
            place.eq(lane_place),
        ]
        summed = self._sums(m, taken[0], walks[0], bank, late(m, group, cycles, "group"), fires_before)

        for n, name in enumerate(SOURCES):
            row = Signal(2 * lanes * WORD_BITS, name=f"{name}_row", reset_less=True)
            near = Signal(lanes * WORD_BITS, name=f"{name}_near", reset_less=True)
            odd = Signal(lanes * WORD_BITS, name=f"{name}_odd", reset_less=True)
            value = Mux(is_number[n], self.numbers[n].replicate(2 * lanes), 0)
            for space, held in found.items():
                flags = twins(m, is_in[space][n], len(row), f"{name}_from_{space.name.lower()}")
                value = value | chosen_of(m, flags, held, 0, len(row))
            for part, enable in enumerate(twins(m, taken[n] | self.start, len(row), f"takes_{name}")):
                with m.If(enable):
                    m.d.sync += row.word_select(part, MOST_LOADS).eq(value.word_select(part, MOST_LOADS))
            # Half of the row; where two steps come of it the other half follows, else it stays.
            low, high = row[: len(near)], row[len(near) :]
            halves = late(m, walks[n].addr[lane_bits] & local[n], cycles, f"half_{n}")
            now = chosen_of(m, twins(m, halves, len(near), f"{name}_upper"), high, low, len(near))
            moves = self.plan.wide & walks[n].operand.moves & local[n]
            follows = chosen_of(m, twins(m, moves, len(near), f"{name}_moving"), high, now, len(near))
            for part, (fire, other) in enumerate(
                zip(
                    *(twins(m, fires_before, len(near), f"{name}_{kind}") for kind in ("now", "next")),
                    strict=True,
                )
            ):
                bits = slice(part * MOST_LOADS, (part + 1) * MOST_LOADS)
                m.d.sync += near[bits].eq(Mux(fire, now[bits], odd[bits]))
                with m.If(other):
                    m.d.sync += odd[bits].eq(follows[bits])
            # Of the half a word for each lane: its own, or the one that all take; of longer integers all.
            at = Signal(lane_bits, name=f"{name}_at")
            m.d.comb += at.eq(Mux(local[n], walks[n].addr[:lane_bits], place))
            at_held, at_now = Signal(lane_bits, name=f"{name}_at_held"), Signal(lane_bits)
            m.d.comb += at_now.eq(Mux(fires, late(m, at, cycles + 1, f"{name}_at_late"), at_held))
            m.d.sync += at_held.eq(at_now)
            own = Signal(name=f"{name}_own", reset_less=True)
            sums = of_sums if n == 0 else 0
            m.d.sync += own.eq(wide & ((local[n] & walks[n].operand.moves) | sums))
            is_long = is_in[Space.STATISTICS][n] | is_in[Space.COEFFICIENTS][n]
            for lane in range(lanes):
                label = f"{name}_{lane}"
                places = twins(m, Mux(own, lane, at_now), INTEGER.width, f"{label}_place")
                element = self._word(m, near, WORD_BITS, places)
                if lane == 0:
                    longs = twins(m, is_long, INTEGER.width, f"{label}_long")
                    element = chosen_of(m, longs, near[: INTEGER.width].as_signed(), element, INTEGER)
                if n == 0:
                    from_sums = twins(m, of_sums, INTEGER.width, f"{label}_from_sums")
                    total = self._word(m, summed, INTEGER.width, places)
                    element = chosen_of(m, from_sums, total, element, INTEGER)
                m.d.sync += self.element[n][lane].eq(element)

    def _word(self, m: Module, near, width: int, places: list) -> Signal:
        """The word of ``near`` that ``places`` (`twins`) say, with its sign."""
        words = [Signal(INTEGER) for _ in range(self.lanes)]
        found = Signal(INTEGER)
        m.d.comb += [word.eq(near[at * width :][:width].as_signed()) for at, word in enumerate(words)]
        for part, place in enumerate(places):
            bits = slice(part * MOST_LOADS, (part + 1) * MOST_LOADS)
            m.d.comb += found[bits].eq(Array(word[bits] for word in words)[place])
        return found

    def _sums(self, m: Module, taken, walk, bank, group_of, fires_before) -> Signal:
        """The sums of a step's group of lanes, from three words of scratch."""
        cycles, group, lanes = self.read_cycles, self.config.group_channels, self.lanes
        half, of_bank = late(m, walk.addr[0], cycles - 1, "half"), late(m, bank, cycles - 1, "bank")
        sums = [Signal(group * NUMBER_BITS, name=f"sums_{n}", reset_less=True) for n in range(SUM_BANKS)]
        assert MACHINE.scratch_cycles == MACHINE.local_cycles == cycles
        row = self.sums.data.as_value()
        for number, held in enumerate(sums):
            takes = taken & (of_bank == number)
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
        summed = Signal(lanes * INTEGER.width, name="summed", reset_less=True)
        count = len(summed) // _LANE_BITS
        enables = twins(m, fires_before, len(summed), "takes_sums")
        for n, place in enumerate(copies(m, group_of, count, "groups")):
            lane, low = divmod(n * _LANE_BITS, INTEGER.width)
            number, low = divmod(low, NUMBER_BITS)
            words_of = [
                sums[number][(start + lane) * NUMBER_BITS + low :][:_LANE_BITS]
                for start in range(0, group - group % lanes, lanes)
            ]
            with m.If(enables[n * _LANE_BITS // MOST_LOADS]):
                m.d.sync += summed[n * _LANE_BITS : (n + 1) * _LANE_BITS].eq(Array(words_of)[place])
        return summed

    def _late_by(self, m: Module, value, cycles: int, name: str):
        """``value`` that comes after ``cycles`` when that of local memory does; its sign kept in 64 bits."""
        wide = Signal(signed(2 * WORD_BITS), name=f"{name}_wide")
        m.d.comb += wide.eq(late(m, value, self.read_cycles - cycles, name))
        return wide.as_unsigned()
