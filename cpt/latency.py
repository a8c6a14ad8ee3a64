"""Simulated hours of a full CIFAR training run, with cyclic and with static precision."""

from __future__ import annotations

import argparse
import json
from collections import Counter as Multiset
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, cast

import numpy as np

from cpt.command_line import LONGEST, check_range
from cpt.host.config import TrainConfig
from cpt.host.engine import GemmEngine
from cpt.host.metrics import Tally
from cpt.host.network import ResNet, resnet_depth
from cpt.host.step_trainer import MICRO_BATCH, settled
from cpt.hw.contract import PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import MATRIX, STEP
from cpt.model.architecture import cifar_resnet
from cpt.model.bitops import PAPER_BATCH, PAPER_ITERATIONS, counted_macs, run_gbitops
from cpt.model.golden.fabric.codes import image_bits
from cpt.model.golden.fabric.network import Network
from cpt.model.run_config import LARGEST
from cpt.model.schedule import Plan
from cpt.model.units import change, duration, gbitops, percent, precision
from cpt.progress import note
from cpt.sim.fast.forecast import Forecast, ShapeRecorder, total
from cpt.sim.memory import MEMORY_MODELS, MemoryModel, memory_model
from cpt.sim.step.by_layer import ARRAY, D_W, D_X
from cpt.sim.step.forecast import Forecast as StepForecast
from cpt.table import align, paragraph

CIFAR_SIZE, CIFAR_CHANNELS, CIFAR_CLASSES, CIFAR_WIDTH = 32, 3, 10, 16
PAPER_CYCLES = 32
WAIT = {
    MATRIX: "seconds each for resnet20, about half a minute for resnet74",
    STEP: "up to a minute each for resnet20, several for resnet74",
}
SCOPE = {
    MATRIX: "simulated, accelerator cycles only: im2col, packing, batch norm and everything else on the host "
    "is not in it",
    STEP: "simulated, whole steps by stated costs (docs/fabric.md): all but the host's look at logits, which "
    "the order of micro-batches hides",
}
"""What is in the hours, by the machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt latency``."""
    parser.add_argument(
        "--model", default="resnet74", metavar="RESNET", help="resnetD with D = 6n+2 (default: resnet74)"
    )
    parser.add_argument(
        "--preset", default="zc706", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: zc706)"
    )
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
    for name, value, text in (
        ("batch", PAPER_BATCH, "images per iteration"),
        ("iterations", PAPER_ITERATIONS, "length of the run"),
        ("cycles", PAPER_CYCLES, "precision cycles in the run"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, metavar="N", help=f"{text} (default: {value})"
        )
    parser.add_argument(
        "--machine",
        default=MATRIX,
        metavar="NAME",
        help=f"{MATRIX}: products alone; {STEP}: whole training steps (default: {MATRIX})",
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help=f"images of a micro-batch, machine {STEP} (default: {MICRO_BATCH})",
    )
    parser.add_argument(
        "--layers",
        action="store_true",
        help=f"a row per product of a static step; machine {STEP}: per layer and pass, at both bounds",
    )
    parser.add_argument("--json", action="store_true", help="the result as one line")


@dataclass(frozen=True)
class Part:
    """A part of a step: a product, or a list of instructions; ``tally`` is of all ``count`` of it."""

    name: str
    bits: tuple[int, int]
    count: int
    tally: Tally


@dataclass(frozen=True)
class LayerPass:
    """A pass of a layer in a whole step."""

    layer: str
    which: str
    fw: int
    bw: int
    cycles: int
    bytes: int
    utilisation: float
    """Useful binary multiply-accumulates over what the array could have done in these cycles, or in those in
    which it worked, if they are more."""
    bound: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        row = asdict(self)
        return {"layer": row.pop("layer"), "pass": row.pop("which"), **row}


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
    config = preset(arguments.preset, arguments.machine)
    if arguments.machine != STEP and arguments.micro_batch is not None:
        raise ContractError(f"--micro-batch is given for machine {arguments.machine!r}; allowed: {STEP}")
    plan_config = _train_config(arguments)
    model = memory_model(arguments.memory, config.clock_mhz)
    description = cifar_resnet(
        resnet_depth(arguments.model), CIFAR_CLASSES, CIFAR_SIZE, CIFAR_CHANNELS, CIFAR_WIDTH
    )
    precisions = plan_config.fw[1] - plan_config.fw[0] + 1
    note(
        arguments,
        paragraph(
            f"simulating a step at up to {precisions} precision{'s' * (precisions > 1)}: "
            f"{WAIT[arguments.machine]}"
        ),
    )
    make = _WholeSteps if arguments.machine == STEP else _Products
    forecast = make(config, model, description, plan_config)
    runs = []
    for name, stated in _runs(plan_config):
        plan = stated.plan(stated.steps)
        gbitops = run_gbitops(description.layers, plan, stated.steps, arguments.batch * arguments.iterations)
        runs.append(Run(name, stated.fw, stated.bw, gbitops, _whole(plan, stated.steps, forecast.tally)))
    layers: list[LayerPass] = []
    if arguments.layers and isinstance(forecast, _WholeSteps):
        for fw in sorted(set(plan_config.fw)):
            layers += forecast.layers((fw, plan_config.bw))
    static = forecast.rows((plan_config.fw[1], plan_config.bw))
    result = _result(arguments, config, runs, static, layers)
    print(json.dumps(result) if arguments.json else _render(arguments, config, runs, static, layers))
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
        batch_size=arguments.batch,
        steps=arguments.iterations,
        micro_batch=arguments.micro_batch or 0,
    )


