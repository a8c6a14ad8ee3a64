"""Cycles of every program of one training step: compiled RTL beside the fast model."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.check import TOLERANCE
from cpt.data import DIGITS, load_dataset
from cpt.devices import open_accelerator
from cpt.host.config import TrainConfig
from cpt.host.data import Dataset
from cpt.host.engine import GemmRun
from cpt.host.trainer import Trainer
from cpt.hw.contract import PRESETS, ContractError, preset
from cpt.measured import print_measured
from cpt.model.units import percent
from cpt.options import TRAINING, add_options
from cpt.progress import note
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.table import align, paragraph

DISAGREEMENT = 1
_NETWORK = ("model", "width", "batch_size", "seed")


@dataclass(frozen=True)
class Row:
    """One program on both machines."""

    program: str
    """What it is for, its shape ``MxNxK`` and its bits."""
    rtl: GemmRun
    model: GemmRun

    @property
    def error(self) -> float:
        """Relative difference of the total cycles, fast model against RTL."""
        rtl = self.rtl.counters.total
        return (self.model.counters.total - rtl) / rtl

    @property
    def agrees(self) -> bool:
        """Whether total cycles are within the tolerance and what no timing changes is the same."""
        rtl, model = self.rtl.counters, self.model.counters
        exact = all(
            getattr(rtl, name) == getattr(model, name)
            for name in ("exec_busy", "bytes_read", "bytes_written")
        )
        return exact and abs(self.error) <= TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return {
            "program": self.program,
            "rtl_cycles": self.rtl.counters.total,
            "model_cycles": self.model.counters.total,
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
        "--data", default=DIGITS, metavar="NAME", help=f"{DIGITS}, or an .npz of pixels and labels"
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
    memory_model(arguments.memory, preset(arguments.preset).clock_mhz)
    fw, bw = arguments.bits
    network = {name: getattr(arguments, name) for name in _NETWORK}
    config = TrainConfig(fw=(fw, fw), bw=bw, steps=1, **network)
    data = load_dataset(arguments.data)
    note(
        arguments,
        paragraph(
            f"one step on compiled RTL, then on the fast model: preset {arguments.preset} is compiled first "
            "where it has not been (a minute for tiny, many for zc706); the step takes about 3 minutes"
        ),
    )
    with contextlib.redirect_stdout(sys.stderr):
        rows = compare(config, data, arguments.preset, arguments.memory)
    if arguments.json:
        print(json.dumps([row.as_dict() for row in rows]))
    else:
        print(render(rows, config, arguments.preset, arguments.memory))
    return 0 if all(row.agrees for row in rows) else DISAGREEMENT


def compare(config: TrainConfig, data: Dataset, preset_name: str, memory: str) -> list[Row]:
    """Run the first training step on both machines; a row for each of its programs, in their order.

    Raises `ContractError` if the machines did not run the same programs.
    """
    rtl, model = (_step(config, data, device, preset_name, memory) for device in ("rtl", "fast"))
    if [item.label for item in rtl] != [item.label for item in model]:
        raise ContractError(f"rtl ran {len(rtl)} programs, the model {len(model)}; allowed: the same ones")
    return [Row(_name(left), left, right) for left, right in zip(rtl, model, strict=True)]


def _step(config: TrainConfig, data: Dataset, device: str, preset_name: str, memory: str) -> list[GemmRun]:
    """The products of one training step on one machine."""
    runs: list[GemmRun] = []
    with open_accelerator(device, preset_name, memory) as accelerator:
        trainer = Trainer(config, data, accelerator)
        trainer.engine.listeners.append(runs.append)
        trainer.train_step(trainer.epoch_batches()[0])
    return runs


def _name(item: GemmRun) -> str:
    shape = item.shape
    return f"{item.label} {shape.m}x{shape.n}x{shape.k} {item.bits_a}x{item.bits_b}"


def render(rows: list[Row], config: TrainConfig, preset_name: str, memory: str) -> str:
    """The rows as a table, with their sum and the worst of them."""
    table = [("program", "RTL cycles", "fast model", "error", "array busy")]
    for row in rows:
        rtl, model = row.rtl.counters, row.model.counters
        busy = percent(rtl.exec_busy / rtl.total)
        table.append((row.program, f"{rtl.total:,}", f"{model.total:,}", f"{100 * row.error:+.3f} %", busy))
    rtl_total = sum(row.rtl.counters.total for row in rows)
    model_total = sum(row.model.counters.total for row in rows)
    busy_total = sum(row.rtl.counters.exec_busy for row in rows)
    table.append(
        (
            "all",
            f"{rtl_total:,}",
            f"{model_total:,}",
            f"{100 * (model_total - rtl_total) / rtl_total:+.3f} %",
            percent(busy_total / rtl_total),
        )
    )
    worst = max(rows, key=lambda row: abs(row.error))
    failed = sum(not row.agrees for row in rows)
    title = (
        f"{config.model}, one step of {config.batch_size} images at FW{config.fw[1]}/BW{config.bw}: "
        f"{preset_name} array at {preset(preset_name).clock_mhz:g} MHz, memory {memory}"
    )
    end = (
        f"worst: {100 * worst.error:+.3f} % in {worst.program} (allowed: {100 * TOLERANCE:g} %); "
        f"{len(rows) - failed} of {len(rows)} programs agree"
    )
    return f"{paragraph(title)}\n\n{align(table)}\n{paragraph(end)}"
