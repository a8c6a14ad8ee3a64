"""Options of the torch commands beside ``cpt train`` that open a task: a part of its options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from cpt.data import DIGITS, add_image_size
from cpt.options import TRAINING
from cpt.public_flags import FIELDS
from cpt.torch_options import MACHINE, TORCH


def add_task_options(parser: argparse.ArgumentParser, fields: Sequence[str]) -> None:
    """Add ``--data``, ``--data-dir``, ``--scale`` and the options of ``cpt train`` for these ``fields``.

    All other options that `cpt.torch_train.make_task` reads are None. To be called first: options of the same
    names that are added later keep their defaults.
    """
    known = (*TRAINING, *TORCH)
    parser.set_defaults(**dict.fromkeys([*(option.field for option in known), *MACHINE, *FIELDS]))
    parser.add_argument("--data", default=DIGITS, metavar="NAME", help=f"as of cpt train (default: {DIGITS})")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the files of --data are")
    add_image_size(parser)
    parser.add_argument("--scale", type=int, metavar="N", help="super-resolution factor (default: 4)")
    for option in known:
        if option.field in fields:
            option.add_to(parser, option.text)
