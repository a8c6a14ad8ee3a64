"""Some of the public architectures of `zoo.py`, which are tried whole by `make zoo`."""

import re

import pytest
import torch
import zoo

from cpt.model.units import percent

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["gpt2", "squeezenet1_1"])
def test_an_architecture_takes_steps_and_stays_itself(name: str) -> None:
    entry = zoo.ZOO[name]
    pytest.importorskip(entry.library, reason=f"{name} is {entry.library}'s, which is not installed")
    found = zoo.try_one(entry)
    assert found.products > 8
    assert not found.kept
    row = next(line for line in zoo.PAGE.read_text().splitlines() if line.startswith(f"| {name} |"))
    assert f"| {found.products} | {percent(found.share)} |" in row


def test_the_page_has_every_architecture_of_the_table() -> None:
    _, *rows = re.findall(r"^\| (\w+) \| (\w+) \|", zoo.PAGE.read_text(), re.MULTILINE)
    assert rows == [(name, entry.library) for name, entry in zoo.ZOO.items()]
    assert len(rows) >= 25


def test_a_model_that_does_not_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach().requires_grad_()

    entry = zoo.Entry(
        "torch", lambda: torch.nn.Sequential(torch.nn.Linear(3, 3), Deaf(3, 3)), lambda: torch.ones(2, 3)
    )
    with pytest.raises(AssertionError, match="no parameter moves"):
        zoo.try_one(entry)