def _runs(config: TrainConfig) -> list[tuple[str, TrainConfig]]:
    """The cyclic run, if the bounds differ, and the static one."""
    static = ("static", config.static())
    return [static] if config.fw[0] == config.fw[1] else [("cpt", config), static]


class _Products:
    """Steps of the machine that multiplies."""

    def __init__(self, config: ArrayConfig, model: MemoryModel, description: Any, plan: TrainConfig) -> None:
        recorder = ShapeRecorder()
        shape = (plan.batch_size, CIFAR_SIZE, CIFAR_SIZE, CIFAR_CHANNELS)
        ResNet(description).plan(shape, cast(GemmEngine, recorder))
        self._forecast = Forecast(config, model, recorder.shapes, plan.fw[1], plan.bw)
        self._step = cache(lambda bits: self._forecast.step(*bits))

    def tally(self, bits: tuple[int, int]) -> Tally:
        """What a step takes."""
        return total(self._step(bits))

    def rows(self, bits: tuple[int, int]) -> list[Part]:
        """Its products."""
        return [
            Part(item.shape.name, (item.bits_a, item.bits_b), item.count, item.tally)
            for item in self._step(bits)
        ]


class _WholeSteps:
    """Steps of the machine that does them whole."""

    def __init__(self, config: ArrayConfig, model: MemoryModel, description: Any, plan: TrainConfig) -> None:
        factor, offset = np.ones(CIFAR_CHANNELS, np.float32), np.zeros(CIFAR_CHANNELS, np.float32)
        network = Network.residual(description, factor, offset)
        settled_plan = settled(plan)
        self._config, self._batch = config, plan.batch_size
        self._convolutions = {layer.shape.name: layer.shape for layer in network.layers}
        self._macs = counted_macs(description.layers) * plan.batch_size
        self._forecast = StepForecast(config, model, network, settled_plan)

    def tally(self, bits: tuple[int, int]) -> Tally:
        """What a step takes."""
        fw, bw = bits
        found = Tally()
        found.add_counters(self._forecast.trained(bits), self._macs * (fw * fw + 2 * fw * bw))
        return found

    def rows(self, bits: tuple[int, int]) -> list[Part]:
        """Its lists of instructions."""
        parts = []
        for name, count, counters in self._forecast.lists(bits):
            tally = Tally()
            tally.add_counters(counters.times(count), 0)
            parts.append(Part(name, bits, count, tally))
        return parts

    def layers(self, bits: tuple[int, int]) -> list[LayerPass]:
        """Every pass of every layer; what is no layer's by the name of its list."""
        rows = []
        for name, count, part in self._forecast.parts(bits):
            cycles = count * part.cycles
            useful = self._useful(part.layer, part.which, bits)
            # What overlaps with the pass before it is not in its cycles.
            most = self._config.binary_macs * max(cycles, count * part.busy[ARRAY], 1)
            layer, which = part.layer or name, part.which or ("" if part.layer else "all")
            rows.append(LayerPass(layer, which, *bits, cycles, count * part.bytes, useful / most, part.bound))
        return rows

    def _useful(self, layer: str, which: str, bits: tuple[int, int]) -> int:
        """Binary multiply-accumulates of a pass of a step."""
        if not layer:
            return 0
        fw, bw = bits
        of_input = image_bits(fw) if layer == next(iter(self._convolutions)) else fw
        pairs = {D_X: fw * bw, D_W: of_input * bw}.get(which, fw * of_input)
        return self._convolutions[layer].macs * self._batch * pairs


