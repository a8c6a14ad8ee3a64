"""Steps of drawn networks on the RTL beside the golden trainer: ``python -m cpt.sim.step.rtl --steps 60``.

``--device model``: on the exact model alone, which does a thousand in minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cpt.host.compiler.choice import Way
from cpt.host.fabric import Device
from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.network import Block, Layer, Network
from cpt.model.golden.fabric.trainer import Settings
from cpt.sim.memory import Stalls
from cpt.sim.step.beside import Beside
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.pair import Pair

MEMORY_BYTES = 1 << 22
MICRO_BATCHES = (1, 4, 16)
SIZE, CLASSES, RATE = 8, 10, 0.05


@dataclass(frozen=True)
class Case:
    """Steps on the RTL from a state that the golden trainer reached."""

    width: int
    wide: int
    micro_batch: int
    micro_batches: int
    bits: tuple[int, int]
    before: int
    """Steps of the golden trainer alone."""
    steps: int
    stall: float
    seed: int
    way: Way | None = None
    kind: str = "residual"
    """Of its blocks, one of `KINDS`; ``wide`` channels inside."""

    @classmethod
    def drawn(cls, rng: random.Random, steps: int) -> Case:
        """One that takes seconds on the RTL of tiny."""
        micro_batch = rng.choice(MICRO_BATCHES)
        return cls(
            width=rng.choice((4, 6, 8)),
            wide=rng.choice((4, 8, 12)),
            micro_batch=micro_batch,
            micro_batches=rng.choice((1, 2) if micro_batch > 1 else (2, 3)),
            bits=(rng.randint(3, 8), rng.randint(4, 8)),
            before=rng.choice((0, 10, 40)),
            steps=steps,
            stall=rng.choice((0.0, 0.0, 0.2)),
            seed=rng.getrandbits(16),
            way=rng.choice(tuple(Way)),
            kind=rng.choice(tuple(KINDS)),
        )

    def network(self) -> Network:
        """What it trains."""
        return Network(
            KINDS[self.kind](self.width, self.wide),
            CLASSES,
            np.full(1, 0.2, np.float32),
            np.full(1, -0.8, np.float32),
            self.seed,
        )


def layer(
    index: int, name: str, channels: tuple[int, int], size: int, stride: int, kernel: int, groups: int = 1
) -> Layer:
    """A convolution of a square image."""
    conv = Conv(name, *channels, kernel, stride, kernel // 2, size, size, groups)
    return Layer(index, name, f"{name}_norm", conv)


def residual(width: int, wide: int) -> tuple[Block, ...]:
    """A stem, a block with stride 2 and a shortcut, and one that keeps its input."""
    half = SIZE // 2
    return (
        Block("stem", (layer(0, "stem", (1, width), SIZE, 1, 3),)),
        Block(
            "down",
            (layer(1, "first", (width, wide), SIZE, 2, 3), layer(2, "second", (wide, wide), half, 1, 3)),
            layer(3, "shortcut", (width, wide), SIZE, 2, 1),
        ),
        Block(
            "same",
            (layer(4, "third", (wide, wide), half, 1, 3), layer(5, "fourth", (wide, wide), half, 1, 1)),
            identity=True,
        ),
    )


def inverted(width: int, inner: int) -> tuple[Block, ...]:
    """A stem, an inverted residual with stride 2, one that keeps its input, and a head."""
    half = SIZE // 2

    def block(name: str, first: int, size: int, stride: int) -> Block:
        main = (
            layer(first, f"{name}.expand", (width, inner), size, 1, 1),
            layer(first + 1, f"{name}.depthwise", (inner, inner), size, stride, 3, inner),
            layer(first + 2, f"{name}.project", (inner, width), size // stride, 1, 1),
        )
        return Block(name, main, identity=stride == 1, linear=True)

    return (
        Block("stem", (layer(0, "stem", (1, width), SIZE, 1, 3),)),
        block("down", 1, SIZE, 2),
        block("same", 4, half, 1),
        Block("head", (layer(7, "head", (width, inner), half, 1, 1),)),
    )


def plain(width: int, wide: int) -> tuple[Block, ...]:
    """Convolutions one behind the other, wide and narrow by turns: nothing joins what is behind them."""
    return (
        Block("stem", (layer(0, "stem", (1, width), SIZE, 1, 3),)),
        Block("wide", (layer(1, "wide", (width, wide), SIZE, 1, 3),)),
        Block("narrow", (layer(2, "narrow", (wide, width), SIZE, 1, 1),)),
        Block(
            "pair", (layer(3, "in", (width, wide), SIZE, 1, 1), layer(4, "out", (wide, width), SIZE, 1, 3))
        ),
        Block("down", (layer(5, "down", (width, wide), SIZE, 2, 3),)),
    )


KINDS = {"residual": residual, "inverted": inverted, "plain": plain}
"""Blocks of a network, by ``width`` and ``wide``; those of inverted residuals have depth-wise layers and
linear ends."""


def batches(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of every step: a pattern for each class, and noise."""
    rng = np.random.default_rng(case.seed)
    patterns = rng.integers(0, 12, (CLASSES, SIZE, SIZE, 1))
    size = case.micro_batch * case.micro_batches
    found = []
    for _ in range(case.before + case.steps):
        labels = rng.integers(0, CLASSES, size)
        images = patterns[labels] + rng.integers(0, 5, (size, SIZE, SIZE, 1))
        found.append((images.astype(np.uint8), labels))
    return found


