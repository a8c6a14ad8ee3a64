"""What `cpt results` trains: tasks, and on each the methods that are compared.

A row is a method with its settings over some seeds, compared seed by seed with another row. Where a row has
no learning rate of its own, it is chosen on a part of the training data for each row apart.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cpt.data import DIGITS
from cpt.host.config import MICRO_BATCH

METHODS, BUDGET, CONTROLS, LENGTHS = (
    "Equal steps",
    "Equal bit operations",
    "Fewer bits throughout, and CPT's bits in another order",
    "Shorter and longer runs",
)


@dataclass(frozen=True)
class Row:
    """One method with its settings.

    Args:
        name, seeds, settings: fields of `TorchConfig` beside those of the section, over seeds from 0.
        base: the row that it is compared with.
        table: where it stands on the page.
        work_of: row whose bit operations its run spends, at its own bits: it is as much shorter or longer.
        rate_of: row whose learning rate it has; its own where empty.
    """

    name: str
    seeds: int
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    base: str = "static"
    table: str = METHODS
    work_of: str = ""
    rate_of: str = ""


@dataclass(frozen=True)
class Section:
    """One task and its rows.

    Args:
        name, title, data, settings: fields of `TorchConfig` that all rows share.
        rows: the first one is what others are compared with unless they say otherwise.
        rates: factors of the section's learning rate that are tried for a row; empty: all have the section's.
        rate_seeds: runs at each of them.
        labels: training images, drawn anew for each seed; 0: all.
    """

    name: str
    title: str
    data: str
    settings: dict[str, Any] = field(hash=False)
    rows: tuple[Row, ...]
    rates: tuple[float, ...] = ()
    rate_seeds: int = 1
    labels: int = 0

    def row(self, name: str) -> Row:
        """The row called ``name``."""
        return next(row for row in self.rows if row.name == name)


STATIC = {"method": "static"}
RATES = (1 / 3, 1.0, 3.0)


def _methods(main_seeds: int, seeds: int, ldp_lr: float = 2.0, **pfq: tuple[int, ...]) -> Iterator[Row]:
    """Every method; static and CPT over ``main_seeds`` seeds. ``pfq``: its stages."""
    yield Row("static", main_seeds, STATIC)
    yield Row("CPT", main_seeds)
    yield Row("FP32", seeds, {"method": "fp32"})
    yield Row("PFQ", seeds, {"method": "pfq", **pfq})
    yield Row("LDP", seeds, {"method": "ldp", "ldp_lr": ldp_lr})
    yield Row("static, cyclic learning rate", seeds, {**STATIC, "lr_schedule": "cyclic"})
    yield from _quantisers(seeds)


def _quantisers(seeds: int) -> Iterator[Row]:
    """Static and CPT with every quantiser but CPT's own that the papers' tables have."""
    from cpt.model.quantisers import DEFAULT, quantiser_kind, quantiser_names
    from cpt.model.training import TorchConfig
    from cpt.torch_train import OF_OPTIMISER

    for name in quantiser_names(lambda kind: kind.title and kind.name != DEFAULT):
        kind = quantiser_kind(name)
        settings: dict[str, Any] = {"quantiser": name}
        if kind.optimiser_kind:
            settings |= {field: getattr(TorchConfig(), field) for field in OF_OPTIMISER}
            settings["optimiser"] = kind.optimiser_kind
        yield Row(f"{kind.title} static", seeds, STATIC | settings)
        yield Row(f"{kind.title} CPT", seeds, settings, f"{kind.title} static")


def _accelerator(seeds: int) -> Iterator[Row]:
    """Codes, noise and micro-batches of the accelerator."""
    from cpt.model.quantisers import quantiser_names

    (name,) = quantiser_names(lambda kind: kind.keyed_by_micro_batch)
    settings = {"quantiser": name, "micro_batch": MICRO_BATCH}
    static = "static, the accelerator's codes"
    yield Row(static, seeds, STATIC | settings)
    yield Row("CPT, the accelerator's codes", seeds, settings, static)


def _budget(seeds: int) -> Iterator[Row]:
    """What the bit operations that CPT saves are worth: static training with as many, CPT with static's."""
    yield Row("static, CPT's bit operations", seeds, STATIC, "CPT", BUDGET, "CPT", "static")
    yield Row("CPT, static's bit operations", seeds, {}, "static", BUDGET, "static", "CPT")


