# amaranth: UnusedElaboratable=no
"""DRAIN and APPLY in time: two walks through one pipeline of lanes, the drain first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import CODES, IMAGE_BITS, Apply, Drain
from cpt.hw.contract.step import FORMATS, SCRATCH_BANKS, Code, Engine, Word
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.control.guard import Guard
from cpt.hw.program.gate import Gate
from cpt.hw.program.product import Product
from cpt.hw.vector.kinds import APPLIES, DRAINS, Kind
from cpt.hw.vector.lanes import CODE_QUEUE_WORDS, SETTLING_CYCLES, Lanes
from cpt.hw.vector.noise_steps import PIXELS
from cpt.hw.vector.packer import HALVES, Packer
from cpt.hw.vector.packers import PORTS
from cpt.hw.vector.row import PARTS, Row
from cpt.hw.vector.walk import IN_WORDS_LOG2, OPERANDS, Places
from cpt.sim.step.costs import Costs
from cpt.sim.step.timing.ports import Writer
from cpt.sim.step.timing.run import PACKERS, Moment, Process, Run, known, later

BEGIN_CYCLES = 1
"""From the walk that may begin to the unit's first slot."""
SLOT_CYCLES = 2
"""From the cycle in which a walk decides on a slot to the lanes' first register."""
DONE_CYCLES = 2
"""From a unit's last slot at the end of the lanes to the mark that shows it."""
TILE_CYCLES = 1
"""From a result tile in the mark to the walk that sees it."""
FREE_CYCLES = 2
"""From the lanes' last read of a result tile to EXEC that may end another."""


@dataclass
class Pipeline:
    """The lanes: which cycles the drain has taken."""

    taken: deque[tuple[int, int]] = field(default_factory=deque)
    """Stretches of slots of the drain, first and behind the last."""

    def drained(self, first: int, slots: int) -> None:
        """The drain takes so many cycles from one on."""
        self.taken.append((first, first + slots))

    def pieces(self, first: int, slots: int) -> Iterator[tuple[int, int]]:
        """Begin and end of each stretch of what `free` finds."""
        for begin, behind in (stretch for stretch in self.taken if stretch[1] > first):
            there = min(max(begin - first, 0), slots)
            yield first, first + there
            slots -= there
            if not slots:
                return
            first = max(first, behind)
        yield first, first + slots

    def free(self, first: int, slots: int) -> int:
        """Cycle behind so many slots of the apply from ``first`` on, between those of the drain."""
        while self.taken and self.taken[0][1] <= first:
            self.taken.popleft()
        end = first
        for begin, behind in self.taken:
            gap = max(begin - end, 0)
            if slots <= gap:
                return end + slots
            slots -= gap
            end = max(end, behind)
        return end + slots


class Timed:
    """What both walks know."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lanes = Lanes(run.config, run.config.scratch_words)
        self.group = run.config.group_channels
        self.pipeline = Pipeline()
        self.end = SLOT_CYCLES + self.lanes.end_cycles + DONE_CYCLES
        """From a slot of a walk to the unit in the mark, where nothing goes to memory."""
        self.empty = SLOT_CYCLES + self.lanes.end_cycles + 1
        """From a walk's last slot to the cycle in which there is none in the lanes."""
        self.ready = self.empty + 3 - SETTLING_CYCLES
        """... to that in which it may take an instruction."""


def drain(run: Run, timed: Timed) -> Process:
    """A result tile a unit: a slot for column sums, then its rows."""
    engine, ready, tile = Engine.DRAIN, 0, 0
    reads = SLOT_CYCLES + timed.lanes.row_cycles + Row.product_cycles - MACHINE.result_buffer_cycles
    for number, moment in enumerate(run.of(engine)):
        word = moment.word
        taken = yield from run.take(moment, number, ready)
        load = taken + Places.prepare_cycles
        free, ask = load + Gate.latency_cycles, load
        kind = DRAINS[Drain(word.kind)]
        places = {"y": word.y, "other": word.stream << IN_WORDS_LOG2, "mask": word.mask << IN_WORDS_LOG2}
        slots = 1 + timed.group * (PARTS if kind.parts or collide(run, kind, places) else 1)
        for unit in range(word.images * word.tiles * word.a_tiles):
            gate, why = yield from run.gate(word, unit, ask)
            there = yield from known(run.marks[Engine.EXEC], tile)
            begin, why = later((free, engine.name), (gate, why), (there + TILE_CYCLES, Engine.EXEC.name))
            yield begin
            run.begin(moment, begin, why, free)
            first = begin + BEGIN_CYCLES
            timed.pipeline.drained(first, slots)
            run.worked(moment, slots)
            run.spent(moment, first, first + slots)
            last = first + slots - 1
            run.freed.append(last + reads + FREE_CYCLES)
            run.mark(moment, last + timed.end)
            free, ask = last, begin
            tile += 1
        ready = last + timed.ready


