"""Tensors of a training run as arrays and back, bit for bit and in the same memory layout."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cpt.model.layers import LayerPrecision


def to_array(x: Tensor) -> np.ndarray:
    """A copy on the host."""
    return x.detach().cpu().contiguous().numpy().copy()


def optimiser_arrays(optimiser: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Everything an optimiser remembers, as ``<parameter number>.<key>``; all of torch's is in tensors."""
    return {
        f"{number}.{key}": to_array(value)
        for number, parameter in enumerate(_parameters(optimiser))
        for key, value in optimiser.state[parameter].items()
        if value is not None
    }


def load_optimiser(optimiser: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Take over what `optimiser_arrays` gave."""
    parameters = _parameters(optimiser)
    optimiser.state.clear()
    for name, array in arrays.items():
        number, _, key = name.partition(".")
        parameter = parameters[int(number)]
        optimiser.state[parameter][key] = restored(array, parameter)


def restored(array: np.ndarray, like: Tensor) -> Tensor:
    """``array`` as a tensor; laid out and placed like ``like`` if it has its shape, else a host scalar."""
    if array.shape != tuple(like.shape):
        return torch.from_numpy(array.copy())
    return torch.empty_like(like, requires_grad=False).copy_(torch.from_numpy(array))


def load_model(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy ``arrays`` into the model's state; raises `ValueError` if it is that of another model."""
    own = model.state_dict()
    if set(own) != set(arrays):
        odd = sorted(set(own) ^ set(arrays))
        raise ValueError(f"training state differs in {', '.join(odd[:3])}; allowed: that of the same model")
    of_channels = {  # as many as the layer's first input had
        f"{name}.range"
        for name, module in model.named_modules()
        if isinstance(module, LayerPrecision) and module.quantiser.channels_last
    }
    for name, value in own.items():
        if name not in of_channels and tuple(value.shape) != arrays[name].shape:
            raise ValueError(f"training state: {name} is {arrays[name].shape}; allowed: {tuple(value.shape)}")
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})


def weights_sha256(model: nn.Module) -> str:
    """Hash of names, shapes and bytes of all parameters; made like that of the accelerator's trainer."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)} ".encode())
        digest.update(to_array(parameter).tobytes())
    return digest.hexdigest()


def named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """``arrays`` with ``prefix.`` before their names."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``arrays`` that `named` gave ``prefix``, by their own names."""
    start = f"{prefix}."
    return {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
