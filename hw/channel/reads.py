"""Asks memories for the operands of a FLOAT's steps, a read a cycle."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.plan import BEHIND_BITS, PLAN
from cpt.hw.channel.ports import local_read
from cpt.hw.channel.steps import BANK_BITS, SOURCES, STEP
from cpt.hw.channel.walk import ADDRESS_BITS
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Space
from cpt.hw.contract.step import SCRATCH_BANKS, SUM_PARTS
from cpt.hw.matrix.copies import KEEP
from cpt.hw.vector.ports import scratch_bank, scratch_read

INTERVAL_BITS = 5
_ENABLES = 4
"""Copies of what lets a read go, for the enables of what follows it."""
_GOES = _ENABLES + 4
"""Those, and one for each thing that follows at once."""


def read_layout(lanes: int) -> data.StructLayout:
    """The read at the ports: operands that it is ``accepted`` for; ``complete``: with it a step has all;
    ``low``: of the operands' addresses, of those that the step does not read as well; ``two``, ``row_end`` of
    its step (`STEP`); ``part`` of the sums."""
    return data.StructLayout(
        {
            "accepted": data.ArrayLayout(1, len(SOURCES)),
            "complete": 1,
            "low": data.ArrayLayout((2 * lanes - 1).bit_length(), len(SOURCES)),
            "two": 1,
            "row_end": 1,
            "part": (SUM_PARTS - 1).bit_length(),
        }
    )


class Reads(wiring.Component):
    """Asks the ports for what steps need, a read a cycle, with the cycles between steps.

    Parameters: ``config``; ``scratch_words``.
    Members: ``steps``, ``reads``, ``sums_bank``: those of `Steps`; ``in_local``,
    ``in_coefficients``: operands that lie there, ``of_sums``: operand a does in sums; ``plan``, ``interval``,
    ``busy``, ``sums_frees`` as in `Operands`: in. ``local_next``, ``local_valid``, ``local_addr``,
    ``sums_valid``, ``sums_addr``, ``memory_addr`` (of statistics and coefficients): out, to the ports;
    ``read`` (`read_layout`), out; ``ended``: the last read was accepted.
    """

    def __init__(self, config: ArrayConfig, scratch_words: int):
        self.lanes, self.scratch_words = config.float_lanes, scratch_words
        local = local_read(2 * self.lanes).members["addr"].shape
        sums = scratch_read(config, scratch_words).members["addr"].shape
        super().__init__(
            {
                "steps": In(stream.Signature(STEP)),
                "reads": In(stream.Signature(len(SOURCES))),
                "in_local": In(len(SOURCES)),
                "in_coefficients": In(len(SOURCES)),
                "sums_bank": In(BANK_BITS),
                "of_sums": In(1),
                "plan": In(PLAN),
                "interval": In(INTERVAL_BITS),
                "busy": In(1),
                "sums_frees": In(SCRATCH_BANKS),
                "local_next": Out(1),
                "local_valid": Out(1),
                "local_addr": Out(local),
                "sums_valid": Out(SCRATCH_BANKS),
                "sums_addr": Out(sums),
                "memory_addr": Out(ADDRESS_BITS),
                "read": Out(read_layout(self.lanes)),
                "ended": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count, step, reads, read = len(SOURCES), self.steps.payload, self.reads.payload, self.read
        row_bits = (2 * self.lanes - 1).bit_length()
        of_sums = self.of_sums

        # The next read: of the step in front, what that reads behind it, and which part of sums.
        chosen, rest = (Signal(count, name=name, reset_less=True) for name in ("chosen", "rest"))
        part = Signal(range(SUM_PARTS), reset_less=True)
        is_last = Signal(reset_less=True)
        there, stays, next_there, next_last = (
            Signal(name=name) for name in ("there", "stays", "next_there", "next_last")
        )
        takes_reads = Signal(init=1, attrs=KEEP)
        takes_step = Signal(attrs=KEEP)
        """Whether with this read the next step's are taken in, and the step in front is done with."""

        def first(reads):
            return Cat(reads[0], reads[1] & ~reads[0], reads[2] & ~reads[1] & ~reads[0])

        def alone(reads, more_parts):
            return ~((reads[0] & (reads[1] | reads[2] | more_parts)) | (reads[1] & reads[2]))

        def behind(reads, more_parts):
            return Cat(reads[0] & more_parts, reads[1] & reads[0], reads[2] & (reads[1] | reads[0]))

        more, more_parts = stays & rest[0], part == 0
        m.d.comb += [
            stays.eq(there & ~is_last),
            next_last.eq(Mux(stays, alone(rest, more_parts), alone(reads, of_sums))),
            next_there.eq(stays | self.reads.valid),
        ]
        next_read = [
            chosen.eq(Mux(stays, first(rest), first(reads))),
            is_last.eq(next_last),
            rest.eq(Mux(stays, behind(rest, more_parts), behind(reads, of_sums))),
            part.eq(Cat(more & more_parts, more & part[0])),
            there.eq(next_there),
            takes_reads.eq(~next_there | next_last),
            takes_step.eq(next_there & next_last),
        ]

        # The read at the ports. Copies of what may hold it, for the enables of its registers, and for what
        # must follow from what the ports say at once.
        which = Signal(count)
        word = step.addr[0][1:]
        sums_addr = Signal.like(self.sums_addr, reset_less=True)
        new = {
            Space.LOCAL: (chosen & self.in_local).any(),
            Space.COEFFICIENTS: (chosen & self.in_coefficients).any(),
            Space.SUMS: chosen[0] & of_sums,
        }
        next_held = Signal()
        next_late_bank = Signal()
        next_no_bank = Signal()
        goes, held_by, without_bank = [], [], []
        for copy in range(_GOES):
            held, late_bank, no_bank, coefficients = (
                Signal(name=f"{name}_{copy}", attrs=KEEP)
                for name in ("held", "late_bank", "no_bank", "coefficients")
            )
            stops = late_bank | no_bank | (coefficients & self.busy)
            goes.append(~stops & ~held)
            m.d.sync += [held.eq(next_held), late_bank.eq(next_late_bank), no_bank.eq(next_no_bank)]
            with m.If(goes[copy % _ENABLES]):
                m.d.sync += coefficients.eq(new[Space.COEFFICIENTS] & there)
            held_by.append(held)
            without_bank.append(late_bank | no_bank)
        goes_accepted, goes_complete, goes_reads, goes_step = goes[_ENABLES:]
        asks_local = Signal()
        asks_sums = Signal(SCRATCH_BANKS, attrs=KEEP)
        fires = Signal()
        next_free = Array(self.sums_frees)[self.sums_bank]
        m.d.comb += [
            next_no_bank.eq(goes[0] & new[Space.SUMS] & there & ~next_free),
            next_late_bank.eq(~goes[0] & asks_sums[0] & ~Array(self.sums_frees)[scratch_bank(sums_addr)]),
        ]
        m.d.comb += [
            self.reads.ready.eq(goes_reads & takes_reads),
            self.steps.ready.eq(goes_step & takes_step),
        ]
        with m.If(goes[0]):
            m.d.sync += [
                asks_local.eq(new[Space.LOCAL] & there),
                asks_sums.eq((new[Space.SUMS] & there).replicate(SCRATCH_BANKS)),
                fires.eq(takes_step),
                which.eq(Mux(there, chosen, 0)),
                *next_read,
            ]
        pauses, row_pauses = (Signal(name=name, reset_less=True) for name in ("pauses", "row_pauses"))
        m.d.sync += [
            pauses.eq(self.plan.pauses & self.plan.serial),
            row_pauses.eq(self.plan.pauses & self.plan.serial_rows),
        ]
        addr = Signal.like(step.addr[0])
        read_addr = Signal.like(step.addr[0], reset_less=True)
        m.d.comb += addr.eq(Mux(chosen[0], step.addr[0], Mux(chosen[1], step.addr[1], step.addr[2])))
        lows = [Signal(row_bits, name=f"low_{name}", reset_less=True) for name in SOURCES]
        two, row_end, last, read_waits = (
            Signal(name=name, reset_less=True) for name in ("two", "row_end", "last", "read_waits")
        )
        read_part = Signal(range(SUM_PARTS), reset_less=True)
        with m.If(goes[1]):
            m.d.sync += read_addr.eq(addr)
        with m.If(goes[2]):
            m.d.sync += sums_addr.eq(Cat(part, word))
        with m.If(goes[3]):
            m.d.sync += [
                *(low.eq(step.addr[n][:row_bits]) for n, low in enumerate(lows)),
                *(flag.eq(step[name]) for name, flag in (("two", two), ("row_end", row_end), ("last", last))),
                read_waits.eq((pauses | (row_pauses & step.row_end)) & ~step.last),
                read_part.eq(part),
            ]
        complete = Signal()
        m.d.comb += [
            self.local_next.eq(there | asks_local),  # wherever it reads, and whether it goes or is held
            self.local_valid.eq(asks_local & ~held_by[0]),
            self.local_addr.eq(read_addr[row_bits:]),
            self.sums_valid.eq(
                asks_sums & ~Cat(held_by[:SCRATCH_BANKS]) & ~Cat(without_bank[:SCRATCH_BANKS])
            ),
            self.sums_addr.eq(sums_addr),
            self.memory_addr.eq(read_addr),
            complete.eq(fires & goes_complete),
            *(accepted.eq(which[n] & goes_accepted) for n, accepted in enumerate(read.accepted)),
            *(low.eq(held) for low, held in zip(read.low, lows, strict=True)),
            read.complete.eq(complete),
            read.two.eq(two),
            read.row_end.eq(row_end),
            read.part.eq(read_part),
        ]

        # Cycles that pass behind a step: counts that run on by themselves, and flags of what they hold: the
        # last read of the next step, as long as a step is ``young``; any, as long as it ``waits``.
        slow = Signal(reset_less=True)
        young = Signal()
        waits = Signal()
        gap, cycles = (Signal(INTERVAL_BITS, name=name, reset_less=True) for name in ("gap", "cycles"))
        pause, to_wait = (
            Signal(BEHIND_BITS + 1, name=name, reset_less=True) for name in ("pause", "to_wait")
        )
        still_young = Signal()
        still_waits = Signal()
        last_of_two = Signal()
        some_gap, some_pause, more_cycles, more_to_wait = (
            Signal(name=name, reset_less=True)
            for name in ("some_gap", "some_pause", "more_cycles", "more_to_wait")
        )
        m.d.comb += [
            still_young.eq(young & more_cycles),
            still_waits.eq(waits & more_to_wait),
            # Of a read that a port keeps waiting too: a cycle too long at most, and what is free stays out.
            next_held.eq(
                Mux(
                    held_by[0],
                    still_waits | (fires & still_young),
                    Mux(fires, read_waits | (takes_step & (two | slow)), takes_step & still_young),
                )
            ),
        ]
        m.d.sync += [
            slow.eq(self.interval != 1),
            gap.eq(self.interval - 2),
            pause.eq(self.plan.pause - 1),
            some_gap.eq(gap != 0),
            some_pause.eq(pause != 0),
            more_cycles.eq(Mux(complete, ~two & some_gap, cycles != 1)),
            more_to_wait.eq(Mux(complete, two | some_pause, to_wait != 1)),
            cycles.eq(Mux(complete, Mux(two, 0, gap), cycles - 1)),
            young.eq(Mux(complete, two | slow, still_young)),
            to_wait.eq(Mux(complete, pause + two, to_wait - 1)),
            waits.eq(Mux(complete, read_waits, still_waits)),
            last_of_two.eq(complete & last & two),
            self.ended.eq((complete & last & ~two) | last_of_two),
        ]
        return m
