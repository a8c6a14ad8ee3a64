"""Array, collector and result buffer: products and sums of whole tiles, at the fastest pace."""

from __future__ import annotations

import random
from typing import Any

from amaranth import Elaboratable, Module
from hw_streams import SMALL, simulate

from cpt.hw.contract.config import ALL_TAPS, TAPS
from cpt.hw.contract.order import tile_steps
from cpt.hw.drain.collector import Collector
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.hw.layouts import result_rows
from cpt.hw.matrix.array import Array

ROWS, COLS, WIDTH = SMALL.rows, SMALL.cols, SMALL.word_bits


class ResultPath(Elaboratable):
    """Array, collector and result buffer as the accelerator wires them."""

    def __init__(self) -> None:
        self.array = Array(SMALL, inline=True)
        self.collector, self.buffer = Collector(SMALL), ResultBuffer(SMALL)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        array, collector, buffer = self.array, self.collector, self.buffer
        m.submodules.array, m.submodules.collector, m.submodules.buffer = array, collector, buffer
        m.d.comb += [
            collector.captured.eq(array.captured),
            collector.collect.eq(array.collect),
            array.row_index.eq(collector.row_index),
            collector.row.eq(array.row),
            buffer.old_addr.eq(collector.old_addr),
            collector.old_row.eq(buffer.old_row),
            buffer.write_en.eq(collector.write_en),
            buffer.write_addr.eq(collector.write_addr),
            buffer.write_row.eq(collector.write_row),
        ]
        return m


class Tile:
    """One tile's operands and what it must add to its result tile."""

    def __init__(self, rng: random.Random, which: int, first: int, last: int) -> None:
        self.collect = {"tile": which, "first": first, "last": last}
        # At least rows + 1 steps, so that the next tile may follow at once.
        self.bits_a, self.bits_b, self.ksteps = rng.randint(2, 5), rng.randint(2, 5), rng.randint(1, 2)
        self.signed_a, self.signed_b = rng.random() < 0.5, rng.random() < 0.5
        self.taps = rng.randint(1, ALL_TAPS)
        k = self.ksteps * WIDTH
        self.a = [[self._code(rng, self.bits_a, self.signed_a) for _ in range(k)] for _ in range(ROWS)]
        self.b = [[self._code(rng, self.bits_b, self.signed_b) for _ in range(k)] for _ in range(COLS)]

    @staticmethod
    def _code(rng: random.Random, bits: int, signed: bool) -> int:
        low = -(1 << bits - 1) if signed else 0
        return rng.randint(low, low + (1 << bits) - 1)

    def golden(self) -> list[list[int]]:
        rows = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in self.b] for a in self.a]
        part = WIDTH // TAPS
        taken = [self.taps >> n % WIDTH // part & 1 for n in range(self.ksteps * WIDTH)]
        rows.append([sum(code for code, take in zip(b, taken, strict=True) if take) for b in self.b])
        return rows

    def steps(self) -> list[tuple[dict[str, Any], list[int], list[int]]]:
        """Flags and words of every step."""
        found = []
        order = list(tile_steps(self.bits_a, self.bits_b, self.signed_a, self.signed_b, self.ksteps))
        for number, step in enumerate(order):
            part = slice(step.k * WIDTH, (step.k + 1) * WIDTH)
            words = [
                [sum((code >> plane & 1) << n for n, code in enumerate(lane[part])) for lane in lanes]
                for lanes, plane in ((self.a, step.plane_a), (self.b, step.plane_b))
            ]
            fields = {
                "a_addr": 0,
                "b_addr": 0,
                "clear": int(step.clear),
                "double": int(step.double),
                "count": int(step.count),
                "subtract": int(step.subtract),
                "b_subtract": int(step.b_subtract),
                "taps": 0 if step.plane_a else self.taps,
                "capture": int(number == len(order) - 1),
                "collect": self.collect,
            }
            found.append((fields, *words))
        return found


def test_tiles_without_a_gap_overwrite_and_accumulate_exactly() -> None:
    rng = random.Random(21)
    plan = [(0, 1, 1), (1, 1, 0), (1, 0, 0), (1, 0, 1), (0, 1, 0), (0, 0, 1)]
    tiles = [Tile(rng, *item) for item in plan]
    top = ResultPath()
    array, collector, buffer = top.array, top.collector, top.buffer
    memory: dict[int, list[int]] = {}
    finished: list[int] = []
    begun: list[int] = []

    async def feed(ctx: Any) -> None:
        late: list[tuple[list[int], list[int]] | None] = [None] * array.OPERAND_LATENCY
        steps = [step for tile in tiles for step in tile.steps()]
        for cycle, item in enumerate([*steps, *[None] * array.OPERAND_LATENCY]):
            ctx.set(array.valid, int(item is not None))
            late.append(None if item is None else item[1:])
            if item is not None:
                ctx.set(array.step, item[0])
                if item[0]["capture"]:
                    begun.append(cycle)
            words = late.pop(0)
            if words is not None:
                for ports, values in zip((array.a_words, array.b_words), words, strict=True):
                    for lane, value in enumerate(values):
                        ctx.set(ports[lane], value)
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        cycle = 0
        # A row comes some cycles behind its address.
        writes: list[int | None] = [None] * buffer.address_cycles
        while len(finished) < len(tiles):
            _, _, enable, address, row, done, last = await ctx.tick().sample(
                buffer.write_en, buffer.write_addr, buffer.write_row, collector.done, collector.complete
            )
            writes.append(address if enable else None)
            written = writes.pop(0)
            if written is not None:
                memory[written] = [row[n] for n in range(COLS)]
            if done:
                number = len(finished)
                which = plan[number][0]
                expected = tiles[number].golden()
                for tile in reversed(range(number)):
                    if plan[tile + 1][1]:
                        break
                    expected = [
                        [x + y for x, y in zip(old, new, strict=True)]
                        for old, new in zip(tiles[tile].golden(), expected, strict=True)
                    ]
                for index, values in enumerate(expected):
                    found = memory[which * result_rows(SMALL) + index]
                    assert found == [value % (1 << 48) for value in values], f"tile {number} row {index}"
                assert last == plan[number][2]
                finished.append(cycle)
            cycle += 1

    simulate(top, feed, watch)
    delay = array.latency_cycles + collector.latency_cycles
    assert finished == [cycle + delay for cycle in begun]
