"""Precision schedulers that drive a quantised model, used like torch's learning-rate schedulers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from model.quantize import Filter, precisions, set_precision
from model.schedule import (
    CosineAnnealing,
    Curve,
    CyclicCosine,
    Delayed,
    Plan,
    Progressive,
    RandomEvery,
    Stages,
    Static,
    Stepper,
    Triangular,
)

UNITS = ("epoch", "iteration")


class PrecisionScheduler:
    """Sets the model's bits along a plan. Call `step` after every ``unit``.

    ``filter_fn`` restricts it to some layers, so that several schedulers may share a model (block-wise
    precision). The bits of step 0 are in force from construction on.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, unit: str = "epoch", filter_fn: Filter | None = None
    ) -> None:
        if unit not in UNITS:
            raise ValueError(f"unit is {unit!r}; allowed: {', '.join(UNITS)}")
        if not precisions(model):
            raise ValueError("model has 0 quantised layers; allowed: a model that quantize_ has been through")
        self.model, self.plan, self.unit, self.filter_fn = model, plan, unit, filter_fn
        self._stepper = Stepper(plan)
        self._apply()

    def step(self) -> tuple[int, int]:
        """Go to the next step and give its (fw, bw)."""
        self._stepper.step()
        return self._apply()

    def get_last_bits(self) -> tuple[int, int]:
        """(fw, bw) in force."""
        return self._stepper.get_last_bits()

    @property
    def last_step(self) -> int:
        """Steps taken."""
        return self._stepper.last_step

    def state_dict(self) -> dict[str, Any]:
        """The position; the plan is the constructor's."""
        return self._stepper.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position and set its bits."""
        self._stepper.load_state_dict(state)
        self._apply()

    def _apply(self) -> tuple[int, int]:
        fw, bw = self.get_last_bits()
        set_precision(self.model, fw, bw, self.filter_fn)
        return fw, bw


class CyclicPrecision(PrecisionScheduler):
    """CPT: ``bits`` = (lowest, highest) of weights and activations, ``cycles`` times over ``total_steps``.

    ``shape``: ``cosine`` (the default), ``triangular`` or ``cosine_anneal``. ``bw``: bits of gradients, or
    (lowest, highest) for cyclic gradients. ``start``: step at which the cycles begin (CPT Table 7), the
    lowest precision before it.
    """

    def __init__(
        self,
        model: nn.Module,
        bits: tuple[int, int],
        cycles: int,
        total_steps: int,
        unit: str = "epoch",
        bw: int | tuple[int, int] = 8,
        shape: str = "cosine",
        start: int = 0,
        filter_fn: Filter | None = None,
    ) -> None:
        curve = cyclic(shape, bits, cycles, total_steps - start)
        fw: Curve = Delayed(bits[0], start, curve) if start else curve
        back = Static(bw) if isinstance(bw, int) else cyclic(shape, bw, cycles, total_steps)
        super().__init__(model, Plan(fw, back), unit, filter_fn)


class StaticPrecision(PrecisionScheduler):
    """The same bits throughout."""

    def __init__(self, model: nn.Module, fw: int, bw: int = 8, unit: str = "epoch") -> None:
        super().__init__(model, Plan(Static(fw), Static(bw)), unit)


class ProgressivePrecision(PrecisionScheduler):
    """From low to high once: linearly between two ``bits``, or in equal ``stages``."""

    def __init__(
        self,
        model: nn.Module,
        bits: tuple[int, ...],
        total_steps: int,
        unit: str = "epoch",
        bw: int | tuple[int, ...] = 8,
        linear: bool = True,
    ) -> None:
        def rising(values: tuple[int, ...]) -> Curve:
            if linear and len(values) == 2:
                return Progressive(values[0], values[1], total_steps)
            return Stages(tuple(values), total_steps)

        super().__init__(model, Plan(rising(bits), Static(bw) if isinstance(bw, int) else rising(bw)), unit)


class RandomPrecision(PrecisionScheduler):
    """A random precision within ``bits`` every ``every`` steps (LDP Table 2)."""

    def __init__(
        self,
        model: nn.Module,
        bits: tuple[int, int],
        every: int,
        total_steps: int,
        unit: str = "iteration",
        bw: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(model, Plan(RandomEvery(*bits, total_steps, every, seed), Static(bw)), unit)


_SHAPES = {"cosine": CyclicCosine, "triangular": Triangular, "cosine_anneal": CosineAnnealing}


def cyclic(shape: str, bits: tuple[int, int], cycles: int, total_steps: int) -> Curve:
    """The cyclic curve called ``shape``."""
    if shape not in _SHAPES:
        raise ValueError(f"shape is {shape!r}; allowed: {', '.join(_SHAPES)}")
    return _SHAPES[shape](*bits, total_steps, cycles)


def set_blockwise(model: nn.Module, bits: Mapping[str, int], bw: int | None = None) -> None:
    """Fixed precision by hand (LDP Table 1): ``bits`` by prefix of the layers' names; the longest wins.

    Raises `ValueError` for a prefix that no quantised layer has.
    """
    names = list(precisions(model))
    for prefix in bits:
        if not any(_under(name, prefix) for name in names):
            raise ValueError(f"block is {prefix!r}; allowed: a prefix of {', '.join(names)}")
    for name, item in precisions(model).items():
        prefixes = [prefix for prefix in bits if _under(name, prefix)]
        if prefixes:
            item.set_bits(bits[max(prefixes, key=len)], bw)


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")
