"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HEADER = ("run", "precision", "test accuracy", "GBitOPs", "simulated", "array utilisation", "array busy")


def render(summary: dict[str, Any]) -> str:
    """What was reached and what it cost, static run and saving included where there is one."""
    rows = [_HEADER, _row(summary)]
    if "static" in summary:
        rows.append(_row(summary["static"]))
        saving = summary["saving"]
        rows.append(
            (
                "saving",
                "",
                f"{100 * (summary['accuracy'] - summary['static']['accuracy']):+.2f} points",
                f"{100 * saving['gbitops']:.1f} %",
                f"{100 * saving['simulated_seconds']:.1f} %",
                "",
                "",
            )
        )
    config = summary["config"]
    return (
        f"\n{config['model']} on {summary['dataset']}, seed {config['seed']}, "
        f"{summary['steps']} steps of {config['batch_size']} images\n"
        f"{summary['device']}: {summary['array']['name']} array at {summary['clock_mhz']:g} MHz, "
        f"memory {summary['memory_model']}; times are the accelerator's for all training steps\n\n"
        + align(rows)
    )


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text as wide as they need, under a ruled header."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def duration(seconds: float) -> str:
    """Seconds, or hours from one hour on."""
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds:.3f} s"


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    config = result["config"]
    low, high = config["fw"]
    forward = f"FW({low},{high})" if low < high else f"FW{high}"
    return (
        result["run"],
        f"{forward}/BW{config['bw']}",
        f"{100 * result['accuracy']:.2f} % (FW{result['eval_bits']})",
        f"{result['gbitops']:.4g}",
        duration(result["simulated_seconds"]),
        f"{100 * result['array_utilisation']:.1f} %",
        f"{100 * result['array_busy']:.1f} %",
    )
