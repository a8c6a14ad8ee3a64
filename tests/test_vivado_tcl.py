"""Python values as Tcl words: a real interpreter reads back what was written."""

import random

import pytest

from cpt.hw.vivado.tcl import split_list, word
from cpt.sim.vivado.standin.interpreter import run_script

AWKWARD = [
    "",
    "plain",
    "two words",
    "a{b",
    "a}b",
    "$x [exit 1]",
    'quote "',
    "back\\slash",
    "semi;colon",
    "#x",
    "tab\t",
    "\n",
]


def _read_back(value: object, tmp_path) -> list[str]:
    """Elements of the list ``value`` as the interpreter sees them."""
    script = tmp_path / "list.tcl"
    script.write_text(f"foreach item {word(value)} {{ heard $item }}\n", encoding="utf-8")
    heard: list[str] = []

    def answer(words: list[str]) -> str:
        heard.append(words[1])
        return ""

    run_script(script, [], answer)
    return heard


def test_awkward_words_survive(tmp_path) -> None:
    assert _read_back(AWKWARD, tmp_path) == AWKWARD


def test_random_words_survive(tmp_path) -> None:
    random.seed(5)
    words = ["".join(random.choices('ab {}[]$"\\;#\n', k=random.randint(0, 6))) for _ in range(200)]
    assert _read_back(words, tmp_path) == words


def test_mappings_nest(tmp_path) -> None:
    assert _read_back({"a": [1, "two words"], "b": True}, tmp_path) == ["a", "1 {two words}", "b", "1"]


def test_lists_are_split_as_tcl_does() -> None:
    assert split_list('a {b c} "d e" \\{ {f {g h}}') == ["a", "b c", "d e", "{", "f {g h}"]
    with pytest.raises(ValueError, match="open brace"):
        split_list("{a")
