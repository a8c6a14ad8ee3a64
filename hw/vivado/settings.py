"""What the Tcl scripts are told: the board, the contract's addresses and registers, where files lie."""

from dataclasses import dataclass
from pathlib import Path

from cpt.hw.contract import CONTRACT_HASH, ArrayConfig
from cpt.hw.contract.board import BOARDS, Board
from cpt.hw.contract.handoff import ACCESS, IP_NAME, PS_NAME, REGISTER_BASE, REGISTER_BYTES, VLNVS
from cpt.hw.contract.ports import CLOCK, INTERFACES, RESET, TOP
from cpt.hw.contract.regs import REGISTERS, SLOT_BASE
from cpt.hw.vivado.floorplan import path
from cpt.hw.vivado.tcl import word

DESIGN = "design_1"
"""Name of the block design; the handoff carries it."""
JOBS = 4
REGISTER_BUS = "s_axil"
WAIVERS = (
    (
        r"\[PSU-\d\] +Parameter : PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_\d has negative value",
        "follows from lengths in package and board; memory is set up by the boot loader, not by these values",
    ),
    (
        r"\[Common 17-741\] No write access right to the local Tcl store",
        "about the account that builds; nothing of the store is used",
    ),
)
"""Critical warnings that may stand: a pattern, and why."""


@dataclass(frozen=True)
class Build:
    """One bitstream to be built. ``verilog``: the exported design; ``output``: where everything goes."""

    board: Board
    clock_mhz: float
    verilog: Path
    output: Path
    jobs: int = JOBS
    build_id: int = 0
    """What register BUILD_ID reads."""

    def __post_init__(self) -> None:
        self.board.clock_divisors(self.clock_mhz)

    @property
    def config(self) -> ArrayConfig:
        """Shape of the array that is built."""
        return self.board.config

    @property
    def log(self) -> Path:
        """Vivado's log."""
        return self.output / "vivado.log"


def settings(build: Build) -> dict[str, object]:
    """Every variable of the Tcl scripts by name."""
    vendor, library, name, version = VLNVS[0].split(":")
    board = build.board
    return {
        "board": board.name,
        "part": board.part,
        "processor": [item for pair in board.processor for item in pair],
        "clock_mhz": build.clock_mhz,
        "jobs": build.jobs,
        "floorplan": _floorplan(build),
        "verilog": build.verilog.resolve().as_posix(),
        "output": build.output.resolve().as_posix(),
        "work": (build.output.resolve() / "work").as_posix(),
        "log": build.log.resolve().as_posix(),
        "top": TOP,
        "design": DESIGN,
        "ps": PS_NAME,
        "ip": IP_NAME,
        "clock": CLOCK,
        "reset": RESET,
        "identity": {
            "vendor": vendor,
            "library": library,
            "name": name,
            "version": version,
            "contract": f"{CONTRACT_HASH:016x}",
        },
        "interfaces": {
            item.name: {"role": item.role, "bus": item.bus, "memory": ":aximm:" in item.bus}
            for item in INTERFACES.values()
        },
        "register_bus": REGISTER_BUS,
        "register_bytes": REGISTER_BYTES,
        "registers": _registers(),
        "segments": _segments(board),
        "waivers": [item for pair in WAIVERS for item in pair],
    }


def settings_tcl(build: Build) -> str:
    """The settings as a Tcl script."""
    lines = [f"# Written by `cpt bitstream` for {build.board.name}; change hw/contract instead."]
    lines.append("namespace eval cpt {")
    lines += [f"    variable {name} {word(value)}" for name, value in settings(build).items()]
    return "\n".join([*lines, "}", ""])


def _floorplan(build: Build) -> str:
    """The constraint file that places the units; empty where the array is not the one it was made for."""
    return path(build.board).name if build.board == BOARDS.get(build.board.name) else ""


def _segments(board: Board) -> list[dict[str, str]]:
    """Address map: what each master sees, where."""
    registers = {
        "space": f"{PS_NAME}/Data",
        "target": f"{IP_NAME}/{REGISTER_BUS}/*",
        "base": f"0x{REGISTER_BASE:08X}",
        "bytes": f"0x{REGISTER_BYTES:X}",
    }
    memory = [
        {
            "space": f"{IP_NAME}/{master}",
            "target": f"{PS_NAME}/S_AXI_{port}/{port}_DDR_LOWOCM",
            "base": "0x00000000",
            "bytes": f"0x{board.ddr_bytes:X}",
        }
        for master, port in (("m0_axi", "HP0"), ("m1_axi", "HP2"))
    ]
    return [registers, *memory]


def _registers() -> list[dict[str, object]]:
    """Every register but the slots: pynq parses each one on the board, and nobody needs 256 alike by name."""
    return [
        {
            "name": item.name,
            "offset": f"0x{item.offset:X}",
            "access": ACCESS[item.access],
            "doc": item.doc,
            "fields": [
                {"name": part.name, "offset": part.offset, "width": part.width, "doc": part.doc}
                for part in item.fields
            ],
        }
        for item in REGISTERS
        if item.offset < SLOT_BASE
    ]
