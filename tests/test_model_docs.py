"""What the pages about the method say is so."""

import importlib.util
import re
from pathlib import Path

import torch

from cpt.model.networks import cifar_resnet
from cpt.model.noise import GOLDEN, mix, noise_key, uniform
from cpt.model.quantisers import registry

DOCS = Path(__file__).parent.parent / "docs"
torch.set_num_threads(1)


def test_the_blocks_of_the_library_page_run_in_order(monkeypatch):
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    registry._KINDS.pop("power-of-two", None)  # other tests have it from the same page
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
    assert len(blocks) == 9
    names: dict[str, object] = {}
    trainers = all(importlib.util.find_spec(name) for name in ("lightning", "transformers"))
    for block in blocks:
        if trainers or "cpt.model.callbacks" not in block:
            exec(block, names)
    assert names["epoch"] == 9
    assert len(names["learned"].history) == 1
    own = names["PowerOfTwo"](share=0.9)
    net = names["quantize_"](torch.nn.Sequential(torch.nn.Linear(3, 4)), names["QuantConfig"](own, fw=3))
    net(torch.randn(5, 3)).square().sum().backward()
    w, _ = net[0].precision.weights(net[0].weight)
    steps = w.detach().unique().diff()
    assert len(steps) < 2**3
    assert torch.equal(steps.min().log2(), steps.min().log2().round())


def test_the_block_of_the_page_on_schedules_runs():
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "schedules.md").read_text(), re.DOTALL)
    names = {"torch": torch, "cifar_resnet": cifar_resnet}
    exec(block, names)
    assert len(set(names["adaptive"].bits().values())) > 1


def test_the_noise_vectors_of_the_page_are_those_of_the_code():
    page = (DOCS / "numerics.md").read_text()
    key = noise_key(1, 2, 3)
    for words in (
        f"| `mix(1)` | `0x{mix(1):08X}` |",
        f"| `key(1, 2, 3)` | `0x{key:08X}` |",
        ", ".join(str(mix(i * GOLDEN + key)) for i in range(3)),
        ", ".join(str(value) for value in uniform(key, 3).tolist()),
    ):
        assert words in page
