"""Pythons that hold what the image of a board holds, and nothing else."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEEDED = ("numpy", "pynq", "tqdm", "setuptools")
"""What the image holds; these and what they need themselves."""
PINS = ("numpy==1.21.6", "pynq==3.1.2", "pycparser<3", "tqdm", "setuptools")
"""The same in the versions of the PYNQ 3.1 image, which has Python 3.10."""


class NoImage(Exception):
    """Why there is none."""


def python_3_10() -> Path:
    """Python 3.10 with `PINS` alone, made under ``build/`` once; `NoImage` without python3.10 or an index."""
    folder = ROOT / "build" / f"board-image-{zlib.crc32(repr(PINS).encode()):08x}"
    if not folder.exists():
        base = _starting("python3.10")
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "image"
            _run(base, "-m", "venv", made)
            _run(made / "bin" / "python", "-m", "pip", "install", "--quiet", "--retries", "1", *PINS)
            with contextlib.suppress(OSError):  # another process made it meanwhile
                made.rename(folder)
    return folder / "bin" / "python"


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=500)
    if done.returncode:
        raise NoImage((done.stdout + done.stderr).strip().splitlines()[-1])


def _starting(name: str) -> str:
    """The first program ``name`` on PATH that runs; a version manager may put others there."""
    for folder in os.environ["PATH"].split(os.pathsep):
        program = shutil.which(name, path=folder)
        if program and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            return program
    raise NoImage(f"no {name} on PATH")


def this_python(folder: Path) -> Path:
    """A program in ``folder``: this Python, seeing the standard library and `NEEDED` alone."""
    site = folder / "site"
    site.mkdir()
    waiting, seen = list(NEEDED), set()
    while waiting:
        name = re.split(r"[\s;\[<>=!~(]", waiting.pop())[0].lower()
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name not in seen:
            seen.add(name)
            waiting += [item for item in found.requires or [] if "extra ==" not in item]
            for top in {Path(str(item)).parts[0] for item in found.files or []} - {"..", "__pycache__"}:
                if not (site / top).exists():
                    (site / top).symlink_to(found.locate_file(top))
    python = folder / "python3"
    python.write_text(
        "#!/bin/sh\nexport PYTHONWARNINGS=ignore\n"  # of setuptools, where no .pth files are read
        f'PYTHONPATH="{site}${{PYTHONPATH:+:$PYTHONPATH}}" exec {sys._base_executable} -S -s "$@"\n'
    )
    python.chmod(0o755)
    return python
