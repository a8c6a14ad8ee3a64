"""How precision moves in a run: one interface over the library's schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.adaptive import RULES, AdaptivePrecision
from cpt.model.adaptive.ldp import LearnedPrecision
from cpt.model.adaptive.pfq import ProgressiveFractional
from cpt.model.cyclic import cyclic
from cpt.model.layer_precisions import precisions
from cpt.model.schedule import Curve, Plan, Progressive, RandomEvery, Reordered, Static, Window
from cpt.model.schedulers import PrecisionScheduler
from cpt.model.training.config import TorchConfig


class Method:
    """Called by the trainer; the bits in force are in the model."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = list(precisions(model))

    def bits(self) -> dict[str, tuple[int, int]]:
        """(fw, bw) in force of every quantised layer."""
        raise NotImplementedError

    def after_backward(self) -> None:
        """Gradients are complete and not yet used."""

    def after_step(self) -> None:
        """A step is done."""

    def after_epoch(self, loss: float) -> None:
        """An epoch with this mean training loss is done."""

    def weights(self, model: nn.Module) -> list[nn.Parameter]:
        """What the weights' optimiser is for."""
        return list(model.parameters())

    def state_dict(self) -> dict[str, Any]:
        """JSON-like position."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Return to a position."""

    def arrays(self) -> dict[str, Tensor]:
        """Tensors that belong to the position."""
        return {}

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """Take over what `arrays` gave."""

    def history(self) -> list[list[int]] | None:
        """Bits of all layers at several times of the run, where each layer has its own."""
        return None


class Scheduled(Method):
    """Bits that follow a plan known beforehand."""

    def __init__(self, model: nn.Module, config: TorchConfig, steps_per_epoch: int) -> None:
        unit = "epoch" if config.per_epoch() else "iteration"
        super().__init__(model)
        self.scheduler = PrecisionScheduler(
            model, make_plan(config, config.plan_length(steps_per_epoch)), unit
        )

    def bits(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(self.layers, self.scheduler.get_last_bits())

    def after_step(self) -> None:
        if self.scheduler.unit == "iteration":
            self.scheduler.step()

    def after_epoch(self, loss: float) -> None:
        if self.scheduler.unit == "epoch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


class Fractional(Method):
    """PFQ, moved by the training loss."""

    def __init__(self, model: nn.Module, config: TorchConfig) -> None:
        super().__init__(model)
        self.progress = ProgressiveFractional(model, config.pfq_fw, config.pfq_bw, config.pfq_eps)

    def bits(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(self.layers, self.progress.get_last_bits())

    def after_epoch(self, loss: float) -> None:
        self.progress.step(loss)

    def state_dict(self) -> dict[str, Any]:
        return self.progress.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.progress.load_state_dict(state)


class Learned(Method):
    """LDP: bits per layer, learned with the weights."""

    def __init__(self, model: nn.Module, config: TorchConfig, macs: Mapping[str, int]) -> None:
        super().__init__(model)
        self.learned = LearnedPrecision(
            model,
            config.fw,
            macs,
            config.bw[1],
            target=config.ldp_target,
            alpha=config.ldp_alpha,
            lr=config.ldp_lr,
        )

    def bits(self) -> dict[str, tuple[int, int]]:
        learned = (item.soft_bits for item in self.learned.layers.values())
        hard = torch.stack(
            [item.hard() for item in learned if item is not None]
        )  # one wait for a GPU, not many
        return {name: (fw, self.learned.bw) for name, fw in zip(self.layers, hard.tolist(), strict=True)}

    def after_backward(self) -> None:
        self.learned.step()

    def after_epoch(self, loss: float) -> None:
        self.learned.record()

    def weights(self, model: nn.Module) -> list[nn.Parameter]:
        return self.learned.weights()

    def history(self) -> list[list[int]]:
        return self.learned.history

    def state_dict(self) -> dict[str, Any]:
        return self.learned.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.learned.load_state_dict(state)


class Adaptive(Method):
    """Bits by a rule of `cpt.model.adaptive`."""

    def __init__(self, model: nn.Module, config: TorchConfig, macs: Mapping[str, int], steps: int) -> None:
        super().__init__(model)
        lo, hi = config.fw
        options = {"target": config.ldp_target, "bw": config.bw[1]} if config.method == "snip" else {}
        rule = RULES[config.method](lo, hi, config.look_every, **options)
        self.adaptive = AdaptivePrecision(model, rule, macs, steps, config.bw[1])

    def bits(self) -> dict[str, tuple[int, int]]:
        return {name: item.get_bits() for name, item in self.adaptive.layers.items()}

    def after_backward(self) -> None:
        self.adaptive.step()

    def state_dict(self) -> dict[str, Any]:
        return self.adaptive.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.adaptive.load_state_dict(state)

    def arrays(self) -> dict[str, Tensor]:
        return self.adaptive.rule.arrays()

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        self.adaptive.rule.load_arrays(arrays)

    def history(self) -> list[list[int]]:
        return self.adaptive.history


def make_method(
    config: TorchConfig, model: nn.Module, macs: Mapping[str, int], steps_per_epoch: int
) -> Method:
    """The method of ``config``, acting on a quantised model.

    ``macs``: per sample, of every quantised layer.
    """
    if config.method == "ldp":
        return Learned(model, config, macs)
    if config.method in RULES:
        return Adaptive(model, config, macs, config.total_steps(steps_per_epoch))
    if config.method == "pfq":
        return Fractional(model, config)
    return Scheduled(model, config, steps_per_epoch)


def make_plan(config: TorchConfig, length: int) -> Plan:
    """Bits over ``length`` epochs or iterations."""
    (lo, hi), (bw_lo, bw_hi) = config.fw, config.bw
    if config.method == "fp32":
        return Plan(Static(0), Static(0))
    if config.method == "static":
        return Plan(Static(hi), Static(bw_hi))
    if config.method == "progressive":
        back: Curve = Static(bw_hi) if bw_lo == bw_hi else Progressive(bw_lo, bw_hi, length)
        return Plan(Progressive(lo, hi, length), back)
    if config.method == "random":
        return Plan(RandomEvery(lo, hi, length, config.every, config.seed), Static(bw_hi))
    if config.method == "window":
        return Plan(Window(lo, hi, length, config.window_start, config.window_length), Static(bw_hi))
    if config.delay >= length:
        raise ValueError(f"delay is {config.delay}; allowed: below the length of the run ({length})")
    cycles = min(config.cycles, length - config.delay)
    curves = [cyclic(config.shape, bits, cycles, length, config.delay) for bits in (config.fw, config.bw)]
    if config.method in ("reversed", "shuffled"):
        seed = config.seed if config.method == "shuffled" else None
        curves = [Reordered(curve, length, seed) for curve in curves]
    return Plan(*curves)
