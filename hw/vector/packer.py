"""Packs codes from the lanes into planes in memory."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import bits_for

from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.roomy_queue import RoomyQueue
from cpt.hw.bus.wide_queue import PUSHES, WideQueue
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.vector.plane_part import PlanePart, part_read, part_write
from cpt.hw.vector.ports import code_words

HALVES = 2
"""Groups of channels that are held: one comes in, one goes out."""
_GROUP = data.StructLayout({"addr": 32, "batches": bits_for(MAX_BITS), "odd": 1, "last": 1})
"""A complete group: its place, batches of planes that are whole beats, whether the planes are odd; whether it
ends a tile."""
_RUNS = 2 * MACHINE.outstanding_bursts
"""Runs that have not ended, at most: those in flight, and four that guard, arbiter and write master hold;
where another packer's runs end first, as many as it has, and three for its two groups."""
_SELECT_LOADS = 8
"""Bits of a beat that share a select."""


class Packer(wiring.Component):
    """Collects ``g`` words of codes, the channels of a group, and writes their planes as one run.

    A plane is ``C * g`` bits, pixel by pixel, channels side by side (`CodesLayout`); planes touch. What a
    last beat has beyond them is 0.

    Parameters: ``config``.
    Members: ``words`` (`code_words`), taken where ``go`` says so, which only a group that has ``room`` may;
    ``runs``, ``beats``, ``answered``: to and from a `WriteMaster`;
    ``ended`` (out): groups that are in memory, in their order, 1 for a tile's last; ``idle``: nothing is
    held, unanswered or yet to end.
    A word a cycle while one of two groups is free; a beat a cycle (with ``g`` = 4 every second), and three
    cycles between groups.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        group = config.group_channels
        self.together = min(group, BEAT_BITS // 2 // group)
        """Channels read at once, so that a beat a cycle comes out."""
        self.steps = group // self.together
        """Reads of a plane."""
        self.lanes = min(config.cols, BEAT_BITS // group)
        self.parts = config.cols // self.lanes
        self.planes = BEAT_BITS // (self.lanes * group)
        """Planes in a beat."""
        super().__init__(
            {
                "words": In(stream.Signature(code_words(config))),
                "go": In(1),
                "room": Out(1),
                "runs": Out(stream.Signature(RUN)),
                "beats": Out(stream.Signature(BEAT_BITS)),
                "answered": In(1),
                "ended": Out(stream.Signature(1)),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.halves = halves = Outstanding(HALVES)
        m.submodules.groups = groups = RoomyQueue(_GROUP, HALVES)
        m.submodules.ends = ends = RoomyQueue(1, _RUNS)
        m.submodules.answers = answers = Outstanding(_RUNS)
        parts = [PlanePart(self.lanes, self.together, self.steps) for _ in range(self.parts)]
        for number, part in enumerate(parts):
            m.submodules[f"part_{number}"] = part
        empty = self._collect(m, halves, groups, parts)
        last = self._read(m, halves, groups, parts)

        # A run is offered before its beats; the bus answers runs in order.
        sent = self.runs.valid & self.runs.ready
        m.d.comb += [
            ends.push.eq(sent),
            ends.payload.eq(last),
            answers.issue.eq(self.answered),
            self.ended.valid.eq(~answers.none),
            self.ended.payload.eq(ends.o.payload),
            answers.finish.eq(self.ended.valid & self.ended.ready),
            ends.o.ready.eq(answers.finish),
        ]
        m.d.sync += self.idle.eq(empty & halves.none & ~self.words.valid & ~self.runs.valid & ~ends.o.valid)
        return m

    def _collect(self, m, halves, groups, parts):
        """Words into the half that is free; gives whether no group has begun."""
        word = self.words.payload
        half = Signal()
        step = Signal(range(self.steps))
        place = Signal(self.together, init=1)
        """Which of the channels that are read together comes next, a bit each."""
        empty = [Signal(name=f"empty_{n}", init=1, attrs=KEEP) for n in range(3)]
        """No word of a group came yet. Groups are counted, so what the words say of it is not looked at."""
        last = Signal()
        """The next word is a group's last."""
        held = Signal(_GROUP, reset_less=True)
        taken = Signal()
        m.d.comb += [
            self.room.eq(~halves.full),
            self.words.ready.eq(self.go),
            taken.eq(self.words.valid & self.go),
        ]
        codes = Signal.like(word.codes, reset_less=True)
        m.d.sync += codes.eq(word.codes)
        # Whatever comes is written until a word is taken: so nothing but a register enables it.
        for number, part in enumerate(parts):
            layout = data.ArrayLayout(part_write(self.steps), self.together)
            writes = Signal(layout, name=f"writes_{number}", attrs=KEEP)
            for channel in range(self.together):
                m.d.sync += [
                    writes[channel].en.eq(~halves.full & place[channel]),
                    writes[channel].addr.eq(Cat(step, half) if self.steps > 1 else half),
                ]
                m.d.comb += part.write[channel].eq(writes[channel])
            m.d.comb += [part.codes[lane].eq(codes[number * self.lanes + lane]) for lane in range(self.lanes)]

        for number in range(2):
            half_address = slice(16 * number, 16 * (number + 1))
            with m.If(empty[number]):
                m.d.sync += held.addr[half_address].eq(word.address[half_address])
        with m.If(empty[2]):
            m.d.sync += [
                held.batches.eq((word.bits + self.planes - 1) // self.planes),
                held.odd.eq(word.bits[0]),
            ]
        group = self.config.group_channels
        count = Signal(range(group))
        with m.If(taken):
            m.d.sync += [
                place.eq(Cat(place[-1], place[:-1])),
                count.eq(count + 1),
                last.eq(count == group - 2),
                *(flag.eq(last) for flag in empty),
            ]
            if self.steps > 1:
                with m.If(place[-1]):
                    m.d.sync += step.eq(step + 1)
            with m.If(last):
                m.d.sync += half.eq(~half)
        m.d.comb += [
            halves.issue.eq(taken & last),
            groups.push.eq(taken & last),
            groups.payload.eq(held),
            groups.payload.last.eq(word.last),
        ]
        return empty[0]

    def _read(self, m, halves, groups, parts):
        """Planes of the group that came first, in batches of whole beats; gives whether the run that is
        offered ends a tile.
        """
        steps, planes = self.steps, self.planes
        room = max(4, 16 // self.parts)
        """Batches under way: enough to cover the time from a read to its beat."""
        m.submodules.room = batches = Outstanding(room)
        m.submodules.queue = queue = WideQueue(BEAT_BITS, room * self.parts)
        connect(m, queue.o, flipped(self.beats))

        group = groups.o.payload
        busy = Signal()
        running = Signal()
        more = Signal()
        """A group is read; a batch of it is; there are batches to begin."""
        left = Signal.like(group.batches, reset_less=True)
        half = Signal()
        step = Signal(range(steps))
        place = Signal(steps, init=1)
        """The step, a bit each."""
        plane = Signal(range(MAX_BITS), reset_less=True)
        offered = [Signal(name=f"offered_{n}", attrs=KEEP) for n in range(3)]
        """A run is."""
        last = Signal(reset_less=True)
        second = Signal()
        """The second of two planes in a beat."""
        begin, start, plane_last, batch_last, group_last = (
            Signal(name=name) for name in ("begin", "start", "plane_last", "batch_last", "group_last")
        )
        m.d.comb += [
            self.runs.valid.eq(offered[0]),
            begin.eq(groups.o.valid & ~busy & ~offered[0]),
            plane_last.eq(running & place[-1]),
            batch_last.eq(plane_last & (second | (planes == 1))),
            group_last.eq(batch_last & ~more),
            start.eq(busy & more & ~batches.full & (~running | batch_last)),
            batches.issue.eq(start),
            halves.finish.eq(group_last),
            groups.o.ready.eq(group_last),
        ]
        m.d.sync += [
            running.eq(start | (running & ~batch_last)),
            busy.eq(begin | (busy & ~group_last)),
            *(flag.eq(begin | (flag & ~self.runs.ready)) for flag in offered),
        ]
        with m.If(~offered[1]):
            m.d.sync += self.runs.payload.addr.eq(group.addr)
        with m.If(~offered[2]):
            m.d.sync += [self.runs.payload.beats.eq(group.batches * self.parts), last.eq(group.last)]
        with m.If(~busy):
            m.d.sync += [left.eq(group.batches), more.eq(1), plane.eq(0)]
        with m.Else():
            with m.If(start):
                m.d.sync += [left.eq(left - 1), more.eq(left != 1)]
            with m.If(plane_last):
                m.d.sync += plane.eq(plane + 1)
        with m.If(running):
            m.d.sync += [place.eq(Cat(place[-1], place[:-1])), step.eq(Mux(place[-1], 0, step + 1))]
        with m.If(plane_last):
            m.d.sync += second.eq(~second & (planes > 1))
        with m.If(group_last):
            m.d.sync += half.eq(~half)

        read = Signal(part_read(steps))
        m.d.sync += [
            read.addr.eq(Cat(step, half) if steps > 1 else half),
            read.plane.eq(plane),
            read.last.eq(plane_last),
            read.blank.eq(second & ~more & group.odd),
        ]
        for number, part in enumerate(parts):
            m.d.comb += part.read.eq(parts[number - 1].next if number else read)
        self._beats(m, parts, queue)

        # A batch has left with its last beat.
        gone = Signal(range(self.parts))
        left_now = self.beats.valid & self.beats.ready
        if self.parts > 1:
            with m.If(left_now):
                m.d.sync += gone.eq(Mux(gone == self.parts - 1, 0, gone + 1))
        m.d.sync += batches.finish.eq(left_now & (gone == self.parts - 1))
        return last

    def _beats(self, m, parts, queue):
        """Bits of the part that is complete, into the queue: there is room."""
        if self.planes > 1:
            low = Signal(BEAT_BITS // 2, reset_less=True)
            part = parts[0]
            uppers = [Signal(name=f"upper_{n}", attrs=KEEP) for n in range(2)]
            m.d.comb += queue.push.eq(
                Cat(copies(m, part.valid & uppers[0], PUSHES, "push", reset_less=False))
            )
            for n, upper in enumerate(uppers):
                m.d.sync += upper.eq(upper ^ part.valid)
                with m.If(~upper):
                    m.d.sync += low.word_select(n, len(low) // 2).eq(part.bits.word_select(n, len(low) // 2))
            m.d.sync += queue.payload.eq(Cat(low, Mux(part.blank, 0, part.bits)))
            return
        valid = Cat(part.valid for part in parts).any()
        m.d.comb += queue.push.eq(Cat(copies(m, valid, PUSHES, "push", reset_less=False)))
        for bit in range(0, BEAT_BITS, _SELECT_LOADS):
            which = Signal(range(self.parts), name=f"which_{bit}", attrs=KEEP)
            m.d.sync += which.eq(Mux((which == 0) & ~parts[0].valid, 0, which + 1))
            choices = Array(part.bits[bit : bit + _SELECT_LOADS] for part in parts)
            m.d.sync += queue.payload[bit : bit + _SELECT_LOADS].eq(choices[which])
