"""Measured times of a board beside simulated ones: ``cpt compare --measured FILE``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cpt.host.config import TrainConfig, resnet_depth, settled
from cpt.host.errors import HostError
from cpt.host.measure import FORMAT
from cpt.hw.contract import CONTRACT_HASH, ArrayConfig, ContractError
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.model.json_files import read_object
from cpt.sim.memory import MemoryModel, memory_model
from cpt.table import align, paragraph

_NUMBERS = {"epoch": 0, "fw": 1, "bw": 1, "steps": 1, "cycles": 1, "wall_seconds": 0, "host_seconds": 0}
"""Fields of a row that are read, and the least each may be."""
_SECONDS = ("wall_seconds", "host_seconds")
_LARGEST = 65_536
"""Of an image's sides and of classes."""


@dataclass(frozen=True)
class Report:
    """A file of measured times, checked."""

    array: ArrayConfig
    config: TrainConfig
    image_shape: tuple[int, int, int]
    classes: int
    epochs: list[dict[str, Any]]


@dataclass(frozen=True)
class MeasuredRow:
    """One epoch at one precision on the board and in simulation."""

    epoch: int
    fw: int
    bw: int
    steps: int
    step_seconds: float
    """Whole steps by the wall clock: what a person waits for."""
    wall_seconds: float
    """The programs among it, doorbell to done."""
    measured_cycles: int
    simulated_cycles: int
    clock_mhz: float

    @property
    def accelerator_seconds(self) -> float:
        """Cycles that the hardware counted, at its clock."""
        return self.measured_cycles / (self.clock_mhz * 1e6)

    @property
    def simulated_seconds(self) -> float:
        """Simulated cycles at the same clock."""
        return self.simulated_cycles / (self.clock_mhz * 1e6)

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return {
            "epoch": self.epoch,
            "fw": self.fw,
            "bw": self.bw,
            "steps": self.steps,
            "step_seconds": self.step_seconds,
            "wall_seconds": self.wall_seconds,
            "accelerator_seconds": self.accelerator_seconds,
            "simulated_seconds": self.simulated_seconds,
            "measured_cycles": self.measured_cycles,
            "simulated_cycles": self.simulated_cycles,
            "cycle_ratio": self.measured_cycles / self.simulated_cycles,
        }


def load_report(path: Path) -> Report:
    """Read a file in the format of docs/results-template.md; `HostError` names what is wrong in one line."""
    try:
        values = read_object(path)
    except ValueError as error:
        raise HostError(f"{error}; allowed: a file of measured times") from None
    if values.get("format") != FORMAT:
        raise HostError(f"format of {path} is {values.get('format')!r}; allowed: {FORMAT!r}")
    if values.get("contract_hash") != f"{CONTRACT_HASH:016x}":
        raise HostError(
            f"{path} was measured with contract {values.get('contract_hash')}; allowed: "
            f"{CONTRACT_HASH:016x}, the one simulated here"
        )
    try:
        return report_of(values)
    except ContractError as error:
        raise HostError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise HostError(f"{path} lacks or misspells {error}; allowed: the fields of {FORMAT}") from None


def report_of(values: dict[str, Any]) -> Report:
    """Fields of a file of measured times, checked; what is wrong raises `ContractError` or `ValueError`."""
    config: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in values["config"].items()
    }
    height, width, channels = (_natural(side, "image_shape") for side in values["image_shape"])
    return Report(
        ArrayConfig(**values["array"]),
        TrainConfig(**config),
        (height, width, channels),
        _natural(values["classes"], "classes"),
        [_checked(row) for row in values["epochs"]],
    )


