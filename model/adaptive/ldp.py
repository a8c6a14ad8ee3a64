"""LDP: the precision of every layer is learned (LDP, tinyML 2022; docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cpt.model.adaptive.rule import AdaptivePrecision, Bits, Rule, StepStatistics
from cpt.model.layers import LayerPrecision
from cpt.model.layers.precision import LearnedBits
from cpt.model.quantisers import quantiser_names
from cpt.model.schedule import check_bits

COSTS = ("forward", "training")
_EPS = 1e-12


class Ldp(Rule):
    """One learnable beta per layer for its weights and activations, with an optimiser and a cost target.

    While the cost at the learned bits is above ``target`` times that at the highest bits, a cost gradient is
    added: ``G = G_task + alpha * G_cost * mean|G_task| / (mean|G_cost| + eps)``. ``cost``: ``forward`` (the
    paper's Eq. 4, MACs * B**2) or ``training`` (all three passes). The betas have plain SGD of their own.
    """

    source = "LDP (tinyML 2022)"
    learns: ClassVar[bool] = True

    def __init__(
        self,
        lo: int,
        hi: int,
        target: float = 0.6,
        alpha: float = 1.0,
        lr: float = 0.1,
        initial_beta: float = 1.0,
        cost: str = "forward",
    ) -> None:
        super().__init__(lo, hi, interval=1)
        if cost not in COSTS:
            raise ValueError(f"cost is {cost!r}; allowed: {', '.join(COSTS)}")
        if not 0 < target <= 1:
            raise ValueError(f"target is {target}; allowed: above 0, at most 1")
        self.target, self.alpha, self.lr, self.cost_kind = target, alpha, lr, cost
        self.initial_beta = initial_beta
        self._layers: Mapping[str, LayerPrecision] = {}
        self._macs: list[int] = []
        self._bw = 0

    def begin(self) -> int:
        return self.hi

    def attach(self, layers: Mapping[str, LayerPrecision], macs: Mapping[str, int], bw: int) -> None:
        super().attach(layers, macs, bw)
        missing = [name for name in layers if name not in macs]
        if missing:
            raise ValueError(f"macs has no {missing[0]!r}; allowed: a count for every quantised layer")
        for item in layers.values():
            if not item.quantiser.learnable_precision:
                able = quantiser_names(lambda kind: kind.learnable_precision)
                raise ValueError(f"quantiser is {item.quantiser.name!r}; allowed: {', '.join(able)}")
            item.soft_bits = LearnedBits(self.lo, self.hi, self.initial_beta, item.fw_bits.device)
        self._layers, self._macs, self._bw = layers, [macs[name] for name in layers], bw

    @property
    def betas(self) -> list[nn.Parameter]:
        """One per layer, in their order."""
        return [learned.beta for learned in self._learned()]

    def cost(self) -> Tensor:
        """Cost of the bits in force relative to the highest bits everywhere; differentiable in the betas."""
        total = sum(
            count * self._work(_rounded(learned))
            for count, learned in zip(self._macs, self._learned(), strict=True)
        )
        return torch.as_tensor(total / (sum(self._macs) * self._work(self.hi)))

    def observe(self, statistics: StepStatistics) -> Bits:
        """Move the betas by the gradients of the task, and of the cost while it is above the target."""
        betas = self.betas
        task = [torch.zeros_like(beta) if beta.grad is None else beta.grad for beta in betas]
        cost = self.cost()
        if cost > self.target:
            by_cost = torch.autograd.grad(cost, betas)
            balance = self.alpha * _mean_size(task) / (_mean_size(by_cost) + _EPS)
            task = [own + balance * other for own, other in zip(task, by_cost, strict=True)]
        with torch.no_grad():
            for beta, grad in zip(betas, task, strict=True):
                beta.sub_(self.lr * grad).clamp_(0, 1)
                beta.grad = None
        return {}

    def _work(self, bits: Any) -> Any:
        """Bit operations of one multiply-accumulate."""
        return bits * bits if self.cost_kind == "forward" else bits * bits + 2 * self._bw * bits

    def _learned(self) -> list[LearnedBits]:
        for name, item in self._layers.items():
            if item.soft_bits is None:
                raise ValueError(f"layer {name} has fixed bits; allowed: learned ones (set_bits ended that)")
        return [item.soft_bits for item in self._layers.values() if item.soft_bits is not None]


class LearnedPrecision:
    """A model's bits by `Ldp`, whose options these are.

    ``macs``: multiply-accumulates of each layer by name, as `summary` counts them. Leave the betas out of the
    weights' optimiser (`weights`). Call `step` after ``backward`` and before the gradients are cleared.
    """

    def __init__(
        self,
        model: nn.Module,
        bits: tuple[int, int],
        macs: Mapping[str, int],
        bw: int = 8,
        target: float = 0.6,
        alpha: float = 1.0,
        lr: float = 0.1,
        initial_beta: float = 1.0,
        cost: str = "forward",
    ) -> None:
        self.rule = Ldp(*bits, target, alpha, lr, initial_beta, cost)
        self.model, self.bw = model, check_bits("bw", bw)
        self._adaptive = AdaptivePrecision(model, self.rule, macs, bw=bw)
        self.layers: dict[str, LayerPrecision] = self._adaptive.layers
        self.history: list[list[int]] = []

    @property
    def betas(self) -> list[nn.Parameter]:
        """One per layer, in the order of `layers`."""
        return self.rule.betas

    def weights(self) -> list[nn.Parameter]:
        """All other parameters of the model: what the weights' optimiser is for."""
        own = {id(beta) for beta in self.betas}
        return [parameter for parameter in self.model.parameters() if id(parameter) not in own]

    def cost(self) -> Tensor:
        """Cost of the bits in force relative to the highest bits everywhere; differentiable in the betas."""
        return self.rule.cost()

    def step(self) -> None:
        """Update the betas from the gradients of the task, and of the cost while it is above the target.

        The first call raises `ValueError` naming layers that have not run although others have.
        """
        self._adaptive.step()

    def bits(self) -> dict[str, int]:
        """Bits in force, by layer."""
        return self._adaptive.bits()

    def record(self) -> list[int]:
        """Append the bits in force to `history` (a row per call, a column per layer) and give them."""
        self.history.append(list(self.bits().values()))
        return self.history[-1]

    def state_dict(self) -> dict[str, Any]:
        """The history; the betas are in the model's state dict."""
        return {"history": self.history}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved history."""
        self.history = [list(row) for row in state["history"]]


def _rounded(learned: LearnedBits) -> Tensor:
    """Bits in force, with the gradient of the real-valued ones."""
    soft = learned()
    return soft + (learned.hard() - soft).detach()


def _mean_size(gradients: Any) -> Tensor:
    return torch.stack([gradient.abs().mean() for gradient in gradients]).mean()
