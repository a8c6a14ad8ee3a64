"""cocotbext-axi with the two things it leaves to its user: complete buses, and random back-pressure."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

OPTIONAL = {"awid", "arid", "bid", "rid", "awregion", "arregion", "awqos", "arqos"}
OPTIONAL |= {f"{channel}user" for channel in ("aw", "w", "b", "ar", "r")}


def require_signals(*channels: Any) -> None:
    """Raise if a signal of a bus was not found: cocotbext-axi binds such a one to None and goes on."""
    for channel in channels:
        for name in (*channel._signals, *channel._optional_signals):
            if getattr(channel, name, None) is None and name not in OPTIONAL:
                raise AssertionError(f"bus signal {name} was not found in the design")


def pauses(stall: float) -> Iterator[bool]:
    """Whether a channel pauses, cycle by cycle."""
    return (random.random() < stall for _ in itertools.count())


def pause_all(channels: Iterable[Any], stall: Callable[[], float]) -> None:
    """Give every channel its own random back-pressure."""
    for channel in channels:
        channel.set_pause_generator(pauses(stall()))
