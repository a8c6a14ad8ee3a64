"""cpt.hw.bus.read_master: beats of runs in order, no more bursts in flight than agreed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import simulate, stream_put

from cpt.hw.bus.read_master import ReadMaster

Run = dict[str, int]


def _runs(seed: int, count: int) -> list[Run]:
    rng = random.Random(seed)
    return [{"addr": 8 * rng.randrange(1 << 20), "beats": rng.randint(1, 40)} for _ in range(count)]


def _addresses(runs: list[Run]) -> list[int]:
    return [run["addr"] + 8 * n for run in runs for n in range(run["beats"])]


def read(
    master: ReadMaster, memory: ReadMemory, runs: list[Run], stall: float, settle_cycles: int = 40
) -> tuple[list[int], int]:
    """Words that came for ``runs``, and cycles in which an error was reported."""
    words: list[int] = []
    errors = [0]
    over: list[int] = []
    beats = sum(run["beats"] for run in runs)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, master.runs, runs, random.Random(9), stall)

    async def take(ctx: Any) -> None:
        assert ctx.get(master.idle)
        quiet_for = 0
        while len(words) < beats or quiet_for < settle_cycles:
            _, _, valid, word, error, idle = await ctx.tick().sample(
                master.beat_valid, master.beat, master.error, master.idle
            )
            errors[0] += error
            quiet_for = 0 if len(words) < beats else quiet_for + 1
            if valid:
                words.append(word)
            assert not (idle and memory.open)
        assert ctx.get(master.idle)
        assert ctx.get(master.quiet)
        over.append(1)

    simulate(master, put, take, *memory.benches(lambda: bool(over)), watch=[master.ar])
    return words, errors[0]


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_every_beat_of_every_run_comes_in_order(stall: float) -> None:
    master = ReadMaster()
    memory = ReadMemory(master.ar, master.r, lambda address: address ^ 0x5A5A << 40, random.Random(1), stall)
    runs = _runs(2, 12)
    words, errors = read(master, memory, runs, stall)
    assert words == [address ^ 0x5A5A << 40 for address in _addresses(runs)]
    assert errors == 0


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_beat_is_refused_by_two_of_the_four_response_codes(code: int) -> None:
    """Each beat that is refused is reported once, and comes like any other."""
    master = ReadMaster()
    memory = ReadMemory(master.ar, master.r, lambda address: address, random.Random(1), 0.2)
    memory.resp = code
    runs = _runs(3, 4)
    words, errors = read(master, memory, runs, 0.2)
    assert words == _addresses(runs)
    assert errors == (len(words) if code >= 2 else 0)


@pytest.mark.parametrize("limit", [2, 4, 8])
def test_no_more_bursts_are_in_flight_than_agreed(limit: int) -> None:
    master = ReadMaster(limit)
    memory = ReadMemory(master.ar, master.r, lambda address: address, random.Random(1), 0.0)
    memory.latency_cycles = 200
    runs = [{"addr": 0, "beats": 16 * 3 * limit}]
    words, _ = read(master, memory, runs, 0.0)
    assert words == _addresses(runs)
    assert memory.most_open == limit


@pytest.mark.parametrize("after", [1, 7, 20, 45])
def test_stop_lets_what_has_begun_end_and_nothing_begin(after: int) -> None:
    master = ReadMaster()
    memory = ReadMemory(master.ar, master.r, lambda address: address, random.Random(after), 0.3)
    over: list[int] = []

    async def put(ctx: Any) -> None:
        await stream_put(ctx, master.runs, [{"addr": 8, "beats": 600}], random.Random(1), 0)

    async def watch(ctx: Any) -> None:
        await ctx.tick().until(master.ar.valid)
        await ctx.tick().repeat(after)
        ctx.set(master.stop, 1)
        await ctx.tick().until(master.quiet)
        begun = len(memory.bursts)
        assert memory.beats == sum(beats for _, beats in memory.bursts)
        await ctx.tick().repeat(40)
        assert len(memory.bursts) == begun
        assert not ctx.get(master.ar.valid)
        assert ctx.get(master.quiet)
        assert not ctx.get(master.idle)
        over.append(begun)

    simulate(master, put, watch, *memory.benches(lambda: bool(over)), watch=[master.ar])
    assert 0 < over[0] < 38