def apply(run: Run, timed: Timed, packed: Packed) -> Process:
    """A tile of pixels a unit, all its channels; codes are written group by group."""
    engine, ready, settled, codes_before = Engine.APPLY, 0, 0, False
    group = timed.group
    for number, moment in enumerate(run.of(engine)):
        word, kind = moment.word, Apply(moment.word.kind)
        taken = yield from run.take(moment, number, ready)
        codes = kind in CODES
        load = taken + Places.prepare_cycles
        if codes_before and not codes:
            answer = yield from known(packed.answers, len(packed.groups) - 1)
            settled = answer + SETTLED_CYCLES
        if not (codes and codes_before):
            run.spent(moment, load, settled, PACKERS)
            load = max(load, settled)
        codes_before = codes
        ask = load
        free = load + max(Gate.latency_cycles, 2)
        if kind is Apply.ERROR:
            free = max(free, load + noise_cycles(run, word))
        pooled = kind is Apply.UNPOOL
        second = word.second << IN_WORDS_LOG2
        places = {"y": word.y, "other": second, "mask": second}
        each = group * (PARTS if collide(run, APPLIES[kind], places) else 1)
        last = free
        for unit in range(word.images * word.tiles):
            gate, why = yield from run.gate(word, unit, ask)
            begin, why = later((free, engine.name), (gate, why))
            if pooled and unit % word.tiles == 0:
                begin = max(begin, last + timed.empty if unit else begin) + pool_cycles(word, FILL_CYCLES)
            run.begin(moment, begin, why, free)
            last = begin
            for part in range(word.groups):
                first = last + BEGIN_CYCLES
                if codes and len(packed.groups) >= packed.room:
                    left = yield from known(packed.taken, len(packed.groups) - packed.room)
                    run.spent(moment, first, left + ROOM_CYCLES, PACKERS)
                    first = max(first, left + ROOM_CYCLES)
                yield first
                if run.log:
                    shared(run, moment, timed.pipeline.pieces(first, each), first)
                last = timed.pipeline.free(first, each) - 1
                if codes:
                    out = last + SLOT_CYCLES + timed.lanes.result_cycles
                    packed.groups.append(Group(moment, unit * word.groups + part, out))
            run.worked(moment, each * word.groups)
            free, ask = last, begin
            if not codes:
                done = last + timed.end
                if kind is Apply.POOL and (unit + 1) % word.tiles == 0:
                    done = last + timed.empty + pool_cycles(word, FLUSH_CYCLES)
                    free = done
                settled = max(settled, done + SETTLED_CYCLES)
                run.mark(moment, done)
        ready = max(last + timed.ready, free + 2 if kind is Apply.POOL else 0)


def shared(run: Run, moment: Moment, pieces: Iterable[tuple[int, int]], cycle: int) -> None:
    """Slots of an apply from ``cycle`` on, in ``pieces`` where the drain has those between."""
    for begin, end in pieces:
        run.spent(moment, cycle, begin, Engine.DRAIN.name)
        run.spent(moment, begin, end)
        cycle = end


FILL_CYCLES, FLUSH_CYCLES = 6, 5
"""Of a number from local memory, or to it."""
PACKED_CYCLES = 5


class Group(NamedTuple):
    """Codes of a group of channels of a tile."""

    moment: Moment
    number: int
    """Of the instruction's."""
    out: int
    """When its last word leaves the lanes."""


