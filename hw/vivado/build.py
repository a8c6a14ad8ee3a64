"""Prepares and runs a build: the exported design and the settings, then Vivado, then the manifest."""

import hashlib
import json
import shutil
import subprocess
import zlib
from pathlib import Path

from cpt.hw.contract import CONTRACT_HASH, ContractError
from cpt.hw.contract.board import Board
from cpt.hw.export import accelerator_verilog
from cpt.hw.vivado.settings import Build, settings_tcl

SCRIPTS = Path(__file__).parent
DELIVERED = ("cpt.bit", "cpt.hwh", "utilization.rpt", "timing.rpt")
"""Files of a complete build, beside its manifest."""


class BuildError(Exception):
    """Vivado failed or left something out; one line."""


def prepare(target: Board, clock_mhz: float, output: Path, jobs: int = 4) -> Build:
    """Write the design and ``settings.tcl`` into ``output``.

    BUILD_ID is a checksum of the design's sources, the board, its array and the clock.
    Raises `ContractError` for a clock out of reach.
    """
    target.clock_divisors(clock_mhz)
    config, output = target.config, output.resolve()  # Vivado runs in another folder
    output.mkdir(parents=True, exist_ok=True)
    identity = _identity(target, clock_mhz)
    verilog = output / "cpt_accelerator.v"
    verilog.write_text(accelerator_verilog(config, build_id=identity, form="xc7"))
    build = Build(target, clock_mhz, verilog, output, jobs=jobs, build_id=identity)
    (output / "settings.tcl").write_text(settings_tcl(build))
    return build


def _identity(target: Board, clock_mhz: float) -> int:
    hardware = SCRIPTS.parent
    sources = [
        path for path in sorted(hardware.rglob("*.py")) if path.parent not in (SCRIPTS, hardware / "board")
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    return zlib.crc32(f"{target.name} {target.preset} {clock_mhz:g} {text}".encode())


def require_vivado() -> str:
    """Path of Vivado; `ContractError` saying what is needed if there is none."""
    found = shutil.which("vivado")
    if found is None:
        raise ContractError(
            "vivado is not on PATH; allowed: Vivado 2020.1 or later, with a licence for the XC7Z045 on zc706 "
            "(the free edition covers pynq-z2); `make bitstream-check` needs neither"
        )
    return found


def run_vivado(build: Build) -> None:
    """Build the bitstream; `BuildError` names the log if Vivado ends with an error."""
    command = [require_vivado(), "-mode", "batch", "-nojournal", "-log", str(build.log), "-source"]
    command += [str(SCRIPTS / "build.tcl"), "-tclargs", str(build.output / "settings.tcl")]
    (build.output / "cpt.bit").unlink(missing_ok=True)
    status = subprocess.run(command, cwd=build.output, check=False).returncode
    if status:
        raise BuildError(f"vivado ended with status {status}; the reason stands at the end of {build.log}")


def write_manifest(build: Build) -> Path:
    """Write ``manifest.json`` beside the results; `BuildError` if one of them is missing."""
    missing = [name for name in DELIVERED if not (build.output / name).is_file()]
    if missing:
        raise BuildError(f"the build left out {', '.join(missing)}; see {build.log}")
    timing = dict(line.split(maxsplit=1) for line in (build.output / "timing.txt").read_text().splitlines())
    manifest = {
        "board": build.board.name,
        "part": build.board.part,
        "clock_mhz": build.clock_mhz,
        "config": build.config.as_dict(),
        "contract_hash": f"{CONTRACT_HASH:016x}",
        "build_id": build.build_id,
        **timing,
        "sha256": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (*(build.output / name for name in DELIVERED), build.verilog)
        },
    }
    path = build.output / "manifest.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    return path


def check_manifest(path: Path) -> None:
    """Raise `ContractError` if the build at ``path`` comes from another contract than this software."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["contract_hash"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ContractError(
            f"{path} is no manifest of a bitstream ({error}); allowed: what cpt bitstream wrote"
        ) from None
    if found != f"{CONTRACT_HASH:016x}":
        raise ContractError(
            f"{path} has contract {found}, this software {CONTRACT_HASH:016x}; run make bitstream again"
        )
