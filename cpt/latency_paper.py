"""Simulated hours of the papers' CIFAR runs, beside those that CPT's authors measured.

What a step takes at a precision is kept in a file, so that a command that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter as Multiset
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from cpt.host.config import MICRO_BATCH, TrainConfig
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.kept import Kept, software_key
from cpt.model.architecture import cifar_resnet, mobilenet_v2
from cpt.model.architecture.layers import Layer
from cpt.model.bitops import PAPER_BATCH, PAPER_ITERATIONS, run_gbitops
from cpt.model.golden.fabric.network import Network
from cpt.model.published import HOURS
from cpt.model.reproduce import paper_plan
from cpt.model.units import change, precision
from cpt.progress import note
from cpt.sim.memory import memory_model
from cpt.sim.step.by_layer import ARRAY, CHANNEL, MEMORY, VECTOR
from cpt.step_costs import WholeSteps
from cpt.table import align, paragraph

CHANNELS, CLASSES = 3, 10
_OF_RESNETS = "ResNet-74"
"""Whose precisions other ResNets have too."""
NETWORKS = (*(f"ResNet-{depth}" for depth in (20, 38, 74, 110, 152, 164)), "MobileNetV2")
"""Networks of CPT's Table 2, and ResNets of LDP's Table 3 and of He et al. 2016."""
BUSY = {ARRAY: "hours_array", MEMORY: "hours_memory", VECTOR: "hours_vector", CHANNEL: "hours_channel"}


@dataclass(frozen=True)
class Row:
    """A run."""

    model: str
    fw: tuple[int, ...]
    bw: int
    memory: str
    clock_mhz: float
    micro_batch: int
    gbitops: float
    hours: float
    """Simulated; those of array, memory, lanes and float engine, in which each is busy, overlap."""
    hours_array: float
    hours_memory: float
    hours_vector: float
    hours_channel: float
    saving: float | None
    """Of the static run's hours at the same upper bound; None for that one."""
    saving_bits: float | None
    published_hours: float | None


