"""A Python on emulated 32-bit Arm: Debian 12 for armhf under ``build/``, made once (350 MB).

    sudo apt install qemu-user debootstrap

Python and numpy there are Debian's (3.11, 1.24), pynq and what of it is pure Python this environment's,
pydantic the index's wheel for Arm. qemu reads options of its own from the environment (``QEMU_CPU``).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "armhf"
DEBIAN, SITE = FOLDER / "debian", FOLDER / "site"
LIBRARIES = "usr/lib/arm-linux-gnueabihf"
PACKAGES = (
    "python3-numpy",
    "python3-cffi",
    "python3-ply",
    "python3-nest-asyncio",
    "python3-jsonschema",
    "python3-magic",
    "python3-ipython",
    "python3-pkg-resources",
    "python3-setuptools",
    "python3-tqdm",
)
"""numpy and what pynq imports; pydantic is too old there."""


def end(message: str) -> NoReturn:
    """End this program in one line."""
    sys.exit(f"{Path(sys.argv[0]).stem}: {message}")


def run(*command: object, **options: object) -> str:
    """Standard output of ``command``; ends this program if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        end(f"{' '.join(words[:3])} ... ended with status {done.returncode}")
    return str(done.stdout)


def emulated_python(**needed: str) -> Path:
    """A program that starts the emulated Python; ends this one where what that takes is missing.

    ``needed``: more programs, and the package of each.
    """
    for program, package in {"qemu-arm": "qemu-user", "debootstrap": "debootstrap", **needed}.items():
        if shutil.which(program) is None:
            end(f"{program} is missing; install {package}")
    if os.geteuid():
        end("debootstrap needs root")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not DEBIAN.exists():
        _make_debian()
    if not SITE.exists():
        _make_site()
    return _make_python()


def _make_debian() -> None:
    """Unpack Debian's packages; nothing of them is started, so no emulation by the kernel is needed."""
    scratch = FOLDER / "debian.new"
    shutil.rmtree(scratch, ignore_errors=True)
    options = ("--foreign", "--arch=armhf", "--variant=minbase", f"--include={','.join(PACKAGES)}")
    run("debootstrap", *options, "bookworm", scratch)
    for package in sorted(scratch.glob("var/cache/apt/archives/*.deb")):
        run("dpkg-deb", "-x", package, scratch)
    scratch.rename(DEBIAN)


def _make_site() -> None:
    """pynq from this environment, pydantic from the index."""
    scratch = FOLDER / "site.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    wanted = ("--python-version", "311", "--platform", "manylinux2014_armv7l", "--only-binary", ":all:")
    run(sys.executable, "-m", "pip", "download", "--quiet", *wanted, "--dest", FOLDER / "wheels", "pydantic")
    for wheel in (FOLDER / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(scratch)
    here = Path(sysconfig.get_path("purelib"))
    for name in ("pynq", "pynqmetadata", "pynqutils"):
        for item in (here / name, *here.glob(f"{name}-*info")):
            shutil.copytree(item, scratch / item.name)
    scratch.rename(SITE)


def _make_python() -> Path:
    """The program, with `SITE` and Debian's packages."""
    libraries = ":".join(str(DEBIAN / LIBRARIES / name) for name in ("", "blas", "lapack"))
    python = FOLDER / "python3"
    python.write_text(
        f"#!/bin/sh\nexec qemu-arm -L {DEBIAN} -E LD_LIBRARY_PATH={libraries}"
        f" -E PYTHONHOME={DEBIAN}/usr -E PYTHONWARNINGS=ignore"
        f' -E PYTHONPATH="{SITE}:{DEBIAN}/usr/lib/python3/dist-packages:$PYTHONPATH"'
        f' {DEBIAN}/usr/bin/python3.11 -S "$@"\n'
    )
    python.chmod(0o755)
    return python
