"""The programs of a network: update, prepare, forward, backward, evaluate, each a list of instructions.

They follow `cpt.model.golden.fabric` pass by pass and never know a precision: bits come from slots.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cpt.host.compiler.backward import Backward
from cpt.host.compiler.choice import WIDEST, Way
from cpt.host.compiler.forward import Forward
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Listing, Recorder
from cpt.host.compiler.update import prepare, update
from cpt.host.compiler.weaving import joined, woven
from cpt.host.compiler.work import Work
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.network import Network

PREPARE, UPDATE = "prepare", "update"
"""Parts of lists that a step does once."""
EVALUATE, FORWARD, BACKWARD = "evaluate", "forward", "backward"
FIRST_FORWARD, SECOND_FORWARD, ONLY_FORWARD = "first forward", "second forward", "only forward"
LAST_BACKWARD = "last backward"


_Once = tuple[Recorder, str, bool]
"""A list that is woven into another, what its part is called, and whether it is meant to come before."""


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
    evaluate = Forward(layout, rate, training=False).emit()
    first, second = ((each.recorder, PREPARE, True) for each in (codes, error_codes))
    lists: dict[str, tuple[Recorder, list[_Once]]] = {
        PREPARE: (codes.recorder, []),
        EVALUATE: (evaluate, []),
        FIRST_FORWARD: (forward, [first]),
        SECOND_FORWARD: (forward, [second]),
        ONLY_FORWARD: (forward, [first, second]),
        FORWARD: (forward, []),
        BACKWARD: (backward, []),
        LAST_BACKWARD: (backward, [(step.recorder, UPDATE, False)]),
    }
    names = {PREPARE, EVALUATE, *itertools.chain(*of_step(micro_batches))}
    return Programs({name: _listing(*lists[name]) for name in lists if name in names}, layout)


def _listing(main: Recorder, onces: list[_Once]) -> Listing:
    """``main`` with others in it; one behind the other where their vectors have no room at once."""

    def made(of_two: Callable[..., Recorder]) -> Listing:
        found = main
        for once, part, before in onces:
            found = of_two(found, once, part, before=before)
        return found.program()

    try:
        return made(woven)
    except ContractError:
        return made(joined)
