"""cpt.hw.vector.reduction, statistics, coefficients: what lanes count and read beside the float engine."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate
from vector_words import numbers

from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP, ArrayConfig
from cpt.hw.contract.floats import FIELD, Coefficient, Statistic
from cpt.hw.vector.channel_numbers import DEEP
from cpt.hw.vector.coefficients import Coefficients
from cpt.hw.vector.reduction import Reduction
from cpt.hw.vector.statistics import CLEARS, Statistics

TINY = preset("tiny")
CONFIGS = [TINY, preset("zc706", STEP)]
NAMES_OF = [config.name for config in CONFIGS]
NAMES = [which.name.lower() for which in Statistic]


def places(config: ArrayConfig) -> list[int]:
    """Some channels: at both ends of both memories, where there are two."""
    return sorted({0, 1, 77, DEEP - 1, min(DEEP, config.channels - 1), config.channels - 1})


def test_a_word_comes_to_its_sums_and_extremes_over_the_lanes_with_pixels() -> None:
    rng, block = random.Random(3), Reduction(TINY)
    words = []
    for _ in range(80):
        inside = [int(rng.random() < 0.6) for _ in range(TINY.cols)]
        inside[rng.randrange(TINY.cols)] = 1
        result = [value * bit for value, bit in zip(numbers(rng, TINY.cols, -0x8000), inside, strict=True)]
        words.append((inside, result, [value * value * rng.choice((-1, 1)) for value in result]))

    async def bench(ctx: Any) -> None:
        for cycle in range(len(words) + block.latency_cycles):
            if cycle < len(words):
                inside, result, _ = words[cycle]
                ctx.set(block.inside, sum(bit << n for n, bit in enumerate(inside)))
                ctx.set(block.result, result)
            if 0 <= cycle - block.joint_cycles < len(words):
                ctx.set(block.joint, words[cycle - block.joint_cycles][2])
            if cycle >= block.latency_cycles:
                inside, result, joint = words[cycle - block.latency_cycles]
                there = [value for value, bit in zip(result, inside, strict=True) if bit]
                wanted = [sum(result), sum(joint), min(there), max(there)]
                assert [ctx.get(getattr(block, name)) for name in NAMES] == wanted, cycle
            await ctx.tick()

    simulate(block, bench)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES_OF)
def test_statistics_go_on_from_what_was_counted(config: ArrayConfig) -> None:
    rng, block = random.Random(8), Statistics(config)
    channels = [*places(config), 2, 3]
    counted = {(field, channel): 0 for field in range(len(Statistic)) for channel in channels}

    async def bench(ctx: Any) -> None:
        due: dict[int, tuple[int, list[int], bool]] = {}
        next_free = dict.fromkeys(channels, 0)
        compared = 0

        async def lanes(cycle: int, busy: bool) -> None:
            free = [channel for channel in channels if next_free[channel] <= cycle]
            count = busy and bool(free) and rng.random() < 0.9
            ctx.set(block.count, count)
            if count:
                channel = rng.choice(free)
                next_free[channel] = cycle + block.again_cycles
                values = [rng.randint(-(1 << 18), 1 << 18), rng.randint(-(1 << 34), 1 << 34)]
                values += numbers(rng, 2)
                due[cycle + block.numbers_cycles] = (channel, values, rng.random() < 0.2)
                ctx.set(block.channel, channel)
            if cycle in due:
                channel, values, clear = due.pop(cycle)
                ctx.set(block.clear, (1 << CLEARS) - 1 if clear else 0)
                for name, value in zip(NAMES, values, strict=True):
                    ctx.set(getattr(block, name), value)
                before = [counted[field, channel] for field in range(len(Statistic))]
                total = [values[0] + before[0], values[1] + before[1]]
                total += [min(values[2], before[2]), max(values[3], before[3])]
                for field, value in enumerate(values if clear else total):
                    counted[field, channel] = value

        cycle = 0
        for _ in range(8):
            for step in range(60):
                await lanes(cycle, step < 60 - block.numbers_cycles - 2)
                await ctx.tick()
                cycle += 1
            asked = sorted(counted)
            for late in range(len(asked) + block.latency_cycles):
                field, channel = asked[min(late, len(asked) - 1)]
                ctx.set(block.float.addr, field * FIELD + channel)
                if late >= block.latency_cycles:
                    wanted = asked[late - block.latency_cycles]
                    assert ctx.get(block.float.read_data) == counted[wanted], wanted
                    compared += 1
                await ctx.tick()
                cycle += 1
        assert compared == 8 * len(counted)

    simulate(block, bench)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES_OF)
def test_coefficients_are_read_by_channel_and_by_number(config: ArrayConfig) -> None:
    rng, block = random.Random(4), Coefficients(config)
    held = {}
    for field in Coefficient:
        for channel in places(config):
            least, most = (
                (-(1 << 47), (1 << 47) - 1) if field is Coefficient.ADDEND else (-(1 << 17), (1 << 17) - 1)
            )
            if field in (Coefficient.SHIFT, Coefficient.TOTAL_SHIFT):
                least, most = 0, 63
            held[field, channel] = rng.choice((least, most, rng.randint(least, most)))

    async def bench(ctx: Any) -> None:
        ctx.set(block.float.write, 1)
        for (field, channel), value in held.items():
            ctx.set(block.float.addr, field * FIELD + channel)
            ctx.set(block.float.write_data, value)
            await ctx.tick()
        ctx.set(block.float.write, 0)
        places = list(held)
        for cycle in range(len(places) + block.latency_cycles):
            if cycle < len(places):
                field, channel = places[cycle]
                ctx.set(block.float.addr, field * FIELD + channel)
                ctx.set(block.channel, channel)
            if cycle >= block.latency_cycles:
                field, channel = places[cycle - block.latency_cycles]
                assert ctx.get(block.float.read_data) == held[field, channel], (field, channel)
                found = ctx.get(block.coefficients)
                for other in Coefficient:
                    assert getattr(found, other.name.lower()) == held[other, channel], (other, channel)
            await ctx.tick()

    simulate(block, bench)
