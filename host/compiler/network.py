"""The programs of a network: update, prepare, forward, backward, evaluate, each a list of instructions.

They follow `cpt.model.golden.fabric` pass by pass and never know a precision: bits come from slots.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from cpt.host.compiler.backward import Backward
from cpt.host.compiler.choice import WIDEST, Way
from cpt.host.compiler.forward import Forward
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Listing
from cpt.host.compiler.update import prepare, update
from cpt.host.compiler.weaving import woven
from cpt.host.compiler.work import Work
from cpt.hw.contract import ArrayConfig
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.network import Network

PREPARE, UPDATE = "prepare", "update"
"""Parts of lists that a step does once."""
EVALUATE, FORWARD, BACKWARD = "evaluate", "forward", "backward"
FIRST_FORWARD, SECOND_FORWARD, ONLY_FORWARD = "first forward", "second forward", "only forward"
LAST_BACKWARD = "last backward"


@dataclass(frozen=True)
class Programs:
    """What a network runs: lists of instructions by name, and where everything lies."""

    lists: Mapping[str, Listing]
    layout: Layout


def of_step(micro_batches: int) -> tuple[list[str], list[str]]:
    """Names of the lists of a step's forward passes and of its backward passes, in order.

    The first forward pass makes codes of weights for all of them, the second those for dX, the last backward
    pass updates parameters.
    """
    if micro_batches == 1:
        return [ONLY_FORWARD], [LAST_BACKWARD]
    forward = [FIRST_FORWARD, SECOND_FORWARD, *[FORWARD] * (micro_batches - 2)]
    return forward, [*[BACKWARD] * (micro_batches - 1), LAST_BACKWARD]


def compiled(
    config: ArrayConfig,
    network: Network,
    *,
    images: int,
    micro_batches: int,
    scratch_words: int,
    momentum: float = 0.9,
    decay: float = 1e-4,
    way: Way | None = None,
    widest: int = WIDEST,
) -> Programs:
    """Programs for micro-batches of ``images``, ``micro_batches`` of them a step.

    ``way``: of y of all convolutions, instead of what is cheaper; ``widest``: bits of codes that they may be
    run with, fewer the rest.

    Raises `ContractError` for a network, or a micro-batch, that the machine does not take.
    """
    layout = Layout(config, network, images, scratch_words, way, widest)
    rate = float(running_rate(micro_batches))
    step, codes, error_codes = (Work(layout, rate, layout.forward) for _ in range(3))
    update(layout, step.moves, step.v, momentum, decay)
    prepare(layout, codes.moves, codes.v, forward=True)
    prepare(layout, error_codes.moves, error_codes.v, forward=False)
    forward, backward = Forward(layout, rate, training=True).emit(), Backward(layout, rate).emit()
    first = woven(forward, codes.recorder, PREPARE, before=True)
    lists = {
        PREPARE: codes.recorder,
        EVALUATE: Forward(layout, rate, training=False).emit(),
        FIRST_FORWARD: first,
        SECOND_FORWARD: woven(forward, error_codes.recorder, PREPARE, before=True),
        ONLY_FORWARD: woven(first, error_codes.recorder, PREPARE, before=True),
        FORWARD: forward,
        BACKWARD: backward,
        LAST_BACKWARD: woven(backward, step.recorder, UPDATE, before=False),
    }
    names = {PREPARE, EVALUATE, *itertools.chain(*of_step(micro_batches))}
    return Programs({name: lists[name].program() for name in lists if name in names}, layout)
