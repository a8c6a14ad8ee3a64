"""Commands that are stopped by Ctrl-C or SIGTERM: what was saved, and the command that goes on."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """Stands for SIGTERM, and unwinds like Ctrl-C."""


class Stopped(KeyboardInterrupt):
    """A training command was stopped; ``saved`` says what is on disk, and is empty if nothing is."""

    def __init__(self, saved: str, cause: KeyboardInterrupt) -> None:
        super().__init__(saved)
        self.saved, self.terminated = saved, isinstance(cause, Terminated)


@contextlib.contextmanager
def by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise `Terminated`, where nobody else handles it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        ours = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if ours:
            signal.signal(signal.SIGTERM, stop)
    except ValueError:  # only the main thread may
        ours = False
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def status(stop: KeyboardInterrupt) -> int:
    """The exit status, as shells have it."""
    ended = isinstance(stop, Terminated) or (isinstance(stop, Stopped) and stop.terminated)
    return TERMINATED if ended else INTERRUPTED


def text(stop: KeyboardInterrupt, words: Sequence[str]) -> str:
    """What is printed; ``words`` is the command as typed, without the program."""
    word = "terminated" if status(stop) == TERMINATED else "interrupted"
    start = f"cpt {words[0]}: {word}"
    if not isinstance(stop, Stopped):
        return start
    again = shlex.join([*_program(), *(words if not stop.saved else resuming(words))])
    if "TORCHELASTIC_RUN_ID" in os.environ:
        again = f"the same torchrun, with: {again}"
    if not stop.saved:
        return f"{start} before anything was saved; start again with\n  {again}"
    return f"{start}; saved: {stop.saved}; go on with\n  {again}"


def resuming(words: Sequence[str]) -> list[str]:
    """The command that goes on with what ``words`` began."""
    kept = [word for word in words if not _means(word, "--overwrite", "--ov")]
    resumes = any(_means(word, "--resume", "--res") or word == "--automatic_resume" for word in kept)
    return kept if resumes else [*kept, "--resume"]


def _means(word: str, option: str, shortest: str) -> bool:
    """Whether ``word`` is ``option``, or one of the abbreviations that argparse understands."""
    return word.startswith(shortest) and option.startswith(word)


def _program() -> list[str]:
    """The program as it was started."""
    started = Path(sys.argv[0])
    if started.name == "main.py":
        return [Path(sys.executable).name, "-m", "cpt.main"]
    if started.name != "cpt":
        return ["cpt"]
    found = shutil.which("cpt")
    return ["cpt" if found and Path(found).resolve() == started.resolve() else sys.argv[0]]
