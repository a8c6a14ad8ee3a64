"""Precision schedulers that drive a quantised model, used like torch's learning-rate schedulers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from torch import nn

from cpt.model.cyclic import cyclic
from cpt.model.filters import Filter
from cpt.model.layer_precisions import number_apart, precisions, selected
from cpt.model.layers import LayerPrecision
from cpt.model.schedule import UNITS, Curve, Plan, Progressive, RandomEvery, Stages, Static, Stepper


class PrecisionScheduler:
    """Sets the model's bits along a plan. Call `step` after every ``unit``.

    ``filter_fn`` restricts it to some layers, by module and name as in `set_precision`, so that several
    schedulers may share a model (block-wise precision). The bits of step 0 are in force from construction on;
    a state dict loaded into the model later does not change them.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, unit: str = "epoch", filter_fn: Filter | None = None
    ) -> None:
        if unit not in UNITS:
            raise ValueError(f"unit is {unit!r}; allowed: {', '.join(UNITS)}")
        number_apart(model)
        self._layers = selected(model, filter_fn)
        if not self._layers:
            raise ValueError("model has 0 quantised layers to set; allowed: at least 1 (see quantize_)")
        self.model, self.plan, self.unit = model, plan, unit
        self._stepper = Stepper(plan)
        self._checked = False
        self._apply()
        for layer in self._layers:
            layer.hold(self)

    def step(self) -> tuple[int, int]:
        """Go to the next step and give its (fw, bw).

        The first call raises `ValueError` naming layers that have not run although others have.
        """
        if not self._checked:
            check_run(self._layers)
            self._checked = True
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
        for layer in self._layers:
            layer.set_bits(fw, bw)
        return fw, bw


def check_run(layers: Sequence[LayerPrecision]) -> None:
    """Raise `ValueError` if some of the layers have run and others have not: these are bypassed."""
    idle = [layer.name for layer in layers if not layer.has_run]
    if 0 < len(idle) < len(layers):
        raise ValueError(
            f"quantised but never run: {', '.join(idle)} (is the weight used without its layer? "
            "cpt.model.follow_weights_); allowed: layers that run, others left out by filter_fn"
        )


class CyclicPrecision(PrecisionScheduler):
    """CPT: ``bits`` = (lowest, highest) of weights and activations, ``cycles`` times over ``total_steps``.

    ``shape``: a name of `cpt.model.cyclic.SHAPES`, ``cosine`` (the default) for CPT's. ``bw``: bits of
    gradients, or (lowest, highest) for cyclic gradients (CPT Table 8). ``start``: step at which the cycles
    begin, the lowest precision before it (CPT Table 7).
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
        fw, back = (cyclic(shape, bounds, cycles, total_steps, start) for bounds in (bits, bw))
        super().__init__(model, Plan(fw, back), unit, filter_fn)


class StaticPrecision(PrecisionScheduler):
    """The same bits throughout."""

    def __init__(
        self,
        model: nn.Module,
        fw: int,
        bw: int = 8,
        unit: str = "epoch",
        filter_fn: Filter | None = None,
    ) -> None:
        super().__init__(model, Plan(Static(fw), Static(bw)), unit, filter_fn)


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
        filter_fn: Filter | None = None,
    ) -> None:
        def rising(values: tuple[int, ...]) -> Curve:
            if linear and len(values) == 2:
                return Progressive(values[0], values[1], total_steps)
            return Stages(tuple(values), total_steps)

        back = Static(int(bw)) if isinstance(bw, (int, Integral)) else rising(bw)
        super().__init__(model, Plan(rising(bits), back), unit, filter_fn)


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
        filter_fn: Filter | None = None,
    ) -> None:
        plan = Plan(RandomEvery(*bits, total_steps, every, seed), Static(bw))
        super().__init__(model, plan, unit, filter_fn)


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
