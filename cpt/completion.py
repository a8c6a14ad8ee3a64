"""Print what completes commands and options in a shell: ``source <(cpt completion bash)``."""

from __future__ import annotations

import argparse
import importlib

from cpt.command_line import make_parser
from cpt.hw.contract import ContractError

SHELLS = ("bash", "zsh")
_BASH = """\
# cpt {version}: completion of commands and options
_cpt() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} options=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -o filenames -F _cpt cpt
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the argument."""
    parser.add_argument("shell", metavar="SHELL", help=f"{' or '.join(SHELLS)}")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    if arguments.shell not in SHELLS:
        raise ContractError(f"shell is {arguments.shell!r}; allowed: {', '.join(SHELLS)}")
    print((_ZSH if arguments.shell == "zsh" else "") + script(), end="")
    return 0


def script() -> str:
    """The script, made from the parsers of the commands that this installation can load."""
    from cpt import __version__
    from cpt.main import COMMANDS

    cases = []
    for name in COMMANDS:
        words = " ".join(options(name))
        cases.append(f'    {name}) options="{words}" ;;')
    commands = " ".join([*COMMANDS, "--help", "--version"])
    return _BASH.format(version=__version__, commands=commands, cases="\n".join(cases))


def options(name: str) -> list[str]:
    """Long options of a command; none if an extra that it needs is missing."""
    try:
        module = importlib.import_module(f"cpt.{name.replace('-', '_')}")
    except ModuleNotFoundError:
        return []
    actions = make_parser(name, module)._actions
    return sorted({flag for action in actions for flag in action.option_strings if flag.startswith("--")})
