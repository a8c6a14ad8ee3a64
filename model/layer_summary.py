"""Per layer: precision, work and bit operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.bitops import PassBitops, pass_bitops
from model.layers import LayerPrecision


@dataclass(frozen=True)
class LayerSummary:
    """One layer that multiplies."""

    name: str
    kind: str
    fw: int
    """Bits; 0 is full precision."""
    bw: int
    macs: int
    """Per sample."""

    @property
    def bitops(self) -> PassBitops:
        """Bit operations per sample; full precision counts as 32 bits."""
        return pass_bitops(self.macs, self.fw, self.bw)


@dataclass(frozen=True)
class ModelSummary:
    """All layers that multiply, in order of use."""

    layers: tuple[LayerSummary, ...]
    norm_elements: int
    """Values normalised by batch norm, per sample."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample."""
        return sum(layer.macs for layer in self.layers)

    @property
    def counted_macs(self) -> int:
        """The papers' count: MACs + 2 * batch-norm elements."""
        return self.macs + 2 * self.norm_elements

    @property
    def bitops(self) -> PassBitops:
        """Bit operations per sample at the precisions in force."""
        return sum((layer.bitops for layer in self.layers), PassBitops(0, 0, 0))

    def as_dicts(self) -> list[dict[str, Any]]:
        """A row per layer, for JSON."""
        return [
            {
                "name": layer.name,
                "kind": layer.kind,
                "fw": layer.fw,
                "bw": layer.bw,
                "macs": layer.macs,
                "bitops_forward": layer.bitops.forward,
                "bitops_dx": layer.bitops.dx,
                "bitops_dw": layer.bitops.dw,
            }
            for layer in self.layers
        ]

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [5])
        rows = [f"{'layer':<{width}}  fw  bw        MACs     MBitOPs"]
        for layer in self.layers:
            total = layer.bitops.total / 1e6
            rows.append(
                f"{layer.name:<{width}}  {layer.fw:>2}  {layer.bw:>2}  {layer.macs:>10}  {total:>10.1f}"
            )
        rows.append(f"{'total':<{width}}          {self.macs:>10}  {self.bitops.total / 1e6:>10.1f}")
        return "\n".join(rows)


@torch.no_grad()
def summary(model: nn.Module, *example: Tensor) -> ModelSummary:
    """Count the work of a forward pass on ``example`` (any batch size); the model stays as it was.

    Quantised or not, every `Conv2d`, `Linear`, `LSTM`, `MultiheadAttention` and batch norm counts. Attention
    products have no weights and are not quantised; they do not count, as in the papers.
    """
    found: list[LayerSummary] = []
    elements = 0
    batch = example[0].shape[0]

    def count(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal elements
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                elements += output.numel() // batch
                return
            item = next((part for part in module.modules() if isinstance(part, LayerPrecision)), None)
            fw, bw = item.get_bits() if item is not None else (0, 0)
            kind = type(module).__name__.removeprefix("Quant")
            found.append(LayerSummary(name, kind, fw, bw, _macs(module, inputs, output) // batch))

        return hook

    counted = (nn.Conv2d, nn.Linear, nn.LSTM, nn.MultiheadAttention, nn.modules.batchnorm._BatchNorm)
    handles = [
        module.register_forward_hook(count(name))
        for name, module in model.named_modules()
        if isinstance(module, counted)
    ]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    training = {name: module.training for name, module in model.named_modules()}
    try:
        model.train()
        model(*example)
    finally:
        for handle in handles:
            handle.remove()
        model.load_state_dict(state)
        for name, module in model.named_modules():
            module.training = training[name]
    return ModelSummary(tuple(found), elements)


def _macs(module: nn.Module, inputs: Any, output: Any) -> int:
    """Multiply-accumulates of one call."""
    if isinstance(module, nn.Conv2d):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, nn.LSTM):
        weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith("weight_"))
        return inputs[0].shape[0] * inputs[0].shape[1] * weights
    if isinstance(module, nn.MultiheadAttention):
        return sum(x.numel() for x in (*inputs, output[0])) * module.embed_dim
    raise TypeError(f"{type(module).__name__} has no count")
