"""Checks what the runtime needs before anything is installed; one line and status 2 if it is not there."""

import sys
from importlib import metadata

PYTHON = ((3, 10), (3, 13))
PACKAGES = {"numpy": ((1, 21), (2, 0)), "pynq": ((3, 0), (4, 0)), "tqdm": ((4, 0), (5, 0))}
"""Oldest version that works and first that does not."""


def text(version):
    return ".".join(map(str, version))


def problems():
    """What is missing or of another version, one line each."""
    if not PYTHON[0] <= sys.version_info[:2] < PYTHON[1]:
        yield f"Python is {text(sys.version_info[:2])}; allowed: {text(PYTHON[0])} to below {text(PYTHON[1])}"
    for name, (oldest, beyond) in PACKAGES.items():
        allowed = f"allowed: {text(oldest)} to below {text(beyond)}"
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name} is not installed; {allowed}"
            continue
        parts = tuple(int(part) for part in found.split(".")[:2])
        if not oldest <= parts < beyond:
            yield f"{name} is {found}; {allowed}"


for line in problems():
    sys.exit(f"install: {line}")
