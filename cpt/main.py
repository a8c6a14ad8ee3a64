"""Entry point of ``cpt``: finds the command, and turns every user error into one line and exit status 2."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from cpt import stopped
from cpt.host.errors import HostError
from cpt.hw.contract import ContractError

COMMANDS = {
    "train": "train a network on the accelerator, with cyclic and with static precision",
    "compare": "cycles of every program of a training step: compiled RTL beside the fast model",
    "latency": "simulated hours of a full CIFAR training run, from the fast model's cycles",
    "results": "train every method on the bundled data over many seeds, write docs/results.md",
    "bits": "show a precision schedule and what it saves",
    "doctor": "check software and accelerator: who answers, whether it multiplies correctly",
    "bitstream": "build a board's bitstream with Vivado, or check it without",
    "package": "pack what a board needs into one archive",
    "range-test": "find the lowest precision that a network still learns at",
    "report": "draw the figures of training runs, and an index of them",
    "landscape": "loss around the weights that a torch run has trained",
    "bench": "time a quantised training step in torch beside float32",
    "bitops": "count bit operations; with --paper, beside the published numbers",
}
"""Commands and what they do; each is a module of ``cpt`` (dashes become underscores), with two functions:
``add_arguments`` and ``run``."""
USER_ERROR = 2


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with status 2."""
        self.exit(USER_ERROR, f"{self.prog}: {message}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of argparse, which takes the value of ``--option=--`` away and then stores an empty list."""
        for word in args or ():
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"argument {word.removesuffix('=--')}: the value is '--'; allowed: anything else")
        return super().parse_known_args(args, namespace)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``cpt`` with ``arguments`` (the process's own by default); returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print("usage: cpt COMMAND [options]      (cpt COMMAND --help lists them)\n")
        for name, text in COMMANDS.items():
            print(f"  {name:10} {text}")
        return 0 if words else USER_ERROR
    name = words[0]
    if name not in COMMANDS:
        print(f"cpt: command is {name!r}; allowed: {', '.join(COMMANDS)}", file=sys.stderr)
        return USER_ERROR
    # One BLAS thread, set before numpy is loaded: sums do not depend on the number of cores, products are
    # too small to gain from more, and on a busy machine threads that wait for each other cost tenfold.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        module = importlib.import_module(f"cpt.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        print(f"cpt {name}: {error.name} is not in this installation", file=sys.stderr)
        return USER_ERROR
    parser = OneLineParser(prog=f"cpt {name}", description=module.__doc__)
    module.add_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on standard error")
    try:
        with stopped.by_sigterm():
            return int(module.run(parser.parse_args(words[1:])) or 0)
    except (ContractError, HostError) as error:
        text = str(error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or error}"
    except KeyboardInterrupt as stop:
        print(stopped.text(stop, words), file=sys.stderr)
        return stopped.status(stop)
    print(f"cpt {name}: {' '.join(text.split())}", file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
