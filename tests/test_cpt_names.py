"""The public names: one list, found by completion and by type checkers, and loaded when asked for."""

import ast
import importlib
import rlcompleter
import subprocess
import sys
from pathlib import Path

import pytest

import cpt
from cpt import model

SOURCE = ast.parse(Path(model.__file__).read_text(encoding="utf-8"))


def checked_names():
    """Module of each name that `cpt.model` imports for type checkers."""
    (block,) = [
        node for node in SOURCE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: node.module for node in imports for alias in node.names}


def test_type_checkers_and_all_name_the_same():
    assert sorted(checked_names()) == sorted(model.__all__)


@pytest.mark.parametrize("name", model.__all__)
def test_what_is_loaded_is_what_type_checkers_see(name):
    assert getattr(cpt, name) is vars(importlib.import_module(checked_names()[name]))[name]


def test_the_names_are_listed_and_completed():
    assert {"__version__", *model.__all__} <= set(dir(cpt))
    assert rlcompleter.Completer({"cpt": cpt}).complete("cpt.quantize_", 0) == "cpt.quantize_("


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="module 'cpt' has no attribute 'quantise_everything'"):
        _ = cpt.quantise_everything


def test_nothing_is_loaded_before_it_is_asked_for():
    words = "import sys, cpt; dir(cpt); print(sorted({'torch', 'numpy', 'pynq'} & set(sys.modules)))"
    root = Path(cpt.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", words], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_users_type_checker_sees_the_types(tmp_path):
    """Outside the checkout, through ``py.typed``; torch itself is skipped, as reading it takes a minute."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "cpt").symlink_to(Path(cpt.__file__).parent)
    (tmp_path / "uses.py").write_text(
        "import cpt\nreveal_type(cpt.quantize_)\nreveal_type(cpt.QuantConfig(fw=3))\ncpt.quantise_\n"
    )
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-torch.*]\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "uses.py"]
    env = {"MYPYPATH": "site", "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    function, config, unknown = (line for line in done.stdout.splitlines() if line.startswith("uses.py"))
    assert "cpt.model.config.QuantConfig | None" in function
    assert config.endswith('Revealed type is "cpt.model.config.QuantConfig"')
    assert unknown.startswith('uses.py:4: error: Module has no attribute "quantise_"')
