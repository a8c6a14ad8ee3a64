"""Simulated seconds of a run whose bits follow a plan, on the ZC706's array."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from cpt.host.config import MICRO_BATCH, TrainConfig, resnet_depth
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import memory_model
from cpt.step_costs import WholeSteps

if TYPE_CHECKING:
    from cpt.model.training import Task, TorchConfig

PRESET, MEMORY = "zc706", "ps-ddr"
ARRAY = preset(PRESET, STEP)
ASSUMPTIONS = (
    f"array `{PRESET}` at {ARRAY.clock_mhz:g} MHz, memory `{MEMORY}`, micro-batches of {MICRO_BATCH}, whole "
    "steps by stated costs (docs/fabric.md), evaluations not counted"
)


class Times:
    """Of runs of one task, whose bits lie within those of ``usual``; each precision is simulated once."""

    def __init__(self, task: Task, usual: TorchConfig) -> None:
        self._per_epoch = task.steps_per_epoch(usual.batch_size)
        self._steps = _steps(task, usual)

    def seconds(self, config: TorchConfig) -> float | None:
        """What a run's steps take; None where the machine does not train it or bits follow no plan."""
        from cpt.model.training.methods import make_plan

        if self._steps is None or not config.planned:
            return None
        plan = make_plan(config, config.plan_length(self._per_epoch))
        each = self._per_epoch if config.per_epoch() else 1
        found = Counter(plan.bits(step // each) for step in range(config.total_steps(self._per_epoch)))
        self._steps.together(found)
        return sum(count * self._steps.tally(bits).seconds(ARRAY) for bits, count in found.items())


def _steps(task: Task, usual: TorchConfig) -> WholeSteps | None:
    """Steps of the network on the machine; None where it does not train it."""
    from cpt.model.data import ImageSet
    from cpt.model.training import Classification

    if not isinstance(task, Classification) or not isinstance(task.images, ImageSet):
        return None
    try:
        depth = resnet_depth(usual.model)
    except ContractError:
        return None
    _, size, _, channels = task.images.train.pixels.shape
    described = cifar_resnet(depth, task.images.classes, size, channels, usual.width)
    numbers = np.ones(channels, np.float32), np.zeros(channels, np.float32)  # cycles know no numbers
    plan = TrainConfig(
        model=usual.model, width=usual.width, fw=usual.fw, bw=usual.bw[1], batch_size=usual.batch_size
    )
    network = Network.residual(described, *numbers)
    return WholeSteps(ARRAY, memory_model(MEMORY, ARRAY.clock_mhz), described.layers, network, plan)
