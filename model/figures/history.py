"""What a training run left in its folder: summary.json and metrics.jsonl, read and described."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.model import recorded
from cpt.model.json_files import parse_object, read_object, read_text
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
        quantiser = self.config.get("quantiser", recorded.QUANTISER)
        if quantiser != recorded.QUANTISER and self.method != "fp32":
            words.append(str(quantiser))
        if self.method == "cpt":
            words += self._course()
        words += [f"{name}={value}" for name, value in self._quantiser_options().items()]
        if self.config.get("lr_schedule") == "cyclic":
            words.append("cyclic lr")
        return " ".join(words)

    def _quantiser_options(self) -> dict[str, Any]:
        """Those that are not the quantiser's defaults."""
        earlier = self.config.get("dx_weights", recorded.DX_WEIGHTS)
        options: dict[str, Any] = {} if earlier == recorded.DX_WEIGHTS else {"dx_weights": earlier}
        return options | self.config.get("quantiser_options", {})

    def settings(self, free: Sequence[str] = ()) -> str:
        """Everything that decides the run but the seed and ``free``, in one form: equal for repeated runs."""
        return json.dumps({k: v for k, v in self.deciding().items() if k not in free}, sort_keys=True)

    def deciding(self) -> dict[str, Any]:
        """The configuration without the seed, and without what a precision that stays has no use for."""
        idle = {"seed", *(() if self.method not in ("static", "fp32") else _OF_CYCLES)}
        rest = {name: value for name, value in self.config.items() if name not in (*idle, *_OPTIONS)}
        return rest | self._quantiser_options()

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
        shape = recorded.SHAPES.get(shape, shape)
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
    summary = read_object(path)
    for name in ("dataset", "metric"):
        if not isinstance(summary.get(name, ""), str):
            raise ValueError(f"{name} of {path} is {summary[name]!r}; allowed: a word")
    rows = [parse_object(line, folder / METRICS) for line in read_text(folder / METRICS).splitlines()]
    found = History(folder, summary, tuple(rows))
    try:
        _ = (found.experiment, found.label, found.gbitops, found.layer_bits(), found.cycles)
        path = folder / METRICS
        _ = (found.epochs, found.final, found.bits())
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
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


_OPTIONS = ("dx_weights", "quantiser_options")
"""What records say of the quantiser's options in, in one version or another."""
_OF_CYCLES = ("cycles", "per", "shape", "delay", "fw", "every", "method")
_WORDS = {"cycles": "N = {}", "epochs": "{} epochs", "steps": "{} steps", "batch_size": "batch {}"}
"""How a setting is told in a name, where not as its own."""


def repeats(runs: Iterable[History], free: Sequence[str] = ()) -> dict[str, list[History]]:
    """Repeated runs together: equal in every setting but the seed and those in ``free``, each run once.

    Runs of one `History.label` that differ are kept apart, and the names say in what: the number of cycles,
    the length, the learning rate, or any other setting. Of runs with one seed the later folders are left
    out: they repeat the first to the bit, or replace it.
    """
    groups: dict[str, list[History]] = {}
    for label, same in by_label(runs).items():
        kinds: dict[str, list[History]] = {}
        for run in same:
            kinds.setdefault(run.settings(free), []).append(run)
        for group in kinds.values():
            name = ", ".join([label, *_differences(group[0], same, free)])
            first = {(run.config.get("seed"), run.settings()): run for run in reversed(group)}
            groups[name] = [run for run in group if run in first.values()]
    return groups


def left_out(runs: Sequence[History]) -> list[History]:
    """Those of one experiment's runs that `repeats` leaves out."""
    kept = [run.folder for group in repeats(runs).values() for run in group]
    return [run for run in runs if run.folder not in kept]


def _differences(run: History, others: Iterable[History], free: Sequence[str]) -> list[str]:
    """What sets ``run`` apart from ``others`` of its label, in words."""
    first = [other.deciding() for other in others]
    own = run.deciding()
    words = []
    for name in dict.fromkeys(name for config in first for name in config):
        value = own.get(name)
        if name in free or all(config.get(name) == value for config in first):
            continue
        shown = " ".join(map(str, value)) if isinstance(value, list) else value
        words.append(_WORDS.get(name, name.replace("_", " ") + " {}").format(shown))
    return words
