"""Reads the operands of a FLOAT, element by element."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import INTEGER, late, parts, twins
from cpt.hw.channel.number import chosen as chosen_of
from cpt.hw.channel.plan import PLAN
from cpt.hw.channel.ports import WORD_BITS, local_read
from cpt.hw.channel.reads import INTERVAL_BITS, Reads
from cpt.hw.channel.steps import LOADS, SOURCES, Steps
from cpt.hw.channel.walk import LOOP, OPERAND
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Coefficient, Space, Statistic
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SUM_PARTS
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies
from cpt.hw.vector.ports import NUMBER_BITS, channel_read, scratch_read

_LANE_BITS = 8
"""Bits of a sum that share a copy of their group's number."""
_UPPER = INTEGER.width - WORD_BITS
"""Bits of the longest integers above those of a word."""


class Operands(wiring.Component):
    """Makes elements of a, b, c: reads what their memories hold, in order, a read a cycle.

    A step is an element or, where the plan is ``wide``, those of all lanes. Of local memory a row of words is
    read at once, twice as many as lanes: two wide steps, where all operands that move begin a row there. A
    step, or two, takes as many cycles as it needs reads, and at least one each (times ``interval``). Operand
    a alone may be sums: a repetition's are read in three cycles. Numbers stand in their operand's row.

    Parameters: ``config``; ``scratch_words``.
    Members: ``loop`` (of steps), ``a``, ``b``, ``c``, ``plan``, ``interval``, ``full`` and ``tail``: lanes
    that count, of a repetition's last step ``tail``, ``numbers``: of an instruction, they stay; ``start``:
    reads begin; ``ended``: the last one was accepted; ``busy``: the port of coefficients is being
    written to; ``valid``, ``first`` (of what a unit keeps), ``mask`` (of lanes), ``element`` (of
    operands, and of their lanes): out. Ports: ``local``, ``statistics_addr``, ``statistics``,
    ``coefficients_addr``, ``coefficients``, ``sums``.
    `start_cycles` from ``start`` to the first read; `latency_cycles` from a read that is accepted, the last
    of its step, to the elements.
    """

    read_cycles = max(MACHINE.local_cycles, MACHINE.scratch_cycles, MACHINE.channel_memory_cycles)
    latency_cycles = read_cycles + 3
    start_cycles = 1 + Steps.latency_cycles + 2

    def __init__(self, config: ArrayConfig, scratch_words: int):
        self.config, self.scratch_words = config, scratch_words
        self.lanes = config.float_lanes
        statistics, coefficients = (channel_read(len(fields)) for fields in (Statistic, Coefficient))
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
                "busy": In(1),
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
        operands, plan = [getattr(self, name) for name in SOURCES], self.plan
        m.submodules.steps = steps = Steps(self.lanes, self.scratch_words)

        # What each operand is, from registers.
        is_in = {
            space: [Signal(name=f"{name}_in_{space.name.lower()}", reset_less=True) for name in SOURCES]
            for space in (Space.LOCAL, Space.STATISTICS, Space.COEFFICIENTS, Space.SUMS)
        }
        for space, flags in is_in.items():
            for flag, operand in zip(flags, operands, strict=True):
                m.d.sync += flag.eq(operand.space == space)
        of_sums = is_in[Space.SUMS][0]
        starts = copies(m, self.start, LOADS + 1, "starts", reset_less=False)
        settings = steps.settings
        m.d.comb += [steps.load.eq(Cat(starts[:LOADS])), settings.loop.eq(self.loop)]
        for n, operand in enumerate(operands):
            places = [flags[n] for space, flags in is_in.items() if n == 0 or space is not Space.SUMS]
            changes = Signal(name=f"{SOURCES[n]}_changes", reset_less=True)
            moves = Signal(name=f"{SOURCES[n]}_moves", reset_less=True)
            sums = operand.space == Space.SUMS if n == 0 else 0  # its elements are lanes of the word it names
            m.d.sync += [
                moves.eq(operand.moves & ~sums),
                changes.eq(operand.stride.any()),
                settings.memory[n].eq(Cat(places).any()),
                settings.walks[n].eq(settings.walks_first[n]),
                settings.again[n].eq(Cat(places).any() & (moves | changes | plan.serial_rows)),
            ]
            m.d.comb += [
                settings.walks_first[n].eq(Cat(places).any() & moves),
                settings.address[n].eq(operand.address),
                settings.stride[n].eq(operand.stride),
                settings.moves[n].eq(moves),
                settings.local[n].eq(is_in[Space.LOCAL][n]),
            ]
        m.d.sync += [
            settings.wide.eq(plan.wide),
            settings.doubles.eq(plan.wide & ~of_sums),
            settings.serial.eq(plan.serial),
        ]
        m.submodules.reads = reads = Reads(self.config, self.scratch_words)
        wiring.connect(m, steps.steps, reads.steps)
        wiring.connect(m, steps.reads, reads.reads)
        m.d.comb += [
            reads.sums_bank.eq(steps.sums_bank),
            *(
                getattr(reads, f"in_{space.name.lower()}").eq(Cat(is_in[space]))
                for space in (Space.LOCAL, Space.COEFFICIENTS)
            ),
            reads.of_sums.eq(of_sums),
            reads.plan.eq(plan),
            reads.interval.eq(self.interval),
            reads.busy.eq(self.busy),
            reads.sums_frees.eq(self.sums.frees),
            self.local.next.eq(reads.local_next),
            self.local.valid.eq(reads.local_valid),
            self.local.addr.eq(reads.local_addr),
            self.sums.valid.eq(reads.sums_valid),
            self.sums.addr.eq(reads.sums_addr),
            self.statistics_addr.eq(reads.memory_addr),
            self.coefficients_addr.eq(reads.memory_addr),
            self.ended.eq(reads.ended),
        ]
        self._capture(m, reads.read, is_in, settings.moves, starts[-1])
        return m

    def _capture(self, m: Module, read, is_in, moves, start) -> None:
        """What comes back into the operands' rows; elements from them, two cycles behind their last read."""
        lanes, cycles, complete = self.lanes, self.read_cycles, read.complete
        row_bits = (2 * lanes - 1).bit_length()
        lane_bits = row_bits - 1
        of_sums, local, wide = is_in[Space.SUMS][0], is_in[Space.LOCAL], self.plan.wide
        taken = [
            late(m, read.accepted[n], cycles - 1, f"taken_{name}", reset_less=False)
            for n, name in enumerate(SOURCES)
        ]

        # A step's fire follows its last read by a cycle.
        earlier = late(m, complete, cycles - 1, "fires_earlier", reset_less=False)
        fires_before, fires_sums, *fires_of = copies(
            m, earlier, 2 + len(SOURCES), "fires_before", reset_less=False
        )
        fires = late(m, fires_before, 1, "fires", reset_less=False)
        both = late(m, read.two, cycles + 1, "both")
        ends = late(m, read.row_end, cycles + 1, "ends_row")
        chain = late(m, self.plan.chain, 1, "chain")
        lane_place = Signal(range(self.config.group_channels))
        starts = Signal()
        with m.If(complete):
            m.d.sync += [
                lane_place.eq(Mux(read.row_end, 0, lane_place + self.a.moves)),
                starts.eq(read.row_end & ~self.plan.chain_all),
            ]
        with m.If(start):
            m.d.sync += [lane_place.eq(0), starts.eq(1)]
        first = late(m, starts | ~chain, cycles + 1, "first_of_row")
        near_valid = Signal()
        near_first = Signal(reset_less=True)
        near_mask = Signal(lanes, reset_less=True)
        second = Signal()
        m.d.sync += [
            second.eq(fires & both),
            near_valid.eq(fires | second),
            near_first.eq(Mux(fires, first, ~chain)),
            near_mask.eq(
                Mux(Mux(fires, ends & ~both, late(m, ends, 1, "second_ends")), self.tail, self.full)
            ),
            self.valid.eq(near_valid),
            self.first.eq(near_first),
            self.mask.eq(near_mask),
        ]
        # A row of local memory, or one long integer of the others.
        row_found = Cat(self.local.data[word] for word in range(2 * lanes))
        longs_found = {
            Space.STATISTICS: late(m, self.statistics, cycles - MACHINE.channel_memory_cycles, "statistics"),
            Space.COEFFICIENTS: late(
                m, self.coefficients, cycles - MACHINE.channel_memory_cycles, "coefficients"
            ),
        }
        group = Signal(range(max(self.config.group_channels // lanes, 2)))
        place = Signal(lane_bits)
        m.d.comb += [
            group.eq(Mux(wide, lane_place, lane_place >> lane_bits)),
            place.eq(lane_place),
        ]
        summed = self._sums(m, taken[0], read, late(m, group, cycles, "group"), fires_sums)
        seconds_before = late(
            m, late(m, read.two, cycles, "two") & fires_before, 1, "seconds_before", reset_less=False
        )

        for n, name in enumerate(SOURCES):
            size = lanes * WORD_BITS
            row = Signal(2 * size, name=f"{name}_row", reset_less=True)
            near, odd = (Signal(size, name=f"{name}_{kind}", reset_less=True) for kind in ("near", "odd"))
            for enable, bits in parts(twins(m, taken[n], len(row), f"takes_{name}"), len(row)):
                with m.If(enable):
                    m.d.sync += row[bits].eq(row_found[bits])
            # Half of the row; where two steps come of it the other half follows.
            low, high = row[:size], row[size:]
            upper = late(m, read.low[n][lane_bits], cycles, f"half_{n}")
            now = chosen_of(m, twins(m, upper, size, f"{name}_upper"), high, low, size)
            follows = seconds_before & wide & moves[n]
            fires_long = fires_of[n]
            goes = twins(m, fires_long | follows, size, f"{name}_goes")
            fires_now, fires_next = (twins(m, fires_long, size, f"{name}_{kind}") for kind in ("now", "next"))
            next_near = chosen_of(m, fires_now, now, odd, size)
            tops = [next_near[WORD_BITS * (at + 1) - 1] for at in range(lanes)]
            (goes_signs,) = copies(m, fires_long | follows, 1, f"{name}_goes_signs")
            signs = self._signs(m, name, tops, goes_signs)
            for (go, bits), fire in zip(parts(goes, size), fires_next, strict=True):
                with m.If(go):
                    m.d.sync += near[bits].eq(next_near[bits])
                with m.If(fire):
                    m.d.sync += odd[bits].eq(high[bits])
            long = self._long(m, n, is_in, longs_found, taken[n] | start, fires_long)

            # The word that all lanes take, or each its own; lane 0 alone takes the longest integers.
            at = Signal(lane_bits, name=f"{name}_at")
            m.d.comb += at.eq(Mux(local[n], read.low[n][:lane_bits], place))
            at_held = Signal(lane_bits, name=f"{name}_at_held")
            at_now = Signal(lane_bits)
            m.d.comb += at_now.eq(Mux(fires, late(m, at, cycles + 1, f"{name}_at_late"), at_held))
            m.d.sync += at_held.eq(at_now)
            own = Signal(name=f"{name}_own", reset_less=True)
            sums = of_sums if n == 0 else 0
            m.d.sync += own.eq(wide & ((local[n] & moves[n]) | sums))
            taken_at = at_now & ~own.replicate(lane_bits)
            word = self._word(m, near, WORD_BITS, range(WORD_BITS), taken_at, f"{name}_place")
            (is_long,) = copies(m, ~local[n], 1, f"{name}_is_long")
            for lane in range(lanes):
                label = f"{name}_{lane}"
                (sign_at,) = copies(m, taken_at, 1, f"{label}_sign_place")
                sign = Array(signs[lane])[sign_at]
                (is_long_too,) = copies(m, ~local[n], 1, f"{label}_is_long")
                common = Cat(
                    Mux(is_long, long[:WORD_BITS], word),
                    Mux(is_long_too, long[WORD_BITS:], sign.replicate(_UPPER)),
                )
                element = common
                if lane:
                    owns = twins(m, own, INTEGER.width, f"{label}_owns")
                    own_word = Cat(near.word_select(lane, WORD_BITS), signs[-1][lane].replicate(_UPPER))
                    element = chosen_of(m, owns, own_word, common, INTEGER)
                if n == 0:
                    total = summed.word_select(lane, INTEGER.width).as_signed()
                    if not lane:
                        total = self._word(
                            m, summed, INTEGER.width, range(INTEGER.width), taken_at, f"{name}_sums_place"
                        )
                    from_sums = twins(m, of_sums, INTEGER.width, f"{label}_from_sums")
                    element = chosen_of(m, from_sums, total, element, INTEGER)
                m.d.sync += self.element[n][lane].eq(element)

    def _signs(self, m: Module, name: str, tops: list, go) -> list:
        """Signs of a half row's words, copied for each lane that takes any of them, and for lanes' own."""
        found = [
            [Signal(name=f"{name}_sign_{n}_{at}", reset_less=True, attrs=KEEP) for at in range(self.lanes)]
            for n in range(self.lanes + 1)
        ]
        with m.If(go):
            m.d.sync += [copy.eq(top) for row in found for copy, top in zip(row, tops, strict=True)]
        return found

    def _long(self, m: Module, n: int, is_in, found, takes, fires_before) -> Signal:
        """Operand ``n`` where it is no row: what was read, or its number; with a step's row."""
        name = SOURCES[n]
        long = Signal(INTEGER)
        held, near = (
            Signal(INTEGER, name=f"{SOURCES[n]}_{kind}", reset_less=True) for kind in ("long", "near_long")
        )
        m.d.comb += long.eq(self.numbers[n].as_signed())
        for space, value in found.items():
            flags = twins(m, is_in[space][n], INTEGER.width, f"{name}_in_{space.name.lower()}")
            long = chosen_of(m, flags, value, long, INTEGER)
        takes, fires = (
            twins(m, value, INTEGER.width, f"{name}_{kind}")
            for kind, value in (("takes_long", takes), ("fires_long", fires_before))
        )
        for (take, bits), fire in zip(parts(takes, INTEGER.width), fires, strict=True):
            with m.If(take):
                m.d.sync += held[bits].eq(long[bits])
            with m.If(fire):
                m.d.sync += near[bits].eq(held[bits])
        return near

    def _word(self, m: Module, near, width: int, bits, place, name: str) -> Cat:
        """``bits`` of the word of ``near`` in ``place``, of which copies follow."""
        words = [near.word_select(at, width) for at in range(self.lanes)]
        flags = twins(m, place, len(bits), name)
        return Cat(
            Array(word[bit] for word in words)[flag]
            for flag, part in parts(flags, len(bits))
            for bit in bits[part]
        )

    def _sums(self, m: Module, taken, read, group_of, fires_before) -> Signal:
        """The sums of a step's group of lanes, from three words of scratch."""
        cycles, group, lanes = self.read_cycles, self.config.group_channels, self.lanes
        half, of_part = late(m, read.low[0][0], cycles - 1, "half"), late(m, read.part, cycles - 1, "part")
        sums = [Signal(group * NUMBER_BITS, name=f"sums_{n}", reset_less=True) for n in range(SUM_PARTS)]
        assert MACHINE.scratch_cycles == MACHINE.local_cycles == cycles
        row = self.sums.data.as_value()
        for number, held in enumerate(sums):
            takes = taken & (of_part == number)
            enables, halves = (
                twins(m, value, len(held), f"{name}_{number}")
                for name, value in (("takes", takes), ("halves", half))
            )
            for (enable, part), upper in zip(parts(enables, len(held)), halves, strict=True):
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
