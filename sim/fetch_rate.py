"""How long the array waits for the window fetch: ``python -m cpt.sim.fetch_rate``.

Runs the fill's RTL on a memory that always has data, with an array in front of it that takes a tile as soon
as it is ready, works as long as its steps or the drain of its rows take (a row a cycle), and gives it back.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import Elaboratable, Module, Signal
from amaranth.hdl import UnusedElaboratable
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.order import tile_cycles
from cpt.hw.contract.tiles import FILL_PIXELS, STREAM_BYTES, Picture, PixelLayout, WindowLayout
from cpt.hw.fetch.command import fetch_pixels, fetch_windows, payload
from cpt.hw.fetch.fill import Fill
from cpt.hw.fetch.pixel_fill import PixelFill
from cpt.hw.fetch.pixel_rows import PixelRows
from cpt.hw.fetch.scatter import Scatter

STAGES = ((16, 32), (32, 16), (64, 8))
"""Channels, and height and width, of the three stages of ResNet-20."""
BITS = ((3, 3), (3, 8), (8, 8))
"""Of weights, and of activations or errors."""
IMAGES = 2
SPREAD = "dX / 2"
"""The errors of a stride-2 convolution, spread by two with zeros."""


class Harness(Elaboratable):
    """The fill, a memory that always has data, and the cycles until a step is in the window memories."""

    def __init__(self, config: ArrayConfig) -> None:
        self.fill = Fill(config)
        self.now = Signal(32)
        self.steps = Signal(32)

    def elaborate(self, platform: Any) -> Module:
        """All of it."""
        m = Module()
        m.submodules.fill = fill = self.fill
        m.d.comb += fill.words.valid.eq(1)
        m.d.sync += [self.now.eq(self.now + 1), self.steps.eq(self.steps + fill.step.hot.as_value().any())]
        done = fill.step.done
        for n in range(Scatter.latency_cycles + 1):
            later = Signal(2, name=f"done_{n}")
            m.d.sync += later.eq(done)
            done = later
        m.d.comb += fill.filled.eq(done)
        return m


class PixelHarness(Elaboratable):
    """The fill along K, a memory that always has data, and free slots whenever it asks."""

    def __init__(self, config: ArrayConfig) -> None:
        depth = config.b_depth_words
        self.fill, self.rows = PixelFill(config, depth), PixelRows(config, depth)
        self.now = Signal(32)
        self.steps = Signal(32)

    def elaborate(self, platform: Any) -> Module:
        """All of it."""
        m = Module()
        m.submodules.fill, m.submodules.rows = fill, rows = self.fill, self.rows
        connect(m, fill.rows, rows.rows)
        m.d.comb += [rows.pixels.valid.eq(1), fill.slots.granted.eq(1), fill.empty.eq(1)]
        m.d.sync += [self.now.eq(self.now + 1), self.steps.eq(self.steps + rows.pixels.ready)]
        return m


@dataclass(frozen=True)
class Rate:
    """Cycles of one pass: what the array needs, and what passed from its first tile to its last."""

    channels: int
    name: str
    weight_bits: int
    bits: int
    array: int
    """Cycles a tile of outputs takes in the array."""
    drain: int
    """Cycles its results take to be drained."""
    fill: float
    """Steps of 8 pixels a tile."""
    waits: float
    """Cycles a tile that the array waits, once it began."""

    def line(self) -> str:
        """A row of the table."""
        bound = {self.array: "array", self.drain: "drain"}[max(self.array, self.drain)]
        verdict = f"never waits, bound by {bound}" if self.waits < 1 else "bound by the fill"
        return (
            f"{self.channels:>4} {self.name:<8} {self.weight_bits} x {self.bits}  {self.array:>6} "
            f"{self.drain:>6} {self.fill:>7.1f} {self.waits:>6.1f}  {verdict}"
        )


def measure(config: ArrayConfig, channels: int, size: int, name: str, weight_bits: int, bits: int) -> Rate:
    """Simulate one 3 x 3 pass of as many channels out as in, or half as many where it is spread."""
    spread = (2 * size, 2 * size) if name == SPREAD else ()
    layout = WindowLayout(Picture(config, size, size), channels, 3, 1, spread)
    row_tiles = -(-layout.groups // 2) if spread else layout.groups
    signed = name != "forward"
    array = row_tiles * tile_cycles(weight_bits, bits, True, signed, layout.ksteps)
    drain = row_tiles * config.rows
    busy = max(array, drain)
    harness = Harness(config)
    fill = harness.fill
    tiles = IMAGES * layout.output.tiles
    found: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(fill.commands.payload, payload(fetch_windows(layout, IMAGES, bits)))
        ctx.set(fill.commands.valid, 1)
        await ctx.tick().until(fill.commands.ready)
        ctx.set(fill.commands.valid, 0)
        for tile in range(tiles):
            ctx.set(fill.tiles.ready, 1)
            *_, now = await ctx.tick().sample(harness.now).until(fill.tiles.valid)
            ctx.set(fill.tiles.ready, 0)
            found.append(now)
            if tile < tiles - 1:
                await ctx.tick().repeat(busy - 2)
                ctx.set(fill.release, 1)
                await ctx.tick()
                ctx.set(fill.release, 0)
        found.append(ctx.get(harness.steps))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        simulator = Simulator(harness)
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.run()
    steps = found.pop()
    waits = (found[-1] - found[0]) / (tiles - 1) - busy
    return Rate(channels, name, weight_bits, bits, array, drain, steps / tiles, waits)


@dataclass(frozen=True)
class PixelRate:
    """Cycles of one slot of dW: all groups of inputs and of errors, a set of images."""

    channels: int
    error_bits: int
    bits: int
    array: int
    writes: int
    """Cycles that the fill of the inputs takes, simulated with data always there."""
    steps: int
    """Steps of inputs and of errors, which the ports bring one a cycle."""

    def line(self) -> str:
        """A row of the table."""
        most = max(self.array, self.writes, self.steps)
        bound = {self.writes: "the fill's writes", self.steps: "the ports", self.array: "the array"}[most]
        return (
            f"{self.channels:>4} dW       {self.error_bits} x {self.bits}  {self.array:>6} {self.writes:>7} "
            f"{self.steps:>6} {most - self.array:>6}  bound by {bound}"
        )


def measure_pixels(config: ArrayConfig, channels: int, size: int, error_bits: int, bits: int) -> PixelRate:
    """Simulate the fill of one slot of dW, of a 3 x 3 kernel with as many channels out as in."""
    picture = Picture(config, size, size)
    rows = next(rows for rows in (size, size // 2) if 2 * 3 * bits * (rows + 2) <= config.b_depth_words)
    layout = PixelLayout(picture, 1, rows)
    groups = -(-channels // config.group_channels)
    pairs, together = -(-groups // 2), min(groups, 2)
    harness = PixelHarness(config)
    fill = harness.fill
    command = fetch_pixels(layout, together, layout.images, bits)
    found: list[int] = []

    async def bench(ctx: Any) -> None:
        for name in ("stride2", "out_pitch", "blocks"):
            ctx.set(harness.rows.mode[name], command[name])
        ctx.set(fill.commands.payload, command)
        ctx.set(fill.commands.valid, 1)
        *_, start = await ctx.tick().sample(harness.now).until(fill.commands.ready)
        ctx.set(fill.commands.valid, 0)
        *_, end = await ctx.tick().sample(harness.now).until(harness.rows.filled)
        found.extend((end - start, ctx.get(harness.steps)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        simulator = Simulator(harness)
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.run()
    columns = -(-TAPS * groups // 2)
    steps_of_errors = error_bits * groups * layout.images * rows * picture.pitch // FILL_PIXELS
    return PixelRate(
        channels,
        error_bits,
        bits,
        columns * groups * tile_cycles(error_bits, bits, True, False, rows),
        pairs * found[0],
        pairs * found[1] + steps_of_errors,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; status 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.fetch_rate", description=__doc__)
    parser.add_argument("--preset", default="zc706", help="array configuration (default: zc706)")
    options = parser.parse_args(arguments)
    try:
        _table(preset(options.preset))
    except ContractError as error:
        parser.error(str(error))
    return 0


def _table(config: ArrayConfig) -> None:
    """Print all rows; raises `ContractError` for a shape that the stages do not fit."""
    print(
        f"{config.name}: cycles of a tile of outputs, simulated; {FILL_PIXELS} pixels of "
        f"{config.group_channels} channels a step, a step a cycle; both ports bring {STREAM_BYTES} bytes"
    )
    print("  ch pass     bits     array  drain    fill  waits")
    for channels, size in STAGES:
        for name in ("forward", "dX", SPREAD):
            for weight_bits, bits in BITS:
                if name == "forward" and weight_bits != bits:
                    continue  # weights and activations have one precision
                if name == SPREAD and size == STAGES[0][1]:
                    continue  # the first stage has stride 1
                print(measure(config, channels, size, name, weight_bits, bits).line(), flush=True)
    print("  ch pass     bits     array  writes  steps  waits   of a slot: errors x inputs")
    for channels, size in STAGES:
        for error_bits, bits in ((3, 3), (8, 3), (8, 8)):
            print(measure_pixels(config, channels, size, error_bits, bits).line(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