def _natural(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST:
        raise ContractError(f"{name} is {value!r}; allowed: 1..{_LARGEST}")
    return value


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    for name, least in _NUMBERS.items():
        value = row[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not least <= value < 1 << 63 or (name not in _SECONDS and value != int(value)):
            raise ContractError(f"{name} of an epoch is {value!r}; allowed: a number of at least {least}")
    return row


def compare_measured(report: Report, memory: str) -> list[MeasuredRow]:
    """A row per epoch and precision; ``memory`` names the memory model that stands for the board's DRAM."""
    array = report.array
    timing = memory_model(memory, array.clock_mhz)
    step_cycles = cache(_step_cycles(report, timing))
    rows = []
    for row in report.epochs:
        bits = (row["fw"], row["bw"])
        rows.append(
            MeasuredRow(
                row["epoch"],
                *bits,
                row["steps"],
                float(row["wall_seconds"] + row["host_seconds"]),
                float(row["wall_seconds"]),
                row["cycles"],
                row["steps"] * step_cycles(*bits),
                array.clock_mhz,
            )
        )
    return rows


def _step_cycles(report: Report, timing: MemoryModel) -> Callable[[int, int], int]:
    """Cycles of a step by its bits (fw, bw)."""
    from cpt.sim.step.forecast import Forecast

    config = report.config
    height, width, channels = report.image_shape
    described = cifar_resnet(
        resnet_depth(config.model), report.classes, (height, width), channels, config.width
    )
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    network = Network.residual(described, ones, zeros, config.seed)  # cycles know no numbers
    forecast = Forecast(report.array, timing, network, settled(config))
    return lambda fw, bw: forecast.trained((fw, bw)).total


def print_measured(path: Path, memory: str, as_json: bool) -> int:
    """Print the rows of the file at ``path``; the exit status."""
    report = load_report(path)
    rows = compare_measured(report, memory)
    print(json.dumps([row.as_dict() for row in rows]) if as_json else render(report, rows, memory))
    return 0


def whole(rows: list[MeasuredRow]) -> MeasuredRow:
    """The sum of ``rows``, which stand for at least one epoch."""
    return MeasuredRow(
        0,
        0,
        0,
        sum(row.steps for row in rows),
        sum(row.step_seconds for row in rows),
        sum(row.wall_seconds for row in rows),
        sum(row.measured_cycles for row in rows),
        sum(row.simulated_cycles for row in rows),
        rows[0].clock_mhz,
    )


def render(report: Report, rows: list[MeasuredRow], memory: str) -> str:
    """The rows as a table, with their sum; all times are seconds per step."""
    table = [("epoch", "precision", "steps", "whole step", "accelerator", "simulated", "cycle ratio")]
    for row in rows:
        table.append((str(row.epoch + 1), f"FW{row.fw}/BW{row.bw}", str(row.steps), *_times(row)))
    if rows:
        table.append(("all", "", str(whole(rows).steps), *_times(whole(rows))))
    title = (
        f"{report.config.model}, {report.config.batch_size} images per step: {report.array.name} array at "
        f"{report.array.clock_mhz:g} MHz, simulated with memory {memory}"
    )
    about = (
        "Per step: the whole by the wall clock; the accelerator by its own cycle counter; the same cycles "
        "simulated. The ratio is of counted to simulated cycles."
    )
    waited = sum(row.wall_seconds - row.accelerator_seconds for row in rows)
    overhead = (
        f"Starting programs and noticing their end took {waited:.3f} s beside the accelerator's own time."
    )
    return f"{paragraph(title)}\n{paragraph(about)}\n\n{align(table)}{paragraph(overhead)}"


def _times(row: MeasuredRow) -> tuple[str, str, str, str]:
    return (
        f"{row.step_seconds / row.steps:.4g} s",
        f"{row.accelerator_seconds / row.steps:.4g} s",
        f"{row.simulated_seconds / row.steps:.4g} s",
        f"{row.measured_cycles / row.simulated_cycles:.3f}",
    )


def as_summary(measured: dict[str, Any], memory: str) -> dict[str, Any]:
    """What a run's `Measurement` says per step: the whole, the accelerator's part, and that simulated.

    Without Amaranth, as on a board, nothing is simulated: ``cpt compare --measured`` does it elsewhere.
    """
    report = report_of(measured)
    if not report.epochs:
        return {}
    steps = sum(row["steps"] for row in report.epochs)
    cycles = sum(row["cycles"] for row in report.epochs)
    means = {
        "step_seconds": sum(row["wall_seconds"] + row["host_seconds"] for row in report.epochs) / steps,
        "accelerator_step_seconds": cycles / steps / (report.array.clock_mhz * 1e6),
    }
    try:
        simulated = whole(compare_measured(report, memory)).simulated_seconds
    except ImportError:
        return means
    return {**means, "simulated_step_seconds": simulated / steps, "simulated_memory_model": memory}
