"""Steps of a FLOAT's loop: where each finds its operands, and which of them it must read."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.wide_queue import WideQueue
from cpt.hw.channel.number import late
from cpt.hw.channel.walk import ADDRESS_BITS, COUNT_BITS, LOOP
from cpt.hw.contract.step import SCRATCH_BANKS, SUM_WORDS
from cpt.hw.matrix.copies import KEEP, copies, tokens

SOURCES = "abc"
QUEUED = 8
"""Steps that are known before their reads."""
_FLAGS = data.ArrayLayout(1, len(SOURCES))
STEP = data.StructLayout(
    {
        "addr": data.ArrayLayout(ADDRESS_BITS, len(SOURCES)),
        "two": 1,
        "row_end": 1,
        "last": 1,
    }
)
"""``addr`` of each operand's element, or of its first; ``two``: it is two steps; it is the last of a
repetition (``row_end``), of all (``last``).
"""
SETTINGS = data.StructLayout(
    {
        "loop": LOOP,
        "address": data.ArrayLayout(ADDRESS_BITS, len(SOURCES)),
        "stride": data.ArrayLayout(ADDRESS_BITS, len(SOURCES)),
        "moves": _FLAGS,
        "local": _FLAGS,
        "memory": _FLAGS,
        "again": _FLAGS,
        "walks": _FLAGS,
        "walks_first": _FLAGS,
        "wide": 1,
        "doubles": 1,
        "serial": 1,
    }
)
"""``loop``: of steps. Of an operand: ``address``, ``stride``; it ``moves``; it is in ``local`` memory, in any
``memory``; it is read ``again`` in each repetition; it ``walks``: in memory, from step to step
(``walks_first``: a cycle earlier). ``wide``: a step is an element for each lane; ``doubles``: two may be one;
``serial``: each reads all.
"""
BANK_BITS = (SCRATCH_BANKS - 1).bit_length()
LOADS = len(SOURCES) + 1
"""Copies of what loads the registers of an instruction: for each operand's, and for the others."""


