"""Builds this project's wheel, outside the checkout and without a network, and installs it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
INSTALLED = ("cpt", "hw", "host", "sim", "model")
"""Folders of the checkout whose files are installed; each but the first as a folder of `cpt`."""
LINKS = {f"cpt/{part}" for part in INSTALLED}
PAGES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "docs")


def run(*command, cwd=None, env=None):
    """Standard output of ``command``; fails with what it printed otherwise."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def tracked():
    """Files that git has, or would take, of what is installed and what describes it."""
    names = run("git", "ls-files", "-co", "--exclude-standard", "--", *INSTALLED, *PAGES, cwd=ROOT)
    return [name for name in names.splitlines() if (ROOT / name).is_symlink() or (ROOT / name).is_file()]


def shipped():
    """Names, inside a wheel, of every tracked file that belongs into one."""
    names = [name for name in tracked() if name.partition("/")[0] in INSTALLED]
    return {name if name.startswith("cpt/") else f"cpt/{name}" for name in names if name not in LINKS}


def copy_sources(target):
    """A copy of the tracked files, links kept: builds leave folders beside what they read."""
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def build(kind, sources, target):
    """The file that setuptools builds of ``sources``; ``kind`` is ``"wheel"`` or ``"sdist"``."""
    target.mkdir(exist_ok=True)
    words = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    return target / run(sys.executable, "-c", words, cwd=sources).splitlines()[-1]


def packed(wheel):
    """Names of the files in ``wheel`` that land in the folder ``cpt``."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cpt/")}


class Fresh:
    """A new environment with ``wheel`` installed, which borrows all other packages from this one."""

    def __init__(self, folder, wheel):
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        self.python = folder / "bin" / "python"
        self.cpt = folder / "bin" / "cpt"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        pip = (sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-index")
        run(*pip, "--no-deps", "--no-compile", wheel)
        # The path in this file is searched; .pth files there, such as an editable install's, are not read.
        (self.site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def run(self, *command, cwd):
        """Standard output of ``command`` in ``cwd``, without this process's search path."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return run(*command, cwd=cwd, env={**clean, "PYTHONDONTWRITEBYTECODE": "1"})

    def files(self):
        """Every file of the environment's packages, with its time of change."""
        return {path: path.stat().st_mtime_ns for path in self.site.rglob("*") if path.is_file()}
