"""What `cpt results --schedules` trains: schedules and rules that adapt, on bundled tasks.

Each beside training at constant bits, and beside static training that ends when it has spent as many bit
operations.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from cpt.data import DIGITS
from cpt.experiments import BUDGET, RATES, STATIC, Row, Section

SCHEDULES, CONSTANT, ADAPTIVE = "Schedules", "Constant bits", "Rules that adapt"
_CPT = "cosine"
_SEEDS = 5


def _rows(ldp_lr: float, widths: range, **pfq: tuple[int, ...]) -> Iterator[Row]:
    """All rows of a task; ``widths``: constant bits below static's."""
    from cpt.model.adaptive import RULES
    from cpt.model.cyclic import FOLLOW_UP

    yield Row("static", _SEEDS, STATIC)
    shapes = tuple(FOLLOW_UP.values())
    for shape in shapes:
        rate_of = "" if shape == _CPT else _CPT
        yield Row(shape, _SEEDS, {"shape": shape}, table=SCHEDULES, rate_of=rate_of)
    for bits in widths:
        settings = {**STATIC, "fw": (bits, bits)}
        yield Row(f"{bits} bits", _SEEDS, settings, table=CONSTANT, rate_of="static")
    rules: dict[str, dict[str, Any]] = {
        "pfq": dict(pfq),
        "ldp": {"ldp_lr": ldp_lr},
        **{name: {} for name in RULES},
    }
    for name, settings in rules.items():
        yield Row(name, _SEEDS, {"method": name, **settings}, table=ADAPTIVE)
    for name in (*shapes, *rules):
        yield Row(f"static, {name}'s bit operations", _SEEDS, STATIC, name, BUDGET, name, "static")


@functools.cache
def schedule_sections() -> tuple[Section, ...]:
    """All tasks of the page."""
    cycles = {"cycles": 8, "per": "iteration"}
    return (
        Section(
            "pareto-images",
            "Images: handwritten digits, ResNet-8",
            DIGITS,
            {"model": "resnet8", "width": 16, "epochs": 12, "fw": (3, 8), **cycles},
            tuple(_rows(2.0, range(3, 8))),
            RATES,
        ),
        Section(
            "pareto-language",
            "Language: Python's help topics by character, two-layer Transformer",
            "python-text",
            {
                "model": "transformer2",
                "width": 64,
                "epochs": 3,
                "fw": (4, 8),
                **cycles,
                "optimiser": "adamw",
                "lr": 3e-3,
                "weight_decay": 0.01,
                "clip": 1.0,
            },
            tuple(_rows(2.0, range(4, 8), pfq_fw=(4, 5, 6, 8))),
            RATES,
        ),
    )