def _controls(seeds: int, *bits: int) -> Iterator[Row]:
    for count in bits:
        settings = {**STATIC, "fw": (count, count)}
        yield Row(f"static at {count} bits", seeds, settings, "CPT", CONTROLS, rate_of="static")
    yield Row("CPT reversed", seeds, {"method": "reversed"}, "CPT", CONTROLS, rate_of="CPT")
    yield Row("CPT shuffled", seeds, {"method": "shuffled"}, "CPT", CONTROLS, rate_of="CPT")


def _lengths(seeds: int, *epochs: int) -> Iterator[Row]:
    for count in epochs:
        of, settings = f"{count} epoch{'s' * (count > 1)}", {"epochs": count}
        static, cyclic = f"static, {of}", f"CPT, {of}"
        yield Row(static, seeds, STATIC | settings, static, LENGTHS, rate_of="static")
        yield Row(cyclic, seeds, settings, static, LENGTHS, rate_of="CPT")
        name = f"static, CPT's bit operations of {of}"
        yield Row(name, seeds, STATIC | settings, cyclic, LENGTHS, cyclic, "static")


@functools.cache
def sections() -> tuple[Section, ...]:
    """All tasks of the page."""
    return (
        Section(
            "images",
            "Images: handwritten digits, ResNet-8",
            DIGITS,
            {"model": "resnet8", "width": 16, "epochs": 18, "fw": (3, 8)},
            (
                *_methods(10, 5),
                *_accelerator(5),
                *_budget(10),
                *_controls(5, 6, 5, 4),
                *_lengths(5, 6, 36),
            ),
            RATES,
            rate_seeds=2,
        ),
        Section(
            "few-labels",
            "Few labels: 200 of the digits, ResNet-8",
            DIGITS,
            {"model": "resnet8", "width": 16, "epochs": 40, "fw": (3, 8), "per": "iteration"},
            (
                Row("static", 20, STATIC),
                Row("CPT", 20),
                Row("FP32", 20, {"method": "fp32"}),
                Row("static at 4 bits", 20, {**STATIC, "fw": (4, 4)}),
            ),
            labels=200,
        ),
        Section(
            "language",
            "Language: Python's help topics by character, two-layer Transformer",
            "python-text",
            {
                "model": "transformer2",
                "width": 64,
                "epochs": 3,
                "fw": (4, 8),
                "cycles": 8,
                "per": "iteration",
                "optimiser": "adamw",
                "lr": 3e-3,
                "weight_decay": 0.01,
                "clip": 1.0,
            },
            (
                *_methods(5, 3, pfq_fw=(4, 5, 6, 8)),
                *_budget(5),
                *_controls(3, 6, 5, 4),
                *_lengths(3, 1, 6),
            ),
            RATES,
        ),
        Section(
            "super-resolution",
            "Super-resolution by 4: photographs, PAN with 2 blocks",
            "photographs",
            {
                "model": "pan2",
                "width": 16,
                "epochs": 6,
                "batch_size": 16,
                "fw": (8, 16),
                "bw": (16, 16),
                "cycles": 8,
                "per": "iteration",
                "optimiser": "adam",
                "lr": 4e-3,
                "weight_decay": 0.0,
            },
            (
                # At 16 bits the loss hardly depends on the step size: gradients of the bits are a millionth.
                *_methods(3, 3, ldp_lr=1e6, pfq_fw=(8, 10, 12, 16), pfq_bw=(16, 16, 16, 16)),
                *_budget(3),
                *_controls(3, 12, 8),
            ),
            RATES,
        ),
    )
