"""Per layer: precision, work and bit operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from cpt.model.bitops import PassBitops, pass_bitops
from cpt.model.layer_precisions import precision, precisions
from cpt.model.layers.recurrent import weight_names
from cpt.model.quantize import known_elsewhere
from cpt.model.schedule import FULL_PRECISION


@dataclass(frozen=True)
class LayerSummary:
    """One product with weights: a layer, or a part of one that has several."""

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
    """Count the work of a forward pass on ``example``, batch first; the model stays as it was.

    Quantised or not, every layer that `quantize_` knows and batch norm counts. A
    quantised layer of several products has a row for each, named as in `precisions`. Attention products have
    no weights and are not quantised; they do not count, as in the papers.
    """
    batch = example[0].shape[0]
    macs: Counter[tuple[str, str]] = Counter()  # by name and kind, in order of use
    elements = 0

    def count(name: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, options: Any, output: Any) -> None:
            nonlocal elements
            if isinstance(module, _BatchNorm):
                elements += output.numel()
                return
            kind = type(module).__name__.removeprefix("Quant")
            for part, done in _products(module, inputs, options, output).items():
                whole = f"{name}.precision_{part}".removeprefix(".")
                macs[whole if whole in items else name, kind] += done

        return hook

    items = precisions(model)
    bits = {name: item.get_bits() for name, item in items.items()}
    counted: tuple[type[nn.Module], ...] = (
        _ConvNd,
        nn.Linear,
        nn.RNNBase,
        nn.MultiheadAttention,
        _BatchNorm,
        *known_elsewhere(),
    )
    handles = [
        module.register_forward_hook(count(name), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, counted)
    ]
    training = {module: module.training for module in model.modules()}
    try:
        with precision(model, fw=FULL_PRECISION, bw=FULL_PRECISION):
            model.eval()(*example)
    finally:
        for handle in handles:
            handle.remove()
        for module, before in training.items():
            module.training = before
    rows = (
        LayerSummary(name, kind, *bits.get(name, (FULL_PRECISION,) * 2), done // batch)
        for (name, kind), done in macs.items()
    )
    return ModelSummary(tuple(rows), elements // batch)


def _products(module: Any, inputs: Any, options: Any, output: Any) -> dict[str, int]:
    """Multiply-accumulates of each product of one call, as `LayerPrecision`s of a layer are named."""
    if isinstance(module, _ConvTransposeNd):
        x = inputs[0] if inputs else options["input"]
        return {"": x.numel() * module.weight[0].numel()}
    if isinstance(module, _ConvNd):
        return {"": output.numel() * module.weight[0].numel()}
    if isinstance(module, nn.Linear):
        return {"": output.numel() * module.in_features}
    if isinstance(module, nn.RNNBase):
        x = inputs[0] if inputs else options["input"]
        positions = x.numel() // x.shape[-1]
        return {
            name.removeprefix("weight_"): positions * getattr(module, name).numel()
            for name in weight_names(module)
        }
    if not isinstance(module, nn.MultiheadAttention):  # of `known_elsewhere`, with weights (in, out)
        return {"": output.numel() * module.weight.shape[0]}
    named = dict(zip(("query", "key", "value"), inputs, strict=False)) | options
    streams = {"q": named["query"], "k": named["key"], "v": named["value"], "out": output[0]}
    return {part: x.numel() * module.embed_dim for part, x in streams.items()}
