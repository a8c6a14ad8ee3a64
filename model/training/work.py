"""Bit operations of a run, counted step by step at the bits each layer had."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from cpt.model.bitops import pass_bitops
from cpt.model.layer_precisions import precisions
from cpt.model.layer_summary import summary


class WorkCounter:
    """Counts as the papers do (docs/numerics.md): all layers that multiply + 2 * batch-norm elements.

    Layers kept in full precision, and batch norm, count at the mean of the quantised layers, weighted by
    their MACs; where all layers have the same bits this is the papers' formula.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        counted = summary(model, example)
        by_name = {layer.name: layer.macs for layer in counted.layers}
        self.macs = {name: by_name[name] for name in precisions(model)}
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
