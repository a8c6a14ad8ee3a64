"""The trainer that a command names: which machine, and on what it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpt.devices import open_accelerator
from cpt.host.config import TrainConfig
from cpt.host.data import Dataset
from cpt.host.trainer import Clock, NoClock, Trainer
from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Settings
from cpt.model.golden.fabric.trainer import Trainer as GoldenTrainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpt.host.driver import Accelerator
    from cpt.host.fabric import Device, FabricTrainer
    from cpt.hw.contract import ArrayConfig


@dataclass(frozen=True)
class Place:
    """Where something is trained: names as on the command line."""

    device: str
    preset: str
    memory: str
    bitfile: str | None = None

    @contextmanager
    def open(self, config: TrainConfig, data: Dataset) -> Iterator[tuple[Trainer, Accelerator | None]]:
        """A trainer, and the accelerator behind it, if there is one.

        Device ``fast`` are the golden functions, which train faster than the exact model of the machine does.
        Raises `ContractError` or `cpt.host.errors.HostError` in one line.
        """
        if self.device == "fast":
            yield self._golden(config, data), None
            return
        with open_accelerator(self.device, self.preset, self.memory, self.bitfile) as accelerator:
            yield trainer_on(config, data, accelerator), accelerator

    def _golden(self, config: TrainConfig, data: Dataset) -> Trainer:
        """Numbers by the golden functions, cycles by the forecast, where that is installed."""
        from cpt.sim.memory import memory_model

        array = preset(self.preset, STEP)
        timing = memory_model(self.memory, array.clock_mhz)

        def clock(network: Network, settled: TrainConfig) -> Clock:
            try:
                from cpt.sim.step.forecast import Forecast
            except ImportError:  # no Amaranth, whose classes hold the engines' latencies: a board's image
                return NoClock()
            return Forecast(array, timing, network, settled)

        return Trainer(config, data, array, golden_trainer, clock)


def golden_trainer(network: Network, settled: TrainConfig) -> GoldenTrainer:
    """Whole steps by the golden functions."""
    return GoldenTrainer(
        network,
        Settings(
            settled.seed, settled.batch_size, settled.micro_batch, settled.momentum, settled.weight_decay
        ),
    )


def of_device(device: Device, array: ArrayConfig) -> Callable[[Network, TrainConfig], FabricTrainer]:
    """What makes the trainer of a network on a device of whole steps."""
    from cpt.host.fabric import FabricTrainer

    def make(network: Network, settled: TrainConfig) -> FabricTrainer:
        return FabricTrainer(
            device,
            array,
            network,
            batch_size=settled.batch_size,
            micro_batch=settled.micro_batch,
            scratch_words=array.scratch_words,
            seed=settled.seed,
            momentum=settled.momentum,
            weight_decay=settled.weight_decay,
            widest=settled.widest,
        )

    return make


def trainer_on(config: TrainConfig, data: Dataset, accelerator: Accelerator) -> Trainer:
    """Whole steps on an opened accelerator."""
    from cpt.host.step_device import DeviceClock, StepDevice

    device, array = StepDevice(accelerator), accelerator.config
    trainer = Trainer(config, data, array, of_device(device, array), lambda *_: DeviceClock(device))
    trainer.memory_bytes, trainer.listeners = device.memory_bytes, device.listeners
    return trainer
