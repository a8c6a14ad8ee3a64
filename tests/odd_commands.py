"""Odd command lines, drawn by a seed from all parsers: ``python tests/odd_commands.py --count 600 --seed N``.

Every one must end within its deadline, without a traceback, with an exit status that says what happened; one
that is refused must say so in one line and leave no file.
"""

import argparse
import importlib
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cpt.command_line import make_parser
from cpt.main import COMMANDS

ROOT = Path(__file__).parent.parent
DEADLINE_S = 600.0
"""For the longest that a command line of small work takes: both boards' bitstreams checked, in minutes."""
REFUSED, FAULT = 2, 70
STATUSES = {0, 1, REFUSED}
SKIPPED = {"results"}
"""Commands that work for hours whatever they are told."""
ENDLESS = {
    **{name: ["--steps", "1"] for name in ("train", "range-test", "fabric")},
    "bench": ["--rounds", "1"],
    "explore": ["--group", "4", "--scratch", "4096", "--float-lanes", "2"],
}
"""Options that end what was not refused soon."""
ODD = (
    "", " ", "-", "--", "0", "-1", "1", "2", "8", "17", "1e3", "1.5", "nan", "inf", "-inf", "1e999", "0x10",
    "99999999999999999999", "9" * 5000, "1000000000", "true", "None", "auto", "é", "１２",
    "a" * 5000, "\u202e", "\U0001f600", "../..", "%s", "{0}", "a b", "'", '"', "$(id)", "*", "\n",
    "\t", "\udcff", "[]", "resnet", "resnet-8", "resnet8", "resnet99999998", "tiny", "cpu", "fast", "model",
    "lstm", "digits", ".npz", "x.npz", "x.png", "x.gif",
)  # fmt: skip
"""Words for any option."""
PLACES = ("fifo", "folder", "file", "file.npz", "file.json", "/dev/null", "gone/gone", "folder/x.npz")
"""Paths that are not what an option means; those without a slash are made in the current folder."""


@dataclass(frozen=True)
class Outcome:
    """What one command line came to; ``fault`` is empty if that is allowed."""

    words: list[str]
    status: int | None
    fault: str


def draw(rng: random.Random) -> list[str]:
    """One odd command line."""
    name = rng.choice([name for name in COMMANDS if name not in SKIPPED])
    parser = make_parser(name, importlib.import_module(f"cpt.{name.replace('-', '_')}"))
    words = [name, *ENDLESS.get(name, ())]
    actions = [action for action in parser._actions if "--help" not in action.option_strings]
    for action in rng.choices(actions, k=rng.randint(1, 5)):
        if action.option_strings:
            words.append(rng.choice(action.option_strings))
        wanted = _wanted(action) if rng.random() < 0.85 else rng.randint(0, 3)
        words += [_value(rng) for _ in range(wanted)]
    if name == "bitstream" and "--check" in words:
        words.append("--no-synthesis")
    return words


def _wanted(action: argparse.Action) -> int:
    """How many values the option takes."""
    if isinstance(action.nargs, int):
        return action.nargs
    return 0 if action.nargs == 0 else 1


def _value(rng: random.Random) -> str:
    return rng.choice(PLACES if rng.random() < 0.25 else ODD)


def prepare(folder: Path) -> None:
    """Put `PLACES` into ``folder``."""
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    for name in ("file", "file.npz", "file.json"):
        (folder / name).write_bytes(b"neither this nor that\n")


def left(folder: Path) -> set[str]:
    """Everything below ``folder``."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def judge(words: list[str], status: int | None, errors: str, new: set[str]) -> Outcome:
    """Whether the end is one that is allowed."""
    fault = ""
    if status is None:
        fault = f"not finished after {DEADLINE_S:g} s"
    elif "Traceback" in errors:
        fault = "a traceback"
    elif status not in STATUSES:
        fault = f"status {status}: {errors[-300:]}"
    elif status == REFUSED and errors.rstrip("\n").splitlines()[-1:] == []:
        fault = "refused without a word"
    elif status == REFUSED and sum(line.startswith("cpt ") for line in errors.splitlines()) != 1:
        fault = f"refused in other than one line: {errors[-300:]}"
    elif status == REFUSED and new:
        fault = f"refused, and left {', '.join(sorted(new))}"
    return Outcome(words, status, fault)


def run(words: list[str]) -> Outcome:
    """Run one command line in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        before = left(folder)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        encoded = [os.fsencode(word) for word in words]
        command = [os.fsencode(sys.executable), b"-m", b"cpt.main", *encoded]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=DEADLINE_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return judge(words, None, "", set())
        errors = done.stderr.decode(errors="replace")
        return judge(words, done.returncode, errors, left(folder) - before)


def main() -> int:
    """Draw, run and count; exit status 1 if any ended badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    statuses: dict[int | None, int] = {}
    bad = 0
    for number in range(arguments.count):
        outcome = run(draw(rng))
        statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
        if outcome.fault:
            bad += 1
            print(f"{number}: {outcome.words}: {outcome.fault}", flush=True)
    print(f"seed {arguments.seed}, {arguments.count} command lines, statuses {statuses}, {bad} ended badly")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
