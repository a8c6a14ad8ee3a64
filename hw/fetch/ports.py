"""Ports that both fetches have: commands and data in, slots and their words out."""

from typing import Any

from amaranth.hdl import ShapeLike
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.fetch.command import DONE_WIDTH
from cpt.hw.fetch.cutter import STREAM_BITS
from cpt.hw.fetch.slots import slot_requests
from cpt.hw.fetch.window_memory import window_read


def fetch_ports(config: ArrayConfig, command: ShapeLike) -> dict[str, Any]:
    """``commands``; ``words``: of the runs of `PixelWalker`; ``tiles``: base of the next slot that is full,
    taken when EXEC begins with it; ``release``: EXEC has finished with one; ``filled``: so many more slots
    are full, before the next command is taken; ``read``; ``idle``."""
    return {
        "commands": In(stream.Signature(command)),
        "words": In(stream.Signature(STREAM_BITS)),
        "tiles": Out(stream.Signature(range(config.b_depth_words))),
        "release": In(1),
        "filled": Out(DONE_WIDTH),
        "read": In(window_read(config)),
        "idle": Out(1),
    }


def row_ports(command: ShapeLike, row: ShapeLike, depth: int) -> dict[str, Any]:
    """Of what says row by row where data goes: ``commands``; ``rows`` (out); ``slots`` (`slot_requests`);
    ``empty``: a command that is here may begin, as far as slots and others go; ``idle``: nothing to do.
    """
    return {
        "commands": In(stream.Signature(command)),
        "rows": Out(stream.Signature(row)),
        "slots": Out(slot_requests(depth)),
        "empty": In(1),
        "idle": Out(1),
    }
