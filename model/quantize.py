"""Turning a model into a quantised one and back."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from cpt.model.config import QuantConfig
from cpt.model.filters import Filter, answer, taken
from cpt.model.layer_precisions import next_number, precisions
from cpt.model.layers import (
    LayerPrecision,
    QuantGRU,
    Quantised,
    QuantLinear,
    QuantLSTM,
    QuantMultiheadAttention,
    QuantRNN,
)
from cpt.model.layers.adopt import plain_type
from cpt.model.layers.conv import CONVOLUTIONS
from cpt.model.layers.followed import follow, leave
from cpt.model.layers.quantised import CONFIG
from cpt.model.layers.subclass import BASES, quantised_subclass

Configs = Mapping[str, QuantConfig | None]
"""Configurations by name or pattern (``layer1.*``) of a module; None: left in float.

A name counts before patterns, of which the first that fits counts.
"""

Builder = Callable[[Any, QuantConfig, int], nn.Module]
"""(float layer, configuration, number of its first `LayerPrecision`) to the quantised layer."""

QUANTISABLE: dict[type[nn.Module], Builder] = {
    **{kind.of: kind.from_float for kind in CONVOLUTIONS},
    nn.Linear: QuantLinear.from_float,
    nn.RNN: QuantRNN.from_float,
    nn.GRU: QuantGRU.from_float,
    nn.LSTM: QuantLSTM.from_float,
    nn.MultiheadAttention: QuantMultiheadAttention.from_float,
}
"""Types that `quantize_` replaces, and by what; `register` adds to it. For subclasses: `builder_of`."""


def register(kind: type[nn.Module], builder: Builder) -> None:
    """Let `quantize_` replace layers whose type is exactly ``kind`` by what ``builder`` makes of them.

    The new layer holds a `LayerPrecision` for every product, numbered from the given number on
    (`cpt.model.layers.adopt` keeps parameters, hooks and buffers); with a method ``to_float`` it can go back.
    Raises `ValueError` if ``kind`` is no type of module.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"kind is {kind!r}; allowed: a class derived from torch.nn.Module")
    QUANTISABLE[kind] = builder


def builder_of(module: nn.Module) -> Builder | None:
    """What makes a quantised layer of ``module``; None if nothing does.

    A subclass of a linear layer or of a convolution keeps its own forward, whose product is quantised.
    """
    kind = plain_type(module)
    if kind in QUANTISABLE:
        return QUANTISABLE[kind]
    if _made_of(module) or isinstance(module, (Quantised, LazyModuleMixin)):
        return None
    return quantised_subclass(kind).from_float if isinstance(module, BASES) else None


def _made_of(module: nn.Module) -> bool:
    """Whether ``module`` is a quantised layer already."""
    return any(isinstance(child, LayerPrecision) for child in module.children())


def known_elsewhere() -> tuple[type[nn.Module], ...]:
    """Layers of other libraries that `QUANTISABLE` has once these are loaded: no model has them before."""
    if "transformers.pytorch_utils" not in sys.modules:
        return ()
    from cpt.model.layers.hugging_face import Conv1D, QuantConv1D

    QUANTISABLE.setdefault(Conv1D, QuantConv1D.from_float)
    return (Conv1D,)


def default_filter(model: nn.Module) -> Filter:
    """Everything but the layers that ``model.full_precision_layers`` (names) keeps out, if it has any."""
    kept: frozenset[str] = getattr(model, "full_precision_layers", frozenset())
    return lambda module, name: name not in kept


def quantize_(
    model: nn.Module,
    config: QuantConfig | Configs | None = None,
    filter_fn: Filter | None = None,
    strict: bool = False,
) -> nn.Module:
    """Replace the model's layers of the types in `QUANTISABLE` by quantised ones, in place.

    New layers hold all that those replaced held, parameters, hooks and buffers, so optimisers stay valid.
    They are numbered in the order of ``named_modules``, on from those quantised before. Other modules that
    the quantiser has a replacement for are replaced too, whether the filter takes them or not.
    Returns ``model``, or its replacement if the model itself is replaced.

    ``config``: one for all layers, or several by name or pattern, such as `layer_configs` gives: layers that
    none is for stay as they are, and one that is named is taken without a filter even if
    ``model.full_precision_layers`` keeps it out.
    ``strict``: raise if anything that the filter takes stays in float32 (see `float_layers`).
    Raises `ValueError` if nothing is left to quantise; the model is then as it was.
    """
    known_elsewhere()
    able = _able(model)
    if not able:
        kinds = ", ".join(kind.__name__ for kind in QUANTISABLE)
        raise ValueError(f"model has 0 layers to quantise; allowed: at least 1 of {kinds}")
    assigned = _assigned(model, QuantConfig() if config is None else config)
    candidates = {name: module for name, module in able.items() if name in assigned}
    if not candidates:
        raise ValueError(
            f"config leaves all {len(able)} layers in float; allowed: a QuantConfig for at least 1"
        )
    if filter_fn is None:
        default = default_filter(model)
        named = config if isinstance(config, Mapping) else {}
        chosen = [name for name, module in candidates.items() if name in named or default(module, name)]
    else:
        chosen = taken(filter_fn, candidates)
    if not chosen:
        raise ValueError(
            f"filter_fn takes 0 of {len(candidates)} layers; allowed: at least 1 "
            "(it is called filter_fn(module, name))"
        )
    if strict:
        takes = filter_fn or default_filter(model)
        _refuse_float(model, chosen, lambda module, name: name in assigned and takes(module, name))
    model = replace_(model, _layers(able, chosen, assigned, next_number(model)) | _others(model, assigned))
    for name, item in precisions(model).items():
        item.name = name or type(model).__name__
    _forbid_fused_encoders(model)
    model._register_load_state_dict_pre_hook(_check_state, with_module=True)
    return model