def precisions(network: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """``fw`` and ``bw`` of a network's static and cyclic runs, a static one first."""
    name = network if any(key[0] == network for key in HOURS) else _OF_RESNETS
    return [(fw, bw) for model, fw, bw in HOURS if model == name]


def described(network: str) -> tuple[tuple[Layer, ...], Network]:
    """Layers of one of `NETWORKS`, and what trains."""
    numbers = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
    if network == "MobileNetV2":
        layers = mobilenet_v2(CLASSES)
        return layers, Network.mobilenet(layers, *numbers)
    resnet = cifar_resnet(int(network.removeprefix("ResNet-")), CLASSES)
    return tuple(resnet.layers), Network.residual(resnet, *numbers)


def run(arguments: argparse.Namespace, config: ArrayConfig) -> int:
    """Print the rows of all networks, or of those that were asked for."""
    names = {_option(network): network for network in NETWORKS}
    for name in arguments.paper:
        if name not in names:
            raise ContractError(f"network is {name!r}; allowed: {', '.join(names)}")
    kept = Kept(arguments.out, software_key(config.as_dict(), arguments.memory, arguments.micro_batch))
    rows: list[Row] = []
    for name in arguments.paper or names:
        rows += _rows(arguments, config, names[name], kept)
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    else:
        print(_render(arguments, config, rows))
    return 0


def _option(network: str) -> str:
    """What a network is called on the command line."""
    return network.lower().replace("-", "")


def _rows(arguments: argparse.Namespace, config: ArrayConfig, network: str, kept: Kept) -> Iterator[Row]:
    """Rows of one network; steps that nobody knows yet are simulated."""
    layers, trained = described(network)
    static: dict[tuple[int, tuple[int, ...]], Row] = {}
    micro_batch, steps = 0, None
    for fw, bw in precisions(network):
        plan = paper_plan(fw, bw)
        sums = Multiset(plan.bits(number) for number in range(PAPER_ITERATIONS))
        whole: Multiset[str] = Multiset()
        for bits, count in sums.items():
            name = f"{_option(network)} {bits[0]} x {bits[1]}"
            if name not in kept.found:
                if steps is None:
                    micro_batch, steps = _steps(arguments, config, layers, trained)
                steps.together([bits])
                taken = {**steps.busy(bits), "cycles": steps.tally(bits).total_cycles}
                kept.add(name, {**taken, "micro_batch": micro_batch})
                milliseconds = taken["cycles"] / config.clock_mhz / 1e3
                note(arguments, f"{name} bits: a step takes {milliseconds:.1f} ms")
            micro_batch = kept.found[name]["micro_batch"]
            for part, cycles in kept.found[name].items():
                whole[part] += count * cycles
        gbitops = run_gbitops(layers, plan, PAPER_ITERATIONS)
        hours = {part: cycles / (config.clock_mhz * 1e6) / 3600 for part, cycles in whole.items()}
        other = static.get((fw[-1], bw)) if len(fw) > 1 else None
        row = Row(
            _option(network),
            fw,
            bw[0],
            arguments.memory,
            config.clock_mhz,
            micro_batch,
            gbitops,
            hours["cycles"],
            **{name: hours.get(part, 0.0) for part, name in BUSY.items()},
            saving=1 - hours["cycles"] / other.hours if other else None,
            saving_bits=1 - gbitops / other.gbitops if other else None,
            published_hours=HOURS.get((network, fw, bw)),
        )
        if len(fw) == 1:
            static[fw[0], bw] = row
        yield row


def _steps(
    arguments: argparse.Namespace, config: ArrayConfig, layers: tuple[Layer, ...], network: Network
) -> tuple[int, WholeSteps]:
    """Steps in the largest micro-batches that the machine takes, or in those that were asked for."""
    model = memory_model(arguments.memory, config.clock_mhz)
    sizes = [arguments.micro_batch] if arguments.micro_batch else [MICRO_BATCH, 8, 4, 2, 1]
    for size in sizes:
        plan = TrainConfig(fw=(3, 8), bw=8, batch_size=PAPER_BATCH, micro_batch=size)
        try:
            return size, WholeSteps(config, model, layers, network, plan)
        except ContractError as error:
            failed = error
    raise failed


def _render(arguments: argparse.Namespace, config: ArrayConfig, rows: list[Row]) -> str:
    """A table, and what it stands on."""
    shown: list[tuple[str, ...]] = [
        ("network", "precision", "hours", "array", "memory", "lanes", "saved", "bits saved", "CPT")
    ]
    for row in rows:
        shown.append(
            (
                row.model,
                precision((row.fw[0], row.fw[-1]), row.bw),
                f"{row.hours:.2f}",
                *(f"{getattr(row, name):.2f}" for name in ("hours_array", "hours_memory", "hours_vector")),
                "" if row.saving is None else change(-row.saving),
                "" if row.saving_bits is None else change(-row.saving_bits),
                "" if row.published_hours is None else f"{row.published_hours:.1f}",
            )
        )
    sizes = sorted({row.micro_batch for row in rows}, reverse=True)
    assumed = (
        f"Simulated: {config.name} array at {config.clock_mhz:g} MHz, memory {arguments.memory}; "
        f"{PAPER_ITERATIONS:,} iterations of {PAPER_BATCH} images of 32 x 32, {CLASSES} classes, in "
        f"micro-batches of {' or '.join(map(str, sizes))}, with batch norm by micro-batch; whole steps, "
        "update and codes of weights included, without the host's turn, which the order of micro-batches "
        "hides. Hours of array, memory and lanes are those in which each is busy; they overlap. Last column: "
        "hours that CPT's authors measured on a ZC706."
    )
    return f"{align(shown)}\n\n{paragraph(assumed)}"
