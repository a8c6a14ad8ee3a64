"""A Tcl interpreter as a child process, and the conversation with it."""

import importlib.util
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_BRIDGE = Path(__file__).with_name("bridge.tcl")
_EMBEDDED = """
import os, sys, tkinter
tcl = tkinter.Tcl()
tcl.createcommand("exit", lambda status="0": os._exit(int(status)))  # tkinter takes Tcl's own away
tcl.setvar("argv", tuple(sys.argv[2:]))
tcl.evalfile(sys.argv[1])
"""
"""Program that makes a Python of tkinter's interpreter: the script's path first, then its arguments."""
DEADLINE_S = 120.0


class ScriptError(Exception):
    """The script ended with an error, or no interpreter runs it; one line."""


def interpreter() -> list[str]:
    """Command that starts a Tcl interpreter: `tclsh`, else the one inside Python's tkinter."""
    found = shutil.which("tclsh")
    if found:
        return [found]
    if importlib.util.find_spec("_tkinter"):
        return [sys.executable, "-c", _EMBEDDED]
    raise ScriptError("no Tcl interpreter; allowed: tclsh on PATH (package tcl) or a Python with tkinter")


def run_script(
    script: Path, arguments: list[str], answer: Callable[[list[str]], str], deadline_s: float = DEADLINE_S
) -> str:
    """Run ``script``; commands Tcl does not know go to ``answer`` as words. Returns what it printed.

    An exception that ``answer`` raises becomes a Tcl error with its message. Raises `ScriptError` with the
    last lines printed if the script ends with another status than 0.
    """
    command = [*interpreter(), str(_BRIDGE), str(script), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as process:
        timer = threading.Timer(deadline_s, process.kill)
        timer.start()
        try:
            printed = _converse(process, answer)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    if process.returncode:
        raise ScriptError("\n".join(printed.splitlines()[-8:]) or f"no answer within {deadline_s:g} s")
    return printed


def _converse(process: "subprocess.Popen[str]", answer: Callable[[list[str]], str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        if not line.startswith("\x01"):
            printed.append(line)
            continue
        words = [bytes.fromhex(word[1:]).decode() for word in line[1:].split()]
        try:
            reply = f"ok x{answer(words).encode().hex()}\n"
        except Exception as error:
            reply = f"error x{str(error).encode().hex()}\n"
        process.stdin.write(reply)
        process.stdin.flush()
    return "".join(printed)