def _able(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that can be quantised, by name, but for parts of those that are quantised as a whole."""
    found: dict[str, nn.Module] = {}
    whole: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{outer}." if outer else "") for outer in whole):
            continue
        if builder_of(module) is not None:
            found[name] = module
        if builder_of(module) is not None or _made_of(module):
            whole.append(name)
    return found


def _assigned(model: nn.Module, config: QuantConfig | Configs) -> dict[str, QuantConfig]:
    """The configuration of every module that has one, by name."""
    modules = dict(model.named_modules())
    if isinstance(config, QuantConfig):
        return dict.fromkeys(modules, config)
    kinds: set[type[nn.Module]] = set()
    for key, value in config.items():
        if isinstance(value, QuantConfig):
            kinds |= set(value.plug.replacements())
        elif value is not None:
            raise ValueError(f"config of {key!r} is {value!r}; allowed: a QuantConfig, or None for float")
    able = _able(model)
    names = [name for name, module in modules.items() if name in able or plain_type(module) in kinds]
    for key in config:
        if key not in names and not any(fnmatchcase(name, key) for name in names):
            raise ValueError(
                f"config is for {key!r}, which no layer is called; allowed: names and patterns of "
                f"{', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            )
    found: dict[str, QuantConfig] = {}
    for name in names:
        fits = [name] if name in config else [key for key in config if fnmatchcase(name, key)]
        value = config[fits[0]] if fits else None
        if value is not None:
            found[name] = value
    return found


_SHOWN = 8
"""Names in a message."""


def _layers(
    able: Mapping[str, nn.Module], chosen: Sequence[str], assigned: Mapping[str, QuantConfig], number: int
) -> dict[nn.Module, nn.Module]:
    """Quantised layers for those ``chosen``, numbered from ``number`` on."""
    new: dict[nn.Module, nn.Module] = {}
    for name in chosen:
        module = able[name]
        try:
            builder = builder_of(module)
            assert builder is not None
            new[module] = builder(module, assigned[name], number)
        except ValueError as error:
            raise ValueError(f"{error} (layer {name!r})") from None
        number += len(precisions(new[module]))
    return new


def _others(model: nn.Module, assigned: Mapping[str, QuantConfig]) -> dict[nn.Module, nn.Module]:
    """What quantisers put in place of other modules."""
    new: dict[nn.Module, nn.Module] = {}
    for name, config in assigned.items():
        module = model.get_submodule(name)
        replace = config.plug.replacements().get(plain_type(module))
        if replace is None or isinstance(module, Quantised) or builder_of(module) is not None:
            continue
        try:
            new[module] = replace(module, config)
        except ValueError as error:
            raise ValueError(f"{error} (module {name!r})") from None
        if not isinstance(new[module], Quantised):
            kind = type(new[module]).__name__
            raise ValueError(
                f"quantiser {config.plug} replaces module {name!r} by a {kind}; allowed: a kind of Quantised"
            )
    return new


def layer_configs(source: nn.Module | Mapping[str, Any]) -> dict[str, QuantConfig]:
    """The configuration of every quantised layer and replaced module, by name: of a model or of its state.

    `quantize_` takes it, so ``quantize_(net, layer_configs(state))`` makes the network that a state is of.
    Raises `ValueError` for a state dict without metadata, which only `state_dict` gives.
    """
    if isinstance(source, nn.Module):
        found = {
            name: module.config for name, module in source.named_modules() if isinstance(module, Quantised)
        }
    elif (metadata := getattr(source, "_metadata", None)) is None:
        raise ValueError("state has no metadata; allowed: what state_dict() gave, or torch.save of it")
    else:
        found = {}
        for name, said in metadata.items():
            if CONFIG in said:
                found[name] = QuantConfig.from_dict(said[CONFIG])
            elif "quantiser" in said:
                raise ValueError(
                    f"state of layer {_LAYER.sub('', name)} says its quantiser's name alone, "
                    f"{said['quantiser']!r}; allowed: one written by a later version"
                )
    return {_LAYER.sub("", name): config for name, config in found.items()}


_LAYER = re.compile(r"(^|\.)precision(_\w+)?$")
"""What the name of a `LayerPrecision` has behind that of its layer."""


def dequantize_(model: nn.Module) -> nn.Module:
    """Put float layers with the same weights, hooks and buffers back, in place; `quantize_`'s inverse.

    Returns ``model`` or its replacement. Raises `ValueError` naming a layer that offers no ``to_float``.
    """
    new: dict[nn.Module, nn.Module] = {}
    for name, module in model.named_modules():
        back = getattr(module, "to_float", None)
        if back is not None:
            new[module] = back()
        elif _made_of(module):
            raise ValueError(
                f"layer {name!r} is a {type(module).__name__} without to_float; allowed: with it"
            )
    model = replace_(model, new)
    for module in model.modules():
        leave(module)
        if isinstance(module, nn.TransformerEncoderLayer):
            kinds = {nn.functional.relu: 1, nn.functional.gelu: 2}
            module.activation_relu_or_gelu = kinds.get(module.activation, 0)
    return model


def follow_weights_(model: nn.Module, filter_fn: Filter) -> nn.Module:
    """Let modules that use weights past their layers use them as the layers would, in place.

    Inside the forward of the modules that ``filter_fn`` takes, ``F.linear(x, layer.weight, layer.bias)`` and
    ``F.conv1d`` to ``F.conv3d`` give what ``layer(x)`` would for quantised layers inside them. For models
    that call these functions themselves, as windowed attention does; products made by ``@`` are not seen.
    Returns ``model``. Raises `ValueError` if no module is taken that has quantised layers.
    """
    inside = {
        name: module
        for name, module in model.named_modules()
        if not _made_of(module) and any(_made_of(part) for part in module.modules())
    }
    chosen = taken(filter_fn, inside)
    if not chosen:
        raise ValueError(
            f"filter_fn takes 0 of {len(inside)} modules with quantised layers inside; allowed: at least 1"
        )
    for name in chosen:
        follow(inside[name])
    return model


def float_layers(model: nn.Module) -> dict[str, str]:
    """What computes with its weights in float32, by name, and why: ``{"gate": "GRU (weight_ih_l0): ..."}``.

    A weight is a parameter with at least two axes longer than 1; embeddings and norms do not count. A layer
    that a model bypasses (``F.linear(x, layer.weight)``) is quantised but never runs: schedulers refuse it at
    their first step.
    """
    known_elsewhere()
    found = {}
    for name, module in model.named_modules():
        weights = _weights(module)
        if weights and not _made_of(module):
            found[name] = f"{plain_type(module).__name__} ({', '.join(weights)}): {_reason(module)}"
    return _without_parts(model, found)


def _weights(module: nn.Module) -> list[str]:
    """Names of a module's own weights, parametrised ones by the name they are used by."""
    if isinstance(module, _WEIGHTS_APART):
        return []
    own = dict(module.named_parameters(recurse=False))
    if isinstance(made := getattr(module, "parametrizations", None), nn.ModuleDict):
        own |= {name: max(item.parameters(), key=lambda part: part.numel()) for name, item in made.items()}
    return [
        name
        for name, parameter in own.items()
        if isinstance(parameter, nn.UninitializedParameter) or sum(n > 1 for n in parameter.shape) > 1
    ]


_WEIGHTS_APART = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.utils.parametrize.ParametrizationList,
)
"""Modules whose weights enter no product, or are another module's."""