class Steps(wiring.Component):
    """Finds the steps of an instruction, one a cycle, ahead of their reads.

    Parameters: ``lanes``; ``scratch_words``.
    Members: ``settings``: of an instruction, they stay; ``load``, as so many copies: they are there, the
    first step comes `latency_cycles` later; ``reads``: stream of what each step reads, by operand; ``steps``:
    stream of `STEP`, not before what it reads is taken. Their ready may come late. ``sums_bank``: of the
    step's address of sums, a register.
    """

    latency_cycles = 3

    def __init__(self, lanes: int, scratch_words: int):
        self.lanes = lanes
        # An address of sums names half of four words.
        stop = (scratch_words // SUM_WORDS).bit_length()
        self._bank = min(stop - BANK_BITS, ADDRESS_BITS), min(stop, ADDRESS_BITS)
        super().__init__(
            {
                "settings": In(SETTINGS),
                "load": In(LOADS),
                "reads": Out(stream.Signature(len(SOURCES))),
                "steps": Out(stream.Signature(STEP)),
                "sums_bank": Out(self._bank[1] - self._bank[0]),
            }
        )

    def elaborate(self, platform):
        m = Module()
        settings, count, load = self.settings, len(SOURCES), self.load[-1]
        row_bits = (2 * self.lanes - 1).bit_length()
        m.submodules.queue = queue = WideQueue(STEP, QUEUED, 1, early=self._bank)
        m.submodules.ahead = ahead = WideQueue(len(SOURCES), QUEUED, 1)
        m.d.comb += self.sums_bank.eq(queue.early)
        wiring.connect(m, queue.o, wiring.flipped(self.steps))
        wiring.connect(m, ahead.o, wiring.flipped(self.reads))

        # A step is there, and goes into the queue in the next cycle, as long as that has room for those that
        # are under way. What begins goes the same way, without a step; behind the last one none is real.
        begin = Signal()
        there = Signal()
        goes = Signal()
        ends = Signal()
        last_row = Signal()
        over = Signal()
        overs = [Signal(name=f"over_{n}", attrs=KEEP) for n in range(2)]
        taken = late(m, queue.o.valid & queue.o.ready, 1, "taken", reset_less=False)
        held = tokens(m, "queued", QUEUED, queue.push, taken)
        m.d.comb += [
            goes.eq((begin | there) & ~held[QUEUED - 3]),
            over.eq((overs[0] | (queue.push & ends & last_row)) & ~load),
        ]
        m.d.sync += [
            begin.eq(load),
            there.eq((begin | there) & ~over),
            *(copy.eq(over) for copy in overs),
        ]
        for each, push, done in zip(
            (queue, ahead), copies(m, goes, 2, "push", reset_less=False), overs, strict=True
        ):
            m.d.comb += each.push.eq(push & ~done)
        moves, counts, *walks_on = copies(m, load | goes, 2 + count, "moves", reset_less=False)

        # Where the step is, and where the next repetition begins.
        two, first, row_first = (Signal(name=name, reset_less=True) for name in ("two", "first", "row_first"))
        ends_of = [Signal(name=f"ends_{name}", reset_less=True, attrs=KEEP) for name in SOURCES]
        addr, rows = (
            [Signal(ADDRESS_BITS, name=f"{kind}_{name}", reset_less=True) for name in SOURCES]
            for kind in ("addr", "row")
        )
        for n, (ending, moving) in enumerate(zip(ends_of, walks_on, strict=True)):
            single, double = (Signal(name=f"{kind}_{n}", reset_less=True) for kind in ("single", "double"))
            m.d.sync += [
                single.eq(settings.moves[n] & ~settings.wide),
                double.eq(settings.moves[n] & settings.wide),
            ]
            step = (double & two) << row_bits | (double & ~two) << (row_bits - 1) | single
            with m.If(moving):
                m.d.sync += addr[n].eq(Mux(ending, rows[n], addr[n] + step))
            with m.If(self.load[n] | (moving & ending)):
                m.d.sync += rows[n].eq(Mux(self.load[n], settings.address[n], rows[n] + settings.stride[n]))

        # How many steps are left: flags of the first counts, so that what follows is known in time.
        left, rows_left = (Signal(COUNT_BITS, name=name, reset_less=True) for name in ("left", "rows_left"))
        few = Signal(4, reset_less=True)
        """Whether 1, 2, 3, 4 steps are left of this repetition."""
        all_few = Signal(4, reset_less=True)
        m.d.sync += all_few.eq(Cat(settings.loop.n == number for number in range(1, 5)))
        next_left = Signal(COUNT_BITS)
        next_few = Signal(4)
        near = Signal(2)
        """Whether 5, 6 steps are left."""
        m.d.comb += [
            near.eq(Cat(left == number for number in (5, 6))),
            next_left.eq(Mux(ends, settings.loop.n, Mux(two, left - 2, left - 1))),
            next_few.eq(Mux(ends, all_few, Mux(two, Cat(few[2:], near), Cat(few[1:], near[0])))),
        ]
        # Two at once, where all that walk begin a row of words: those of a repetition alternate alike.
        evens, odds, new_evens, new_odds = (
            Signal(name=name, reset_less=True) for name in ("evens", "odds", "row_evens", "row_odds")
        )
        upper, other, turns = (
            Signal(count, name=name, reset_less=True) for name in ("upper", "other", "turns")
        )
        """Where the next repetition begins in the upper half of a row: of those that walk; with those that do
        not; whether the one behind it begins in the other half."""
        walks = settings.walks_first.as_value()
        starts = Cat(address[row_bits - 1] for address in settings.address)
        m.d.sync += turns.eq(walks & Cat(stride[row_bits - 1] for stride in settings.stride))
        next_upper = Signal(count)
        next_other = Signal(count)
        m.d.comb += [
            next_upper.eq(Mux(load, walks & starts, upper ^ turns)),
            next_other.eq(Mux(load, ~walks | starts, other ^ turns)),
        ]
        next_two = Signal()
        next_ends = Signal()
        m.d.comb += [
            next_two.eq(settings.doubles & ~next_few[0] & Mux(ends, new_evens, Mux(two, evens, odds))),
            next_ends.eq(Mux(next_two, next_few[1], next_few[0])),
        ]
        with m.If(counts):
            m.d.sync += [
                left.eq(next_left),
                few.eq(next_few),
                two.eq(next_two),
                first.eq(begin),
                row_first.eq(ends),
                ends.eq(next_ends),
                *(copy.eq(next_ends) for copy in ends_of),
                evens.eq(Mux(ends, new_evens, Mux(two, evens, odds))),
                odds.eq(Mux(ends, new_odds, Mux(two, odds, evens))),
            ]
        with m.If(load | (moves & ends)):
            m.d.sync += [
                upper.eq(next_upper),
                other.eq(next_other),
                new_evens.eq(~next_upper.any()),
                new_odds.eq(next_other.all()),
            ]
        with m.If(moves & ends):
            m.d.sync += [rows_left.eq(rows_left - 1), last_row.eq(rows_left == 1)]
        with m.If(load):
            m.d.sync += [rows_left.eq(settings.loop.reps), ends.eq(1), *(copy.eq(1) for copy in ends_of)]

        # What the step reads: what its operands did not bring with the one before it.
        step = queue.payload
        for n in range(count):
            new = ~settings.local[n] | ~addr[n][:row_bits].any()
            m.d.comb += [
                step.addr[n].eq(addr[n]),
                ahead.payload[n].eq(
                    Mux(
                        first | settings.serial,
                        settings.memory[n],
                        Mux(row_first, settings.again[n], settings.walks[n] & new),
                    )
                ),
            ]
        m.d.comb += [
            step.two.eq(two),
            step.row_end.eq(ends),
            step.last.eq(ends & last_row),
        ]
        return m
