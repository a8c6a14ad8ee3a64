"""What stands in for a layer's precision while its network is exported."""

from __future__ import annotations

import torch
from torch import Tensor

from cpt.model.export.nodes import QuantisedInput, StoredTensor
from cpt.model.functional import Range
from cpt.model.layers import LayerPrecision, adopt


class ExportedPrecision(LayerPrecision):
    """A layer's precision in two passes: one on real values, which keeps codes, and one that writes nodes.

    Weights and biases become constants; the range of activations is the running one.
    """

    recording: bool
    """Whether this is the pass on real values."""
    bits: int

    @classmethod
    def of(cls, item: LayerPrecision, name: str) -> ExportedPrecision:
        """One in the place of ``item``; raises `ValueError` naming the layer if it cannot be exported."""
        new = adopt(cls, item)
        new.recording, new.name, new.bits = True, name, item.get_bits()[0]
        new.set_bits(new.bits)
        if new.bits:
            new._find_grid()
        return new

    @property
    def in_integers(self) -> bool:
        """A file's products are of values: the runtime makes of them what it likes."""
        return False

    def activation(self, x: Tensor, channels_first: bool = False) -> Tensor:
        """The layer's input as in evaluation."""
        if self.recording or not self.bits:
            return super().activation(x, channels_first)
        y: Tensor = self.get_submodule("input")(x)
        return y

    def weights(self, w: Tensor, groups: int = 1) -> tuple[Tensor, Tensor | None]:
        """Weights of the forward pass; none of dX."""
        if not self.bits:
            return w, None
        if self.recording:
            return self._kept("weight", w, super().weights(w, groups)[0]), None
        return self.get_submodule("weight")(), None

    def bias(self, b: Tensor | None) -> Tensor | None:
        """The bias, quantised if the configuration says so."""
        if b is None or not (self.bits and self.config.quantise_bias):
            return b
        if self.recording:
            return self._kept("bias_codes", b, self.quantiser.weight(b, self.fw_bits))
        values: Tensor = self.get_submodule("bias_codes")()
        return values

    def gradient(self, y: Tensor, channels_first: bool = False) -> Tensor:
        """``y``: an exported network has no gradients."""
        return y

    def _find_grid(self) -> None:
        found = None
        if self.quantiser.has_range:
            if not self.range[2].any():
                raise ValueError(
                    f"layer {self.name} has no range of its input; allowed: a model that has trained, or run "
                    "under calibration(model)"
                )
            found = Range(self.range[0] / self.range[2], self.range[1] / self.range[2])
        grid = self.quantiser.activation_grid(self.fw_bits, found)
        if grid is None:
            raise self._refusal()
        self.add_module("input", QuantisedInput(grid, self.bits))

    def _kept(self, what: str, x: Tensor, values: Tensor) -> Tensor:
        """``values`` of ``x``, whose codes are kept."""
        found = self.quantiser.weight_codes(x, self.fw_bits)
        if found is None:
            raise self._refusal()
        codes, grid = found
        if not torch.equal(grid.values(codes), values):
            raise ValueError(
                f"quantiser {self.quantiser} says other codes of layer {self.name} than it computes with; "
                "allowed: weight_codes with the values of weight"
            )
        new = StoredTensor(codes, grid, self.bits)
        before = self._modules.get(what)
        if isinstance(before, StoredTensor) and not torch.equal(before.codes.int(), new.codes.int()):
            raise ValueError(f"layer {self.name} has several weights; allowed: a precision for each")
        self.add_module(what, new)
        return values

    def _refusal(self) -> ValueError:
        return ValueError(
            f"quantiser {self.quantiser} of layer {self.name} has no grid to export; allowed: one with "
            "weight_codes and activation_grid"
        )
