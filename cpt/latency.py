"""Simulated hours of a full CIFAR training run, with cyclic and with static precision."""

from __future__ import annotations

import argparse
import json
from collections import Counter as Multiset
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cpt import latency_paper
from cpt.command_line import LONGEST, check_range
from cpt.host.config import MICRO_BATCH, TrainConfig, resnet_depth
from cpt.host.metrics import Tally
from cpt.hw.contract import PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import cifar_resnet
from cpt.model.bitops import PAPER_BATCH, PAPER_ITERATIONS, run_gbitops
from cpt.model.golden.fabric.network import Network
from cpt.model.reproduce import PAPER_CYCLES
from cpt.model.run_config import LARGEST
from cpt.model.schedule import Plan
from cpt.model.units import change, duration, gbitops, percent, precision
from cpt.progress import note
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.step_costs import WholeSteps
from cpt.table import align, paragraph

CIFAR_SIZE, CIFAR_CHANNELS, CIFAR_CLASSES, CIFAR_WIDTH = 32, 3, 10, 16
WAIT = "up to a minute each for resnet20 and two for resnet74, as many at once as there are processors"
SCOPE = (
    "simulated, whole steps by stated costs (docs/fabric.md): all but the host's look at logits, which the "
    "order of micro-batches hides"
)
"""What is in the hours."""
MOST_MHZ = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt latency``."""
    parser.add_argument(
        "--model", default="resnet74", metavar="RESNET", help="resnetD with D = 6n+2 (default: resnet74)"
    )
    parser.add_argument(
        "--preset", default="zc706", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: zc706)"
    )
    parser.add_argument("--clock-mhz", type=float, metavar="MHZ", help="of the array (default: the preset's)")
    parser.add_argument(
        "--memory", default="ps-ddr", metavar="NAME", help=f"{', '.join(MEMORY_MODELS)} (default: ps-ddr)"
    )
    parser.add_argument(
        "--fw",
        type=int,
        nargs="+",
        default=[3, 8],
        metavar="BITS",
        help="lowest and highest bits of weights and activations; one number: static (default: 3 8)",
    )
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="bits of gradients (default: 8)")
    parser.add_argument(
        "--shape", default="cosine", metavar="NAME", help="of the cycles (default: cosine; docs/schedules.md)"
    )
    for name, value, text in (
        ("batch", PAPER_BATCH, "images per iteration"),
        ("iterations", PAPER_ITERATIONS, "length of the run"),
        ("cycles", PAPER_CYCLES, "precision cycles in the run"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, metavar="N", help=f"{text} (default: {value})"
        )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help=f"images of a micro-batch (default: {MICRO_BATCH})",
    )
    parser.add_argument(
        "--layers", action="store_true", help="a row per layer and pass of a step, at both bounds"
    )
    parser.add_argument(
        "--paper",
        nargs="*",
        metavar="NETWORK",
        help="the papers' CIFAR runs of these networks (default: all) in place of one run, beside the hours "
        "that CPT's authors measured (an hour or so for all; goes on where it was stopped)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/latency"),
        metavar="DIR",
        help="with --paper: where what steps take is kept (default: runs/latency)",
    )
    parser.add_argument("--json", action="store_true", help="the result as one line")


@dataclass(frozen=True)
class Run:
    """A whole run under one plan."""

    name: str
    fw: tuple[int, int]
    bw: int
    gbitops: float
    tally: Tally

    def as_dict(self, config: ArrayConfig) -> dict[str, Any]:
        """The run as JSON has it."""
        return {
            "run": self.name,
            "fw": list(self.fw),
            "bw": self.bw,
            "gbitops": self.gbitops,
            "simulated_hours": self.tally.seconds(config) / 3600,
            "array_utilisation": self.tally.array_utilisation(config),
            "array_busy": self.tally.array_busy(),
            "bytes_read": self.tally.bytes_read,
            "bytes_written": self.tally.bytes_written,
        }


def run(arguments: argparse.Namespace) -> int:
    """Print the hours."""
    config = preset(arguments.preset, STEP)
    if arguments.clock_mhz is not None:
        check_range("clock-mhz", arguments.clock_mhz, 1, MOST_MHZ)
        config = replace(config, clock_mhz=arguments.clock_mhz)
    if arguments.paper is not None:
        return latency_paper.run(arguments, config)
    plan_config = _train_config(arguments)
    model = memory_model(arguments.memory, config.clock_mhz)
    description = cifar_resnet(
        resnet_depth(arguments.model), CIFAR_CLASSES, CIFAR_SIZE, CIFAR_CHANNELS, CIFAR_WIDTH
    )
    precisions = plan_config.fw[1] - plan_config.fw[0] + 1
    note(
        arguments,
        paragraph(f"simulating a step at up to {precisions} precision{'s' * (precisions > 1)}: {WAIT}"),
    )
    numbers = np.ones(CIFAR_CHANNELS, np.float32), np.zeros(CIFAR_CHANNELS, np.float32)
    network = Network.residual(description, *numbers)
    steps = WholeSteps(config, model, description.layers, network, plan_config)
    plans = [(name, stated, stated.plan(stated.steps)) for name, stated in _runs(plan_config)]
    steps.together({plan.bits(number) for _, stated, plan in plans for number in range(stated.steps)})
    runs = []
    for name, stated, plan in plans:
        gbitops = run_gbitops(description.layers, plan, stated.steps, arguments.batch * arguments.iterations)
        runs.append(Run(name, stated.fw, stated.bw, gbitops, _whole(plan, stated.steps, steps.tally)))
    if arguments.json:
        print(json.dumps(_result(arguments, config, runs) | (steps.rows() if arguments.layers else {})))
    else:
        print(_render(arguments, config, runs) + (f"\n{steps.table()}" if arguments.layers else ""))
    return 0


def _train_config(arguments: argparse.Namespace) -> TrainConfig:
    """The schedule asked for, checked like that of a training run."""
    if not 1 <= len(arguments.fw) <= 2:
        raise ContractError(f"fw is {' '.join(map(str, arguments.fw))}; allowed: one or two bit-widths")
    check_range("batch", arguments.batch, 1, LARGEST["batch_size"])
    check_range("iterations", arguments.iterations, 1, LONGEST)
    return TrainConfig(
        model=arguments.model,
        fw=(arguments.fw[0], arguments.fw[-1]),
        bw=arguments.bw,
        cycles=arguments.cycles,
        shape=arguments.shape,
        batch_size=arguments.batch,
        steps=arguments.iterations,
        micro_batch=arguments.micro_batch or 0,
    )


def _runs(config: TrainConfig) -> list[tuple[str, TrainConfig]]:
    """The cyclic run, if the bounds differ, and the static one."""
    static = ("static", config.static())
    return [static] if config.fw[0] == config.fw[1] else [("cpt", config), static]


def _whole(plan: Plan, iterations: int, step: Callable[[tuple[int, int]], Tally]) -> Tally:
    """Sum over a run of what each precision's ``step`` costs."""
    sums = Multiset(plan.bits(number) for number in range(iterations))
    whole = dict.fromkeys(Tally().as_dict(), 0)
    for bits, count in sums.items():
        for name, value in step(bits).as_dict().items():
            whole[name] += count * value
    return Tally(**whole)


