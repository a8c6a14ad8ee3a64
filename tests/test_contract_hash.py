"""The contract hash sees every item: numbers, names and formulas are changed one by one in a copy."""

from __future__ import annotations

import ast
import copy
import os
import pkgutil
import random
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import cpt.hw.contract
from cpt.hw.contract import CONTRACT_HASH, ContractError, digest

FOLDER = Path(cpt.hw.contract.__file__).parent
PACKAGE = "cpt.hw.contract"
MODULES = [module.__name__.rpartition(".")[2] for module in digest.HASHED]
TREES = {
    name: ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")) for name in (*MODULES, "digest")
}
CODE = {name: compile(tree, f"{name}.py", "exec") for name, tree in TREES.items()}
OUTSIDE = {
    "board": "boards, not the machine",
    "digest": "the hash itself",
    "handoff": "the block design around the machine; pynq reads it beside the bitstream",
    "ports": "names of pins; nothing behind the registers sees them",
    "render": "writes documents",
}
"""Modules of the contract that are not hashed, and why."""
FORGIVING = {
    "require",
    "preset",
    "register",
    "ArrayConfig.__post_init__",
    "Format.__post_init__",
    "Register.field",
    "_fact",
}
"""Functions that only refuse, look up or hold wording."""
SAME = {"for weight in range(bits_a + bits_b - 2, -1, -1):": "weights beyond have no plane pairs"}
"""Lines in which a change may change nothing, and why."""
SAMPLE = 120
"""Changes tried in a module, drawn by the hash: others with every change of the contract."""
EVERY = bool(os.environ.get("CPT_EVERY_CHANGE"))
"""All of them instead, as in `make mutate`."""
Steps = tuple[tuple[str, int | None], ...]
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
}


def copied(name: str, tree: ast.Module | None = None) -> int:
    """The hash of a copy of the contract in which module ``name`` is ``tree``."""
    code = CODE if tree is None else {**CODE, name: compile(tree, f"{name}.py", "exec")}
    kept = {key: sys.modules.pop(key) for key in list(sys.modules) if key.startswith(PACKAGE)}
    try:
        package = ModuleType(PACKAGE)
        package.__path__ = []
        sys.modules[PACKAGE] = package
        for part, body in code.items():
            module = ModuleType(f"{PACKAGE}.{part}")
            sys.modules[module.__name__] = module
            setattr(package, part, module)
            exec(body, module.__dict__)
        return int(sys.modules[f"{PACKAGE}.digest"].CONTRACT_HASH)
    finally:
        for key in [key for key in sys.modules if key.startswith(PACKAGE)]:
            del sys.modules[key]
        sys.modules.update(kept)


@contextmanager
def little_memory(more: int = 1 << 29) -> Iterator[None]:
    """At most so many bytes more than now: a change can make a list of thousands of millions.

    That ends in a `MemoryError`, which is noticed as any error is.
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def is_wording(node: ast.AST) -> bool:
    """Whether no part of ``node`` is hashed."""
    if isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return True
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id in digest.NOT_HASHED
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and " " in part.value for part in node.values)
    return isinstance(node, ast.FormattedValue) or (
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require"
    )


def is_change(node: ast.AST) -> bool:
    """Whether ``node`` is a number, a single word or an operator that `changed` knows."""
    if isinstance(node, ast.Constant):
        word = isinstance(node.value, str) and re.fullmatch(r"\w+", node.value)
        return isinstance(node.value, int) or bool(word)
    return type(node) in SWAPPED


def places(node: ast.AST, path: Steps = (), inside: str = "") -> Iterator[tuple[Steps, int]]:
    """Every number, name and operator that may matter: its path from ``node``, and its line."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or is_wording(child):
                continue
            step = (*path, (field, index))
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{inside}.{child.name}".strip(".")
                if name not in FORGIVING:
                    yield from places(child, step, name)
            elif is_change(child):
                yield step, getattr(child, "lineno", getattr(node, "lineno", 0))
            else:
                yield from places(child, step, inside)


@contextmanager
def changed(tree: ast.Module, path: Steps) -> Iterator[ast.Module]:
    """``tree`` itself, for a while with another value, word or operator at ``path``."""
    node: ast.AST = tree
    for field, index in path[:-1]:
        node = getattr(node, field) if index is None else getattr(node, field)[index]
    field, index = path[-1]
    child = getattr(node, field) if index is None else getattr(node, field)[index]
    if isinstance(child, ast.Constant):
        owner, name, value = child, "value", child.value
        if isinstance(value, str):
            other: object = f"{value}_"
        else:
            other = (not value) if isinstance(value, bool) else value + 1
    else:
        assert index is None
        owner, name, value, other = node, field, child, SWAPPED[type(child)]()
    setattr(owner, name, other)
    try:
        yield tree
    finally:
        setattr(owner, name, value)


def test_a_copy_has_the_same_hash() -> None:
    assert copied("config") == CONTRACT_HASH


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_every_change_of_the_contract_changes_the_hash(name: str) -> None:
    missed, tried = [], 0
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    found = list(places(TREES[name]))
    if not EVERY and len(found) > SAMPLE:
        found = random.Random(CONTRACT_HASH).sample(found, SAMPLE)
    for path, line in found:
        tried += 1
        try:
            with changed(TREES[name], path) as tree, little_memory():
                seen = copied(name, tree) != CONTRACT_HASH
        except Exception:  # a copy that cannot be imported is noticed too
            seen = True
        if not seen and (text := lines[line - 1].strip()) not in SAME:
            missed.append(f"{name}.py:{line}: {text}")
    assert tried > 5
    assert not missed, "\n".join(missed)


def test_every_module_of_the_contract_is_hashed_or_left_out_for_a_reason() -> None:
    found = {item.name for item in pkgutil.iter_modules([str(FOLDER)])}
    assert found == {*MODULES, *OUTSIDE}
    assert not set(MODULES) & set(OUTSIDE)


def test_every_reason_names_something_that_is_there() -> None:
    public = {name for module in digest.HASHED for name in vars(module)}
    own = {
        f"{module.__name__.rpartition('.')[2]}.{name}" for module in digest.HASHED for name in vars(module)
    }
    assert set(digest.NOT_HASHED) <= public
    assert set(digest._SAMPLES) <= public | own
    assert not set(digest.NOT_HASHED) & {name for name, _ in digest.description()}


def test_wording_does_not_change_the_hash() -> None:
    tree = copy.deepcopy(TREES["regs"])
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            node.value = f"{node.value} indeed"
    assert copied("regs", tree) == CONTRACT_HASH


def with_added(code: str) -> ast.Module:
    """`regs` with ``code`` at its end."""
    tree = copy.deepcopy(TREES["regs"])
    tree.body += ast.parse(code).body
    return tree


@pytest.mark.parametrize("code", ["NEW = 3", "NEW = (Error.WATCHDOG, {'a': 1})"])
def test_a_constant_that_is_added_changes_the_hash(code: str) -> None:
    assert copied("regs", with_added(code)) != CONTRACT_HASH


@pytest.mark.parametrize("code", ["def new():\n    return 3", "@dataclass\nclass new:\n    part: int"])
def test_a_formula_that_is_added_without_samples_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="new is in the contract without samples"):
        copied("regs", with_added(code))


def test_the_copies_leave_the_contract_alone() -> None:
    assert sys.modules[PACKAGE] is cpt.hw.contract
    assert sys.modules[f"{PACKAGE}.digest"] is digest
    with pytest.raises(ContractError):
        digest.require(False, "the class is the same as before")
