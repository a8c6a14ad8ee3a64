"""What a command says while it works: one line on a terminal, a line per epoch anywhere else."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from cpt.table import columns

_TERMINAL_INTERVAL_S, _FILE_INTERVAL_S = 0.1, 60.0
_BAR = 20
"""Cells of the bar where there is room."""
_LEAST_BAR = 5


def note(arguments: argparse.Namespace, text: str) -> None:
    """Say on standard error what is going on, unless ``--quiet``."""
    if not getattr(arguments, "quiet", False):
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Progress of a run over its steps: epoch, bits, loss, what was reached, time. A context manager.

    Args:
        name: of the run.
        total, done: steps in all, and how many an earlier start has done.
        quiet: say nothing.
        stream: where to (default: standard error). A terminal gets one line, written again and again;
            anything else a line per epoch, and one a minute where epochs are long.
    """

    def __init__(
        self, name: str, total: int, done: int = 0, quiet: bool = False, stream: TextIO | None = None
    ) -> None:
        self.name, self.total, self.done = name, total, done
        self.quiet = quiet
        self.stream = sys.stderr if stream is None else stream
        self.terminal = self.stream.isatty()
        self.reached = ""
        self._first, self._began = done, time.monotonic()
        self._shown = self._began
        self._where = self._loss = self._spent = ""
        self._open = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last line where it is, and the cursor below it."""
        if self._open:
            self._write()
            self.stream.write("\n")
            self.stream.flush()
            self._open = False

    def step(self, epoch: int, fw: float, bw: float, loss: float, spent: str = "") -> None:
        """Show a finished step of ``epoch`` (counted from 0); ``spent``: time in words, if any is known."""
        self.done += 1
        self._where, self._loss = f"epoch {epoch + 1} FW{fw:.3g}/BW{bw:.3g}", f"loss {loss:.3f}"
        self._spent = spent
        interval = _TERMINAL_INTERVAL_S if self.terminal else _FILE_INTERVAL_S
        if time.monotonic() - self._shown >= interval:
            self._write()

    def epoch(self, reached: str) -> None:
        """Show a finished epoch's test figure from now on, such as ``accuracy 98.05 %``."""
        self.reached = reached
        self._write()

    def line(self, width: int) -> str:
        """The line as it is now, at most ``width`` characters.

        The bar takes what room there is; where there is none, first the time left goes, then the loss.
        """
        share = self.done / self.total if self.total else 1.0
        start = f"{self.name} {100 * share:3.0f} %"
        for fields in self._shorter_and_shorter():
            room = width - len(start) - len(fields) - 1
            if room >= 0:
                break
        cells = min(_BAR, room - 3)
        if self.terminal and cells >= _LEAST_BAR:
            start += f" [{('#' * round(cells * share)).ljust(cells, '.')}]"
        return f"{start} {fields}"[:width]

    def _shorter_and_shorter(self) -> Iterator[str]:
        left = self._left()
        for words in (
            (self._where, self._loss, self.reached, self._spent, left),
            (self._where, self._loss, self.reached, self._spent),
            (self._where, self.reached, self._spent),
        ):
            yield " ".join(filter(None, words))

    def _left(self) -> str:
        """Time to the end at the pace so far."""
        steps = self.done - self._first
        if not steps or self.done >= self.total:
            return ""
        seconds = (time.monotonic() - self._began) / steps * (self.total - self.done)
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"

    def _write(self) -> None:
        if self.quiet:
            return
        self._shown = time.monotonic()
        width = columns() - 1
        if self.terminal:
            self.stream.write("\r" + self.line(width).ljust(width))
            self._open = True
        else:
            self.stream.write(self.line(width) + "\n")
        self.stream.flush()
