"""FETCH in time: runs read ahead through two ports, walks that fill slots of the window memories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, TAPS
from cpt.hw.contract.passes import Kernel, Sampling
from cpt.hw.contract.step import Code, Engine, Word
from cpt.hw.contract.tiles import COPIES, FILL_PIXELS, STREAM_BYTES, Picture, PixelLayout, WindowLayout
from cpt.hw.control.guard import Guard
from cpt.hw.fetch import pixel_fill, rows, spread_rows
from cpt.hw.fetch.decode import SETTLING
from cpt.hw.fetch.fill import STEP_CYCLES
from cpt.hw.fetch.pieces import Pieces
from cpt.hw.fetch.reader import Reader
from cpt.hw.program.product import Product
from cpt.sim.step.costs import Costs
from cpt.sim.step.timing.reading import Reading
from cpt.sim.step.timing.rows import Rows
from cpt.sim.step.timing.run import Moment, Process, Run, known, later

PRODUCT_CYCLES = Product.latency_cycles + 2
"""Of a product, beside the bits of its count: chosen, begun."""
DECODE_CYCLES = SETTLING + 6
"""From an instruction that is taken to what it says, beside its products."""
AGAIN_CYCLES = 8
"""From a pair of groups that was given on to the next, beside the bits of its product."""
GIVEN_CYCLES = 2
"""From what it says, and its marks, to the walks."""
FIRST_RUN_CYCLES = 2
"""From a walk's begin to its first run."""
ASKED_CYCLES = Guard.latency_cycles + Pieces.latency_cycles + 2
"""From a run to its first part at the master."""
AHEAD = 6
"""Words between the queues of both ports and what takes them."""
BEGIN_CYCLES = {Code.FETCH: 12, Code.FETCH_X: 9}
"""From a command that is given to a walk to the first row that it may say, beside slots and settling."""
SLOT_CYCLES, SPREAD_SLOT_CYCLES = 4, 3
"""Of a slot that a walk asks for where it begins."""
WALKED_CYCLES = STEP_CYCLES + 4
"""From the last row that is taken to the walk that may begin with the next command."""
EMPTY_CYCLES = 8
"""From the last slot given back to a walk that may begin."""
FREED_CYCLES = 7
"""From a slot given back to the row that waits for it."""
ROWS_AHEAD = {Code.FETCH: 9, Code.FETCH_X: 8}
"""Rows that a walk may be ahead of what takes them: its queue, and behind it a register or two."""
STAGES = 7
"""From a row that leaves its walk to its first step."""
DATA_CYCLES = 10
"""From the second beat of a word at its master to the end of the step that takes it."""
FILLED_CYCLES = {Code.FETCH: 7, Code.FETCH_X: 9}
"""From a slot's last step to the mark that shows it."""


@dataclass
class Fill:
    """What a command fills: runs as they are read, and what the walk does with each."""

    word: Word
    moment: Moment
    begin: int
    """When it is given to the walk."""
    last: bool
    """The mark shows it."""
    groups: int
    run: int
    """Its first one, of all."""


