"""Runs in a process of its own: the hardware with one module replaced, then the tests that should notice."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

SURVIVED, KILLED, SAME, INVALID = 0, 1, 3, 4
"""Exit status: all tests passed; one failed; the same hardware; no hardware at all."""


class Replaced(MetaPathFinder, Loader):
    """Gives one module another text."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """The module, if it is this one."""
        return ModuleSpec(fullname, self) if fullname == self.name else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the other text."""
        exec(compile(self.source, f"<mutant of {self.name}>", "exec"), module.__dict__)


def fingerprint(room: str) -> str:
    """Hash of the netlists of a room's blocks; raises what building them raises."""
    from amaranth.back import rtlil
    from amaranth.hdl import UnusedElaboratable

    from cpt.hw.contract import preset
    from cpt.hw.export.blocks import ROOMS

    digest = hashlib.sha256()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        for build in ROOMS[room].values():
            digest.update(rtlil.convert(build(preset("tiny")), emit_src=False).encode())
    return digest.hexdigest()


def main(arguments: Sequence[str]) -> int:
    """``ROOM``: print its fingerprint. ``ROOM FINGERPRINT MODULE SOURCE TEST...``: judge a mutant."""
    room, *rest = arguments
    if not rest:
        print(fingerprint(room))
        return 0
    known, module, source, *tests = rest
    sys.meta_path.insert(0, Replaced(module, Path(source).read_text(encoding="utf-8")))
    try:
        changed = fingerprint(room)
    except Exception:  # a mutant may fail to build in any way
        return INVALID
    if changed == known:
        return SAME
    import pytest

    outcome = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests])
    return SURVIVED if outcome == pytest.ExitCode.OK else KILLED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
