"""What the tables of docs/results.md say about the papers' question, in sentences that follow intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cpt.experiments import CONTROLS, LENGTHS
from cpt.model.units import metric, percent

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
    mean, low, high = (shown.factor * value for value in row["gain"])
    ends = f"{low:+.{shown.digits}f} .. {high:+.{shown.digits}f}"
    if low <= 0 <= high:
        return f"no difference shown ({mean:+.{shown.digits}f}, {ends})"
    word = "better" if (mean > 0) == shown.more_is_better else "worse"
    return f"{word} ({mean:+.{shown.digits}f}, {ends})"


def _sentences(rows: dict[str, Row]) -> Iterator[str | None]:
    saved = f", with {percent(rows['CPT']['saving'])} fewer bit operations" if "CPT" in rows else ""
    yield _one(rows.get("CPT"), f"CPT against static training of as many steps{saved}")
    yield _one(
        rows.get("static, CPT's bit operations"),
        "Static training that ends when it has CPT's bit operations, against CPT",
    )
    near = [
        row
        for row in rows.values()
        if row["table"] == CONTROLS and row["config"]["method"] == "static" and abs(row["saving"]) <= _NEAR
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
