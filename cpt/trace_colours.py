"""Colours of a timeline: a hue for each layer, a shade for each pass, a pale one for whom an engine waits."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from functools import cache

from cpt.hw.contract.step import Engine
from cpt.sim.step.by_layer import AGAIN, ALL, D_W, D_X, FORWARD
from cpt.sim.step.timing.run import MEMORY, PACKERS, PROGRAM
from cpt.sim.step.trace import OWN

GOLDEN = 0.618034
"""Of a turn, from one layer's hue to the next."""
LIGHT = {FORWARD: 0.45, AGAIN: 0.62, D_X: 0.52, D_W: 0.34, ALL: 0.5}
OWN_COLOUR = "#d9d9d9"
WAITED_FOR = (*(engine.name for engine in Engine), PROGRAM, MEMORY, PACKERS)


def of_labels(labels: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Colours of layers and passes, by layer in the order in which they come."""
    hues: dict[str, float] = {}
    found = {}
    for layer, which in labels:
        hue = hues.setdefault(layer, (0.58 + GOLDEN * len(hues)) % 1)
        found[layer, which] = _hex(hue, LIGHT[which], 0.15 if which == ALL else 0.6)
    return found


@cache
def of_waits() -> dict[str, str]:
    """Colours of whom is waited for, and of an engine's own latency."""
    count = len(WAITED_FOR)
    pale = {name: _hex(index / count, 0.8, 0.35) for index, name in enumerate(WAITED_FOR)}
    return {**pale, OWN: OWN_COLOUR}


def _hex(hue: float, light: float, strength: float) -> str:
    channels = colorsys.hls_to_rgb(hue, light, strength)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
