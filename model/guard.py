"""NaN guard: when a loss or gradient is not finite, say which layer it came from and at which precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.layers import LayerPrecision, NonFiniteInput


class TrainingDiverged(ValueError):
    """A loss or gradient is infinite or not a number; the message is one line."""


def check_step(
    model: nn.Module, step: int, loss: float, gradient_norm: float, forward: Callable[[], object]
) -> None:
    """Raise `TrainingDiverged` naming the first layer that went wrong, unless both numbers are finite.

    ``forward`` runs the step's batch through the model again.
    """
    if math.isfinite(loss) and math.isfinite(gradient_norm):
        return
    where = _forward_fault(model, forward) if not math.isfinite(loss) else _gradient_fault(model)
    what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {gradient_norm}"
    raise TrainingDiverged(
        f"{what} at step {step}: {where}; allowed: finite numbers "
        "(try a lower learning rate, warm-up, clipping or more bits)"
    )


@torch.no_grad()
def _forward_fault(model: nn.Module, forward: Callable[[], object]) -> str:
    """The first layer, in order of use, with a bad parameter or a bad output."""
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if found:
                return
            for key, parameter in module.named_parameters(recurse=False):
                if not bool(parameter.isfinite().all()):
                    found.append(f"{key} of {_layer(name, module)} is not finite")
                    return
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor) and not bool(first.isfinite().all()):
                found.append(f"the first output that is not finite is that of {_layer(name, module)}")

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if name and not isinstance(module, LayerPrecision) and not _children(module)
    ]
    outside = ""
    try:
        forward()
    except NonFiniteInput as error:
        outside = str(error).partition(";")[0]
    finally:
        for handle in handles:
            handle.remove()
    if outside and not found:
        return outside
    return found[0] if found else "every layer's output is finite, the loss itself overflows"


def _gradient_fault(model: nn.Module) -> str:
    """The last layer in order of definition, the first in backward, with a bad gradient."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            owner, _, key = name.rpartition(".")
            return f"the gradient of {key} of {_layer(owner, model.get_submodule(owner))} is not finite"
    return "every gradient is finite, their norm overflows"


def _layer(name: str, module: nn.Module) -> str:
    """The layer's name and precision."""
    for item in module.modules():
        if isinstance(item, LayerPrecision):
            fw, bw = item.get_bits()
            if fw or bw:
                return f"{name} at FW{fw or 32}/BW{bw or 32}"
    return f"{name} (full precision)"


def _children(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.children() if not isinstance(child, LayerPrecision)]
