"""cpt.hw.vector.reduction, statistics, coefficients: what lanes count and read beside the float engine."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import simulate
from vector_words import numbers

from cpt.hw.contract import preset
from cpt.hw.contract.floats import CHANNELS, Coefficient, Statistic
from cpt.hw.vector.coefficients import Coefficients
from cpt.hw.vector.reduction import Reduction
from cpt.hw.vector.statistics import CLEARS, Statistics

TINY = preset("tiny")
NAMES = [which.name.lower() for which in Statistic]


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


def test_statistics_go_on_from_what_was_counted_and_float_writes_stand_until_then() -> None:
    rng, block = random.Random(8), Statistics(TINY)
    channels = [0, 1, 2, 3, CHANNELS - 1]
    held = {(field, channel): 0 for field in range(len(Statistic)) for channel in channels}
    counted = dict(held)

    async def bench(ctx: Any) -> None:
        due: dict[int, tuple[int, list[int], bool]] = {}
        next_free = dict.fromkeys(channels, 0)
        asked: tuple[int, int] | None = None
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
                    counted[field, channel] = held[field, channel] = value

        cycle = 0
        for turn in range(12):
            for step in range(40):
                await lanes(cycle, turn % 2 == 0 and step < 40 - block.numbers_cycles - 1)
                await ctx.tick()
                cycle += 1
            for field, channel in rng.sample(sorted(held), 6 if turn % 2 else 0):
                value = rng.randint(-(1 << 47), (1 << 47) - 1)
                ctx.set(block.float.addr, field * CHANNELS + channel)
                ctx.set(block.float.write_data, value)
                ctx.set(block.float.write, 1)
                held[field, channel] = value
                await ctx.tick()
                cycle += 1
            ctx.set(block.float.write, 0)
            await ctx.tick().repeat(6)
            cycle += 6
            for asked in sorted(held):
                ctx.set(block.float.addr, asked[0] * CHANNELS + asked[1])
                await ctx.tick().repeat(block.latency_cycles)
                cycle += block.latency_cycles
                assert ctx.get(block.float.read_data) == held[asked], (turn, asked)
                compared += 1
        assert compared == 12 * len(held)

    simulate(block, bench)


def test_the_float_engine_writes_and_reads_where_the_lanes_do_not_count_in_the_same_cycles() -> None:
    rng, block = random.Random(9), Statistics(TINY)
    written = {
        (field, 64 + n): rng.randint(-(1 << 47), (1 << 47) - 1) for field in range(4) for n in range(8)
    }

    async def bench(ctx: Any) -> None:
        for name in NAMES:
            ctx.set(getattr(block, name), 5)
        ctx.set(block.count, 1)
        for cycle, ((field, channel), value) in enumerate(written.items()):
            ctx.set(block.channel, cycle % block.again_cycles)
            ctx.set(block.float.addr, field * CHANNELS + channel)
            ctx.set(block.float.write_data, value)
            ctx.set(block.float.write, 1)
            await ctx.tick()
        ctx.set(block.float.write, 0)
        ctx.set(block.count, 0)
        await ctx.tick()
        times = len(written) // block.again_cycles
        wanted = {(field, 1): times * 5 for field in (0, 1)} | {(2, 1): 0, (3, 1): 5}
        places = list((wanted | written).items())
        for cycle in range(len(places) + block.latency_cycles):
            if cycle < len(places):
                field, channel = places[cycle][0]
                ctx.set(block.float.addr, field * CHANNELS + channel)
            if cycle >= block.latency_cycles + len(wanted):
                assert ctx.get(block.float.read_data) == places[cycle - block.latency_cycles][1]
            await ctx.tick()
        for (field, channel), value in wanted.items():
            ctx.set(block.float.addr, field * CHANNELS + channel)
            await ctx.tick().repeat(block.latency_cycles)
            assert ctx.get(block.float.read_data) == value

    simulate(block, bench)


def test_coefficients_are_read_by_channel_and_by_number() -> None:
    rng, block = random.Random(4), Coefficients()
    held = {}
    for field in Coefficient:
        for channel in (0, 1, 77, CHANNELS - 1):
            least, most = (
                (-(1 << 47), (1 << 47) - 1) if field is Coefficient.ADDEND else (-(1 << 17), (1 << 17) - 1)
            )
            if field in (Coefficient.SHIFT, Coefficient.TOTAL_SHIFT):
                least, most = 0, 63
            held[field, channel] = rng.choice((least, most, rng.randint(least, most)))

    async def bench(ctx: Any) -> None:
        ctx.set(block.float.write, 1)
        for (field, channel), value in held.items():
            ctx.set(block.float.addr, field * CHANNELS + channel)
            ctx.set(block.float.write_data, value)
            await ctx.tick()
        ctx.set(block.float.write, 0)
        places = list(held)
        for cycle in range(len(places) + block.latency_cycles):
            if cycle < len(places):
                field, channel = places[cycle]
                ctx.set(block.float.addr, field * CHANNELS + channel)
                ctx.set(block.channel, channel)
            if cycle >= block.latency_cycles:
                field, channel = places[cycle - block.latency_cycles]
                assert ctx.get(block.float.read_data) == held[field, channel], (field, channel)
                found = ctx.get(block.coefficients)
                for other in Coefficient:
                    assert getattr(found, other.name.lower()) == held[other, channel], (other, channel)
            await ctx.tick()

    simulate(block, bench)
