"""The parsers of all commands: errors of one line, bounded numbers, options that every command has."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from cpt.hw.contract import ContractError
from cpt.model.files import check_writable

USER_ERROR = 2
LONGEST = 1_000_000
"""Most steps of a schedule that a command walks through."""
MOST_IMAGES = 10**15
_LARGEST = 1 << 63


def whole(text: str) -> int:
    """An integer of 64 bits, for argparse."""
    value = int(text)
    if not -_LARGEST <= value < _LARGEST:
        raise argparse.ArgumentTypeError("value has more than 64 bits; allowed: -2^63..2^63-1")
    return value


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN, for argparse."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"value is {value}; allowed: finite numbers")
    return value


def check_range(name: str, value: int, least: int, most: int) -> None:
    """Raise `ContractError` unless ``value`` is ``least``..``most``."""
    if not least <= value <= most:
        raise ContractError(f"{name} is {value}; allowed: {least:,}..{most:,}")


def check_figure(path: Path) -> None:
    """Raise `ContractError` for a name of no format, `OSError` where it cannot be written."""
    from cpt.model.figures.canvas import FORMATS

    if path.suffix.removeprefix(".").lower() not in FORMATS:
        raise ContractError(f"figure is {str(path)!r}; allowed: a name that ends in .{', .'.join(FORMATS)}")
    check_writable(path)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose ``int`` and ``float`` are bounded."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.register("type", int, whole)
        self.register("type", float, finite)

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with status 2."""
        self.exit(USER_ERROR, f"{self.prog}: {' '.join(message.split())}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of argparse, but for two words that it leaves to others.

        It takes the value of ``--option=--`` away and then stores an empty list; a word behind an option
        without value it calls unrecognised, without telling whose it was.
        """
        for word, following in itertools.pairwise([*(args or ()), "-"]):
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"argument {word.removesuffix('=--')}: the value is '--'; allowed: anything else")
            action = self._option_string_actions.get(word)
            if action and action.nargs == 0 and not following.startswith("-") and not self._has_positionals():
                self.error(f"argument {word} ({action.help}): it takes no value, {following!r} is given")
        return super().parse_known_args(args, namespace)

    def _has_positionals(self) -> bool:
        return any(not action.option_strings for action in self._actions)


def make_parser(name: str, module: ModuleType) -> OneLineParser:
    """The parser of the command called ``name``, which ``module`` is."""
    parser = OneLineParser(prog=f"cpt {name}", description=module.__doc__)
    module.add_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on standard error")
    parser.add_argument(
        "--traceback", action="store_true", help="where a fault of cpt itself happened, for a report of it"
    )
    return parser
