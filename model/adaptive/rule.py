"""What adaptive precision is: a rule sees the statistics of training steps and says every layer's bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cpt.model.layer_precisions import number_apart, precisions
from cpt.model.layers import LayerPrecision
from cpt.model.schedule import check_bits
from cpt.model.schedulers import check_run

Width = int | tuple[int, int]
"""Bits of weights and activations, or (these, bits of gradients)."""
Bits = Mapping[str, Width]
"""By layer."""


@dataclass(frozen=True)
class LayerStatistics:
    """One quantised product of a network in a training step."""

    weight: Tensor
    gradient: Tensor
    """Of the loss with respect to the weight."""
    macs: int
    """Multiply-accumulates of a sample."""
    precision: LayerPrecision

    @torch.no_grad()
    def quantised(self, bits: int) -> Tensor:
        """The weight at so many bits."""
        quantiser = self.precision.quantiser
        return quantiser.weight(self.weight.detach(), torch.tensor(bits, device=self.weight.device))


@dataclass(frozen=True)
class StepStatistics:
    """A training step whose gradients are complete and not yet used."""

    step: int
    """From 0."""
    steps: int
    """Of the run."""
    layers: Mapping[str, LayerStatistics]
    """In the order of the network; layers whose weight or gradient is not to be had are left out."""
    loss: float | None = None
    """What `AdaptivePrecision.step` was given."""


class Rule(ABC):
    """Says bits from what training shows.

    Args:
        lo, hi: bounds of the bits of weights and activations.
        interval: steps from one look to the next.

    What a rule remembers is in `arrays` (tensors) and `state_dict` (JSON-like), so that a run goes on bit for
    bit. A subclass names its ``source`` and says what is an own reading of it.
    """

    source: ClassVar[str] = ""
    """The paper."""
    apart: ClassVar[bool] = True
    """Equal bounds are refused."""
    learns: ClassVar[bool] = False
    """Bits are learned in the layers, which `attach` has prepared: `observe` moves them and says none."""

    def __init__(self, lo: int, hi: int, interval: int = 20) -> None:
        lo, hi = check_bits("lo", lo), check_bits("hi", hi)
        if self.apart and lo >= hi:
            raise ValueError(f"lo is {lo}; allowed: below hi ({hi})")
        if interval < 1:
            raise ValueError(f"interval is {interval}; allowed: at least 1")
        self.lo, self.hi, self.interval = lo, hi, interval
        self.names: tuple[str, ...] = ()
        """Of the layers."""

    @abstractmethod
    def begin(self) -> Width:
        """Bits of every layer at the start."""

    def attach(self, layers: Mapping[str, LayerPrecision], macs: Mapping[str, int], bw: int) -> None:
        """Take hold of the layers that the rule is for, which have their bits of the start.

        Raises `ValueError` for those that it cannot be for.
        """
        self.names = tuple(layers)

    @abstractmethod
    def observe(self, statistics: StepStatistics) -> Bits:
        """New bits of some layers, from a step at which the rule looks; empty: none changes."""

    def arrays(self) -> dict[str, Tensor]:
        """Tensors to save."""
        return {}

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """Take saved ones over."""
        assert not arrays

    def state_dict(self) -> dict[str, Any]:
        """What else there is to save."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it over."""
        assert not state

    @property
    def widths(self) -> range:
        """Bits that a layer may have."""
        return range(self.lo, self.hi + 1)


class AdaptivePrecision:
    """Sets a quantised model's bits by a rule; call `step` after ``backward``, before gradients are cleared.

    ``macs``: multiply-accumulates of each layer by name, as `summary` counts them. ``steps``: of the run.
    Both may be left out for a rule that does not look at them. ``bw``: bits of gradients, but for a rule that
    says these too.
    """

    def __init__(
        self,
        model: nn.Module,
        rule: Rule,
        macs: Mapping[str, int] | None = None,
        steps: int = 0,
        bw: int = 8,
    ) -> None:
        number_apart(model)
        self.model, self.rule, self.macs, self.steps = model, rule, macs or {}, steps
        self.layers = precisions(model)
        self.last_step = 0
        self.history: list[list[int]] = []
        """Bits of all layers at each look, the start first."""
        self._checked = False
        for item in self.layers.values():
            _moved(item, rule.begin(), bw)
            item.hold(self)
        rule.attach(self.layers, self.macs, bw)
        if not rule.learns:
            self._record()

    def step(self, loss: float | None = None) -> bool:
        """Whether bits changed behind this training step; ``loss``: for a rule that looks at losses."""
        step, self.last_step = self.last_step, self.last_step + 1
        if not self._checked:
            check_run(list(self.layers.values()))
            self._checked = True
        if (step + 1) % self.rule.interval:
            return False
        found = self.rule.observe(StepStatistics(step, self.steps, self._statistics(), loss))
        changed = [name for name, bits in found.items() if _moved(self.layers[name], bits)]
        if not self.rule.learns:  # to read learned bits is to wait for a GPU
            self._record()
        return bool(changed)

    def bits(self) -> dict[str, int]:
        """Bits in force, by layer."""
        return {name: item.get_bits()[0] for name, item in self.layers.items()}

    def state_dict(self) -> dict[str, Any]:
        """Position, history and what the rule knows, but for its `arrays`."""
        return {"step": self.last_step, "history": self.history, "rule": self.rule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Return to a position and set its bits."""
        self.last_step, self.history = int(state["step"]), [list(row) for row in state["history"]]
        self.rule.load_state_dict(state["rule"])
        for item, bits in zip(self.layers.values(), self.history[-1], strict=True):
            item.set_bits(fw=bits)

    def _record(self) -> None:
        self.history.append(list(self.bits().values()))

    def _statistics(self) -> dict[str, LayerStatistics]:
        found = {}
        for name, item in self.layers.items():
            pair = weight_of(self.model, name)
            if pair is not None:
                found[name] = LayerStatistics(*pair, self.macs.get(name, 0), item)
        return found


def _moved(item: LayerPrecision, bits: Width, bw: int | None = None) -> bool:
    """Set the layer's bits; whether they were others before."""
    before = item.get_bits()
    item.set_bits(*((bits, bw) if isinstance(bits, int) else bits))
    return item.get_bits() != before


def weight_of(model: nn.Module, name: str) -> tuple[Tensor, Tensor] | None:
    """Weight and gradient of a product that `precisions` calls ``name``; None if it has none."""
    owner, _, part = name.rpartition("precision_")
    module = model.get_submodule(owner.rstrip(".") if part != name else name)
    if isinstance(module, nn.MultiheadAttention):
        return _of_attention(module, part)
    weight = getattr(module, f"weight_{part}" if part != name else "weight", None)
    if not isinstance(weight, nn.Parameter) or weight.grad is None:
        return None
    return weight, weight.grad


def _of_attention(module: nn.MultiheadAttention, part: str) -> tuple[Tensor, Tensor] | None:
    if part == "out":
        weight: Tensor | None = module.out_proj.weight
    elif module.in_proj_weight is None:
        weight = getattr(module, f"{part}_proj_weight")
    else:
        weight = module.in_proj_weight
    if weight is None or weight.grad is None:
        return None
    if weight is module.in_proj_weight:
        number = ("q", "k", "v").index(part)
        return weight.chunk(3)[number], weight.grad.chunk(3)[number]
    return weight, weight.grad