def _whole(plan: Plan, iterations: int, step: Callable[[tuple[int, int]], Tally]) -> Tally:
    """Sum over a run of what each precision's ``step`` costs."""
    sums = Multiset(plan.bits(number) for number in range(iterations))
    whole = dict.fromkeys(Tally().as_dict(), 0)
    for bits, count in sums.items():
        for name, value in step(bits).as_dict().items():
            whole[name] += count * value
    return Tally(**whole)


def _result(
    arguments: argparse.Namespace,
    config: ArrayConfig,
    runs: list[Run],
    static: list[Part],
    layers: list[LayerPass],
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "model": arguments.model,
        "batch": arguments.batch,
        "iterations": arguments.iterations,
        "array": config.as_dict(),
        "clock_mhz": config.clock_mhz,
        "memory_model": arguments.memory,
        "scope": SCOPE[arguments.machine],
        "runs": [item.as_dict(config) for item in runs],
    }
    if len(runs) > 1:
        result["saving"] = _saving(runs, config)
    if layers:
        result["layers"] = [item.as_dict() for item in layers]
    elif arguments.layers:
        result["products"] = [
            {"product": item.name, "bits": list(item.bits), **item.tally.as_dict()} for item in static
        ]
    return result


def _saving(runs: list[Run], config: ArrayConfig) -> dict[str, float]:
    """Shares of the static run's bit operations and time that the cyclic one saves."""
    cyclic, static = runs
    return {
        "gbitops": 1 - cyclic.gbitops / static.gbitops,
        "simulated_hours": 1 - cyclic.tally.seconds(config) / static.tally.seconds(config),
    }


def _render(
    arguments: argparse.Namespace,
    config: ArrayConfig,
    runs: list[Run],
    static: list[Part],
    layers: list[LayerPass],
) -> str:
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
        f"{arguments.iterations:,} iterations of {arguments.batch} images; {SCOPE[arguments.machine]}"
    )
    text = f"{arguments.model} on CIFAR\n{paragraph(machine)}\n\n{align(rows)}"
    if layers:
        return f"{text}\n{_pass_table(layers)}"
    return text + ("\n" + _product_table(static) if arguments.layers else "")


def _pass_table(layers: list[LayerPass]) -> str:
    """Passes of layers in the order of a step, one precision after the other."""
    rows = [("layer", "pass", "bits", "cycles", "MB", "array used", "bound by")]
    for bits in dict.fromkeys((item.fw, item.bw) for item in layers):
        some = [item for item in layers if (item.fw, item.bw) == bits]
        for item in some:
            rows.append(
                (
                    item.layer,
                    item.which,
                    f"{item.fw}x{item.bw}",
                    f"{item.cycles:,}",
                    f"{item.bytes / 1e6:.1f}",
                    percent(item.utilisation),
                    item.bound,
                )
            )
    return align(rows)


def _product_table(static: list[Part]) -> str:
    """Where the cycles of a static step go."""
    whole = sum(item.tally.total_cycles for item in static)
    rows = [("product", "bits", "in a step", "cycles each", "of the step", "array busy")]
    for item in sorted(static, key=lambda item: -item.tally.total_cycles):
        tally = item.tally
        rows.append(
            (
                item.name,
                "x".join(map(str, item.bits)),
                str(item.count),
                f"{tally.total_cycles // item.count:,}",
                percent(tally.total_cycles / whole),
                percent(tally.array_busy()),
            )
        )
    return align(rows)
