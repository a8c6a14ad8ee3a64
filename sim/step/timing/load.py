"""LOAD in time: weights, and errors of a dW product, into halves of operand A's buffer."""

from __future__ import annotations

from collections.abc import Generator

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import Code, Engine, Word
from cpt.hw.contract.tiles import FILL_PIXELS, STREAM_BYTES, Picture
from cpt.hw.control.guard import Guard
from cpt.hw.fetch.pieces import Pieces
from cpt.hw.fetch.pixel_fill import TURNS
from cpt.hw.fetch.reader import Reader
from cpt.hw.program.product import Product
from cpt.sim.step.costs import Costs
from cpt.sim.step.timing.ports import Master
from cpt.sim.step.timing.reading import Reading
from cpt.sim.step.timing.rows import Rows
from cpt.sim.step.timing.run import MEMORY, Moment, Process, Run, Wish, known, later

PRODUCT_CYCLES = Product.latency_cycles + 2
"""Of a product, beside the bits of its count: chosen, begun."""
START_CYCLES = 5
"""From a LOAD that is taken to its start, beside its products."""
FIRST_RUN_CYCLES = {Code.LOAD_A: 5, Code.LOAD_E: 1 + Pieces.latency_cycles}
"""From a start to the first run at the guard."""
WRITTEN_CYCLES = {Code.LOAD_A: MACHINE.gearbox_cycles + 2, Code.LOAD_E: 12}
"""From the last beat at the master to the block in the mark."""


TRANSPOSER_CYCLES = 10
"""From a LOAD_E that begins to the first row of its walk."""
STAGES = 6
"""From a row that leaves its walk to its first step."""
READER_CYCLES = Reader.run_cycles
"""From a run at the reader to its port's master."""
READ_CYCLES = READER_CYCLES + 1
"""From one to the next there."""
DATA_CYCLES = 7
"""From the second beat of a word at its master to the end of the step that takes it."""


AHEAD = 6
"""Words between the queues of both ports and the transposer."""
ROWS_AHEAD = 9
"""Rows that the walk may be ahead of the transposer."""


def load(run: Run, costs: Costs, master: Master, masters: tuple[Master, ...]) -> Process:
    """A block an instruction: worked out while the one before comes, begun when a half is free.

    ``master``: of weights; ``masters``: of errors.
    """
    engine, ready, walked, before = Engine.LOAD, 0, 0, None
    rows, reading = Rows(STAGES, ROWS_AHEAD, 2), Reading(masters, AHEAD)
    for number, moment in enumerate(run.of(engine)):
        word = moment.word
        taken = yield from run.take(moment, number, ready)
        gate, why = yield from run.gate(word, 0, taken + 1)
        free = (
            taken + START_CYCLES + sum(PRODUCT_CYCLES + count.bit_length() for count in counts(costs, word))
        )
        begin, why = later((free, engine.name), (gate + 1, why))
        if number >= MACHINE.halves:
            half = yield from known(run.released_a, number - MACHINE.halves)
            begin, why = later((begin, why), (half + 3, Engine.EXEC.name))
        if before not in (None, word.code):
            begin = max(begin, run.loaded[-1] + 2)
        before = word.code
        yield begin
        run.begin(moment, begin, why, free)
        accepted = max(begin + 1, walked)
        ready = accepted + 2
        if word.code is Code.LOAD_A:
            walked, loaded = yield from weights(run, costs, master, accepted, moment)
        else:
            walked, loaded = yield from errors(run, costs, reading, rows, accepted, moment)
        run.worked(moment, loaded - max(begin, run.loaded[-1] if run.loaded else 0))
        run.loaded.append(loaded)
        run.mark(moment, loaded + 1)


Walked = Generator[Wish, None, tuple[int, int]]


def weights(run: Run, costs: Costs, master: Master, begin: int, moment: Moment) -> Walked:
    """When the last run of a LOAD_A is asked for, and its last word written."""
    word = moment.word
    bits = costs.slots[word.slot].bits
    beats = word.ksteps * run.config.group_bytes("a") // BEAT_BYTES
    asked, last = begin + FIRST_RUN_CYCLES[word.code] - 2, 0
    for tile in range(word.tiles):
        for plane in range(bits):
            yield asked
            at = asked + Guard.latency_cycles + READER_CYCLES
            moved = master.read(at, word.offset + tile * word.tile_stride + plane * word.plane_stride, beats)
            run.spent(moment, max(at, last + 1), moved[-1][0] + 1 - beats, MEMORY)
            run.spent(moment, max(moved[-1][0] + 1 - beats, last + 1), moved[-1][0] + 1)
            last = moved[-1][0]
            asked = max(asked + READ_CYCLES, master.free - Guard.latency_cycles - READER_CYCLES)
            run.read(moment, beats)
    return asked, last + WRITTEN_CYCLES[word.code]


def errors(run: Run, costs: Costs, reading: Reading, rows: Rows, begin: int, moment: Moment) -> Walked:
    """The same of a LOAD_E: rows of every plane, group, tile and image as the transposer takes them."""
    config, word = run.config, moment.word
    group, bits = config.group_channels, costs.slots[word.slot].bits
    picture = Picture(config, word.height, word.width)
    images = min(word.images - word.image_group * picture.set_images, picture.set_images)
    lines, blocks, strips = picture.tile_rows, picture.pitch // FILL_PIXELS, picture.strips
    tiles = -(-word.rows // lines)
    planes = 1 if strips > 1 else bits
    words = -(-planes * config.cols * group // 8 // STREAM_BYTES)
    pieces = max(picture.pitch // group, 1)
    asked = begin + FIRST_RUN_CYCLES[word.code] - 2 + Guard.latency_cycles + READER_CYCLES
    rows.begin(max(begin, rows.took) + TRANSPOSER_CYCLES)
    inside = word.rows
    step_bytes = FILL_PIXELS * group // 8
    address = word.offset
    runs = bits // planes * strips
    for number in range(images * tiles * word.groups * runs):
        left = inside - number // (word.groups * runs) % tiles * lines
        for part, place in reading.cut(words, address):
            asked = max(asked, (yield from reading.room(part)))
            yield asked
            reading.read(asked, place, part)
            asked += READ_CYCLES
        address += 256
        run.read(moment, words * STREAM_BYTES // BEAT_BYTES)
        this = len(reading.runs) - 1
        for plane in range(planes):
            for line in range(lines):
                steps = (plane * lines + line + 1) * blocks
                last = (steps * step_bytes - 1) // STREAM_BYTES
                data = yield from reading.came(this, last)
                cost = max(blocks, pieces) if line < left else blocks
                before = rows.took
                rows.row(1 if line or number % strips else 1 + TURNS, data + DATA_CYCLES, cost)
                if run.log:
                    could = max(before, rows.left + STAGES)
                    run.rowed(moment, could, rows.took, cost, data + DATA_CYCLES)
                reading.take(this, last, rows.took)
    return asked - Guard.latency_cycles - READER_CYCLES, rows.took + WRITTEN_CYCLES[word.code]


def counts(costs: Costs, word: Word) -> list[int]:
    """Counts of the products of `cpt.hw.load.command.LoadCommand`."""
    bits = costs.slots[word.slot].bits
    if word.code is Code.LOAD_A:
        return [bits, word.tiles]
    picture = Picture(costs.config, word.height, word.width)
    first_image = word.image_group * picture.set_images
    down = picture.tiles // picture.strips
    return [
        word.all_groups or word.groups,
        word.strips,
        down,
        first_image,
        word.row // picture.tile_rows,
        bits,
        word.groups,
    ]
