"""Reading JSON that may be damaged: one error, which names the file and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

LARGEST_BYTES = 1 << 30


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file at ``path``; raises `ValueError` in one line."""
    return parse_object(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of a regular file; raises `ValueError` in one line."""
    try:
        if not path.is_file():
            reason = "not a regular file" if path.exists() else "no such file"
        elif path.stat().st_size > LARGEST_BYTES:
            reason = "more than 1 GiB"
        else:
            return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "not text in UTF-8"
    raise ValueError(f"{path} cannot be read: {reason}")


def parse_object(text: str, path: Path) -> dict[str, Any]:
    """The JSON object ``text``, which stands in ``path``; raises `ValueError` in one line."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"{path} holds JSON that is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} holds no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a JSON {type(found).__name__}; allowed: an object")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def number(values: dict[str, Any], name: str, least: float, most: float, path: Path) -> float:
    """The finite number ``values[name]``, ``least``..``most``; raises `ValueError` naming file and field."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} of {path} is {value!r}; allowed: {least:g}..{most:g}")
    return value
