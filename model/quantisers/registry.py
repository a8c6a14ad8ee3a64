"""Quantisers by name: what a command, a record or a state dict calls one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cpt.model import recorded
from cpt.model.quantisers.base import Quantiser

Kind = TypeVar("Kind", bound=type[Quantiser])

_KINDS: dict[str, type[Quantiser]] = {}


_METHODS = sorted(Quantiser.__abstractmethods__)


def register_quantiser(name: str) -> Callable[[Kind], Kind]:
    """Decorator that gives a class derived from `Quantiser` its name.

    Raises `ValueError` for a name that another class has, and a class that is no frozen dataclass or lacks a
    method. A class that is defined again, as in a notebook, takes the place of the one before.
    """

    def add(kind: Kind) -> Kind:
        if not (isinstance(kind, type) and issubclass(kind, Quantiser)):
            raise ValueError(f"quantiser {name!r} is {kind!r}; allowed: a class derived from Quantiser")
        if vars(kind).get("__annotations__") and "__dataclass_fields__" not in vars(kind):
            raise ValueError(f"quantiser {kind.__name__} is no dataclass; allowed: @dataclass(frozen=True)")
        if missing := sorted(kind.__abstractmethods__):
            raise ValueError(
                f"quantiser {kind.__name__} has no {missing[0]}; allowed: with {', '.join(_METHODS)}"
            )
        if not re.fullmatch(r"[\w.:-]+", name):
            raise ValueError(f"name of a quantiser is {name!r}; allowed: letters, digits and . : _ -")
        known = _KINDS.get(name, kind)
        if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ValueError(f"quantiser {name!r} is {known.__qualname__} already; allowed: another name")
        if not vars(kind).get("name"):
            kind.name = name
        _KINDS[name] = kind
        return kind

    return add


def quantiser_names(condition: Callable[[type[Quantiser]], object] = lambda kind: True) -> list[str]:
    """Names of those registered that meet ``condition``, in order."""
    return sorted(name for name, kind in _KINDS.items() if condition(kind))


def quantiser_kind(name: str) -> type[Quantiser]:
    """The class of that name; raises `ValueError` listing those there are."""
    if name not in _KINDS:
        raise ValueError(f"quantiser is {name!r}; allowed: {', '.join(quantiser_names())}")
    return _KINDS[name]


def make_quantiser(name: str, options: Mapping[str, Any] | None = None) -> Quantiser:
    """The quantiser of that name with these options; raises `ValueError` naming one that is wrong."""
    kind = quantiser_kind(name)
    fields = dataclasses.fields(kind)
    options = options or {}
    known = [field.name for field in fields]
    if odd := sorted(set(options) - set(known)):
        raise ValueError(f"quantiser {name} has no option {odd[0]!r}; allowed: {', '.join(known) or 'none'}")
    wanted = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing := [field for field in wanted if field not in options]:
        raise ValueError(f"quantiser {name} has no {missing[0]}; allowed: with a value for it")
    return kind(**options)


def parsed_options(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Options typed as ``NAME=VALUE``, each of the type of its default; raises `ValueError` naming it."""
    defaults = {field.name: field.default for field in dataclasses.fields(quantiser_kind(name))}
    found: dict[str, Any] = {}
    for text in texts:
        option, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"option of the quantiser is {text!r}; allowed: NAME=VALUE")
        default = defaults.get(option)
        try:
            if isinstance(default, bool):
                found[option] = {"true": True, "false": False}[value.lower()]
            else:
                found[option] = type(default)(value) if isinstance(default, (int, float)) else value
        except (KeyError, ValueError):
            kind = "true or false" if isinstance(default, bool) else f"like {default}"
            raise ValueError(f"option {option} of the quantiser is {value!r}; allowed: {kind}") from None
    return found


def with_options(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as this version writes it, which earlier ones wrote with options as fields of their own.

    Those that its quantiser does not have said nothing, and are left out.
    """
    values = {name: value for name, value in record.items() if name not in recorded.OPTIONS}
    given = {name: record[name] for name in recorded.OPTIONS if name in record}
    if given:
        kind = _KINDS.get(record.get("quantiser", recorded.QUANTISER))
        known = {field.name for field in dataclasses.fields(kind)} if kind else set()
        values["quantiser_options"] = {name: value for name, value in given.items() if name in known}
    return values
