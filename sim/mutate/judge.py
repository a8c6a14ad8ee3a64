"""Which tests look at a room, and whether one of them notices a mutant."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from pathlib import Path

from cpt.hw.contract import ContractError
from cpt.hw.export.blocks import ROOMS
from cpt.model.scratch import Scratch
from cpt.sim.mutate.child import INVALID, KILLED, SAME, SURVIVED
from cpt.sim.mutate.operators import Mutant, mutants
from cpt.sim.tool import ended

HARDWARE = Path(__file__).resolve().parents[2] / "hw"
TESTS = HARDWARE.parent / "tests"
DEADLINE_S = 600.0
"""Longest the tests of one mutant may take; one that takes longer hangs them."""
USERS = {"bus": ("load", "drain", "control")}
"""Rooms whose tests use the blocks of a room too."""


class Verdict(enum.Enum):
    """What became of a mutant."""

    KILLED = KILLED
    SURVIVED = SURVIVED
    SAME = SAME
    """The netlist did not change."""
    INVALID = INVALID
    """It cannot be built."""
    HANGS = -1


class NoVerdict(RuntimeError):
    """The child process broke; one line."""


def files(room: str) -> list[Path]:
    """Modules of a room; raises `ContractError` for an unknown one."""
    if room not in ROOMS:
        raise ContractError(f"room is {room!r}; allowed: {', '.join(ROOMS)}")
    return sorted(path for path in (HARDWARE / room).glob("*.py") if path.name != "__init__.py")


def all_mutants(room: str) -> list[Mutant]:
    """Every mutant of a room; its place in the list is its number."""
    return [mutant for path in files(room) for mutant in mutants(path)]


def tests_of(mutant: Mutant) -> list[Path]:
    """Test files that could notice it, the nearest first; raises `ContractError` outside a checkout."""
    room, block = mutant.path.parent.name, mutant.path.stem
    found = []
    for name in (room, *USERS.get(room, ())):
        found += sorted(TESTS.glob(f"test_hw_{name}_*.py"))
    if not found:
        raise ContractError(
            f"tests of room {room} are not in {TESTS}; mutants need a checkout of the project"
        )
    return sorted(found, key=lambda path: path.stem != f"test_hw_{room}_{block}")


def fingerprint(room: str) -> str:
    """Hash of the room's netlists as they are."""
    status, output = _child([room])
    if status != 0:
        raise NoVerdict(f"room {room} cannot be built: {output.splitlines()[-1:]}")
    return output.split()[-1]


def judge(mutant: Mutant, known: str, tests: Sequence[str | Path]) -> Verdict:
    """Run ``tests`` on a mutant of a room whose fingerprint is ``known``."""
    room = mutant.path.parent.name
    with Scratch("mutant") as scratch:
        source = scratch / mutant.path.name
        source.write_text(mutant.source, encoding="utf-8")
        module = f"cpt.hw.{room}.{mutant.path.stem}"
        status, output = _child([room, known, module, str(source), *map(str, tests)])
    try:
        return Verdict(status)
    except ValueError:
        raise NoVerdict(f"{mutant}: status {status}: {output.splitlines()[-1:]}") from None


def _child(arguments: list[str]) -> tuple[int, str]:
    """Exit status (-1 past the deadline) and output of `cpt.sim.mutate.child`."""
    command = [sys.executable, "-m", "cpt.sim.mutate.child", *arguments]
    status, output = ended(command, TESTS.parent, DEADLINE_S)
    return Verdict.HANGS.value if status is None else status, output
