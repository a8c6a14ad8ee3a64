"""Bench of `cpt.hw.matrix.array`: tiles along the anti-diagonals against the golden product and sums."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import ALL_TAPS
from cpt.hw.contract.order import tile_steps
from cpt.hw.layouts import COLLECT, result_rows, step_layout
from cpt.hw.matrix.array import Array
from cpt.hw.matrix.unit import result_bits
from cpt.model.golden import int_matmul
from cpt.sim.bench.core import Bench, Every, numpy_rng, option, pack, rounds, unpack
from cpt.sim.bench.planes import word
from cpt.sim.stimulus import column_sums, random_codes


class Feeder:
    """Presents steps, and two cycles later their words; idles between steps at random."""

    outstanding = 0

    def __init__(self, bench: Bench, config: ArrayConfig, stall: float) -> None:
        self.bench, self.config, self.stall = bench, config, stall
        self.todo: deque[tuple[int, list[int], list[int]]] = deque()
        self.since_tile = 0
        idle = ([0] * config.rows, [0] * config.cols)
        self._pipeline = deque([idle] * Array.OPERAND_LATENCY)
        bench.agents.append(self)

    def drive(self) -> None:
        """The next step's flags, and the words of the step before."""
        config, dut = self.config, self.bench.dut
        words = ([random.getrandbits(config.word_bits)] * config.rows, [0] * config.cols)
        valid = bool(self.todo) and random.random() >= self.stall
        if valid:
            step, a_words, b_words = self.todo.popleft()
            dut.step.value = step
            words = (a_words, b_words)
        dut.valid.value = int(valid)
        self._pipeline.append(words)
        a_words, b_words = self._pipeline.popleft()
        for name, values in (("a_words", a_words), ("b_words", b_words)):
            for lane, value in enumerate(values):
                getattr(dut, f"{name}__{lane}").value = value

    def sample(self) -> None:
        """Nothing to look at."""


def stimulus(
    config: ArrayConfig,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    bits: list[int],
    signed: list[bool],
    taps: int,
    collect: int,
) -> Iterator[tuple[int, list[int], list[int]]]:
    """The steps of one tile with their words; codes are ``(rows, k)`` and ``(cols, k)``."""
    width = config.word_bits
    todo = list(tile_steps(bits[0], bits[1], signed[0], signed[1], a.shape[1] // width))
    for index, step in enumerate(todo):
        flags = {
            "a_addr": 0,
            "b_addr": 0,
            "clear": step.clear,
            "double": step.double,
            "count": step.count,
            "subtract": step.subtract,
            "b_subtract": step.b_subtract,
            "taps": 0 if step.plane_a else taps,
            "capture": index == len(todo) - 1,
            "fresh": 0,
            "collect": unpack(COLLECT, collect),
        }
        yield (
            pack(step_layout(config), flags),
            [word(lane, step.plane_a, step.k, width) for lane in a],
            [word(lane, step.plane_b, step.k, width) for lane in b],
        )


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def captured_rows_are_the_product_and_the_column_sums(dut: Any) -> None:
    bench, rng, config = Bench(dut), numpy_rng(), preset(option("preset", "tiny"))
    feeder = Feeder(bench, config, 0.0)
    captured: list[int] = []
    Every(bench, sample=lambda: captured.append(bench.get("collect")) if bench.get("captured") else None)
    await bench.start()
    rows, width = result_rows(config), result_bits(config)
    for _ in range(rounds()):
        feeder.stall = random.choice((0.0, 0.3))
        bits = [int(rng.integers(1, 6)) for _ in range(2)]
        signed = [bool(rng.integers(2)) for _ in range(2)]
        k = config.word_bits * int(rng.integers(1, 3))
        a = random_codes(rng, (config.rows, k), bits[0], signed[0])
        b = random_codes(rng, (config.cols, k), bits[1], signed[1])
        tag, taps = random.getrandbits(COLLECT.size), random.randint(1, ALL_TAPS)
        feeder.todo.extend(stimulus(config, a, b, bits, signed, taps, tag))
        while not captured:
            await bench.step()
        bench.board.equal("collect", captured, [tag])
        captured.clear()
        want = np.zeros((rows, config.cols), np.int64)
        want[: config.rows] = int_matmul(a, b)
        want[config.rows] = column_sums(b, taps, config)
        # The next tile may already be running while the rows are read, the column sums first.
        following = list(stimulus(config, a, b, bits, signed, taps, tag))
        order = [config.rows, *range(config.rows)]
        for cycle in range(rows + Array.ROW_LATENCY):
            if cycle == max(0, rows - len(following)):
                feeder.todo.extend(following)
            if cycle < rows:
                bench.set("row_index", order[cycle])
            await bench.step()
            if cycle >= Array.ROW_LATENCY:
                row, value = order[cycle - Array.ROW_LATENCY], bench.get("row")
                got = [value >> width * column & (1 << width) - 1 for column in range(config.cols)]
                bench.board.equal(f"row {row}", got, [int(item) % (1 << width) for item in want[row]])
            captured.clear()
        while feeder.todo:
            await bench.step()
        await bench.step(20)
        captured.clear()
    bench.finish()
