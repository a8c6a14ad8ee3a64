"""cpt.hw.matrix.row_select: the row that was asked for, at any number of rows."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import ArrayConfig
from cpt.hw.layouts import captured_row, result_rows
from cpt.hw.matrix.row_select import RowSelect


@pytest.mark.parametrize("rows", [1, 3, 4, 6, 16])
def test_a_row_follows_its_index_one_per_cycle(rows: int) -> None:
    config = ArrayConfig("any", rows=rows, word_bits=72, cols=8, a_depth_words=32, b_depth_words=32)
    dut, rng = RowSelect(config), random.Random(rows)
    half = 1 << captured_row(config).elem_shape.width - 1
    results = [[rng.randrange(-half, half) for _ in range(config.cols)] for _ in range(result_rows(config))]

    async def bench(ctx: Any) -> None:
        for row, values in zip(dut.results, results, strict=True):
            for column, value in enumerate(values):
                ctx.set(row[column], value)
        asked: deque[int] = deque()
        for cycle in range(60):
            asked.append(rng.randrange(result_rows(config)))
            ctx.set(dut.index, asked[-1])
            await ctx.tick()
            if cycle + 1 >= RowSelect.latency_cycles:
                row = ctx.get(dut.row)
                assert [row[column] for column in range(config.cols)] == results[asked.popleft()]

    simulate(dut, bench)