def _result(arguments: argparse.Namespace, config: ArrayConfig, runs: list[Run]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "model": arguments.model,
        "batch": arguments.batch,
        "iterations": arguments.iterations,
        "array": config.as_dict(),
        "clock_mhz": config.clock_mhz,
        "memory_model": arguments.memory,
        "scope": SCOPE,
        "runs": [item.as_dict(config) for item in runs],
    }
    if len(runs) > 1:
        result["saving"] = _saving(runs, config)
    return result


def _saving(runs: list[Run], config: ArrayConfig) -> dict[str, float]:
    """Shares of the static run's bit operations and time that the cyclic one saves."""
    cyclic, static = runs
    return {
        "gbitops": 1 - cyclic.gbitops / static.gbitops,
        "simulated_hours": 1 - cyclic.tally.seconds(config) / static.tally.seconds(config),
    }


def _render(arguments: argparse.Namespace, config: ArrayConfig, runs: list[Run]) -> str:
    """Tables for reading."""
    rows = [("run", "precision", "GBitOPs", "simulated", "array utilisation", "array busy", "TB moved")]
    for item in runs:
        moved = item.tally.bytes_read + item.tally.bytes_written
        rows.append(
            (
                item.name,
                precision(item.fw, item.bw),
                gbitops(item.gbitops),
                duration(item.tally.seconds(config)),
                percent(item.tally.array_utilisation(config)),
                percent(item.tally.array_busy()),
                f"{moved / 1e12:.1f}",
            )
        )
    if len(runs) > 1:
        saving = _saving(runs, config)
        rows.append(
            ("difference", "", change(-saving["gbitops"]), change(-saving["simulated_hours"]), "", "", "")
        )
    machine = (
        f"{config.name} array at {config.clock_mhz:g} MHz, memory {arguments.memory}; "
        f"{arguments.iterations:,} iterations of {arguments.batch} images; {SCOPE}"
    )
    return f"{arguments.model} on CIFAR\n{paragraph(machine)}\n\n{align(rows)}"
