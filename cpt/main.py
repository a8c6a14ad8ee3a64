"""Entry point of ``cpt``: finds the command, and turns every user error into one line and exit status 2."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

from cpt import __version__, stopped
from cpt.command_line import USER_ERROR, make_parser
from cpt.extras import missing
from cpt.host.errors import HostError
from cpt.hw.contract import ContractError
from cpt.table import paragraph

COMMANDS = {
    "train": "train a network on the accelerator, with cyclic and with static precision",
    "compare": "cycles of every list of a training step: compiled RTL beside the model",
    "latency": "simulated hours of a full CIFAR training run, with cyclic and static precision",
    "roofline": "what each pass of each layer does, against what array and memory could do",
    "explore": "arrays of other shapes: what they take of a part, how long a step takes",
    "trace": "timeline of a step's lists: what each engine did in every cycle, what it waited for",
    "fabric": "train on the golden functions of a step, seed by seed beside torch",
    "results": "train every method, or schedule, on the bundled data over many seeds, write docs/results.md",
    "bits": "show a precision schedule and what it saves",
    "doctor": "check software and accelerator: who answers, whether it trains correctly",
    "bitstream": "build a board's bitstream with Vivado, or check it without",
    "package": "pack what a board needs into one archive",
    "range-test": "find the lowest precision that a network still learns at",
    "critical": "train with few bits in windows of the run: where that does lasting harm",
    "report": "draw the figures of training runs, and an index of them",
    "landscape": "loss around the weights that a torch run has trained",
    "export": "write the network of a torch run as an ONNX file, at stated bits",
    "bench": "time a quantised training step in torch beside float32",
    "bitops": "count bit operations; with --paper, beside the published numbers",
    "completion": "print what completes commands and options in bash or zsh",
}
"""Commands and what they do; each is a module of ``cpt`` (dashes become underscores), with two functions:
``add_arguments`` and ``run``."""
BROKEN_PIPE = 141
"""Who reads the output has gone, as in ``cpt bits | head``: what shells say of a program that it ended."""
FAULT = 70
"""Of ``cpt`` itself (EX_SOFTWARE of sysexits.h)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``cpt`` with ``arguments`` (the process's own by default); returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a file name need not be text in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _command(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        return _refuse("cpt", f"standard output: {error.strerror or error}")


def _command(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else USER_ERROR
    if words[0] in ("-V", "--version"):
        print(f"cpt {__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        return _refuse("cpt", f"command is {name!r}; allowed: {', '.join(COMMANDS)}")
    if any("\0" in word for word in words):
        return _refuse(f"cpt {name}", "an option holds the character NUL; allowed: any other")
    # One BLAS thread, set before numpy is loaded: sums do not depend on the number of cores, products are
    # too small to gain from more, and on a busy machine threads that wait for each other cost tenfold.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return _run(name, words[1:])
    except (ContractError, HostError) as error:
        text = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or error}"
    except MemoryError:
        text = "out of memory; allowed: smaller numbers, a larger machine"
    except ModuleNotFoundError as error:
        text = missing(error)
    except KeyboardInterrupt as stop:
        print(stopped.text(stop, [name, *words[1:]]), file=sys.stderr)
        return stopped.status(stop)
    except Exception as error:  # a fault of ours: one line, unless where it happened is asked for
        if "--traceback" in words or sys.flags.dev_mode:
            raise
        _refuse(
            f"cpt {name}",
            f"fault of this program ({type(error).__name__}: {error}); please report it, "
            "with what the same command prints with --traceback",
        )
        return FAULT
    return _refuse(f"cpt {name}", text)


def _run(name: str, words: list[str]) -> int:
    module = importlib.import_module(f"cpt.{name.replace('-', '_')}")
    with stopped.by_sigterm():
        return int(module.run(make_parser(name, module).parse_args(words)) or 0)


def _refuse(who: str, text: str) -> int:
    """Print ``text`` as one line; the exit status of a wrong input."""
    print(f"{who}: {' '.join(text.split())}", file=sys.stderr)
    return USER_ERROR


def _usage() -> str:
    """The commands and what they do."""
    lines = ["usage: cpt COMMAND [options]      (cpt COMMAND --help lists them)", ""]
    for name, text in COMMANDS.items():
        lines.append(paragraph(f"  {name:10} {text}", " " * 13))
    lines += ["", "cpt --version prints the version; cpt completion bash or zsh, what a shell needs"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
