"""What the pages about the method say is so."""

import re
from pathlib import Path

import torch

from cpt.model.noise import GOLDEN, mix, noise_key, uniform

DOCS = Path(__file__).parent.parent / "docs"
torch.set_num_threads(1)


def test_the_blocks_of_the_library_page_run_in_order():
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["epoch"] == 9
    assert len(names["learned"].history) == 1


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
