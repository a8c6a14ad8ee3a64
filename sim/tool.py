"""Programs that simulation and synthesis call: run with a deadline, and ended with their children at it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cpt.host.errors import HostError

Environment = Mapping[str, str] | None


class BuildError(HostError):
    """A tool is missing, failed or ran past its deadline."""


def ended(
    command: list[str], cwd: Path, deadline_s: float, env: Environment = None
) -> tuple[int | None, str]:
    """Exit status and what was written to both streams; status None past the deadline.

    Whatever ends the wait also ends the tool and its own children. `FileNotFoundError` if there is no such
    program.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=deadline_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return None, output
        raise
    return process.returncode, output


def run_tool(
    command: list[str],
    cwd: Path,
    deadline_s: float,
    env: Environment = None,
    *,
    error: type[Exception] = BuildError,
    lines: int = 40,
    log: Path | None = None,
) -> None:
    """Run one step quietly; raises ``error`` with the last ``lines`` of output if it fails or is too slow.

    ``log``: a file of the tool's that says more than its output.
    """
    name = Path(command[0]).name
    try:
        status, output = ended(command, cwd, deadline_s, env)
    except FileNotFoundError:
        raise error(f"{name} is not on PATH; it is needed here") from None
    if status is None:
        raise error(f"{name} took longer than {deadline_s:g} s")
    if status:
        if log is not None and log.exists():
            output += log.read_text(errors="replace")
        said = output.strip().splitlines()[-lines:] or ["no message"]
        raise error(f"{name} failed with status {status}:{' ' if lines == 1 else chr(10)}" + "\n".join(said))
