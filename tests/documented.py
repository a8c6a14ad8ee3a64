"""Output of commands as the pages show it: found, compared, and brought up to date (`make docs`).

A comment before a fenced block says whose output it is::

    <!-- output of: cpt bits --total 16 --cycles 4 -->

In the block ``...`` stands for any text of a line, and a line of ``...`` alone for any number of lines.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"<!-- output of: (?P<command>[^\n]+?) -->\n+```\w*\n(?P<text>.*?)```", re.DOTALL)
VARYING = ((r"^(ok +Python +).*", r"\1..."), (r"^(ok +(?:numpy|pynq|torch|matplotlib) +).*", r"\1..."))
"""What `make docs` writes as ``...``: it differs between machines."""


@dataclass(frozen=True)
class Shown:
    """One block of one page."""

    page: Path
    command: str
    text: str

    def __str__(self):
        return f"{self.page.name}: {self.command}"


def shown(page):
    """The blocks of ``page``."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Shown(page, match["command"], match["text"]) for match in found]


def printed(command):
    """What ``command`` prints in a terminal of 80 columns; `cpt` and `make` are those of this checkout."""
    words = shlex.split(command)
    if words[0] == "cpt":
        words[:1] = [sys.executable, "-m", "cpt.main"]
    env = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT), "MAKEFLAGS": "--no-print-directory"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    return done.stdout


def matches(text, output):
    """Whether ``output`` is what ``text`` shows, white space at the ends of lines apart."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    rules = [r"(?:[^\n]*\n)*?" if line == "..." else _rule(line) + r"[ \t]*\n" for line in lines]
    return re.fullmatch("".join(rules), output.strip("\n") + "\n") is not None


def _rule(line):
    return r"[^\n]*".join(re.escape(part) for part in line.split("..."))


def update(page):
    """Rewrite the blocks of ``page`` that are out of date; returns their commands."""
    stale = {item.command: printed(item.command) for item in shown(page)}
    stale = {
        item.command: stale[item.command]
        for item in shown(page)
        if not matches(item.text, stale[item.command])
    }

    def renewed(match):
        output = stale.get(match["command"])
        if output is None:
            return match[0]
        for pattern, words in VARYING:
            output = re.sub(pattern, words, output, flags=re.MULTILINE)
        lines = "\n".join(line.rstrip() for line in output.strip("\n").splitlines())
        return match[0][: match.start("text") - match.start()] + lines + "\n```"

    page.write_text(BLOCK.sub(renewed, page.read_text(encoding="utf-8")), encoding="utf-8")
    return list(stale)


if __name__ == "__main__":
    for path in PAGES:
        for name in update(path):
            print(f"{path.relative_to(ROOT)}: {name}")
