"""cpt.hw.program.gate: a unit starts when both marks that it waits for are there, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract.step import MARK_BITS, Code, Engine, encode
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import WAIT_PLACES, fields


def waited(marks: list[dict[Engine, int]], first: tuple[int, int], step: tuple[int, int]) -> list[bool]:
    """Whether unit n opens with ``marks[n]`` for a wait on FETCH and one on STORE."""
    gate = Gate()
    found: list[bool] = []

    async def bench(ctx: Any) -> None:
        engines = (Engine.FETCH, Engine.STORE)
        named = [
            {"engine": int(engine), "step": step[index], "first": first[index]}
            for index, engine in enumerate(engines)
        ]
        ctx.set(gate.waits, named)
        for unit, there in enumerate(marks):
            for engine in engines:
                ctx.set(gate.marks[engine], there[engine])
            ctx.set(gate.load, unit == 0)
            ctx.set(gate.advance, unit > 0)
            opened = []
            for _ in range(gate.latency_cycles):
                await ctx.tick()
                ctx.set(gate.load, 0)
                ctx.set(gate.advance, 0)
                opened.append(ctx.get(gate.open))
            assert not any(opened[:-1])
            await ctx.tick().repeat(3)
            assert ctx.get(gate.open) == opened[-1]
            found.append(bool(opened[-1]))

    simulate(gate, bench)
    return found


@pytest.mark.parametrize("base", [0, 1000, (1 << MARK_BITS) - 6])
def test_unit_i_waits_for_first_and_i_steps(base: int) -> None:
    def mark(fetch: int, store: int) -> dict[Engine, int]:
        most = 1 << MARK_BITS
        return {Engine.FETCH: (base + fetch) % most, Engine.STORE: (base + store) % most}

    marks = [mark(3, 7), mark(3, 7), mark(4, 7), mark(5, 7), mark(5, 6)]
    first = ((base + 3) % (1 << MARK_BITS), (base + 7) % (1 << MARK_BITS))
    # Needed of FETCH: 3, 4, 5, 6, 7; of STORE 7 each time.
    assert waited(marks, first, (1, 0)) == [True, False, False, False, False]
    marks = [mark(2, 7), mark(4, 7), mark(5, 7), mark(6, 7), mark(7, 6)]
    assert waited(marks, first, (1, 0)) == [False, True, True, True, False]


def test_engine_0_is_waited_for_by_nobody() -> None:
    gate = Gate()

    async def bench(ctx: Any) -> None:
        ctx.set(gate.waits, [{"engine": 0, "step": 15, "first": 99}] * 2)
        ctx.set(gate.load, 1)
        await ctx.tick()
        ctx.set(gate.load, 0)
        await ctx.tick().repeat(gate.latency_cycles - 1)
        assert ctx.get(gate.open)

    simulate(gate, bench)


def test_a_mark_that_comes_late_opens() -> None:
    gate = Gate()

    async def bench(ctx: Any) -> None:
        ctx.set(gate.waits, [{"engine": int(Engine.EXEC), "step": 0, "first": 5}, {}])
        ctx.set(gate.load, 1)
        await ctx.tick()
        ctx.set(gate.load, 0)
        for mark in (1, 4, 4, 4):
            ctx.set(gate.marks[Engine.EXEC], mark)
            await ctx.tick()
            assert not ctx.get(gate.open)
        ctx.set(gate.marks[Engine.EXEC], 5)
        await ctx.tick().until(gate.open)

    simulate(gate, bench)


@pytest.mark.parametrize("code", [Code.FETCH, Code.DRAIN, Code.FLOAT])
def test_waits_lie_at_one_place_in_every_engine_s_word(code: Code) -> None:
    named = {
        "wait0_engine": 3,
        "wait0_step": 13,
        "wait0_first": 0xABCDEF,
        "wait1_engine": 6,
        "wait1_first": 9,
    }
    word = int.from_bytes(encode(code, **named), "little")
    view = fields(code).from_bits(word)
    assert {name: getattr(view, name) for name in named} == named
    found = [layout.from_bits(word >> offset & (1 << layout.size) - 1) for offset, layout in WAIT_PLACES]
    assert [(wait.engine, wait.step, wait.first) for wait in found] == [(3, 13, 0xABCDEF), (6, 0, 9)]
