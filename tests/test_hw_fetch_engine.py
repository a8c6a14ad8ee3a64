"""cpt.hw.fetch.engine: the array reads what the compiler's instructions mean, from memory as it is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hw_fetch import slot_checked, slot_released
from hw_memory import ReadMemory
from hw_streams import simulate, stream_put
from numpy.typing import NDArray
from step_networks import layer, network, wide, widening

from cpt.host.compiler.network import LAST_BACKWARD, ONLY_FORWARD, compiled
from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.passes import Kernel, Sampling, units
from cpt.hw.contract.step import Code, Engine, Word, decode, encode
from cpt.hw.contract.tiles import COPIES, PIECES, CodesLayout, Picture, PixelLayout, WindowLayout
from cpt.hw.fetch.engine import FetchEngine
from cpt.model.golden.fabric.network import Block
from cpt.sim.fast.windows import columns_inside, pixel_words, window_words
from cpt.sim.step.codes import read_codes, write_codes

MEMORY = 1 << 18
BITS = 2


def bits(word: Word) -> int:
    """Of a tensor's codes: as many as drawn here, or as it has room for (masks)."""
    return min(BITS, word.planes)


@dataclass
class Fetched:
    """An instruction, where its tensor lies, and what each of its slots must hold."""

    word: Word
    address: int
    words: list[NDArray[np.object_]]
    said: NDArray[np.object_]
    """``(slots, columns)`` bits."""

    @property
    def command(self) -> dict[str, Any]:
        """For the engine."""
        slot = {"bits": bits(self.word), "signed": 0}
        number = int.from_bytes(encode(self.word.code, **self.word.values), "little")
        return {"word": number, "address": self.address, "slot_a": slot, "slot_b": slot}


def packed(bits: NDArray[np.uint8]) -> NDArray[np.object_]:
    """Words as integers, along the last axis."""
    found = np.packbits(bits, axis=-1, bitorder="little")
    words = [int.from_bytes(item.tobytes(), "little") for item in found.reshape(-1, found.shape[-1])]
    return np.array(words, dtype=object).reshape(bits.shape[:-1])


