"""Something of the user's in a Python file, ``FILE.py:NAME``; what fails inside is one line that names it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from cpt.model.data.source import read_bytes

T = TypeVar("T")


class OwnFile:
    """``NAME`` in ``FILE.py``. Raises `ValueError` in one line."""

    kind: ClassVar[str]
    """What it is, in messages and records."""
    called: ClassVar[str]
    """What ``NAME`` is, in messages."""

    def __init__(self, spelled: str) -> None:
        name, _, self.member = spelled.rpartition(":")
        if not name.endswith(".py") or not self.member.isidentifier():
            raise ValueError(f"{self.kind} is {spelled!r}; allowed: FILE.py:{self.called}")
        self.path = Path(name)
        self.sha256 = hashlib.sha256(read_bytes(self.path)).hexdigest()
        self.name = f"{self.path.name}:{self.member}"
        """Without the folder: the same wherever the file lies."""

    def stated(self) -> dict[str, str]:
        """What a run records, and its resumption compares."""
        return {self.kind: self.name, f"{self.kind}_sha256": self.sha256}

    def found(self) -> Callable[..., Any]:
        """What the file calls so, a function or a class; runs the file."""
        spec = importlib.util.spec_from_file_location(f"own_{self.kind}_{self.path.stem}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their annotations up there
        spec.loader.exec_module(module)
        found = getattr(module, self.member, None)
        if not callable(found):
            raise ValueError(
                f"{self.kind} {self.path} has no {self.called} {self.member!r}; allowed: one of the file's"
            )
        return found

    def run(self, action: Callable[[], T]) -> T:
        """What ``action`` gives, which calls what is in the file."""
        try:
            return action()
        except Exception as error:
            # the file is the user's and may raise anything
            frames = [
                frame.lineno
                for frame in traceback.extract_tb(error.__traceback__)
                if Path(frame.filename).absolute() == self.path.absolute()
            ]
            line = error.lineno if isinstance(error, SyntaxError) else frames[-1] if frames else None
            if line is None and str(error).startswith(f"{self.kind} "):
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{self.kind} {self.path}{f' line {line}' if line else ''}: {reason}") from None
