"""The programs of a network: update, prepare, forward, backward, evaluate, each a list of instructions.

They follow `cpt.model.golden.fabric` pass by pass and never know a precision: bits come from slots.
"""

from __future__ import annotations

from dataclasses import dataclass

from cpt.host.compiler.backward import Backward
from cpt.host.compiler.forward import Forward
from cpt.host.compiler.memory import Scratch
from cpt.host.compiler.plan import Layout
from cpt.host.compiler.update import prepare, update
from cpt.host.compiler.vectors import Vector
from cpt.host.compiler.work import CHUNK, END, TENSORS, UNITS, Work
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Space
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
) -> Programs:
    """Programs for micro-batches of ``images``, ``micro_batches`` of them a step.

    Raises `ContractError` for a network, or a micro-batch, that the machine does not take.
    """
    layout = Layout(config, network, images, UNITS + 16)
    plans = [plan for block in layout.blocks for plan in block.plans]
    words = [
        layout.words(picture, channels)
        for plan in plans
        for picture, channels in (
            (plan.output, plan.conv.out_channels),
            (plan.source, plan.conv.in_channels),
        )
    ]
    sums = max(layout.sum_words(plan.conv) for plan in plans)
    scratch = Scratch(config, scratch_words, TENSORS, max(words), sums)
    rate = float(running_rate(micro_batches))
    chunk = Vector(Space.LOCAL, CHUNK, END - CHUNK)
    once = Work(layout, scratch, rate)
    update(layout, once.e, once.v, chunk, momentum, decay)
    codes = Work(layout, scratch, rate)
    prepare(layout, codes.e, codes.v, chunk)
    return Programs(
        once.builder.program,
        codes.builder.program,
        Forward(layout, scratch, rate, training=True).emit(),
        Backward(layout, scratch, rate).emit(),
        Forward(layout, scratch, rate, training=False).emit(),
        layout,
    )
