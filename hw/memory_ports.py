"""Ports of on-chip memories, as signatures: `Out` is the side that addresses."""

from amaranth.hdl import ShapeLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def write_port(depth: int, shape: ShapeLike, lanes: int, parts: int = 1) -> wiring.Signature:
    """Writes ``data``, one ``shape`` for each lane, at ``addr`` while ``en``, a bit a part of it."""
    return wiring.Signature({"en": Out(parts), "addr": Out(range(depth)), "data": Out(shape).array(lanes)})


def read_port(depth: int, shape: ShapeLike, lanes: int) -> wiring.Signature:
    """Reads ``data``, one ``shape`` for each lane, at ``addr``; the memory says how many cycles later."""
    return wiring.Signature({"addr": Out(range(depth)), "data": In(shape).array(lanes)})
