"""Turning a model into a quantised one, and changing its precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from cpt.model.config import QuantConfig
from cpt.model.layers import (
    FixedPointBatchNorm2d,
    LayerPrecision,
    QuantConv2d,
    QuantLinear,
    QuantLSTM,
    QuantMultiheadAttention,
)

Filter = Callable[[str, nn.Module], bool]
"""(dotted name, module) to whether the module is quantised."""

QUANTISABLE: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Conv2d: QuantConv2d.from_float,
    nn.Linear: QuantLinear.from_float,
    nn.LSTM: QuantLSTM.from_float,
    nn.MultiheadAttention: QuantMultiheadAttention.from_float,
}
"""Exact types that `quantize_` replaces, and by what."""


def default_filter(model: nn.Module) -> Filter:
    """Everything but the layers that ``model.full_precision_layers`` (names) keeps out, if it has any."""
    kept: frozenset[str] = getattr(model, "full_precision_layers", frozenset())
    return lambda name, module: name not in kept


def quantize_(
    model: nn.Module, config: QuantConfig | None = None, filter_fn: Filter | None = None
) -> nn.Module:
    """Replace the model's `Conv2d`, `Linear`, `LSTM` and `MultiheadAttention` by quantised ones, in place.

    Parameters are shared with the layers replaced, so optimisers stay valid. Layers are numbered in the order
    of ``named_modules``. With WAGEUBN, `BatchNorm2d` is replaced too. Returns ``model`` (or its replacement,
    if the model itself is such a layer). Raises `ValueError` if nothing is left to quantise.
    """
    config = config or QuantConfig()
    keep = filter_fn or default_filter(model)
    chosen = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) in QUANTISABLE and keep(name, module)
    ]
    if not chosen:
        kinds = ", ".join(kind.__name__ for kind in QUANTISABLE)
        raise ValueError(f"model has 0 layers to quantise; allowed: at least 1 of {kinds}")
    new: dict[nn.Module, nn.Module] = {}
    layer = 0
    for _, module in chosen:
        new[module] = QUANTISABLE[type(module)](module, config, layer)
        layer += len(precisions(new[module]))
    if config.quantiser == "wageubn":
        norms = (module for module in model.modules() if type(module) is nn.BatchNorm2d)
        new |= {norm: FixedPointBatchNorm2d.from_float(norm) for norm in norms}
    model = replace_(model, new)
    _forbid_fused_encoders(model)
    return model


def replace_(model: nn.Module, new: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put new modules in place of old ones, wherever the model holds them; returns it or its replacement."""
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if name and module in new:
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, new[module])
    return new.get(model, model)


def _forbid_fused_encoders(model: nn.Module) -> None:
    """Keep torch's fused Transformer encoder, which reads the float weights past the layers, from running."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0


def precisions(model: nn.Module) -> dict[str, LayerPrecision]:
    """The precision of every quantised layer, by the layer's name.

    Layers with several products have several: ``lstm.precision_hh_l0``.
    """
    return {
        name.removesuffix("precision").removesuffix("."): module
        for name, module in model.named_modules()
        if isinstance(module, LayerPrecision)
    }


def selected(model: nn.Module, filter_fn: Filter | None) -> list[LayerPrecision]:
    """The precisions that ``filter_fn`` takes, by their name and the layer (or product) of that name."""
    return [
        item
        for name, item in precisions(model).items()
        if filter_fn is None or filter_fn(name, model.get_submodule(name))
    ]


def set_precision(
    model: nn.Module, fw: int | None = None, bw: int | None = None, filter_fn: Filter | None = None
) -> None:
    """Set bits (0: full precision) of every quantised layer, or of those that ``filter_fn`` takes."""
    for item in selected(model, filter_fn):
        item.set_bits(fw, bw)


@contextmanager
def precision(model: nn.Module, fw: int | None = None, bw: int | None = None) -> Iterator[nn.Module]:
    """``with precision(model, fw=8): evaluate()`` sets bits for a while; learned bits are overruled too."""
    items = list(precisions(model).values())
    before = [(item, int(item.fw_bits), int(item.bw_bits), item.soft_bits) for item in items]
    try:
        for item in items:
            item.set_bits(fw, bw)
        yield model
    finally:
        for item, old_fw, old_bw, soft in before:
            item.set_bits(old_fw, old_bw)
            item.soft_bits = soft
