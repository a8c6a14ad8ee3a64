"""What long commands keep of the steps that they simulate, so that one that was stopped goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cpt
from cpt.hw.contract import ContractError
from cpt.model.files import check_writable, write_atomically
from cpt.sim.verilator import sources_key


def software_key(*extra: object) -> str:
    """16 hex digits that change with the sources that decide what steps take, or with ``extra``."""
    root = Path(cpt.__file__).parent
    sources = [path for part in ("hw", "host", "sim", "model") for path in (root / part).rglob("*.py")]
    return sources_key(sources, *extra)


class Kept:
    """What steps take, by name, in a file for each ``key``: of a memory, this software and the like."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / f"steps-{key}.json"
        check_writable(self.path)
        self.found: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            try:
                self.found = dict(json.loads(self.path.read_text()))
            except (OSError, TypeError, ValueError) as error:
                raise ContractError(
                    f"{self.path} is no list of steps ({error}); allowed: delete it"
                ) from None

    def add(self, name: str, taken: dict[str, Any]) -> None:
        """One more, written at once."""
        self.found[name] = taken
        write_atomically(self.path, json.dumps(self.found).encode())