def run(case: Case, config: ArrayConfig) -> int:
    """Train the case's steps on the RTL; its cycles. Raises `StepsDiffer`, or as `beside_golden` does."""
    stalls = Stalls(case.stall, case.seed) if case.stall else None
    with Beside(config, memory_bytes=MEMORY_BYTES, stalls=stalls) as device:
        begun = device.backend.simulation.cycle
        beside_golden(case, config, device)
        return int(device.backend.simulation.cycle - begun)


def run_model(case: Case, config: ArrayConfig) -> int:
    """Train the steps on the exact model, which counts no cycles: 0. Raises as `beside_golden` does."""
    model = StepMachine(config, memory=MEMORY_BYTES, scratch_words=config.scratch_words)
    beside_golden(case, config, model)
    return 0


def beside_golden(case: Case, config: ArrayConfig, device: Device) -> None:
    """Train the case's steps on ``device`` from the golden trainer's state; compare all arrays after each.

    Raises `AssertionError` with the array that differs.
    """
    data = batches(case)
    settings = Settings(
        seed=case.seed, batch_size=case.micro_batch * case.micro_batches, micro_batch=case.micro_batch
    )
    pair = Pair(case.network, settings, config, device, case.way)
    for batch in data[: case.before]:
        pair.golden.train_step(*batch, case.bits, RATE)
    pair.begin()
    for batch in data[case.before :]:
        pair.train_step(batch, case.bits, RATE)


DEVICES = {"rtl": run, "model": run_model}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cases until so many steps are done; 0 if RTL, model and golden trainer agree in all."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step.rtl", description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="steps on the RTL, in all (60)")
    parser.add_argument("--each", type=int, default=2, help="steps of a network (2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--device", default="rtl", choices=DEVICES)
    options = parser.parse_args(arguments)
    rng, config, done = random.Random(options.seed), preset(options.preset, STEP), 0
    while done < options.steps:
        case = Case.drawn(rng, min(options.each, options.steps - done))
        begun = time.monotonic()
        cycles = DEVICES[options.device](case, config)
        done += case.steps
        print(f"{done:4} {case}: {cycles} cycles, {time.monotonic() - begun:.0f} s", flush=True)
    who = {"rtl": "RTL, model", "model": "model"}[options.device]
    print(f"{done} steps: {who} and golden trainer agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
