"""The programs of a network: update, prepare, forward, backward, evaluate, each a list of instructions.

They follow `cpt.model.golden.fabric` pass by pass and never know a precision: bits come from slots.
"""

from __future__ import annotations

from dataclasses import dataclass

from cpt.host.compiler.backward import Backward
from cpt.host.compiler.choice import WIDEST, Way
from cpt.host.compiler.forward import Forward
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.update import prepare, update
from cpt.host.compiler.work import Work
from cpt.hw.contract import ArrayConfig
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.network import Network


@dataclass(frozen=True)
class Programs:
    """What a network runs: the words of each list, and where everything lies."""

    update: bytes
    prepare: bytes
    """Codes of all weights; before the first micro-batch of a step."""
    forward: bytes
    backward: bytes
    evaluate: bytes
    """Logits by the running statistics."""
    layout: Layout


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
    once, codes = (Work(layout, rate, layout.forward) for _ in range(2))
    update(layout, once.moves, once.v, momentum, decay)
    prepare(layout, codes.moves, codes.v)
    return Programs(
        once.recorder.program(),
        codes.recorder.program(),
        Forward(layout, rate, training=True).emit(),
        Backward(layout, rate).emit(),
        Forward(layout, rate, training=False).emit(),
        layout,
    )
