"""The golden trainer and a device, which train alike: what differs after a step is an error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cpt.host.compiler.choice import Way
from cpt.host.fabric import Device, FabricTrainer
from cpt.hw.contract import ArrayConfig
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Settings, Trainer


class Pair:
    """``golden`` and the device's ``trainer`` of what ``network`` makes, anew for each.

    ``way``: as `FabricTrainer` has it; `ContractError` for what the device does not take.
    """

    def __init__(
        self,
        network: Callable[[], Network],
        settings: Settings,
        config: ArrayConfig,
        device: Device,
        way: Way | None = None,
    ) -> None:
        self.golden = Trainer(network(), settings)
        self.trainer = FabricTrainer(
            device,
            config,
            network(),
            batch_size=settings.batch_size,
            micro_batch=settings.micro_batch,
            scratch_words=config.scratch_words,
            seed=settings.seed,
            way=way,
        )

    def begin(self) -> None:
        """The device goes on from where the golden trainer is."""
        self.trainer.load_state(*self.golden.state())

    def train_step(self, batch: tuple[np.ndarray, np.ndarray], bits: tuple[int, int], rate: float) -> None:
        """A step of both on images and labels; `AssertionError` names the array that differs after it."""
        for each in (self.golden, self.trainer):
            each.train_step(*batch, bits, rate)
        for found, expected in zip(self.trainer.state(), self.golden.state(), strict=True):
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value, name)
