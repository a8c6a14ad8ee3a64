"""Tables for reading, as wide as the terminal at most, and the one at the end of a run."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from cpt.model.units import accuracy, change, duration, gbitops, metric, percent, precision

COLUMNS = 80
"""Width of a terminal that does not tell, and of files."""
_LEAST = 40
_GAP = "  "
_SIMULATED, _COUNTED = {"simulated_seconds": "simulated"}, {"simulated_seconds": "accelerator"}
MEASURED = {
    "step_seconds": "measured step",
    "accelerator_step_seconds": "accelerator",
    "simulated_step_seconds": "simulated",
}
"""Columns of times, by their names in a summary: the first is what a person waits for."""
_SHARES = {"array_utilisation": "array utilisation", "array_busy": "array busy"}


def columns() -> int:
    """Characters of a line: what ``COLUMNS`` or the terminal says, 80 where neither does."""
    return max(_LEAST, shutil.get_terminal_size((COLUMNS, 24)).columns)


def paragraph(text: str, indent: str = "") -> str:
    """Words in lines no longer than `columns`; ``indent`` is that of the second line and all later ones."""
    return textwrap.fill(
        text, columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def align(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns of text under a ruled header, no line longer than ``width`` (default: `columns`).

    What does not fit has its headers broken at spaces; what still does not is folded into several tables
    that repeat the first column.
    """
    limit = width or columns()
    natural = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    if _total(natural) <= limit:
        return _block(rows, natural)
    header, *body = rows
    narrow = [
        max([*map(len, title.split()), *(len(row[index]) for row in body)])
        for index, title in enumerate(header)
    ]
    if _total(narrow) <= limit:
        return _block(rows, narrow)
    key = min(narrow[0], limit // 2)
    blocks: list[list[int]] = []
    for index in range(1, len(header)):
        cell = min(narrow[index], limit - key - len(_GAP))
        if blocks and _total([key, *(narrow[i] for i in blocks[-1]), cell]) <= limit:
            blocks[-1].append(index)
        else:
            blocks.append([index])
    room = limit - key - len(_GAP)
    return "\n".join(
        _block(
            [[row[0], *(row[index] for index in block)] for row in rows],
            [key, *(min(narrow[index], room) for index in block)],
        )
        for block in blocks
    )


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _block(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """One table; cells wider than their column go on in the next line."""
    lines: list[str] = []
    for number, row in enumerate(rows):
        cells = [
            [cell] if len(cell) <= width else textwrap.wrap(cell, width)
            for cell, width in zip(row, widths, strict=True)
        ]
        height = max(len(cell) for cell in cells)
        for line in range(height):
            words = [
                (cell[line] if line < len(cell) else "").ljust(width)
                for cell, width in zip(cells, widths, strict=True)
            ]
            lines.append(_GAP.join(words).rstrip())
        if number == 0:
            lines.append(_GAP.join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def render(summary: dict[str, Any]) -> str:
    """What was reached and what it cost, static run and difference included where there is one.

    What a person waited for comes first: on a board the whole step by the wall clock, then the accelerator's
    part of it and that part simulated.
    """
    times = _times(summary)
    rows = [("run", "precision", "test accuracy", *times.values(), "GBitOPs", *_SHARES.values())]
    rows.append(_row(summary, times))
    if "static" in summary:
        rows.append(_row(summary["static"], times))
        saving = summary["saving"]
        rows.append(
            (
                "difference",
                "",
                metric("accuracy").difference(summary["accuracy"] - summary["static"]["accuracy"]),
                *(change(-saving[name]) for name in times),
                change(-saving["gbitops"]),
                *("" for _ in _SHARES),
            )
        )
    config = summary["config"]
    title = (
        f"{config['model']} on {summary['dataset']}, seed {config['seed']}, "
        f"{summary['steps']} steps of {config['batch_size']} images"
    )
    about = (
        "times are means of a training step: measured, the whole by the wall clock; the accelerator's part "
        f"by its cycle counter{_simulated_with(summary)}"
        if times not in (_SIMULATED, _COUNTED)
        else f"memory {summary['memory_model']}; times are the accelerator's for all training steps"
        if summary["simulated_seconds"]
        else "times are not simulated without Amaranth"
    )
    machine = (
        f"{summary['device']}: {summary['array']['name']} array at {summary['clock_mhz']:g} MHz, {about}"
    )
    return f"\n{paragraph(title)}\n{paragraph(machine)}\n\n{align(rows)}"


def _times(summary: dict[str, Any]) -> dict[str, str]:
    """The columns of times; a board whose steps were all measured before a resume has its cycles alone."""
    if summary["device"] != "board":
        return _SIMULATED
    runs = (summary, summary.get("static", summary))
    shared = {name: text for name, text in MEASURED.items() if all(name in run for run in runs)}
    return shared or _COUNTED


def _simulated_with(summary: dict[str, Any]) -> str:
    memory = summary.get("simulated_memory_model")
    return f"; that part simulated with memory {memory}" if memory else ""


def _row(result: dict[str, Any], times: dict[str, str]) -> tuple[str, ...]:
    config = result["config"]
    return (
        result["run"],
        precision(config["fw"], config["bw"]),
        f"{accuracy(result['accuracy'])} (FW{result['eval_bits']})",
        *(duration(result[name]) if result[name] else "-" for name in times),
        gbitops(result["gbitops"]),
        *(percent(result[name]) for name in _SHARES),
    )
