"""Small faults that can be made in a block's source: one changed operator, constant or condition each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_REDUCE = {"any": "all", "all": "any"}

Place = tuple[tuple[str, int | None], ...]
"""Way from a tree's root to a node: field names, and places in lists."""


@dataclass(frozen=True)
class Mutant:
    """One fault in one file."""

    path: Path
    line: int
    before: str
    after: str
    source: str
    """Text of the whole module with the fault."""

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{self.line}: {self.before}  ->  {self.after}"


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of the methods that build hardware in the module at ``path``, in order of the text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for place, node in _hardware(tree):
        for replacement, removed in _replacements(node):
            texts = (_text(removed), "nothing") if removed else (_text(node), _text(replacement))
            line = getattr(removed or node, "lineno", 0)
            found.append(Mutant(path, line, *texts, _changed(tree, place, replacement)))
    return found


def _hardware(tree: ast.Module) -> Iterator[tuple[Place, ast.AST]]:
    """Nodes inside methods, except those that only set up ports; outer ones first."""

    def walk(node: ast.AST, place: Place, inside: bool) -> Iterator[tuple[Place, ast.AST]]:
        if inside:
            yield place, node
        method = isinstance(node, ast.FunctionDef)
        if method and getattr(node, "name", "") == "__init__":
            return
        for name, value in ast.iter_fields(node):
            items: list[tuple[int | None, Any]] = list(enumerate(value)) if isinstance(value, list) else []
            for index, item in items or [(None, value)]:
                if isinstance(item, ast.AST):
                    yield from walk(item, (*place, (name, index)), inside or method)

    return walk(tree, (), False)


def _changed(tree: ast.Module, place: Place, replacement: ast.AST) -> str:
    """Text of the module with another node at ``place``; the tree stays as it is."""
    parent: Any = tree
    for name, index in place[:-1]:
        parent = getattr(parent, name) if index is None else getattr(parent, name)[index]
    name, index = place[-1]
    holder, key = (vars(parent), name) if index is None else (getattr(parent, name), index)
    before = holder[key]
    holder[key] = replacement
    try:
        return ast.unparse(tree)
    finally:
        holder[key] = before


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _replacements(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Faulty versions of one node, and what was removed if that is the fault."""
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        yield ast.BinOp(node.left, _BINARY[type(node.op)](), node.right), None
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        yield ast.Compare(node.left, [_COMPARE[type(node.ops[0])]()], node.comparators), None
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield node.operand, None
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield ast.Constant(node.value + 1), None
        if node.value > 0:
            yield ast.Constant(node.value - 1), None
    elif isinstance(node, ast.AugAssign) and _assigns(node.value):
        yield ast.AugAssign(node.target, node.op, ast.List([], ast.Load())), node.value
    elif isinstance(node, ast.List) and len(node.elts) > 1:
        for index, item in enumerate(node.elts):
            if _assigns(item):
                yield ast.List([*node.elts[:index], *node.elts[index + 1 :]], node.ctx), item
    elif isinstance(node, ast.Call):
        for replacement in _calls(node):
            yield replacement, None


def _calls(call: ast.Call) -> Iterator[ast.AST]:
    function = call.func
    if isinstance(function, ast.Name) and function.id == "Mux":
        condition, *ways = call.args
        if len(ways) == 2:  # two in one, as in ``Mux(condition, *pair)``, stay as they are
            yield ast.Call(function, [condition, *reversed(ways)], [])
    if not isinstance(function, ast.Attribute):
        return
    if function.attr in ("If", "Elif"):
        for value in (0, 1):
            yield ast.Call(function, [ast.Constant(value)], [])
    elif function.attr in _REDUCE and not call.args:
        yield ast.Call(ast.Attribute(function.value, _REDUCE[function.attr], ast.Load()), [], [])
    elif ast.unparse(function) == "Signal.like":
        # One bit too narrow.
        width = ast.BinOp(ast.Call(ast.Name("len", ast.Load()), call.args, []), ast.Sub(), ast.Constant(1))
        yield ast.Call(ast.Name("Signal", ast.Load()), [width], call.keywords)


def _assigns(node: ast.AST) -> bool:
    """Whether it is one ``target.eq(value)``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "eq"
