"""Which modules a user's function takes, asked as torchao asks: (module, dotted name)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from torch import nn

Filter = Callable[[nn.Module, str], bool]
"""(module, dotted name) to whether the module is taken, as torchao's; the other order is refused."""


def taken(filter_fn: Filter, modules: Mapping[str, nn.Module]) -> list[str]:
    """Names of those of ``modules``, which are by name, that ``filter_fn`` takes.

    Raises `ValueError` where it is written for (name, module), or fails. Its parameters' names tell, or else
    its answers: where all modules get the same one, and would not get it in the other order.
    """
    if _named_the_other_way(filter_fn):
        raise ValueError(_OTHER_ORDER)
    answers = [answer(filter_fn, module, name) for name, module in modules.items()]
    if len(set(answers)) == 1 and _differs_the_other_way(filter_fn, modules):
        raise ValueError(f"{_OTHER_ORDER}; as it stands it takes {'all' if answers[0] else 'none'}")
    return [name for name, answer in zip(modules, answers, strict=True) if answer]


_OTHER_ORDER = "filter_fn is written for (name, module); allowed: filter_fn(module, name), as torchao's"


def answer(filter_fn: Filter, module: nn.Module, name: str) -> bool:
    """Whether ``filter_fn`` takes a module; raises `ValueError` naming it where that fails."""
    try:
        return bool(filter_fn(module, name))
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"filter_fn failed at {name!r}: {error}; it is called filter_fn(module, name)"
        ) from error


def _named_the_other_way(filter_fn: Filter) -> bool:
    """Whether the first two parameters say that the name comes first."""
    try:
        first, second, *_ = inspect.signature(filter_fn).parameters.values()
    except (TypeError, ValueError):  # some callables written in C, or another number of parameters
        return False
    return (
        first.name in ("name", "fqn")
        or first.annotation in (str, "str")
        or second.name in ("module", "mod")
        or second.annotation in (nn.Module, "nn.Module", "Module", "torch.nn.Module")
    )


def _differs_the_other_way(filter_fn: Callable[..., bool], modules: Mapping[str, nn.Module]) -> bool:
    """Whether ``filter_fn`` asked (name, module) tells some of ``modules`` from others."""
    try:
        return len({bool(filter_fn(name, module)) for name, module in modules.items()}) > 1
    except Exception:
        # asked a question it is not made for, it may raise anything
        return False
