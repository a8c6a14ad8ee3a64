"""A quantiser is one plug: nothing outside its own files knows it by name."""

import ast
import re
from pathlib import Path

import pytest

from cpt.model import config, recorded
from cpt.model.quantisers import DEFAULT, quantiser_kind, quantiser_names

ROOT = Path(__file__).parent.parent
OWN = ("model/quantisers/", "model/golden/quantise.py", "model/golden/fabric/", "model/fabric_grid.py")
"""Files of quantisers: the plugs, and the arithmetic of two of them in numpy and torch."""
EXCEPT = {
    "model/published.py": "the papers' tables, whose rows have these names",
    "model/recorded.py": "what records of before mean",
    "cpt/main.py": "`cpt fabric`, a command about the machine",
    "cpt/fabric.py": "that command: no quantiser, but one side of its comparison, is called so",
}
COMMON = ("base", "registry", "rehearsal")
"""Modules beside the plugs, which know none of them."""
WORDS = {"fabric": ("fabric", "Fabric"), "uniform": ("Uniform",)}
"""Quantisers' names that are also words of hardware or statistics, and what counts of each: whole identifiers
and, with the name, whole strings."""
OURS = [
    name for name in quantiser_names() if quantiser_kind(name).__module__.startswith("cpt.model.quantisers")
]


def source_files():
    return [
        path
        for folder in ("cpt", "model", "host", "sim", "hw")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(OWN)
    ]


def named(source):
    """Lines of ``source``, comments and documentation included, that name a quantiser."""
    kinds = [quantiser_kind(name) for name in OURS]
    words = {word for kind in kinds for word in (kind.name, kind.__name__) if word.lower() not in WORDS}
    whole = {word for found in WORDS.values() for word in found}
    found = {
        number
        for number, line in enumerate(source.splitlines(), 1)
        if re.search(rf"(?i)(?<![a-z])({'|'.join(map(re.escape, words))})(?![a-z])", line)
    }
    for node in ast.walk(ast.parse(source)):
        said = [
            *([node.id] if isinstance(node, ast.Name) else []),
            *([node.attr] if isinstance(node, ast.Attribute) else []),
            *([node.name] if isinstance(node, ast.alias) else []),
        ]
        if any(name in whole for name in said):
            found.add(node.lineno)
        if isinstance(node, ast.Constant) and node.value in WORDS:
            found.add(node.lineno)
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("cpt.model.quantisers.") and module.split(".")[3] not in COMMON:
            found.add(node.lineno)
    return sorted(found)


def test_no_other_file_names_a_quantiser():
    found = {
        path.relative_to(ROOT).as_posix(): named(path.read_text(encoding="utf-8")) for path in source_files()
    }
    assert len(found) > 300
    assert {name: lines for name, lines in found.items() if lines and name not in EXCEPT} == {}


def test_every_exception_is_one():
    assert all(named((ROOT / name).read_text(encoding="utf-8")) for name in EXCEPT)


@pytest.mark.parametrize(
    "line",
    [
        'if config.quantiser == "wageubn": pass',
        'if config.quantiser == "fabric": pass',
        "import cpt.model.quantisers as q; q.Fabric()",
        "from cpt.model.quantisers import Fabric",
        "from cpt.model.quantisers.sbm import MinMax",
        "from cpt.model.quantisers import Uniform",
        'if config.quantiser == "uniform": pass',
        "x = 1  # as Wageubn does",
        'HELP = "sbm, dorefa or another"',
    ],
)
def test_the_search_finds_what_it_is_for(line):
    assert named(f"a = 1\n{line}\n") == [2]


def test_a_word_that_is_no_quantiser_is_not_found():
    assert named('"""The fabric\'s clock."""\nfrom cpt.host.fabric import FabricTrainer\n') == []
    assert named("from cpt.model.functional import uniform\nx = rng.uniform(0, 1)\n") == []


def test_the_default_is_the_one_of_records():
    """Not of necessity: the day it is another, this test goes, and `recorded` stays."""
    assert DEFAULT == recorded.QUANTISER == config.QuantConfig().plug.name
    assert quantiser_kind(DEFAULT)().dx_weights == recorded.DX_WEIGHTS


@pytest.mark.parametrize("name", OURS)
def test_a_plug_is_told_by_its_options_alone(name):
    kind = quantiser_kind(name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    assert str(kind()) == name
    with pytest.raises(AttributeError, match="cannot assign"):
        kind().other = 1
