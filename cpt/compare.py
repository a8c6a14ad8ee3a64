"""Cycles of every list of one training step: compiled RTL beside the fast model."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cpt.data import BY_NAME, DIGITS, load_raw
from cpt.host.config import MICRO_BATCH, TrainConfig
from cpt.host.data import Dataset
from cpt.host.trainer import Trainer
from cpt.hw.contract import PRESETS, ArrayConfig, preset
from cpt.hw.contract.config import STEP
from cpt.measured import print_measured
from cpt.model.golden.fabric.network import Network
from cpt.model.units import percent
from cpt.options import TRAINING, add_options
from cpt.progress import note
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.sim.step import TOLERANCE
from cpt.table import align, paragraph
from cpt.trainers import of_device

if TYPE_CHECKING:
    from cpt.host.fabric import FabricTrainer

DISAGREEMENT = 1
MEMORY_BYTES = 1 << 24
"""Of the simulated memory of whole steps."""
_NETWORK = ("model", "width", "batch_size", "seed")


@dataclass(frozen=True)
class Row:
    """One list of instructions on both machines."""

    program: str
    """Its name."""
    rtl_cycles: int
    model_cycles: int
    busy_cycles: int
    """Of the array, in the model."""

    @property
    def error(self) -> float:
        """Relative difference of the total cycles, fast model against RTL."""
        return (self.model_cycles - self.rtl_cycles) / self.rtl_cycles

    @property
    def agrees(self) -> bool:
        """Whether total cycles are within the tolerance."""
        return abs(self.error) <= TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return {
            "program": self.program,
            "rtl_cycles": self.rtl_cycles,
            "model_cycles": self.model_cycles,
            "error": self.error,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt compare``."""
    parser.add_argument(
        "--preset", default="tiny", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: tiny)"
    )
    parser.add_argument(
        "--memory", default="ps-ddr", metavar="NAME", help=f"{', '.join(MEMORY_MODELS)} (default: ps-ddr)"
    )
    parser.add_argument(
        "--bits",
        type=int,
        nargs=2,
        default=(8, 8),
        metavar=("FW", "BW"),
        help="bits of weights and activations, and of gradients (default: 8 8)",
    )
    parser.add_argument(
        "--data",
        default=DIGITS,
        metavar="NAME",
        help=f"{', '.join(BY_NAME)}, or an .npz of pixels and labels",
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help=f"images of a micro-batch (default: {MICRO_BATCH}, or all)",
    )
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help="times measured on a board beside simulated ones",
    )
    add_options(parser, [option for option in TRAINING if option.field in _NETWORK])
    parser.add_argument("--json", action="store_true", help="the rows as one line on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Print a row per program; exit status 1 if any disagrees."""
    if arguments.measured:
        return print_measured(arguments.measured, arguments.memory, arguments.json)
    array = preset(arguments.preset, STEP)
    memory_model(arguments.memory, array.clock_mhz)
    fw, bw = arguments.bits
    network = {name: getattr(arguments, name) for name in _NETWORK}
    size = arguments.micro_batch or 0
    config = TrainConfig(fw=(fw, fw), bw=bw, steps=1, micro_batch=size, **network)
    data = load_raw(arguments.data)
    note(
        arguments,
        paragraph(
            f"one step on compiled RTL, then on the fast model: preset {arguments.preset} is compiled first "
            "where it has not been (a minute for tiny, many for zc706); the step takes about a minute for 4 "
            "images"
        ),
    )
    with contextlib.redirect_stdout(sys.stderr):
        rows = compare(config, data, arguments.preset, arguments.memory)
    if arguments.json:
        print(json.dumps([row.as_dict() for row in rows]))
    else:
        print(render(rows, config, array, arguments.memory))
    return 0 if all(row.agrees for row in rows) else DISAGREEMENT


def compare(config: TrainConfig, data: Dataset, preset_name: str, memory: str) -> list[Row]:
    """The first training step; a row for each list that it runs.

    Memory of the RTL is compared with the exact model's meanwhile: raises `cpt.sim.step.beside.StepsDiffer`.
    """
    from cpt.sim.step.forecast import Forecast
    from cpt.sim.step.observed import Observed

    array = preset(preset_name, STEP)
    timing = memory_model(memory, array.clock_mhz)
    forecasts: list[Forecast] = []

    def clock(network: Network, settled: TrainConfig) -> Forecast:
        forecasts.append(Forecast(array, timing, network, settled))
        return forecasts[-1]

    with Observed(array, memory_bytes=MEMORY_BYTES, memory=memory) as device:
        trainer = Trainer(config, data, array, of_device(device, array), clock)
        lists = cast("FabricTrainer", trainer.machine).lists
        device.seen(lists)
        trainer.train_step(next(trainer.epoch_batches()))
        model = {name: counters for name, _, counters in forecasts[0].lists(trainer.bits())}
        return [
            Row(seen.name, seen.cycles, model[seen.name].total, model[seen.name].exec_busy)
            for seen in device.seen(lists)
        ]


def render(rows: list[Row], config: TrainConfig, array: ArrayConfig, memory: str) -> str:
    """The rows as a table, with their sum and the worst of them."""
    table = [("program", "RTL cycles", "fast model", "error", "array busy")]
    names = ("rtl_cycles", "model_cycles", "busy_cycles")
    whole = Row("all", *(sum(getattr(row, name) for row in rows) for name in names))
    for row in (*rows, whole):
        busy = percent(row.busy_cycles / row.model_cycles)
        cycles = f"{row.rtl_cycles:,}", f"{row.model_cycles:,}"
        table.append((row.program, *cycles, f"{100 * row.error:+.3f} %", busy))
    worst = max(rows, key=lambda row: abs(row.error))
    failed = sum(not row.agrees for row in rows)
    title = (
        f"{config.model}, one step of {config.batch_size} images at FW{config.fw[1]}/BW{config.bw}: "
        f"{array.name} array at {array.clock_mhz:g} MHz, memory {memory}"
    )
    end = (
        f"worst: {100 * worst.error:+.3f} % in {worst.program} (allowed: {100 * TOLERANCE:g} %); "
        f"{len(rows) - failed} of {len(rows)} programs agree"
    )
    return f"{paragraph(title)}\n\n{align(table)}\n{paragraph(end)}"
