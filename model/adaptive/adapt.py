"""As few bits as keep what the weights say: AdaPT's rule."""

from __future__ import annotations

import torch
from torch import Tensor

from cpt.model.adaptive.rule import Bits, Rule, StepStatistics

_EMPTY = 1e-6
"""Share that an empty bin counts as."""


class AdaPT(Rule):
    """Each layer gets the fewest bits whose quantised weights have nearly the distribution of the float ones.

    Nearly: the Kullback-Leibler divergence between histograms of both, of ``bins`` equal bins over the float
    weights' range, is at most ``loss`` bits.

    Kummer et al., "Adaptive Precision Training (AdaPT)", 2021 (arXiv 2107.13490): its "push down".
    Own reading: the bounds are stated instead of found from the resolution of the histogram, and its
    "push up", for which that paper takes gradient diversity, is left to `Muppet`.
    """

    source = "AdaPT (2021)"

    def __init__(self, lo: int, hi: int, interval: int = 20, loss: float = 0.1, bins: int = 32) -> None:
        super().__init__(lo, hi, interval)
        if not loss > 0 or bins < 2:
            raise ValueError(f"loss is {loss} and bins {bins}; allowed: above 0, and at least 2")
        self.loss, self.bins = loss, bins

    def begin(self) -> int:
        return self.hi

    def observe(self, statistics: StepStatistics) -> Bits:
        found = {}
        for name, layer in statistics.layers.items():
            weight = layer.weight.detach()
            own = self._shares(weight, weight)
            found[name] = next(
                (
                    bits
                    for bits in self.widths
                    if self._divergence(own, self._shares(layer.quantised(bits), weight)) <= self.loss
                ),
                self.hi,
            )
        return found

    def _shares(self, values: Tensor, like: Tensor) -> Tensor:
        """Of the bins over the range of ``like``."""
        lo, hi = like.min().item(), like.max().item()
        counts = torch.histc(values.float(), self.bins, lo, hi) if hi > lo else torch.ones(self.bins)
        shares = (counts.double() / counts.sum().clamp_min(1)).clamp_min(_EMPTY)
        return shares / shares.sum()

    @staticmethod
    def _divergence(own: Tensor, other: Tensor) -> float:
        """In bits."""
        return (own * (own / other).log2()).sum().item()
