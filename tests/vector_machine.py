"""Lanes and scratch in RTL beside the step model: the same instructions, all that they write compared."""

from __future__ import annotations

import random
from collections import deque
from functools import cache
from itertools import zip_longest
from typing import Any

import numpy as np
from amaranth import Elaboratable, Module, Signal
from amaranth.lib.wiring import connect
from hw_streams import Simulation, stream_put, stream_rules

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import FIELD, Coefficient, Statistic
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import CODES, MASK_BITS, MASKS, Apply, Drain, geometry
from cpt.hw.contract.step import MARK_BITS, SCRATCH_BANKS, Code, Engine, Word, decode, encode
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.hw.layouts import result_rows
from cpt.hw.program.marks import Marks
from cpt.hw.vector.lanes import Lanes
from cpt.hw.vector.scratch import Scratch
from cpt.sim.fast.codes import in_tiles
from cpt.sim.step.lanes import Lanes as StepLanes
from cpt.sim.step.products import Products, Result
from cpt.sim.step.state import Slot, State

SLOT = 3
MEMORY = 1 << 15
WORDS = 1024
BANK = WORDS // SCRATCH_BANKS
"""Words of scratch, and of a bank: what short addresses count in."""
USED = 64
"""Words of a bank that hold anything, from its first."""
LAST_CHANNEL = 24
"""Channels whose coefficients are drawn and whose statistics are compared; those of the last are 0."""
Numbers = np.ndarray


