"""The bits of all layers that lose least within a budget of bit operations: SNIP's idea."""

from __future__ import annotations

import numpy as np

from cpt.model.adaptive.rule import Bits, Rule, StepStatistics


class Snip(Rule):
    """An integer program at every look: one width for each layer, the least loss in all, within ``target``.

    A width's loss is ``sum g^2 (q(w) - w)^2``: the expected square of how much the loss changes, to first
    order, if errors of weights are independent. Its cost is that of the layer's three passes at so many bits;
    the budget is ``target`` of the cost at the highest bits everywhere. Solved by SciPy's solver of mixed
    integer programs.

    Pan et al., "SNIP: an adaptive mixed precision framework for subbyte large language model training",
    ASPLOS 2026 (arXiv 2602.01410). Own reading: weights alone, this loss instead of its divergence of loss
    and weights, and integer widths instead of floating-point formats.
    """

    source = "SNIP (ASPLOS 2026)"

    def __init__(self, lo: int, hi: int, interval: int = 20, target: float = 0.6, bw: int = 8) -> None:
        super().__init__(lo, hi, interval)
        if not 0 < target <= 1:
            raise ValueError(f"target is {target}; allowed: above 0, at most 1")
        self.target, self.bw = target, bw

    def begin(self) -> int:
        return self.hi

    def observe(self, statistics: StepStatistics) -> Bits:
        names, widths = list(statistics.layers), list(self.widths)
        losses, costs = np.zeros((len(names), len(widths))), np.zeros((len(names), len(widths)))
        for row, layer in enumerate(statistics.layers.values()):
            weight, weighted = layer.weight.detach(), layer.gradient.detach().double().square()
            for column, bits in enumerate(widths):
                error = (layer.quantised(bits) - weight).double().square()
                losses[row, column] = (weighted * error).sum().item()
                costs[row, column] = layer.macs * (bits * bits + 2 * bits * self.bw)
        return dict(zip(names, self._solved(losses, costs), strict=True))

    def _solved(self, losses: np.ndarray, costs: np.ndarray) -> list[int]:
        """A width for each row: least loss within the budget, or the lowest width everywhere."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        layers, widths = losses.shape
        one_each = np.kron(np.eye(layers), np.ones(widths))
        shares = costs / costs[:, -1].sum()
        scale = losses.max() or 1.0
        found = milp(
            losses.ravel() / scale,
            integrality=np.ones(losses.size),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(one_each, 1, 1),
                LinearConstraint(shares.ravel()[None], -np.inf, self.target),
            ],
        )
        if found.x is None:
            return [self.lo] * layers
        return [self.lo + int(row.argmax()) for row in found.x.reshape(layers, widths)]
