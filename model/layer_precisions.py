"""The precision of a model's quantised layers: found, numbered, set, and set for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from cpt.model.filters import Filter, taken
from cpt.model.layers import LayerPrecision


def precisions(model: nn.Module) -> dict[str, LayerPrecision]:
    """The precision of every quantised layer, by the layer's name.

    Layers with several products have several: ``lstm.precision_hh_l0``.
    """
    return {
        name.removesuffix("precision").removesuffix("."): module
        for name, module in model.named_modules()
        if isinstance(module, LayerPrecision)
    }


def next_number(model: nn.Module) -> int:
    """Number of the next layer: after those quantised before, so that no two draw the same noise."""
    return max((item.layer for item in precisions(model).values()), default=-1) + 1


def number_apart(model: nn.Module) -> None:
    """Give layers whose number is taken, quantised by calls on parts of the model, numbers of their own."""
    taken: set[int] = set()
    number = next_number(model)
    for item in precisions(model).values():
        if item.layer in taken:
            item.layer = number
            number += 1
        taken.add(item.layer)


def selected(model: nn.Module, filter_fn: Filter | None) -> list[LayerPrecision]:
    """The precisions that ``filter_fn`` takes, by the layer (or product) and its name."""
    items = precisions(model)
    if filter_fn is None:
        return list(items.values())
    return [items[name] for name in taken(filter_fn, {name: model.get_submodule(name) for name in items})]


def set_precision(
    model: nn.Module, fw: int | None = None, bw: int | None = None, filter_fn: Filter | None = None
) -> None:
    """Set bits (0: full precision) of every quantised layer, or of those that ``filter_fn`` takes."""
    for item in selected(model, filter_fn):
        item.set_bits(fw, bw)


@contextmanager
def precision(model: nn.Module, fw: int | None = None, bw: int | None = None) -> Iterator[nn.Module]:
    """``with precision(model, fw=8): evaluate()`` sets bits for a while; learned bits are overruled too."""
    with ExitStack() as stack:
        items = list(precisions(model).values())
        for item in items:
            stack.enter_context(item.kept())
        for item in items:
            item.set_bits(fw, bw)
        yield model


@contextmanager
def calibration(model: nn.Module) -> Iterator[nn.Module]:
    """``with calibration(model): model(batch)`` gives the ranges of activations without a training step.

    The model may be in evaluation: weights, statistics and the count of steps stay as they are. Each batch is
    quantised with its own range, which moves the running average.
    """
    items = list(precisions(model).values())
    before = [item.calibrating for item in items]
    try:
        for item in items:
            item.calibrating = True
        yield model
    finally:
        for item, old in zip(items, before, strict=True):
            item.calibrating = old
