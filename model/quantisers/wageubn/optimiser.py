"""WAGEUBN's weight update: gradients, learning rate and update in fixed point (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.functional import Noise, add_noise_, noise_key
from cpt.model.quantisers.wageubn.arithmetic import fixed_point, shift
from cpt.model.schedule import check_bits

_FIRST_LAYER = 2**31
"""Noise of parameters is numbered from here, apart from that of layers."""


class FixedPointSGD(torch.optim.Optimizer):
    """SGD with momentum whose gradients (stochastically), learning rate and update are in fixed point.

    Gradients: ``shift(m) * Q(g/shift(m) + noise)`` at ``grad_bits``, m the largest magnitude of the tensor.
    Learning rate ``Q(lr)`` at ``lr_bits``, update ``Q(lr * momentum buffer)`` at ``update_bits``.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        grad_bits: int = 8,
        lr_bits: int = 10,
        update_bits: int = 15,
        seed: int = 0,
    ) -> None:
        for name, bits in (("grad_bits", grad_bits), ("lr_bits", lr_bits), ("update_bits", update_bits)):
            check_bits(name, bits)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "grad_bits": grad_bits,
            "lr_bits": lr_bits,
            "update_bits": update_bits,
            "seed": seed,
        }
        super().__init__(params, defaults)

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
        grad = parameter.grad
        assert grad is not None
        unit = shift(grad.abs().amax())
        steps = 2.0 ** (group["grad_bits"] - 1)
        scaled = (grad / unit).mul_(steps)
        add_noise_(scaled, Noise(key, channels_first=False))
        grad = scaled.round_().div_(steps).mul_(unit).add_(parameter, alpha=group["weight_decay"])
        buffer = state["momentum"].mul_(group["momentum"]).add_(grad)
        rate = fixed_point(torch.tensor(group["lr"]), torch.tensor(2.0 ** (group["lr_bits"] - 1)))
        parameter.sub_(
            fixed_point(buffer * rate.item(), buffer.new_tensor(2.0 ** (group["update_bits"] - 1)))
        )
