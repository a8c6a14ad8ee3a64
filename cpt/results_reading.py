"""What the tables of docs/results.md say about the papers' question, in sentences that follow intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cpt.experiments import CONTROLS, LENGTHS
from cpt.model.units import metric, percent
from cpt.paired import outcome
from cpt.results_page import FIGURES, SMALL

INTRODUCTION = f"""\
# Results on the bundled data

Written by `make results`, which trains what is missing and resumes what was interrupted; results.json
beside it has the figure of each run. {FIGURES} Learning
rates: the best of three on a fifth of the training data held back, for each method apart; rows of fewer
bits and other lengths have the rate of the method they vary.

{SMALL}"""
Row = dict[str, Any]
_NEAR = 0.1
"""Difference in bit operations up to which two rows have about as many."""


def reading(rows: Sequence[Row]) -> list[str]:
    """Sentences about the rows of a section; those for which runs are missing are left out."""
    return [sentence for sentence in _sentences({row["row"]: row for row in rows}) if sentence]


def verdict(row: Row) -> str | None:
    """How a row did against the row that it is compared with; None where that cannot be said."""
    if row["gain"] is None or not row["beats_baseline"]:
        return None
    shown = metric(row["metric"])
    mean, low, high = (f"{shown.factor * value:+.{shown.digits}f}" for value in row["gain"])
    return f"{outcome(row['gain'], more_is_better=shown.more_is_better)} ({mean}, {low} .. {high})"


def _sentences(rows: dict[str, Row]) -> Iterator[str | None]:
    saving = rows["CPT"]["saving"] if "CPT" in rows else None
    saved = f", with {percent(saving)} fewer bit operations" if saving is not None else ""
    yield _one(rows.get("CPT"), f"CPT against static training of as many steps{saved}")
    yield _one(
        rows.get("static, CPT's bit operations"),
        "Static training that ends when it has CPT's bit operations, against CPT",
    )
    near = [
        row
        for row in rows.values()
        if row["table"] == CONTROLS and row["config"]["method"] == "static" and row["gain"]
        if abs(row["saving"]) <= _NEAR
    ]
    for row in near:
        more = f"{percent(abs(row['saving']))} {'fewer' if row['saving'] >= 0 else 'more'} bit operations"
        yield _one(row, f"Static training at {row['config']['fw'][1]} bits throughout, {more}, against CPT")
    yield _one(
        rows.get("CPT, static's bit operations"),
        "CPT that goes on until it has static training's bit operations, against static training",
    )
    yield _one(rows.get("CPT reversed"), "CPT's bits backwards, against CPT")
    yield _one(rows.get("CPT shuffled"), "CPT's bits in random order, against CPT")
    yield _lengths(rows)


def _one(row: Row | None, what: str) -> str | None:
    found = verdict(row) if row else None
    return f"{what}: {found}." if found else None


def _lengths(rows: dict[str, Row]) -> str | None:
    """CPT against static training, at each length of the run."""
    found = []
    for row in rows.values():
        own = row["row"] == "CPT" or (row["table"] == LENGTHS and row["row"].startswith("CPT, "))
        said = verdict(row) if own else None
        if said:
            found.append((row["config"]["epochs"], said))
    if len(found) < 2:
        return None
    words = "; ".join(f"{epochs} epoch{'s' * (epochs > 1)}: {said}" for epochs, said in sorted(found))
    return f"CPT against static training by length of the run: {words}."
