"""Bit operations of a run, counted step by step at the bits each layer had."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from model.bitops import pass_bitops
from model.layer_summary import summary
from model.quantize import precisions


class WorkCounter:
    """Counts as the papers do (docs/numerics.md): all layers that multiply + 2 * batch-norm elements.

    Layers kept in full precision, and batch norm, count at the mean of the quantised layers, weighted by
    their MACs; where all layers have the same bits this is the papers' formula.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        counted = summary(model, example)
        names = precisions(model)
        by_layer = {layer.name: layer.macs for layer in counted.layers}
        self.macs = {name: _macs(model, name, by_layer) for name in names}
        """Per sample, of every quantised layer."""
        self.rest = counted.counted_macs - sum(self.macs.values())
        self.done = 0
        """Bit operations so far."""

    def add(self, bits: Mapping[str, tuple[int, int]], samples: int) -> None:
        """Count a training step at these bits."""
        different = set(bits.values())
        if len(different) == 1:
            (pair,) = different
            self.done += int(pass_bitops(1, *pair).total) * (sum(self.macs.values()) + self.rest) * samples
            return
        quantised = sum(int(pass_bitops(self.macs[name], *pair).total) for name, pair in bits.items())
        self.done += (quantised + self.rest * quantised // sum(self.macs.values())) * samples

    @property
    def gbitops(self) -> float:
        """1e9 bit operations so far."""
        return self.done / 1e9


def _macs(model: nn.Module, name: str, by_layer: Mapping[str, int]) -> int:
    """MACs of a precision: its layer's, or its product's share of a layer that has several."""
    if name in by_layer:
        return by_layer[name]
    owner, _, part = name.rpartition(".")
    layer = model.get_submodule(owner)
    part = part.removeprefix("precision_")
    if isinstance(layer, nn.LSTM):
        total = sum(p.numel() for key, p in layer.named_parameters() if key.startswith("weight_"))
        return by_layer[owner] * layer.get_parameter(f"weight_{part}").numel() // total
    siblings = [other for other in precisions(model) if other.rpartition(".")[0] == owner]
    return by_layer[owner] // len(siblings)
