"""Numbers for the tests of the float engine's units, and how to send them through one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from amaranth.hdl import UnusedElaboratable
from amaranth.sim import Simulator

PERIOD_S = 1e-8
SETTING_CYCLES = 4
"""What a unit's settings need before its first operands."""
EXTREMES = np.array(
    [
        *(0, 1, -1, 2**-125, -(2**-125), 2**-126, 1.5 * 2**-126, 2**-124, 3.3e38, -3.3e38, 1 + 2**-23),
        *(2 - 2**-23, 2**24, 2**24 + 2, 0.5, 1.5, 2**-23, 2**-24, 2**-25, 2**-149, 1e-39, -1e-39),
        *(32752.0, 32767.0, 131071.5),
    ],
    np.float32,
)
"""Floats at the edges of float32 and of the unit."""


def raw(port: Any) -> Any:
    """``port`` as plain bits."""
    return port.as_value() if hasattr(port, "as_value") else port


def _member(block: Any, name: str) -> Any:
    """``a``, or element 1 of array ``a`` as ``a.1``."""
    name, _, place = name.partition(".")
    member = getattr(block, name)
    return member[int(place)] if place else member


def streamed(
    block: Any,
    inputs: dict[str, Sequence[int]],
    outputs: Sequence[str],
    every: int = 1,
    *,
    done: str = "done",
    latency_cycles: int | None = None,
    **settings: int,
) -> list[tuple[int, ...]]:
    """What ``block`` answers to each set of ``inputs``, one every ``every`` cycles; checks its latency.

    ``settings``: inputs that stay, set before the first.
    """
    latency = block.latency_cycles if latency_cycles is None else latency_cycles
    count = len(next(iter(inputs.values())))
    found: list[tuple[int, ...]] = []
    sent: list[int] = []
    ports = [(raw(_member(block, name)), [int(value) for value in values]) for name, values in inputs.items()]

    async def bench(ctx: Any) -> None:
        held = [raw(_member(block, name)) for name in outputs]
        for name, value in settings.items():
            ctx.set(getattr(block, name), value)
        await ctx.tick().repeat(SETTING_CYCLES)
        for cycle in range(every * count + latency + 2):
            index, rest = divmod(cycle, every)
            starts = not rest and index < count
            ctx.set(block.valid, int(starts))
            if starts:
                sent.append(cycle)
                for port, values in ports:
                    ctx.set(port, values[index])
            if ctx.get(getattr(block, done)):
                assert cycle - sent[len(found)] == latency
                found.append(tuple(ctx.get(port) for port in held))
            await ctx.tick()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        simulator = Simulator(block)
        simulator.add_clock(PERIOD_S)
        simulator.add_testbench(bench)
        simulator.run()
    assert len(found) == count
    return found


def words(values: np.ndarray) -> np.ndarray:
    """float32 as the integers of their bits."""
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def drawn_floats(rng: np.random.Generator, count: int, spread: int = 100) -> np.ndarray:
    """Floats of both signs whose exponents are up to ``spread`` from 0; every eighth has a short mantissa."""
    exponent = rng.integers(-spread, spread, count)
    fraction = rng.integers(0, 1 << 23, count)
    fraction[::8] &= 0x700000
    return np.ldexp((1 + fraction / 2**23) * rng.choice([-1, 1], count), exponent).astype(np.float32)


def pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of `EXTREMES`, and ``count`` drawn ones, half of them with exponents close together."""
    left, right = (grid.ravel() for grid in np.meshgrid(EXTREMES, EXTREMES))
    a = drawn_floats(rng, count, 90)
    near = (a * np.exp2(rng.integers(-3, 4, count)) * rng.choice([-1, 1], count)).astype(np.float32)
    near = (near.view(np.int32) + rng.integers(-9, 10, count, dtype=np.int32)).view(np.float32)
    wide = (a * np.exp2(rng.integers(-30, 30, count))).astype(np.float32)
    b = np.where(np.arange(count) % 2 == 0, near, (wide * drawn_floats(rng, count, 1)).astype(np.float32))
    return np.concatenate([left, a]), np.concatenate([right, b])
