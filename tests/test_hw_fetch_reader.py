"""cpt.hw.fetch.reader: words of runs in order through two ports, no more of them than there is room for."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_memory import ReadMemory
from hw_streams import simulate, stream_put

from cpt.hw.contract.machine import MACHINE
from cpt.hw.fetch.reader import Reader

Run = tuple[int, int]
"""Address and words."""


def beat(address: int) -> int:
    """What memory holds at ``address``."""
    return address * 0x9E3779B97F4A7C15 % (1 << 64)


def read(
    runs: list[Run],
    stall: float,
    *,
    take: float = 1.0,
    apart: int = 5,
    refused: int | None = None,
    longest: int = MACHINE.reader_words,
) -> tuple[list[int], int, list[ReadMemory], int]:
    """Words that came, cycles from the first to the last, both memories, and cycles with an error.

    ``take``: how often a word is taken; ``apart``: cycles from an address to its data; ``longest``: words of
    a run.
    """
    reader, rng = Reader(longest), random.Random(3)
    memories = [
        ReadMemory(getattr(reader, f"ar_{n}"), getattr(reader, f"r_{n}"), beat, random.Random(n), stall)
        for n in range(2)
    ]
    for memory in memories:
        memory.latency_cycles = apart
        memory.refused = set() if refused is None else {refused}
    found: list[int] = []
    times: list[int] = []
    errors: list[int] = []
    over: list[int] = []
    total = sum(size for _, size in runs)

    async def put(ctx: Any) -> None:
        await stream_put(ctx, reader.runs, [{"addr": a, "beats": 2 * n} for a, n in runs], rng, 0)

    async def get(ctx: Any) -> None:
        cycle = 0
        while len(found) < total:
            ctx.set(reader.words.ready, int(rng.random() < take))
            _, _, valid, ready, word, error, idle = await ctx.tick().sample(
                reader.words.valid, reader.words.ready, reader.words.payload, reader.error, reader.idle
            )
            cycle += 1
            assert not (idle and any(memory.open for memory in memories))
            if error:
                errors.append(cycle)
            if valid and ready:
                found.append(word)
                times.append(cycle)
        ctx.set(reader.words.ready, 0)
        await ctx.tick().repeat(8)
        assert ctx.get(reader.idle)
        assert ctx.get(reader.quiet)
        over.append(1)

    ends = [bench for memory in memories for bench in memory.benches(lambda: bool(over))]
    simulate(reader, put, get, *ends, watch=[reader.words, reader.ar_0, reader.ar_1])
    return found, times[-1] - times[0] + 1, memories, len(errors)


def words(runs: list[Run]) -> list[int]:
    """What comes for ``runs``."""
    places = [address + 16 * n for address, size in runs for n in range(size)]
    return [beat(place) | beat(place + 8) << 64 for place in places]


@pytest.mark.parametrize(("stall", "take"), [(0.0, 1.0), (0.5, 0.6)])
def test_words_of_all_runs_come_in_order(stall: float, take: float) -> None:
    rng = random.Random(8)
    sizes = [1, 1, 64, 2, 64, 64, 1, *(rng.randint(1, 40) for _ in range(12))]
    runs = [(16 * rng.randrange(1 << 16), size) for size in sizes]
    found, _, memories, errors = read(runs, stall, take=take)
    assert found == words(runs)
    assert not errors
    assert all(memory.beats == 2 * sum(sizes[1 - n :: 2]) for n, memory in enumerate(memories))


@pytest.mark.parametrize("longest", [1, 4])
def test_short_queues_are_never_what_short_runs_wait_for(longest: int) -> None:
    runs = [(16 * longest * n, longest) for n in range(60)]
    short, cycles, _, _ = read(runs, 0, take=0.3, apart=60, longest=longest)
    assert short == words(runs)
    assert read(runs, 0, take=0.3, apart=60)[1] == cycles


def test_both_ports_together_bring_nearly_a_word_a_cycle() -> None:
    runs = [(512 * n, 32) for n in range(20)]
    found, cycles, memories, _ = read(runs, 0, apart=40)
    assert found == words(runs)
    assert len(found) / cycles > 0.9
    assert all(memory.most_open <= MACHINE.outstanding_bursts for memory in memories)


def test_an_error_response_of_either_port_is_reported() -> None:
    runs = [(0, 4), (1024, 4)]
    assert read(runs, 0, refused=16)[3] == 1
    assert read(runs, 0, refused=1040)[3] == 1
