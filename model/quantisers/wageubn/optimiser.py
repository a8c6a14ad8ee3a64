"""WAGEUBN's update: gradients, momentum, learning rate and weights in fixed point (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.functional import Noise, add_noise_, noise_key
from cpt.model.quantisers.wageubn.arithmetic import fixed_point, shift

GRAD_BITS, NORM_GRAD_BITS, RATE_BITS, MOMENTUM_BITS, WEIGHT_BITS = 8, 15, 10, 13, 24
_GRAD_SCALE = 128.0
"""A normalised gradient is divided by it, so that steps have a size to train with."""
_FIRST_LAYER = 2**31
"""Noise of parameters is numbered from here, apart from that of layers."""


class FixedPointSGD(torch.optim.Optimizer):
    """SGD with momentum whose numbers are in fixed point, as in the authors' code.

    A weight's gradient is divided by the power of two next to its largest magnitude, rounded stochastically,
    and stays so normalised: its size is the learning rate's to set. Parameters of one axis (batch norm's,
    biases) keep the size of their gradients, and have no weight decay. A group with ``fixed`` False is
    updated in float32, as that code does with the first and the last layer.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "seed": seed, "fixed": True}
        super().__init__(params, defaults)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        weights: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> FixedPointSGD:
        """For ``weights`` of ``model``: in fixed point those of quantised layers and replaced modules."""
        # Here, because layers know quantisers.
        from cpt.model.layers import LayerPrecision, Quantised

        fixed = {
            id(parameter)
            for module in model.modules()
            if isinstance(module, Quantised) or any(isinstance(x, LayerPrecision) for x in module.children())
            for parameter in module.parameters()
        }
        # A group each: they are numbered as ``weights``.
        groups = [{"params": [w], "fixed": id(w) in fixed} for w in weights]
        return cls(groups, lr, momentum, weight_decay, seed)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        index = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group, index)
                index += 1
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any], index: int) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.int64)
            state["momentum"] = torch.zeros_like(parameter)
        key = noise_key(group["seed"], state["step"], _FIRST_LAYER + index)
        state["step"] += 1
        grad, rate = parameter.grad, group["lr"]
        assert grad is not None
        buffer = state["momentum"].mul_(group["momentum"])
        if not group["fixed"]:
            buffer.add_(grad.add(parameter, alpha=group["weight_decay"]))
            parameter.sub_(buffer, alpha=rate)
            return
        rate = _fixed(torch.tensor(rate), RATE_BITS).item()
        if parameter.dim() > 1:
            buffer.add_(_normalised(grad.add(parameter, alpha=group["weight_decay"]), key))
        else:
            buffer.add_(_fixed(grad, NORM_GRAD_BITS))
        parameter.copy_(_fixed(parameter.sub(buffer, alpha=rate), WEIGHT_BITS))
        state["momentum"].copy_(_fixed(buffer, MOMENTUM_BITS))


def _normalised(grad: Tensor, key: Tensor | int) -> Tensor:
    """``clip(round(s*g/shift(m) + noise), -(s - 1), s - 1)/(128*s)``, s = 128, m the largest magnitude."""
    steps = 2.0 ** (GRAD_BITS - 1)
    scaled = (grad / shift(grad.abs().amax())).mul_(steps)
    add_noise_(scaled, Noise(key, channels_first=False))
    return scaled.round_().clamp_(1 - steps, steps - 1).div_(_GRAD_SCALE * steps)


def _fixed(x: Tensor, bits: int) -> Tensor:
    """The nearest multiple of 2**(1 - bits)."""
    return fixed_point(x, x.new_tensor(2.0 ** (bits - 1)))
