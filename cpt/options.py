"""Command line options as a table: one row each, defaults taken from the record they fill."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cpt.host.config import TrainConfig
from cpt.host.learning_rate import LR_SCHEDULES
from cpt.hw.contract import ContractError
from cpt.model.schedule import UNITS

AUTO = "auto"
"""In place of a lower bound: what the precision range test finds."""


def bits(text: str) -> int | str:
    """A bit-width, or `AUTO`."""
    return AUTO if text == AUTO else int(text)


@dataclass(frozen=True)
class Option:
    """One option: the `TrainConfig` field it sets, its type, and what it means."""

    field: str
    kind: Callable[[str], Any]
    text: str
    values: str | None = None
    count: str | None = None
    """``nargs`` of argparse."""

    @property
    def flag(self) -> str:
        """As typed."""
        return "--" + self.field.replace("_", "-")

    def add_to(self, parser: argparse._ActionsContainer, text: str, default: Any = None) -> None:
        """Declare it with ``text`` as its help."""
        parser.add_argument(
            self.flag,
            dest=self.field,
            type=self.kind,
            nargs=self.count,
            metavar=self.values,
            default=default,
            help=text,
        )


TRAINING = (
    Option("model", str, "network, resnetD with D = 6n+2", "RESNET"),
    Option("width", int, "channels of the first stage", "N"),
    Option(
        "fw",
        bits,
        "lowest and highest bits of weights and activations; one number: static; "
        f"{AUTO} in place of the lowest: by range test (torch)",
        "BITS",
        "+",
    ),
    Option("bw", int, "bits of gradients", "BITS"),
    Option("cycles", int, "precision cycles in the run", "N"),
    Option("shape", str, "of the cycles: cosine (CPT's), or one of docs/schedules.md", "NAME"),
    Option("per", str, f"what moves the precision: {' or '.join(UNITS)}", "WHAT"),
    Option("eval_bits", int, "forward bits of evaluation; 0: the upper bound", "BITS"),
    Option("epochs", int, "length of the run", "N"),
    Option("steps", int, "length in steps instead; the precision then moves per step", "N"),
    Option("batch_size", int, "images per step", "N"),
    Option("lr", float, "learning rate at the start", "RATE"),
    Option("lr_schedule", str, f"its course: {', '.join(LR_SCHEDULES)}", "NAME"),
    Option("momentum", float, "of SGD", "SHARE"),
    Option("weight_decay", float, "of SGD", "RATE"),
    Option("max_shift", int, "pixels by which training images are moved at random", "N"),
    Option("seed", int, "of weights, order and rounding", "N"),
)


def add_options(parser: argparse._ActionsContainer, options: Sequence[Option], unset: bool = False) -> None:
    """Add ``options`` to ``parser``; help shows the defaults of `TrainConfig`.

    ``unset``: an option that is not given is None, for `train_config` to fill in.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    for option in options:
        default = defaults[option.field]
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        option.add_to(parser, f"{option.text} (default: {shown})", None if unset else default)


def train_config(arguments: argparse.Namespace) -> TrainConfig:
    """The `TrainConfig` of parsed arguments; raises `ContractError` in one line."""
    values: dict[str, Any] = {option.field: getattr(arguments, option.field) for option in TRAINING}
    values = {field: value for field, value in values.items() if value is not None}
    if "fw" in values:
        fw = tuple(values["fw"])
        if len(fw) > 2 or AUTO in fw:
            raise ContractError(f"fw is {' '.join(map(str, fw))}; allowed: one or two bit-widths")
        values["fw"] = (fw[0], fw[-1])
    return TrainConfig(**values)
