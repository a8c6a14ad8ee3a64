"""What a training run left in its folder: summary.json and metrics.jsonl, read and described."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.model.units import metric

METRICS, SUMMARY = "metrics.jsonl", "summary.json"


@dataclass(frozen=True)
class History:
    """One run. ``rows``: an entry per epoch."""

    folder: Path
    summary: dict[str, Any]
    rows: tuple[dict[str, Any], ...]

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration."""
        config: dict[str, Any] = self.summary["config"]
        return config

    @property
    def experiment(self) -> str:
        """What may be compared: network, data and trainer."""
        config = self.config
        parts = (
            config["model"],
            f"width {config['width']}" if "width" in config else "",
            self.summary["dataset"],
        )
        where = "accelerator" if self.on_accelerator else "torch"
        return f"{', '.join(filter(None, parts))} ({where})"

    @property
    def metric(self) -> str:
        """Name of the figure that counts."""
        return str(self.summary.get("metric", "accuracy"))

    @property
    def metric_label(self) -> str:
        """Axis label with unit."""
        return metric(self.metric).label

    @property
    def final(self) -> float:
        """The metric at the end, in the label's unit."""
        return self.values()[-1]

    def values(self) -> list[float]:
        """The metric after every epoch, in the label's unit."""
        factor = metric(self.metric).factor
        return [factor * float(row[self.metric]) for row in self.rows]

    @property
    def epochs(self) -> list[int]:
        """Epochs done at every row, counted from 1."""
        return [int(row["epoch"]) + 1 for row in self.rows]

    @property
    def gbitops(self) -> float:
        """Work of all training steps, 1e9 bit operations."""
        return float(self.summary["gbitops"])

    @property
    def on_accelerator(self) -> bool:
        """Whether times of the accelerator are known."""
        return "simulated_seconds" in self.summary

    @property
    def cycles(self) -> int | None:
        """Precision cycles, or None for a run without."""
        return int(self.config["cycles"]) if self.method == "cpt" else None

    @property
    def method(self) -> str:
        """How precision moved: ``cpt``, ``static``, ``fp32``, ``ldp``, ..."""
        stated = str(self.config.get("method", "cpt"))
        low, high = self.config["fw"]
        return "static" if stated == "cpt" and low == high else stated

    @property
    def label(self) -> str:
        """Method and precision, equal for repeated runs: ``CPT FW(3,8)/BW8``."""
        words = [] if self.method == "static" else [self.method.upper()]
        if self.method != "fp32":
            words.append(f"FW{self._bounds('fw')}/BW{self._bounds('bw')}")
        quantiser = self.config.get("quantiser", "sbm")
        if quantiser != "sbm" and self.method != "fp32":
            words.append(str(quantiser))
        if self.method == "cpt":
            words += self._course()
        if self.config.get("dx_weights", "input_channel") == "forward":
            words.append("forward weights in dX")
        if self.config.get("lr_schedule") == "cyclic":
            words.append("cyclic lr")
        return " ".join(words)

    def layer_bits(self) -> dict[str, list[int]]:
        """Forward bits of every layer after every epoch; empty unless they were learned."""
        layers, rows = self.summary.get("layers", ()), self.summary.get("bits_history", ())
        return {name: [int(row[column]) for row in rows] for column, name in enumerate(layers)}

    def bits(self) -> list[tuple[float, float]]:
        """(fw, bw) of every epoch; means where layers or iterations differ."""
        return [(float(row.get("fw_mean", row["fw"])), float(row["bw"])) for row in self.rows]

    def _course(self) -> list[str]:
        """What distinguishes the cycles from cosines per epoch over the whole run."""
        config = self.config
        shape, start = config.get("shape", "cosine"), config.get("delay", 0)
        return [
            *([] if shape == "cosine" else [shape.replace("_", " ")]),
            *([] if config.get("per", "epoch") == "epoch" else ["per iteration"]),
            *([f"from {start} on"] if start else []),
        ]

    def _bounds(self, name: str) -> str:
        bounds = self.config[name]
        if self.method == "pfq":
            stages = self.config[f"pfq_{name}"]
            bounds = stages[0], stages[-1]
        low, high = (bounds, bounds) if isinstance(bounds, int) else bounds
        return str(high) if low == high or self.method == "static" else f"({low},{high})"


def load_history(folder: Path) -> History:
    """Read a run's folder; raises `ValueError` naming the file if it is not what a finished run leaves."""
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        first = History(folder, summary, ())
        _ = (first.experiment, first.label, first.gbitops, first.layer_bits())
        path = folder / METRICS
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = History(folder, summary, tuple(rows))
        _ = (found.epochs, found.final, found.bits())
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); allowed: a finished run") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} lacks or misspells {error}; allowed: the file of a finished run") from None
    return found


def find_histories(folders: Iterable[Path]) -> list[History]:
    """Every finished run in ``folders`` and below, ordered by path.

    Raises `ValueError` if there is none.
    """
    places = list(folders)
    found = sorted({path.parent for place in places for path in place.rglob(SUMMARY)})
    runs = [load_history(folder) for folder in found if (folder / METRICS).is_file()]
    if not runs:
        shown = " ".join(map(str, places))
        raise ValueError(f"runs is {shown!r}; allowed: folders that hold {SUMMARY} and {METRICS} of runs")
    return runs


def by_label(runs: Iterable[History]) -> dict[str, list[History]]:
    """Runs of equal method and precision together, in order of first appearance."""
    groups: dict[str, list[History]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    return groups


def repeats(runs: Iterable[History]) -> dict[str, list[History]]:
    """Repeated runs together: `by_label`, and apart by the number of cycles where a method has several."""
    groups: dict[str, list[History]] = {}
    for label, group in by_label(runs).items():
        counts = {run.cycles for run in group}
        for run in group:
            groups.setdefault(label if len(counts) == 1 else f"{label}, N = {run.cycles}", []).append(run)
    return groups
