"""Which blocks have a bench."""

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
    "array",
    "collector",
    "result_buffer",
    "executor",
)
"""Names `hw.export.export_block` and the modules ``sim.bench.check_<block>`` share."""
