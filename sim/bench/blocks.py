"""Which blocks have a bench: all of `cpt.hw.blocks`, and the whole."""

from __future__ import annotations

BLOCKS = (
    "popcount",
    "dot_product",
    "burst",
    "gearbox",
    "queue",
    "operand_buffer",
    "walker",
    "read_master",
    "read_arbiter",
    "write_master",
    "loader",
    "loader_b",
    "array",
    "collector",
    "result_buffer",
    "sequencer",
    "executor",
    "tile_walker",
    "serialiser",
    "drain",
    "ring",
    "dispatch",
    "control",
    "counters",
    "watchdog",
    "registers",
    "accelerator",
)
"""Names that `cpt.hw.export.export_block` and the modules ``check_<block>`` share, small ones first."""

SHAPED = ("gearbox", "loader", "collector", "tile_walker", "serialiser", "drain")
"""Blocks that the larger arrays exercise in ways the small one cannot: several beats a row, wide groups."""