def fetch(run: Run, costs: Costs, reading: Reading, fills: list[Fill]) -> Process:
    """Instructions out of the queue, and their runs: read ahead as far as there is room."""
    engine, ready, asked, walked = Engine.FETCH, 0, 0, 0
    for number, moment in enumerate(run.of(engine)):
        word = moment.word
        taken = yield from run.take(moment, number, ready)
        gate, why = yield from run.gate(word, 0, taken + 1)
        free = (
            taken + DECODE_CYCLES + sum(PRODUCT_CYCLES + count.bit_length() for count in counts(costs, word))
        )
        begin, why = later((free, engine.name), (gate, why))
        run.begin(moment, begin, why, free)
        groups = pairs(word)
        for index, some in enumerate(groups):
            given = max(begin + GIVEN_CYCLES, walked)
            fill = Fill(word, moment, given, index == len(groups) - 1, some, len(reading.runs))
            if fills:
                # The walk takes a command when all of the one before is in the memories, and all slots there
                # are given back: in the same half those of the command before it, else those of both.
                ended, slots = yield from known(run.walked, len(fills) - 1)
                given = max(given, ended + WALKED_CYCLES)
                if in_half(costs, fills[-1].word) and in_half(costs, word):
                    slots = run.walked[len(fills) - 2][1] if len(fills) > 1 else 0
                if slots:
                    released = yield from known(run.released_b, slots - 1)
                    run.spent(moment, given, released + EMPTY_CYCLES, Engine.EXEC.name)
                    given = max(given, released + EMPTY_CYCLES)
            fill.begin = given
            fills.append(fill)
            asked = max(asked, max(begin + GIVEN_CYCLES, walked) + FIRST_RUN_CYCLES)
            for words, address in runs(costs, word, some):
                for part, place in reading.cut(words, address):
                    asked = max(asked, (yield from reading.room(part)))
                    yield asked
                    reading.read(asked + ASKED_CYCLES, place, part)
                    asked += Reader.run_cycles
                run.read(moment, words * STREAM_BYTES // BEAT_BYTES)
            walked = asked
            begin = max(given, walked) + AGAIN_CYCLES + PRODUCT_CYCLES
        ready = max(given, begin if len(groups) > 1 else 0) + 2


def fill(run: Run, costs: Costs, reading: Reading, fills: list[Fill], total: int) -> Process:
    """Walks: rows of every run into slots that are free; marks of slots that are complete."""
    for number in range(total):
        work = yield from known(fills, number)
        word, first_slot = work.word, len(run.filled)
        pixels = word.code is Code.FETCH_X
        each = slot_words(costs, word) if pixels else window_layout(costs, word).slot_words(costs.bits(word))
        depth = run.config.b_depth_words
        capacity = (depth // 2 if in_half(costs, word) else depth) // each
        queue = Rows(STAGES, ROWS_AHEAD[word.code])
        queue.begin(work.begin + BEGIN_CYCLES[word.code])
        begun, need = queue.left, 0
        step_bytes = FILL_PIXELS * run.config.group_channels // 8
        for row in along(costs, word, work) if pixels else windows(costs, word):
            while need < row.slots:
                need += 1
                if need > capacity:
                    released = yield from known(run.released_b, first_slot + need - 1 - capacity)
                    if released + FREED_CYCLES > queue.left:
                        run.waits[Engine.FETCH][Engine.EXEC.name] += released + FREED_CYCLES - queue.left
                        stood, goes = queue.left + STAGES, released + FREED_CYCLES + STAGES
                        run.spent(work.moment, max(stood, queue.took), goes, Engine.EXEC.name)
                        queue.begin(released + FREED_CYCLES)
            data = 0
            if row.steps:
                last = (row.steps * step_bytes - 1) // STREAM_BYTES
                data = yield from reading.came(work.run + row.run, last)
            before = queue.took
            took = queue.row(row.gap, data + DATA_CYCLES, row.cost)
            if run.log:
                could = max(before, queue.left + STAGES)
                run.rowed(work.moment, could, took, row.cost, data + DATA_CYCLES)
            if row.steps:
                reading.take(work.run + row.run, last, took)
            for count in range(row.done):
                run.filled.append(took + FILLED_CYCLES[word.code] + count)
                if not pixels:
                    run.mark(work.moment, run.filled[-1])
        if pixels and work.last:
            run.mark(work.moment, run.filled[-1])
        run.worked(work.moment, queue.took - begun)
        run.walked.append((queue.took, len(run.filled)))


class Row(NamedTuple):
    """A row as a walk gives it."""

    run: int
    gap: int
    """Cycles behind the row before, at best."""
    cost: int
    """Cycles that it takes."""
    steps: int
    """Of its run that are taken with it; 0: zeros."""
    slots: int
    """That must be taken, of the command's."""
    done: int = 0
    """Slots that are complete with it."""


def windows(costs: Costs, word: Word) -> Iterator[Row]:
    """Rows of a FETCH, in their order."""
    config, bits = costs.config, costs.slots[word.slot].bits
    source = Picture(config, word.height, word.width)
    output = Picture(config, word.out_height, word.out_width)
    three, spread = word.kernel == Kernel.THREE, word.sampling == Sampling.SPREAD
    stride = 2 if word.sampling == Sampling.STRIDE else 1
    lines, blocks, strips = source.tile_rows, source.pitch // FILL_PIXELS, source.strips
    down, tiles = source.tiles // strips, output.tiles
    reach, span = spread_reach(source, output), output.tile_rows * stride
    halves = output.strips if spread else 1
    ahead = (2 if output.strips == 1 else output.strips + 2) if three else 1
    zero_below = three and word.height % lines == 0 and stride * (word.out_height - 1) + 1 == word.height
    ends = completions(word, output, stride, three, spread)
    lacking = word.groups - word.groups % TAPS
    turns = spread_rows.TURNS if spread else rows.TURNS
    run = 0
    for image in range(word.images):
        outputs = 0
        for tile in range(source.tiles):
            down_at, strip = divmod(tile, strips)
            before = outputs
            if spread:
                outputs = min(reach * (tile + 1), tiles)
                opens = spread_rows.SETTLING + SPREAD_SLOT_CYCLES * (outputs - before)
            else:
                outputs = min((down_at * lines // span) * output.strips + strip + ahead, tiles)
                opens = rows.SETTLING + (SLOT_CYCLES * ahead - 1 if tile == 0 else 0)
            slots = image * tiles + outputs
            strip_done = (
                1 if strips == 1 or stride == 2 or not three else int(strip > 0) + int(strip == strips - 1)
            )
            if stride == 2 and strip < strips - 1:
                strip_done = 0
            for group in range(word.groups):
                fresh = down_at * lines % span == 0
                zeros = int(down_at == 0 if three else fresh and word.groups % TAPS and group == lacking)
                if spread:
                    zeros = outputs - before if three or group % TAPS == 0 else 0
                count = zeros + lines * halves + int(zero_below and down_at == down - 1)
                for plane in range(bits):
                    last = group == word.groups - 1 and plane == bits - 1
                    for index in range(count):
                        gap = (
                            1
                            + (turns if index == 0 else 0)
                            + (opens if (group, plane, index) == (0, 0, 0) else 0)
                        )
                        line, half = divmod(index - zeros, halves)
                        y = down_at * lines + line
                        whole = last and line >= 0 and half == halves - 1
                        done = strip_done * halves * whole * ends.get(y, 0)
                        if 0 <= line < lines:
                            each = blocks // halves
                            steps = (plane * lines + line) * blocks + (half + 1) * each
                            yield Row(run, gap, each, steps, slots, done)
                        else:
                            yield Row(run, gap, 1, 0, slots, done)
                run += 1


def completions(word: Word, output: Picture, stride: int, three: bool, spread: bool) -> dict[int, int]:
    """Tiles of outputs, of one strip, by the row of the source that completes them."""
    found: Counter[int] = Counter()
    for first in range(0, word.out_height, output.tile_rows):
        last = min(first + output.tile_rows, word.out_height) - 1
        if spread:
            found[min((last + int(three)) // 2, word.height - 1)] += 1
        else:
            found[stride * last + int(three)] += 1
    return found


def spread_reach(source: Picture, output: Picture) -> int:
    """Tiles of outputs that even rows of a tile of the source stand in."""
    return 4 if output.pitch != source.pitch or output.strips > 1 else 2


def along(costs: Costs, word: Word, work: Fill) -> Iterator[Row]:
    """Rows of a pair of groups of a FETCH_X, or strips of them, each written three times."""
    config, bits = costs.config, costs.slots[word.slot].bits
    source = Picture(config, word.height, word.width)
    set_images, images, tiles = chunk(config, word)
    stride = 2 if word.sampling == Sampling.STRIDE else 1
    lines, blocks, strips = source.tile_rows, source.pitch // FILL_PIXELS, source.strips
    outputs = 1 << word.out_pitch_log2 if strips == 1 else source.pitch // stride
    writes = COPIES * max(outputs // config.group_channels, 1)
    slot_rows, above = stride * (word.rows - 1) + COPIES, int(word.row == 0)
    reached = min(tiles * lines + above, slot_rows)
    cleared = slot_rows if images < set_images else above + slot_rows - reached
    for index in range(cleared * COPIES * bits):
        yield Row(0, 1 if index else 1 + pixel_fill.SETTLING, 1, 0, 1)
    count = images * tiles * work.groups
    for part in range(count):
        inside = slot_rows - above - (part // work.groups % tiles) * lines
        for plane in range(bits):
            for line in range(lines * strips):
                gap = 1 if line else 1 + pixel_fill.TURNS
                joins = int(stride == 1 and line < strips - 1)
                cost = max(blocks + joins, writes if line // strips < inside else 0)
                done = int((part, plane, line) == (count - 1, bits - 1, lines * strips - 1))
                run, steps = part, (plane * lines + line + 1) * blocks
                if strips > 1:
                    run, steps = (part * bits + plane) * strips + line, blocks
                yield Row(run, gap, cost, steps, 1, done)


def chunk(config: ArrayConfig, word: Word) -> tuple[int, int, int]:
    """Of a FETCH_X: images of a set, images that there are, rows of tiles that are read of each."""
    source = Picture(config, word.height, word.width)
    stride = 2 if word.sampling == Sampling.STRIDE else 1
    set_images = PixelLayout(source, stride, -(-word.height // stride)).images
    images = min(word.images - word.image_group * set_images, set_images)
    above = int(word.row == 0)
    first = 0 if above else stride * word.row - 1
    slot_rows = stride * (word.rows - 1) + COPIES
    down = source.tiles // source.strips
    there, wanted = down - first, slot_rows - above
    if source.tile_rows > 1:
        return set_images, images, there
    return set_images, images, min(there, wanted)


def in_half(costs: Costs, word: Word) -> bool:
    """Whether its slots lie in half of the window memories."""
    if word.code is Code.FETCH_X:
        return slot_words(costs, word) <= costs.config.b_depth_words // 2
    return window_layout(costs, word).in_half(costs.bits(word))


def window_layout(costs: Costs, word: Word) -> WindowLayout:
    """Of a FETCH."""
    output = word.out_height, word.out_width
    return WindowLayout(
        Picture(costs.config, word.height, word.width),
        word.groups * costs.config.group_channels,
        3 if word.kernel == Kernel.THREE else 1,
        2 if word.sampling == Sampling.STRIDE else 1,
        output if word.sampling == Sampling.SPREAD else (),
    )


def slot_words(costs: Costs, word: Word) -> int:
    """Words of the window memories that a slot of a FETCH_X takes; 0 of a FETCH."""
    if word.code is Code.FETCH:
        return 0
    stride = 2 if word.sampling == Sampling.STRIDE else 1
    return (stride * (word.rows - 1) + COPIES) * COPIES * costs.bits(word)


def pairs(word: Word) -> list[int]:
    """Groups that are filled at a time."""
    if word.code is Code.FETCH:
        return [word.groups]
    return [min(2, word.groups - first) for first in range(0, word.groups, 2)]


def runs(costs: Costs, word: Word, groups: int) -> Iterator[tuple[int, int]]:
    """Words and address of each run."""
    config, bits = costs.config, costs.slots[word.slot].bits
    plane_bytes = config.cols * config.group_channels // 8
    stride = -(-word.planes * plane_bytes // STREAM_BYTES) * STREAM_BYTES
    source = Picture(config, word.height, word.width)
    images, tiles = word.images, source.tiles
    held = word.all_groups or word.groups
    if word.code is Code.FETCH_X:
        _, images, tiles = chunk(config, word)
    strips = source.strips if word.code is Code.FETCH_X else 1
    planes = bits if strips > 1 else 1
    size = -(-bits // planes * plane_bytes // STREAM_BYTES)
    for image in range(images):
        for tile in range(0, tiles * strips, strips):
            for group in range(groups):
                for plane in range(planes):
                    for strip in range(strips):
                        at = ((image * source.tiles + tile + strip) * held + group) * stride
                        yield size, word.offset + at + plane * plane_bytes


def counts(costs: Costs, word: Word) -> list[int]:
    """Counts of the products of `cpt.hw.fetch.decode.Decode`."""
    config, bits = costs.config, costs.slots[word.slot].bits
    source = Picture(config, word.height, word.width)
    if word.code is Code.FETCH:
        output = word.out_height, word.out_width
        windows = window_layout(costs, word)
        strips = Picture(config, *output).strips
        return [
            word.all_groups or word.groups,
            source.strips,
            source.tiles,
            bits,
            strips,
            windows.fewest_slots,
        ]
    set_images, _, _ = chunk(config, word)
    stride = 2 if word.sampling == Sampling.STRIDE else 1
    first_row = 0 if word.row == 0 else stride * word.row - 1
    row_words = COPIES * bits
    return [
        word.all_groups or word.groups,
        source.strips,
        source.tiles // source.strips,
        row_words,
        row_words,
        1,
        first_row,
        word.image_group * set_images,
    ]
