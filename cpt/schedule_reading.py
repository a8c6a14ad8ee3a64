"""What the page of `cpt results --schedules` says: sentences that follow intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cpt.experiments import BUDGET
from cpt.model.units import metric, percent
from cpt.paired import BETTER, NO_DIFFERENCE, WORSE, interval, outcome
from cpt.results_page import FIGURES, SMALL
from cpt.schedule_experiments import ADAPTIVE, CONSTANT, SCHEDULES
from cpt.schedule_times import ASSUMPTIONS

INTRODUCTION = f"""\
# Schedules and adaptive rules

Written by `cpt results --schedules`, which trains what is missing and resumes what was interrupted;
pareto.json beside it has the figure of each run. What the names stand for: [schedules.md](schedules.md).
{FIGURES}
Learning rates: the best of three on a fifth of the training data held back, for static training, for
`cosine` and for each rule apart; the other schedules have that of `cosine`, constant bits that of static
training. Simulated: time of the training steps on the accelerator, {ASSUMPTIONS};
nothing has run on a board. A rule gives each layer its own bits, and the accelerator takes one precision
for all layers of a step, so rules have no time.

{SMALL}
One interval of 20 misses the truth by chance; there are some 60 for each task."""
Row = dict[str, Any]
_NEAR = 0.1
"""Difference in bit operations up to which two rows have about as many."""


def reading(rows: Sequence[Row]) -> list[str]:
    """Sentences about the rows of a section."""
    return [sentence for sentence in _sentences(rows) if sentence]


def _sentences(rows: Sequence[Row]) -> Iterator[str]:
    for table in (SCHEDULES, CONSTANT, ADAPTIVE):
        chosen = [row for row in rows if row["table"] == table and row["gain"]]
        said = {_name(row): row["gain"] for row in chosen}
        yield _grouped(f"{table} against static training of as many steps", said, rows)
    shorter = {row["base"]: row["gain"] for row in rows if row["table"] == BUDGET}
    yield _grouped("Static training cut to as many bit operations, against", shorter, rows)
    yield _grouped(
        f"Against constant bits of nearly as many bit operations (within {percent(_NEAR)})",
        dict(_against_constant(rows)),
        rows,
    )
    yield _front(rows)
    yield _times(rows)


def _name(row: Row) -> str:
    return f"{row['row']} (-{percent(row['saving'])})"


def _grouped(what: str, gains: dict[str, Any], rows: Sequence[Row]) -> str:
    """Who is better, who worse, and of whom that cannot be said; empty if nothing is known."""
    shown = metric(rows[0]["metric"])
    groups: dict[str, list[str]] = {BETTER: [], WORSE: [], NO_DIFFERENCE: []}
    for name, gain in gains.items():
        if gain is None:
            continue
        mean = f"{shown.factor * gain[0]:+.{shown.digits}f}"
        groups[outcome(gain, more_is_better=shown.more_is_better)].append(f"{name} {mean}")
    parts = [f"{word}: {', '.join(names)}" for word, names in groups.items() if names]
    return f"{what}: {'; '.join(parts)}." if parts else ""


def _against_constant(rows: Sequence[Row]) -> Iterator[tuple[str, Any]]:
    """Schedules and rules beside the constant bits whose bit operations are nearest to theirs."""
    constant = [row for row in rows if row["table"] == CONSTANT]
    for row in rows:
        if row["table"] not in (SCHEDULES, ADAPTIVE) or not constant:
            continue
        other = min(constant, key=lambda one: abs(one["gbitops"] - row["gbitops"]))
        if abs(other["gbitops"] / row["gbitops"] - 1) <= _NEAR:
            values, base = row["values"], other["values"]
            gains = [values[seed] - base[seed] for seed in values if seed in base]
            yield f"{row['row']} to {other['row']}", interval(gains)


def _front(rows: Sequence[Row]) -> str:
    """Rows that no other beats in both, by means."""
    sign = 1 if metric(rows[0]["metric"]).more_is_better else -1
    front = [row for row in rows if not any(_beats(other, row, sign) for other in rows)]
    front.sort(key=lambda row: -row["gbitops"])
    names = ", ".join(_short(row) for row in front)
    return f"By means alone, nothing else has as few bit operations and is as good as: {names}."


def _times(rows: Sequence[Row]) -> str:
    """What is saved of bit operations, and of time."""
    chosen = [row for row in rows if row["table"] == SCHEDULES and row.get("simulated_s")]
    if not chosen:
        return ""
    static = rows[0]["simulated_s"]
    saved = [
        [1 - value / first for value in values]
        for values, first in (
            ([row["gbitops"] for row in chosen], rows[0]["gbitops"]),
            ([row["simulated_s"] for row in chosen], static),
        )
    ]
    bits, time = (f"{percent(min(found))} to {percent(max(found))}" for found in saved)
    return f"The schedules save {bits} of bit operations, and {time} of simulated time on this network."


def _short(row: Row) -> str:
    """``linear``, or ``8 bits for 300 steps`` of a run cut short."""
    if row["table"] != BUDGET:
        return str(row["row"])
    return f"{row['config']['fw'][1]} bits for {row['config']['steps']} steps"


def _beats(one: Row, other: Row, sign: int) -> bool:
    better = sign * (one["mean"] - other["mean"]), other["gbitops"] - one["gbitops"]
    return min(better) >= 0 and max(better) > 0