class Packed:
    """The packers, which take groups of codes by turns: each has planes of one while its next one comes."""

    def __init__(self, run: Run, costs: Costs, writers: Sequence[Writer]) -> None:
        self.run, self.costs, self.writers = run, costs, writers
        self.packer = Packer(run.config)
        self.room = CODE_QUEUE_WORDS // run.config.group_channels
        """Groups that the queue before it has room for."""
        self.groups: list[Group] = []
        self.taken: list[int] = []
        """When each was taken out of the queue."""
        self.answers: list[int] = []
        """When the mark may show each."""
        self._answered: dict[int, int] = {}
        """Answers of groups behind one that has none."""

    def processes(self) -> list[Process]:
        """One for each packer: its groups, and the marks of tiles that are in memory by then."""
        words = [moment.word for moment in self.run.of(Engine.APPLY)]
        count = sum(word.images * word.tiles * word.groups for word in words if Apply(word.kind) in CODES)
        return [self._pack(range(first, count, PORTS), writer) for first, writer in enumerate(self.writers)]

    def _pack(self, numbers: Iterable[int], writer: Writer) -> Process:
        run, group = self.run, self.run.config.group_channels
        free, halves = 0, deque([0] * HALVES, HALVES)
        for number in numbers:
            item = yield from known(self.groups, number)
            before = (yield from known(self.taken, number - 1)) if number else 0
            self.taken.append(max(item.out, halves[0] + group, before + group))
            bits = self.costs.bits(item.moment.word)
            begin = max(self.taken[number] + PACKED_CYCLES, free)
            reads = -(-bits // self.packer.planes) * self.packer.planes * self.packer.steps
            beats = self.beats(bits)
            asked = begin + Guard.latency_cycles
            yield asked
            pace = max(reads // beats, 1)
            answer = writer.write(asked, self.address(item), beats, asked + BEAT_CYCLES, pace)
            run.wrote(item.moment, beats)
            halves.append(max(begin + reads, writer.free - Guard.latency_cycles - PACK_TURN_CYCLES))
            free = halves[-1] + PACK_TURN_CYCLES
            self._answer(number, answer + ANSWER_CYCLES)

    def _answer(self, number: int, cycle: int) -> None:
        """A group is in memory; so are those behind it that waited for it."""
        self._answered[number] = cycle
        while (following := len(self.answers)) in self._answered:
            before = self.answers[-1] if self.answers else 0
            self.answers.append(max(self._answered.pop(following), before + 1))
            item = self.groups[following]
            if (item.number + 1) % item.moment.word.groups == 0:
                self.run.mark(item.moment, self.answers[-1])

    def beats(self, bits: int) -> int:
        """Of a group of so many planes."""
        return -(-bits // self.packer.planes) * self.packer.parts

    def address(self, item: Group) -> int:
        """Of a group's planes, from the tensor's base on."""
        config, word = self.run.config, item.moment.word
        plane = config.cols * config.group_channels // 8
        stride = -(-word.planes * plane // STREAM_BYTES) * STREAM_BYTES
        unit, part = divmod(item.number, word.groups)
        return word.offset + (unit * (-(-word.channels // config.group_channels)) + part) * stride


SETTLED_CYCLES = 2
"""From a mark to an instruction of another kind that begins."""
ROOM_CYCLES = 2
"""From a word that leaves the queue to the walk that sees its room."""
PACK_TURN_CYCLES = 2
"""From the last plane of a group to the first of the next, less one."""
BEAT_CYCLES = 1
"""From a group's run at the arbiter to its first beat there, where no other run is under way."""
ANSWER_CYCLES = 4
"""From an answer at a packer to the mark that shows the tile."""


def noise_cycles(run: Run, word: Word) -> int:
    """From an ERROR's begin to its noise: steps made by division and by sums, a bit a cycle."""
    config, pitch = run.config, 1 << word.pitch_log2
    height = (word.tiles // word.strips - 1) * (config.cols // pitch) + word.rows_last + 1
    fours = (word.strips - 1) * pitch // PIXELS + -(-word.width // PIXELS)
    image, group = word.out % (1 << IMAGE_BITS), word.out >> IMAGE_BITS
    counts = (fours, height, word.channels, group, image)
    made = NOISE_DIVIDE_CYCLES + sum(NOISE_PRODUCT_CYCLES + count.bit_length() for count in counts)
    return made + NOISE_QUAD_CYCLES * (config.cols // PIXELS) + NOISE_READY_CYCLES


NOISE_DIVIDE_CYCLES = next(item.width for item in FORMATS[Code.APPLY] if item.name == "tiles") + 2
"""From an ERROR's begin to the first product of its noise."""
NOISE_PRODUCT_CYCLES = Product.latency_cycles + 4
"""Of such a product, beside the bits of its count."""
NOISE_QUAD_CYCLES = 3
NOISE_READY_CYCLES = 8
"""From all that noise needs to the walk that sees it."""


def pool_cycles(word: Word, each: int) -> int:
    """Numbers of an image's channels to local memory or from there."""
    return 4 + each * word.channels


def collide(run: Run, kind: Kind, places: dict[str, int]) -> bool:
    """Whether operands lie in one bank of scratch, so that a word's are read one after the other."""
    reads = [name for name in OPERANDS if getattr(kind, f"reads_{name}")]
    if kind.swapped and places["y"] == places["other"]:
        reads.remove("other")
    banks = [places[name] // (run.config.scratch_words // SCRATCH_BANKS) for name in reads]
    return len(set(banks)) < len(banks)
