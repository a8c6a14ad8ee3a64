"""What docs/training.md says is so."""

import argparse
import re
from pathlib import Path

import torch

from cpt import train
from cpt.model.training.catalog import NAMES
from cpt.model.training.config import METHODS

PAGE = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_python_block_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    names = {}
    exec(block, names)
    torch.set_num_threads(before)
    assert names["summary"]["steps"] == 8


def test_every_option_the_page_names_is_one():
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    known = {flag for action in parser._actions for flag in action.option_strings}
    elsewhere = {"--nproc_per_node", "--kills"}
    named = set(re.findall(r"--[a-z][\w-]*", PAGE)) - elsewhere
    assert len(named) > 40
    assert named <= known


def test_every_data_set_and_method_has_its_row():
    rows = set(re.findall(r"^\| `(\w[\w-]*)`", PAGE, re.MULTILINE))
    assert rows == {*NAMES, *METHODS, "digits"}