class Top(Elaboratable):
    """Lanes on the early ports of a scratch; the test bench has others."""

    def __init__(self, config: ArrayConfig) -> None:
        self.lanes = Lanes(config, WORDS)
        self.scratch = Scratch(config, WORDS, early_reads=3)
        self.moved = Signal(MARK_BITS)
        """Mark of an engine that is not here."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.lanes, m.submodules.scratch = self.lanes, self.scratch
        m.submodules.marks = marks = Marks()
        for n in range(3):
            connect(m, getattr(self.lanes, f"read_{n}"), getattr(self.scratch, f"early_read_{n}"))
        connect(m, self.lanes.write, self.scratch.early_write)
        m.d.comb += [
            marks.finished[Engine.DRAIN].eq(self.lanes.drain_done),
            marks.finished[Engine.APPLY].eq(self.lanes.apply_done),
            *(self.lanes.marks[engine].eq(marks.marks[engine]) for engine in (Engine.DRAIN, Engine.APPLY)),
            self.lanes.marks[Engine.BRING].eq(self.moved),
        ]
        return m


@cache
def simulated(config: ArrayConfig) -> tuple[Top, Simulation]:
    """The lanes of ``config``, compiled once for all tests of a process."""
    top = Top(config)
    return top, Simulation(top)


class Bench:
    """A program of DRAIN and APPLY: `drain` and `apply` add to it, `run` compares RTL with the model."""

    def __init__(self, config: ArrayConfig, seed: int, bits: int = 8) -> None:
        self.config, self.bits = config, bits
        self.rng, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.state = State(config, MEMORY, WORDS)
        self.state.slots[SLOT] = Slot(bits)
        self.state.keys = [self.rng.getrandbits(32) for _ in range(2)]
        self.state.bases[1] = 256
        draw = self.numbers.integers
        for bank in range(SCRATCH_BANKS):
            part = self.state.scratch[bank * BANK :][:USED]
            part[:] = draw(-0x7FFF, 0x8000, part.shape)
        self.state.local[:] = draw(-0x7FFF, 0x8000, len(self.state.local))
        self.state.statistics.reshape(-1, FIELD)[:, :LAST_CHANNEL] = 0
        for field, (least, most) in {
            Coefficient.ZERO: (-(1 << 17), 0),
            Coefficient.SHIFT: (21, 24),
            Coefficient.MULTIPLIER: (-(1 << 15), 1 << 15),
            Coefficient.SECOND: (-(1 << 15), 1 << 15),
            Coefficient.ADDEND: (-(1 << 36), 1 << 36),
            Coefficient.TOTAL_SHIFT: (19, 30),
        }.items():
            self.state.coefficient(field, 0, LAST_CHANNEL)[:] = draw(least, most + 1, LAST_CHANNEL)
            if field is not Coefficient.TOTAL_SHIFT:
                self.state.coefficient(field, LAST_CHANNEL - 1, 1)[:] = 0
        self.scratch, self.local = self.state.scratch.copy(), self.state.local.copy()
        self.products = Products(self.state)
        self.golden = StepLanes(self.state, self.products)
        self.drains: list[bytes] = []
        self.applies: list[bytes] = []
        self.code_bits: list[int] = []
        """Planes of each group of codes, in order."""
        self.results: list[Numbers] = []
        """Result tiles: rows, then sums."""

    def drain(self, kind: Drain, picture: Picture, channels: int, images: int, **values: int) -> None:
        """A DRAIN and the products that it takes, through the model."""
        group, draw = self.config.group_channels, self.numbers.integers
        groups = channels // group
        if kind is Drain.GRADIENT:
            tiles = draw(-(1 << 45), 1 << 45, (values["tiles"], groups, group, self.config.cols))
            self.products.gradients.extend(tiles)
            sums = draw(-(1 << 20), 1 << 20, (groups * values["tiles"], 1, self.config.cols))
            shape = {"tiles": values.pop("tiles")}
            rows = tiles.reshape(-1, group, self.config.cols)
            self.results += list(np.concatenate([rows, sums], axis=1))
        else:
            size = (images, picture.height, picture.width)
            found = draw(-(1 << 18 + self.bits), 1 << 18 + self.bits, (*size, channels))
            sums = draw(-(1 << 9), 1 << 9, size)
            self.products.results.append(Result(images * picture.tiles, iter([(found, sums)])))
            placed = self._placed(picture, found.transpose(0, 3, 1, 2), 1 << 40)
            beside = self._placed(picture, sums[:, None], 1 << 24)
            for n in range(images):
                for tile in range(picture.tiles):
                    for first in range(0, channels, group):
                        rows = placed[n, first : first + group, tile]
                        self.results.append(np.concatenate([rows, beside[n, :, tile]]))
            shape = {**geometry(picture), "tiles": picture.tiles, "clear": 1}
        word = encode(
            Code.DRAIN, kind=int(kind), slot=SLOT, a_tiles=groups, images=images, **(shape | values)
        )
        self.drains.append(word)
        self.golden.drain(decode(word))

    def _placed(self, picture: Picture, values: Numbers, size: int) -> Numbers:
        """(N, C, H, W) as (N, C, tiles, lanes), with anything in lanes without a pixel."""
        tiles = in_tiles(picture, values)
        there = in_tiles(picture, np.ones_like(values)) > 0
        return np.where(there, tiles, self.numbers.integers(-size, size, tiles.shape))

    def apply(
        self, kind: Apply, picture: Picture, channels: int, images: int, lacking: int = 0, **values: int
    ) -> None:
        """An APPLY through the model; ``lacking``: channels of the last group that the tensor has not."""
        fields = {
            **geometry(picture),
            "tiles": picture.tiles,
            "groups": channels // self.config.group_channels,
            "images": images,
            "clear": 1,
            "base": 1,
            "planes": max(self.bits, 8),
            "channels": channels - lacking,
            "layer": self.rng.randrange(1 << 12),
        } | values
        word = encode(Code.APPLY, kind=int(kind), slot=SLOT, **fields)
        self.applies.append(word)
        if kind in CODES:
            groups = images * picture.tiles * fields["groups"]
            self.code_bits += [MASK_BITS if kind in MASKS else self.bits] * groups
        self.golden.apply(decode(word))

    def layout(self, picture: Picture, channels: int) -> CodesLayout:
        """Of the codes that an APPLY writes."""
        return CodesLayout(picture, channels, max(self.bits, 8))

    # ------------------------------------------------------------------------------------------ RTL

    def run(self, stall: float = 0.0, moved: list[int] | None = None) -> int:
        """Cycles from the first command to the last mark; asserts that all memories are the model's."""
        top, simulation = simulated(self.config)
        lanes, state = top.lanes, self.state
        memory = np.zeros(MEMORY, np.uint8)
        units = {name: sum(_units(decode(word)) for word in words) for name, words in self._lists().items()}
        over: list[bool] = []
        began, ended = [0], [0]
        cycle = [0]
        rng = random.Random(stall)

        def commands(words: list[bytes]) -> list[dict[str, Any]]:
            found = []
            for item in words:
                word = decode(item)
                address = state.address(word) if word.code is Code.APPLY else 0
                slot = {"bits": self.bits, "signed": 0}
                value = int.from_bytes(item, "little")
                found.append({"word": value, "address": address, "slot_a": slot, "slot_b": slot})
            return found

        async def main(ctx: Any) -> None:
            await self._preset(ctx, top)
            began[0] = cycle[0]
            over.append(False)
            for _ in range(15_000):
                marks = {
                    "drain": ctx.get(lanes.marks[Engine.DRAIN]),
                    "apply": ctx.get(lanes.marks[Engine.APPLY]),
                }
                if marks == units and ctx.get(lanes.drain_idle) and ctx.get(lanes.apply_idle):
                    break
                await ctx.tick()
            assert marks == units
            ended[0] = cycle[0]
            await self._compared(ctx, top)
            differ = np.flatnonzero(memory != state.memory)
            assert not len(differ), [(int(at), int(memory[at]), int(state.memory[at])) for at in differ[:8]]
            over.append(True)

        def process(words: list[bytes], stream: Any) -> Any:
            async def put(ctx: Any) -> None:
                while not over:
                    await ctx.tick()
                await stream_put(ctx, stream, commands(words), random.Random(1), stall)

            return put

        async def clock(ctx: Any) -> None:
            while True:
                await ctx.tick()
                cycle[0] += 1

        background = [
            clock,
            self._result_buffer(lanes, over, rng, stall),
            self._packer(lanes, memory, rng, stall),
        ]
        background += [self._local(lanes, rng, stall)]

        async def elsewhere(ctx: Any) -> None:
            for value in moved or []:
                await ctx.tick().repeat(60)
                ctx.set(top.moved, value)

        simulation.run(
            main,
            process(self.drains, lanes.drains),
            process(self.applies, lanes.applies),
            elsewhere,
            background=[*background, stream_rules(lanes.codes)],
        )
        return ended[0] - began[0]

    def _lists(self) -> dict[str, list[bytes]]:
        return {"drain": self.drains, "apply": self.applies}

    async def _preset(self, ctx: Any, top: Top) -> None:
        """What the memories hold at first, through the ports of others."""
        ctx.set(top.lanes.keys, self.state.keys)
        coefficients, port = top.lanes.coefficients, top.scratch.write
        ctx.set(coefficients.write, 1)
        ctx.set(port.valid, 1)
        numbers = [(field, channel) for field in Coefficient for channel in range(LAST_CHANNEL)]
        for address, (field, channel) in zip_longest(_used(), numbers, fillvalue=numbers[-1]):
            ctx.set(coefficients.addr, field * FIELD + channel)
            ctx.set(coefficients.write_data, int(self.state.coefficient(field, channel, 1)[0]))
            ctx.set(port.addr, address)
            ctx.set(port.data, [int(value) for value in self.scratch[address]])
            await ctx.tick()
        ctx.set(coefficients.write, 0)
        ctx.set(port.valid, 0)

    async def _compared(self, ctx: Any, top: Top) -> None:
        """Scratch, statistics and local memory."""
        port, statistics = top.scratch.read, top.lanes.statistics
        ctx.set(port.valid, -1)
        places = _used()
        numbers = [(field, channel) for field in Statistic for channel in range(LAST_CHANNEL)]
        latency = MACHINE.channel_memory_cycles
        for cycle in range(max(len(places) + Scratch.latency_cycles, len(numbers) + latency)):
            field, channel = numbers[min(cycle, len(numbers) - 1)]
            ctx.set(statistics.addr, field * FIELD + channel)
            ctx.set(port.addr, places[min(cycle, len(places) - 1)])
            if 0 <= cycle - Scratch.latency_cycles < len(places):
                address = places[cycle - Scratch.latency_cycles]
                wanted, found = list(self.state.scratch[address]), list(ctx.get(port.data))
                assert found == wanted, (hex(address), found, wanted)
            if 0 <= cycle - latency < len(numbers):
                field, channel = numbers[cycle - latency]
                value = int(self.state.statistic(field, channel, 1)[0])
                assert ctx.get(statistics.read_data) == value, (field, channel)
            await ctx.tick()
        assert np.array_equal(self.local, self.state.local)

    def _result_buffer(self, lanes: Lanes, over: list[bool], rng: random.Random, stall: float) -> Any:
        """Tiles in turn, and complete when they are in."""
        rows, columns = result_rows(self.config), self.config.cols
        tiles = MACHINE.step_result_tiles
        held = [[0] * columns for _ in range(tiles * rows)]
        waiting = deque(self.results)

        async def buffer(ctx: Any) -> None:
            free, place = tiles, 0
            shown = held[0]
            rows_out = deque([held[0]] * MACHINE.result_buffer_cycles)
            while True:
                come = bool(over) and free > 0 and bool(waiting) and rng.random() >= stall
                if come:
                    for n, numbers in enumerate(waiting.popleft()):
                        held[place * rows + n] = [int(number) & (1 << 48) - 1 for number in numbers]
                    place, free = (place + 1) % tiles, free - 1
                ctx.set(lanes.complete, come)
                rows_out.append(held[ctx.get(lanes.drain_addr)])
                free += ctx.get(lanes.tile_free)
                await ctx.tick()
                rows_out.popleft()
                if rows_out[0] is not shown:
                    shown = rows_out[0]
                    ctx.set(lanes.drain_row, shown)

        return buffer

    def _packer(self, lanes: Lanes, memory: Numbers, rng: random.Random, stall: float) -> Any:
        """Planes into memory; answers for tiles a while later."""
        group, columns = self.config.group_channels, self.config.cols

        async def packer(ctx: Any) -> None:
            words: list[Any] = []
            due: deque[int] = deque()
            bits_of_groups = deque(self.code_bits)
            cycle = 0
            while True:
                ctx.set(lanes.codes.ready, rng.random() >= stall)
                ctx.set(lanes.done, bool(due) and due[0] <= cycle)
                if due and due[0] <= cycle:
                    due.popleft()
                if ctx.get(lanes.codes.valid) and ctx.get(lanes.codes.ready):
                    words.append(ctx.get(lanes.codes.payload))
                    assert words[-1].first == (len(words) == 1)
                if len(words) == group:
                    codes = np.array([list(word.codes) for word in words]).T
                    at, size = words[0].address, columns * group // 8
                    bits = bits_of_groups.popleft()
                    assert {(word.address, word.bits, word.last) for word in words} == {
                        (at, bits, words[0].last)
                    }
                    for plane in range(bits):
                        ones = (codes >> plane & 1).astype(np.uint8).ravel()
                        memory[at + plane * size :][:size] = np.packbits(ones, bitorder="little")
                    if words[0].last:
                        due.append(max(cycle + 12, due[-1] + 1 if due else 0))
                    words = []
                await ctx.tick()
                cycle += 1

        return packer

    def _local(self, lanes: Lanes, rng: random.Random, stall: float) -> Any:
        """Local memory's two ports."""
        read, write = lanes.local_read, lanes.local_write

        async def local(ctx: Any) -> None:
            line: deque[list[int]] = deque([[0, 0]] * MACHINE.local_cycles)
            coming = 0
            while True:
                ctx.set(read.ready, rng.random() >= stall)
                ctx.set(write.ready, rng.random() >= stall)
                assert ctx.get(write.valid) <= coming, "a write was not said a cycle before"
                coming = ctx.get(write.next)
                pair = [0, 0]
                if ctx.get(read.valid) and ctx.get(read.ready):
                    first = 2 * ctx.get(read.addr)
                    pair = [int(value) & 0xFFFF_FFFF for value in self.local[first : first + 2]]
                if ctx.get(write.valid) and ctx.get(write.ready):
                    for n in range(2):
                        if ctx.get(write.en) >> n & 1:
                            value = ctx.get(write.data[n])
                            self.local[2 * ctx.get(write.addr) + n] = value - (value >> 31 << 32)
                line.append(pair)
                line.popleft()
                await ctx.tick()
                for n, value in enumerate(line[0]):
                    ctx.set(read.data[n], value)

        return local


def _used() -> list[int]:
    return [bank * BANK + word for bank in range(SCRATCH_BANKS) for word in range(USED)]


def _units(word: Word) -> int:
    return word.images * word.tiles * (word.a_tiles if word.code is Code.DRAIN else 1)
