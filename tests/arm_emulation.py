"""The board's archive on emulated 32-bit Arm: install, examine, train, and compare with this machine.

    sudo apt install qemu-user-static debootstrap
    sudo .venv/bin/python tests/arm_emulation.py

Builds a Debian 12 for armhf under ``build/`` once (600 MB). Python and numpy there are Debian's (3.11, 1.24),
pynq and what of it is pure Python this environment's, pydantic the index's wheel for Arm. Times mean nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "armhf"
DEBIAN, SITE, PREFIX = FOLDER / "debian", FOLDER / "site", FOLDER / "opt"
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
TRAIN = ("train", "--preset", "tiny", "--width", "4", "--steps", "3", "--batch-size", "32", "--no-compare")
"""docs/board.md's short training."""
EQUAL = ("contract_hash", "dataset_sha256", "weights_sha256", "loss", "accuracy", "training", "evaluation")
"""Parts of a run's summary that are the same on every machine."""


def run(*command: object, **options: object) -> str:
    """Standard output of ``command``; ends this program if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"arm_emulation: {' '.join(words[:3])} ... ended with status {done.returncode}")
    return str(done.stdout)


def make_debian() -> None:
    """Unpack Debian's packages; nothing of them is started, so no emulation by the kernel is needed."""
    scratch = FOLDER / "debian.new"
    shutil.rmtree(scratch, ignore_errors=True)
    options = ("--foreign", "--arch=armhf", "--variant=minbase", f"--include={','.join(PACKAGES)}")
    run("debootstrap", *options, "bookworm", scratch)
    for package in sorted(scratch.glob("var/cache/apt/archives/*.deb")):
        run("dpkg-deb", "-x", package, scratch)
    scratch.rename(DEBIAN)


def make_site() -> None:
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


def make_python() -> Path:
    """A program that starts the emulated Python with `SITE` and Debian's packages."""
    libraries = ":".join(str(DEBIAN / LIBRARIES / name) for name in ("", "blas", "lapack"))
    python = FOLDER / "python3"
    python.write_text(
        f"#!/bin/sh\nexec qemu-arm-static -L {DEBIAN} -E LD_LIBRARY_PATH={libraries}"
        f" -E PYTHONHOME={DEBIAN}/usr -E PYTHONWARNINGS=ignore"
        f' -E PYTHONPATH="{SITE}:{DEBIAN}/usr/lib/python3/dist-packages:$PYTHONPATH"'
        f' {DEBIAN}/usr/bin/python3.11 -S "$@"\n'
    )
    python.chmod(0o755)
    return python


def main() -> int:
    for program in ("qemu-arm-static", "debootstrap"):
        if shutil.which(program) is None:
            sys.exit(f"arm_emulation: {program} is missing; install qemu-user-static and debootstrap")
    if os.geteuid():
        sys.exit("arm_emulation: debootstrap needs root")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not DEBIAN.exists():
        make_debian()
    if not SITE.exists():
        make_site()
    python = make_python()
    cpt = (sys.executable, "-m", "cpt.main")
    run(*cpt, "package", "--out", FOLDER, cwd=FOLDER)
    with tarfile.open(FOLDER / "cpt-zc706.tar.gz") as archive:
        archive.extractall(FOLDER)
    print(run(FOLDER / "cpt-board" / "install.sh", "--prefix", PREFIX, "--python", python), end="")
    emulated = PREFIX / "bin" / "cpt"
    print(run(emulated, "doctor"), end="")
    summaries = [
        json.loads(run(*command, *TRAIN, "--out", FOLDER / name, "--json", cwd=FOLDER).splitlines()[-1])
        for name, command in (("here", cpt), ("arm", (emulated,)))
    ]
    for name, summary in zip(("this machine", "emulated Arm"), summaries, strict=True):
        print(f"{name}: loss {summary['loss']:.6f}, weights {summary['weights_sha256'][:16]}")
    different = [name for name in EQUAL if summaries[0][name] != summaries[1][name]]
    print(f"different: {', '.join(different)}" if different else f"equal: {', '.join(EQUAL)}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
