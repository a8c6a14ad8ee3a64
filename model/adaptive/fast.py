"""Bits rise with training and with depth, where they buy something: FAST's rule."""

from __future__ import annotations

from cpt.model.adaptive.rule import Bits, Rule, StepStatistics


class Fast(Rule):
    """Each layer gets the fewest bits whose next one would change its weights by less than a threshold.

    The change is ``sum |q(b+1) - q(b)| / sum |q(b)|``; the threshold is ``alpha - beta*(i/I) - beta*(l/L)``
    at step i of I and layer l of L, at least ``least``: it falls with training and with depth.

    Zhang et al., "FAST: DNN training under variable precision block floating point", HPCA 2022. Own reading:
    min-max grids instead of block floating point, weights alone instead of all three tensors, any number of
    widths instead of two, and constants of our own.
    """

    source = "FAST (HPCA 2022)"

    def __init__(
        self,
        lo: int,
        hi: int,
        interval: int = 20,
        alpha: float = 0.3,
        beta: float = 0.12,
        least: float = 0.02,
    ) -> None:
        super().__init__(lo, hi, interval)
        if not alpha > least > 0 or beta < 0:
            raise ValueError(
                f"alpha is {alpha}, beta {beta}; allowed: alpha above least ({least}), beta from 0"
            )
        self.alpha, self.beta, self.least = alpha, beta, least

    def begin(self) -> int:
        return self.lo

    def observe(self, statistics: StepStatistics) -> Bits:
        found = {}
        training = (statistics.step + 1) / statistics.steps
        for number, (name, layer) in enumerate(statistics.layers.items(), 1):
            depth = number / len(statistics.layers)
            threshold = max(self.alpha - self.beta * (training + depth), self.least)
            bits, now = self.lo, layer.quantised(self.lo)
            while bits < self.hi:
                finer = layer.quantised(bits + 1)
                size = now.abs().sum().item()
                if size and (finer - now).abs().sum().item() / size < threshold:
                    break
                bits, now = bits + 1, finer
            found[name] = bits
        return found
