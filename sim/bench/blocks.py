"""Which blocks have a bench: all of `cpt.hw.export.blocks`, and the whole."""

from __future__ import annotations

from cpt.hw.export.blocks import BLOCKS as PARTS
from cpt.hw.export.blocks import room_of

BLOCKS = (*PARTS, "accelerator")
"""Names that `cpt.hw.export.export_block` and the modules ``check_<block>`` share, parts first."""

SHAPED = ("gearbox", "loader", "collector", "tile_walker", "serialiser", "drain")
"""Blocks that the larger arrays exercise in ways the small one cannot: several beats a row, wide groups."""


def bench_module(block: str) -> str:
    """The module with the bench of ``block``: in the room of the block, the whole beside the rooms."""
    return f"cpt.sim.bench.{f'{room_of(block)}.' if block in PARTS else ''}check_{block}"
