"""Pack what a board needs into one archive: runtime, fast model, digits, and the bitstream if it is built."""

from __future__ import annotations

import argparse
import ast
import gzip
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cpt.data import BUNDLED, digits
from cpt.host.data import Images
from cpt.hw.contract import CONTRACT_HASH
from cpt.hw.contract.board import BOARDS, board
from cpt.hw.vivado.build import DELIVERED, check_manifest
from cpt.model.files import check_writable, write_atomically

ROOT = Path(__file__).absolute().parents[1]
"""Folder that holds the package ``cpt``: a checkout, or where it is installed."""
BESIDE_LIB = ("install.sh", "requirements.py", "board.md", "LICENSE")
"""Files of ``hw/board`` that stand beside the library in the archive."""
PACKAGE = "cpt"
STARTS = (
    "cpt.main",
    "cpt.train",
    "cpt.bits",
    "cpt.bitops",
    "cpt.compare",
    "cpt.doctor",
    "cpt.completion",
    "cpt.sim.step.backend",
    "cpt.sim.device",
)
"""Modules whose imports decide what is packed."""
ON_BOARD = {"numpy", "pynq", "pynqmetadata", "tqdm"}
"""Third-party packages that a board's image holds; a module that needs others stays behind."""
MANIFEST = "manifest.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt package``."""
    parser.add_argument("--board", default="zc706", metavar="NAME", help=", ".join(BOARDS))
    parser.add_argument("--out", type=Path, default=Path("build/board"), metavar="DIR", help="where it goes")
    parser.add_argument(
        "--bitstream",
        type=Path,
        metavar="DIR",
        help="folder with cpt.bit and its manifest (default: build/bitstream/BOARD)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the archive and name it."""
    target = board(arguments.board)
    folder = arguments.bitstream or Path("build/bitstream") / target.name
    built = (folder / MANIFEST).is_file()
    if built:
        check_manifest(folder / MANIFEST)
    elif arguments.bitstream:
        raise FileNotFoundError(f"{folder} holds no {MANIFEST}; allowed: a folder that cpt bitstream wrote")
    archive = arguments.out / f"cpt-{target.name}.tar.gz"
    check_writable(archive)
    write_archive(archive, folder if built else None)
    print(f"{archive}: contract {CONTRACT_HASH:016x}, {'with' if built else 'without'} a bitstream")
    if not built:
        print(f"no bitstream in {folder}: --device fast works, --device board needs one", file=sys.stderr)
    return 0


def modules() -> dict[str, Path]:
    """Every module the board can use, by name: reachable from `STARTS`, importable with `ON_BOARD` alone."""
    found: dict[str, Path] = {}
    waiting = list(STARTS)
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in found:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        needed = {item.partition(".")[0] for item in _imports(_at_import(tree))}
        if needed - set(sys.stdlib_module_names) - ON_BOARD - {PACKAGE}:
            continue
        found[name] = path
        waiting += [*_imports(ast.walk(tree)), name.rpartition(".")[0]]
    return found


def _source(name: str) -> Path | None:
    """File of one of the project's modules; None for anything else."""
    if name.partition(".")[0] != PACKAGE:
        return None
    path = ROOT.joinpath(*name.split("."))
    choices = (path / "__init__.py", path.with_suffix(".py"))
    return next((item for item in choices if item.is_file()), None)


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: none inside functions or for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        checked_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not checked_only and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
            yield from _at_import(node)


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names of all modules that ``nodes`` import; ``from package import module`` gives both."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (item for alias in node.names if _source(item := f"{node.module}.{alias.name}"))


def write_archive(path: Path, bitstream: Path | None) -> None:
    """Write the archive; the same inputs give the same bytes. ``bitstream``: folder of a finished build."""
    files = {f"lib/{item.relative_to(ROOT)}": item.read_bytes() for item in modules().values()}
    files[f"lib/cpt/{BUNDLED.name}"] = _npz(digits())
    files |= {name: (ROOT / PACKAGE / "hw" / "board" / name).read_bytes() for name in BESIDE_LIB}
    if bitstream is not None:
        for name in (*DELIVERED, MANIFEST):
            files[f"bitstream/{name}"] = (bitstream / name).read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"cpt-board/{name}")
            entry.size, entry.mode = len(files[name]), 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    write_atomically(path, gzip.compress(packed.getvalue(), mtime=0))


def _npz(images: Images) -> bytes:
    """The file `cpt.host.data.load_images` reads, without the time that `numpy.savez` puts into it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, array in (("pixels", images.pixels), ("labels", images.labels)):
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()
