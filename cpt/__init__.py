"""Cyclic precision training: the ``cpt`` command line, and the torch library's names, loaded on first use.

``cpt.model`` is the method, ``cpt.host`` the runtime, ``cpt.hw`` the accelerator, ``cpt.sim`` its simulators.
In a checkout these are links to the folders of the same names; all modules of this folder itself are commands
or parts of one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if Path(__file__).with_name("model").is_file():
    raise ImportError(
        "cpt/model is a file, not a link: this checkout was made without symbolic links; allowed: "
        "git config core.symlinks true, then git checkout -- cpt hw/board"
    )

from cpt import model

if TYPE_CHECKING:
    from cpt.model import *  # noqa: F403

__version__ = "0.2.0"


if not TYPE_CHECKING:  # a checker that sees this function believes every name

    def __getattr__(name: str) -> Any:
        if name not in model.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(model, name)


def __dir__() -> list[str]:
    return sorted({"__version__", "model", *model.__all__})