def fetched(config: ArrayConfig, memory: NDArray[np.uint8], word: Word, address: int) -> Fetched:
    """What an instruction must leave, by the model's reading of memory."""
    group, source = config.group_channels, Picture(config, word.height, word.width)
    layout = CodesLayout(source, word.groups * group, word.planes)
    all_groups = word.values.get("all_groups", 0)
    codes = read_codes(memory, address, layout, word.images, bits(word), False, all_groups).transpose(
        0, 3, 1, 2
    )
    stride = 2 if word.sampling == Sampling.STRIDE else 1
    if word.code is Code.FETCH:
        spread = (word.out_height, word.out_width) if word.sampling == Sampling.SPREAD else ()
        kernel = 3 if word.kernel == Kernel.THREE else 1
        windows = WindowLayout(source, layout.channels, kernel, stride, spread)
        found = packed(window_words(windows, codes, bits(word))).reshape(
            -1, windows.slot_words(bits(word)), config.cols
        )
        inside = np.tile(columns_inside(windows.output), (word.images, 1)).astype(object)
        return Fetched(word, address, list(found), np.array(inside * ((1 << config.word_bits) - 1), object))
    pixels = PixelLayout(source, stride, -(-source.height // stride))
    first = stride * word.row * pixels.row_words(bits(word))
    last = first + (stride * (word.rows - 1) + COPIES) * pixels.row_words(bits(word))
    some = []
    for pair in range(0, word.groups, 2):
        halves = [
            packed(pixel_words(pixels, codes[:, group * n : group * (n + 1)], bits(word)))[
                word.image_group, 0
            ]
            for n in (pair, min(pair + 1, word.groups - 1))
        ]
        some.append(np.concatenate(halves, axis=1)[first:last])
    lanes = np.flatnonzero(np.arange(PIECES * group) % pixels.output.span < pixels.output.width).tolist()
    mask = sum(1 << lane for lane in lanes)
    return Fetched(word, address, some, np.full((len(some), config.cols), mask, dtype=object))


def emitted(config: ArrayConfig, code: Code, blocks: Any, images: int) -> list[Word]:
    """FETCH or FETCH_X of a network's forward and backward pass, one of each kind, that wait for nobody."""
    programs = compiled(config, network(blocks), images=images, micro_batches=1, scratch_words=4 * 2048)
    kinds: dict[tuple[int, ...], Word] = {}
    for name in (ONLY_FORWARD, LAST_BACKWARD):
        for word in programs.lists[name].decoded():
            if word.code is code:
                values = {name: value for name, value in word.values.items() if not name.startswith("wait")}
                kinds[word.kernel, word.sampling] = Word(word.code, values)
    return list(kinds.values())


class Bench:
    """An engine, a memory behind both its ports, and the instructions that it is given."""

    def __init__(self, config: ArrayConfig, seed: int, stall: float) -> None:
        self.config, self.stall, self.draw = config, stall, random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.memory, self.free = self.numbers.integers(0, 256, MEMORY, np.uint8), 0
        self.engine = FetchEngine(config)
        self.dones = 0
        self.over = False
        self.ports = [
            ReadMemory(
                getattr(self.engine, f"ar_{n}"),
                getattr(self.engine, f"r_{n}"),
                lambda at: int.from_bytes(self.memory[at : at + 8].tobytes(), "little"),
                random.Random(seed + n),
                stall,
            )
            for n in range(2)
        ]

    def place(self, word: Word) -> Fetched:
        """An instruction's tensor in memory, behind those that are there: codes, and 0 beside the image."""
        picture, group = Picture(self.config, word.height, word.width), self.config.group_channels
        layout, all_groups = (
            CodesLayout(picture, word.groups * group, word.planes),
            word.values.get("all_groups", 0),
        )
        address = self.free + 16 * self.draw.randrange(4)
        self.free = address + word.images * picture.tiles * (all_groups or word.groups) * layout.group_stride
        assert self.free <= MEMORY
        codes = self.numbers.integers(
            0, 1 << bits(word), (word.images, word.height, word.width, layout.channels)
        )
        write_codes(self.memory, address, layout, codes, bits(word), all_groups)
        return fetched(self.config, self.memory, word, address)

    def run(self, items: list[Fetched], *benches: Any, limit: int = MEMORY) -> None:
        """Give it instructions, and simulate ``benches`` beside; memory up to ``limit`` may be read."""

        async def put(ctx: Any) -> None:
            ctx.set(self.engine.window, {"base": 0, "limit": limit})
            await stream_put(
                ctx, self.engine.commands, [item.command for item in items], self.draw, self.stall
            )

        async def count(ctx: Any) -> None:
            while not self.over:
                *_, done = await ctx.tick().sample(self.engine.done)
                self.dones += done

        ends = [bench for port in self.ports for bench in port.benches(lambda: self.over)]
        streams = [self.engine.tiles, self.engine.ar_0, self.engine.ar_1]
        simulate(self.engine, put, count, *benches, *ends, watch=streams)

    async def read(self, ctx: Any, item: Fetched) -> None:
        """Take all its slots as EXEC does."""
        for slot, (expected, said) in enumerate(zip(item.words, item.said, strict=True)):
            await slot_checked(ctx, self.engine, expected, said, (item.word, slot))
            await slot_released(ctx, self.engine)


@pytest.mark.parametrize(
    ("name", "size", "images", "stall"),
    [
        ("tiny", 5, {Code.FETCH: 2, Code.FETCH_X: 5}, 0.2),
        ("middle", 9, {Code.FETCH: 1, Code.FETCH_X: 1}, 0.0),
        ("middle", 18, {Code.FETCH: 1, Code.FETCH_X: 1}, 0.1),
    ],
)
def test_the_array_reads_what_compiled_instructions_mean(
    name: str, size: int, images: dict[Code, int], stall: float
) -> None:
    """The last of a kind has rows in several chunks, images in several sets; groups are two and one, or one
    of three."""
    bench = Bench(preset(name), 7, stall)
    group = bench.config.group_channels
    blocks = widening(group, 3 * group, size)
    words = [word for code, count in images.items() for word in emitted(bench.config, code, blocks, count)]
    assert {(word.code, word.kernel, word.sampling) for word in words} == {
        *((Code.FETCH, kernel, sampling) for kernel in Kernel for sampling in Sampling),
        *((Code.FETCH_X, kernel, sampling) for kernel in Kernel for sampling in list(Sampling)[:2]),
    }
    items = [bench.place(word) for word in words]

    async def array(ctx: Any) -> None:
        counted = 0
        for item in items:
            await bench.read(ctx, item)
            counted += units(bench.config, item.word)
            await ctx.tick().repeat(4)
            assert bench.dones == counted, item.word
        await ctx.tick().repeat(20)
        assert ctx.get(bench.engine.idle)
        bench.over = True

    bench.run(items, array)


def test_strips_of_inputs_come_as_rows() -> None:
    """Of three images, two of which a word holds; of two groups, and of one of three at a time."""
    bench = Bench(preset("middle"), 8, 0.1)
    down = (Block("stem", (layer(0, "stem", (1, 8), 20, 2),)),)
    words = [
        word
        for blocks, size in ((wide(16, 20), 3), (wide(8, 40), 2), (down, 3))
        for word in emitted(bench.config, Code.FETCH_X, blocks, size)
    ]
    assert {(word.strips, word.out_strips, word.sampling) for word in words} == {
        (2, 2, 0),
        (3, 3, 0),
        (2, 1, 1),
    }
    items = [bench.place(word) for word in words]

    async def array(ctx: Any) -> None:
        for item in items:
            await bench.read(ctx, item)
        await ctx.tick().repeat(20)
        assert ctx.get(bench.engine.idle)
        bench.over = True

    bench.run(items, array)


ONE = {
    "images": 1,
    "groups": 1,
    "planes": 8,
    "pitch_log2": 3,
    "out_pitch_log2": 3,
    "strips": 1,
    "out_strips": 1,
    **dict.fromkeys(("height", "width", "out_height", "out_width"), 2),
}
"""A FETCH of two tiles, 1 x 1."""


def one(**values: int) -> Word:
    """That FETCH, with other values."""
    return decode(encode(Code.FETCH, **(ONE | values)))


def test_an_instruction_reads_nothing_before_its_marks_are_there_nor_while_stopped() -> None:
    bench = Bench(preset("tiny"), 3, 0.0)
    items = [bench.place(one()), bench.place(one(wait0_engine=int(Engine.APPLY), wait0_first=3))]
    asked: list[int] = []

    async def marks(ctx: Any) -> None:
        await bench.read(ctx, items[0])
        ctx.set(bench.engine.marks[Engine.APPLY], 2)
        await ctx.tick().repeat(100)
        asked.append(sum(len(port.bursts) for port in bench.ports))
        assert not ctx.get(bench.engine.idle)
        ctx.set(bench.engine.stop, 1)
        ctx.set(bench.engine.marks[Engine.APPLY], 3)
        await ctx.tick().repeat(50)
        asked.append(sum(len(port.bursts) for port in bench.ports))
        ctx.set(bench.engine.stop, 0)
        await bench.read(ctx, items[1])
        bench.over = True

    bench.run(items, marks)
    assert asked == [2, 2]
    assert sum(len(port.bursts) for port in bench.ports) == 4


def test_a_run_outside_of_the_window_ends_all_reading_and_says_so() -> None:
    bench = Bench(preset("tiny"), 4, 0.0)
    items = [bench.place(one()) for _ in range(2)]
    limit = items[1].address + 8

    async def watch(ctx: Any) -> None:
        await bench.read(ctx, items[0])
        await ctx.tick().until(bench.engine.leaves)
        await ctx.tick().repeat(100)
        assert ctx.get(bench.engine.leaves)
        assert ctx.get(bench.engine.quiet)
        assert not ctx.get(bench.engine.idle)
        assert not ctx.get(bench.engine.misaligned)
        bench.over = True

    bench.run(items, watch, limit=limit)
    assert all(address + 8 * beats <= limit for port in bench.ports for address, beats in port.bursts)


def test_a_refused_instruction_reads_nothing_and_says_so() -> None:
    bench = Bench(preset("tiny"), 5, 0.0)
    item = bench.place(one())
    item.word = one(width=9)

    async def watch(ctx: Any) -> None:
        await ctx.tick().until(bench.engine.bad)
        await ctx.tick().repeat(100)
        assert ctx.get(bench.engine.bad)
        assert not ctx.get(bench.engine.idle)
        bench.over = True

    bench.run([item], watch)
    assert not any(port.bursts for port in bench.ports)