def _reason(module: nn.Module) -> str:
    if builder_of(module) is not None:
        return "left out"
    base = next((kind for kind in type(module).__mro__ if kind in QUANTISABLE), None)
    if base is not None:
        return f"a subclass of {base.__name__}; allowed: that type itself, or one given to register"
    return "no type that is known; allowed: one given to register"


def _without_parts(model: nn.Module, found: dict[str, str]) -> dict[str, str]:
    """``found`` without what belongs to a quantised layer, as attention's output projection does."""
    quantised = [
        name
        for name, module in model.named_modules()
        if any(isinstance(child, LayerPrecision) for child in module.children())
    ]
    return {
        name: why
        for name, why in found.items()
        if not any(name.startswith(f"{layer}." if layer else "") for layer in quantised)
    }


def _refuse_float(model: nn.Module, chosen: Sequence[str], filter_fn: Filter) -> None:
    """Raise `ValueError` naming what would stay in float although the filter takes it."""
    left = {
        name: why
        for name, why in float_layers(model).items()
        if name not in chosen
        and not any(name.startswith(f"{layer}.") for layer in chosen)
        and answer(filter_fn, model.get_submodule(name), name)
    }
    if left:
        named = "; ".join(f"{name or 'the model itself'} is a {why}" for name, why in left.items())
        raise ValueError(f"strict, and {len(left)} would stay float: {named}")


def _check_state(model: nn.Module, state_dict: Any, prefix: str, *args: Any) -> None:
    """Refuse another quantiser's state before anything is loaded."""
    metadata = getattr(state_dict, "_metadata", {})
    for name, module in model.named_modules():
        if isinstance(module, Quantised):
            module.check_state(metadata.get(prefix + name, {}), _LAYER.sub("", name) or type(model).__name__)


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
