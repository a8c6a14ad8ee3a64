"""What a training step on the fabric takes by the stated costs: ``python -m cpt.sim.step``."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cpt.host.compiler.network import Programs, compiled, of_step
from cpt.host.fabric import precision_slots
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import cifar_resnet, mobilenet_v2
from cpt.model.golden.fabric.network import Network
from cpt.sim.step.costs import Costs
from cpt.sim.step.state import Slot
from cpt.sim.step.timeline import Timeline, Timing

CLASSES, CHANNELS = 10, 3
MOST_MULTIPLIER = 16
SECOND = 200_000_000
"""Cycles of a second, at 200 MHz."""


@dataclass(frozen=True)
class Row:
    """A list of instructions at one precision."""

    name: str
    times: int
    """How often a step runs it."""
    fw: int
    bw: int
    timing: Timing

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; cycles are of one run of the list."""
        timing = self.timing
        return {
            "list": self.name,
            "times": self.times,
            "fw": self.fw,
            "bw": self.bw,
            "cycles": timing.cycles,
            "read": timing.read,
            "written": timing.written,
            "busy": dict(timing.busy),
            "waits": {name: dict(waits) for name, waits in timing.waits.items()},
            "instructions": dict(timing.instructions),
        }

    def line(self) -> str:
        """A row of the table: share of its cycles that each is busy."""
        cycles = self.timing.cycles
        shares = " ".join(f"{100 * self.timing.busy[name] / cycles:{len(name)}.0f}" for name in BUSY)
        return f"{self.name:>14}{self.times:>3} {self.fw}x{self.bw}{cycles:>10} {shares}"


BUSY = ("EXEC", "FETCH", "LOAD", "lanes", "BRING", "STORE", "FLOAT", "memory")


def rows(
    timeline: Timeline, programs: Programs, micro_batches: int, slots: dict[int, Slot], bits: tuple[int, int]
) -> Iterator[Row]:
    """Every list of a step with ``bits`` (fw, bw)."""
    for slot, (width, signed) in precision_slots(programs.layout.network, *bits).items():
        slots[slot] = Slot(width, signed)
    for name, times in Counter(itertools.chain(*of_step(micro_batches))).items():
        words = programs.lists[programs.named(name, bits[0])].words
        yield Row(name, times, *bits, timeline.run(words))


def described(options: argparse.Namespace) -> tuple[Network, str]:
    """The network that the arguments name, and what to call it."""
    numbers = np.full(CHANNELS, 1 / 64, np.float32), np.full(CHANNELS, -2, np.float32)
    if options.network == "mobilenetv2":
        if not 0 < options.multiplier <= MOST_MULTIPLIER:
            raise ValueError(
                f"multiplier is {options.multiplier:g}; allowed: above 0, at most {MOST_MULTIPLIER}"
            )
        layers = mobilenet_v2(CLASSES, options.size, CHANNELS, options.multiplier)
        return Network.mobilenet(layers, *numbers), f"mobilenetv2 of {options.multiplier:g} times its width"
    network = cifar_resnet(options.depth, CLASSES, options.size, CHANNELS, options.width)
    return Network.residual(network, *numbers), f"resnet{options.depth} of width {options.width}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; status 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step", description=__doc__)
    for name, value, text in (
        ("depth", 8, "layers of the residual network, 6n+2"),
        ("width", 8, "channels of its first stage"),
        ("size", 16, "height and width of an image"),
        ("batch", 128, "images of a step"),
        ("micro-batch", 4, "images of a micro-batch"),
        ("scratch-words", 8192, "words of scratch"),
        ("latency", 60, "cycles from an address to its data"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, metavar="N", help=f"{text} (default: {value})"
        )
    parser.add_argument(
        "--network", choices=("resnet", "mobilenetv2"), default="resnet", help="what trains (default: resnet)"
    )
    parser.add_argument(
        "--multiplier", type=float, default=0.4, metavar="X", help="of mobilenetv2's channels (default: 0.4)"
    )
    parser.add_argument("--preset", default="middle", help="array configuration (default: middle)")
    parser.add_argument("--fw", type=int, nargs="+", default=[3, 5, 8], metavar="BITS", help="default: 3 5 8")
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="default: 8")
    parser.add_argument(
        "--bytes", type=float, default=16, metavar="N", help="of memory, a cycle (default: 16)"
    )
    parser.add_argument("--json", action="store_true", help="a line for each list")
    options = parser.parse_args(arguments)
    if not 1 <= options.micro_batch <= options.batch:
        parser.error(f"micro-batch is {options.micro_batch}; allowed: 1 to the batch, {options.batch}")
    if options.bytes <= 0:
        parser.error(f"bytes is {options.bytes:g}; allowed: more than 0")
    try:
        config = replace(preset(options.preset, STEP), scratch_words=options.scratch_words)
        network, called = described(options)
        micro_batches = options.batch // options.micro_batch
        programs = compiled(
            config,
            network,
            images=options.micro_batch,
            micro_batches=micro_batches,
            scratch_words=options.scratch_words,
            widest=max(*options.fw, options.bw),
        )
    except ValueError as error:
        parser.error(str(error))
    slots: dict[int, Slot] = {}
    timeline = Timeline(Costs(config, slots), memory_bytes=options.bytes, latency=options.latency)
    if not options.json:
        print(
            f"{called}, images of {options.size} x {options.size} in "
            f"micro-batches of {options.micro_batch};\n{config.name}, {options.bytes:g} bytes a cycle: "
            "estimated cycles, and percent of them that each is busy"
        )
        print(f"{'list':>14}  x bits  cycles {' '.join(BUSY)}")
    for fw in options.fw:
        total = 0
        try:
            for row in rows(timeline, programs, micro_batches, slots, (fw, options.bw)):
                total += row.times * row.timing.cycles
                print(json.dumps(row.as_dict()) if options.json else row.line())
        except ContractError as error:
            parser.error(f"{called} at {fw} x {options.bw} bits: {error}")
        if not options.json:
            print(f"{'step':>14}  1 {fw}x{options.bw}{total:>10} {1000 * total / SECOND:.2f} ms at 200 MHz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
