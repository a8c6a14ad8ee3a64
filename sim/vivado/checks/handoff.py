"""A handoff as pynq reads it: identity, address, clock, interrupt and memory are those of the contract."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpt.hw.contract.board import CLOCK_TOLERANCE, Board
from cpt.hw.contract.handoff import (
    BUILT_CLOCK,
    CRYSTAL,
    IP_NAME,
    PS_NAME,
    REGISTER_BASE,
    REGISTER_BYTES,
    VLNVS,
)
from cpt.hw.contract.ports import INTERRUPT
from cpt.hw.contract.regs import REGISTERS, SLOT_BASE

Row = tuple[str, object, object]
"""What is looked at, its value, the value allowed."""
_MASTERS = {"m0_axi": "S_AXI_HP0", "m1_axi": "S_AXI_HP2"}


def handoff_problems(path: Path, target: Board, clock_mhz: float) -> list[str]:
    """What in the handoff at ``path`` differs from the contract on board ``target`` at ``clock_mhz``."""
    from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser  # seconds to import
    from pynqmetadata.frontends import Metadata

    metadata = Metadata(input=path)
    parsed = RuntimeMetadataParser(metadata)
    entry = parsed.ip_dict.get(IP_NAME)
    if entry is None:
        return [f"no cell {IP_NAME}; found: {', '.join(parsed.ip_dict)}"]
    found = []
    for what, value, allowed in (
        *_identity(entry),
        *_registers(entry["registers"]),
        *_clock(parsed, target, clock_mhz),
        *_connections(metadata, target),
    ):
        if value != allowed:
            found.append(f"{what} is {value}; allowed: {allowed}")
    return found


def _identity(entry: dict[str, Any]) -> Iterator[Row]:
    if entry["type"] not in VLNVS:
        yield f"VLNV of {IP_NAME}", entry["type"], VLNVS[0]
    yield "register base", f"{entry['phys_addr']:#x}", f"{REGISTER_BASE:#x}"
    yield "bytes of registers", entry["addr_range"], REGISTER_BYTES


def _registers(described: dict[str, Any]) -> Iterator[Row]:
    """All but the slots must be there; what is there must be the contract's."""
    for item in REGISTERS:
        if item.name in described:
            offset = described[item.name]["address_offset"]
            yield f"offset of register {item.name}", f"{offset:#x}", f"{item.offset:#x}"
        elif item.offset < SLOT_BASE:
            yield f"register {item.name}", "missing", "named"
    known = {item.name for item in REGISTERS}
    for name in described:
        if name not in known:
            yield f"register {name}", "named", "no register of the contract"


def _clock(parsed: Any, target: Board, clock_mhz: float) -> Iterator[Row]:
    """What pynq sets the dividers to, and what the driver then corrects them by."""
    clock, parameters = parsed.clock_dict[0], parsed.ip_dict[PS_NAME]["parameters"]
    for name, wanted in ((CRYSTAL, target.crystal_mhz), (BUILT_CLOCK, clock_mhz)):
        found = float(parameters.get(name, 0))
        if abs(found - wanted) > CLOCK_TOLERANCE * wanted:
            yield name, f"{found:g}", f"{wanted:g}"
    yield "enable of FCLK0", clock["enable"], 1
    reached = target.pll_mhz / (clock["divisor0"] * clock["divisor1"])
    if abs(reached - clock_mhz) > CLOCK_TOLERANCE * clock_mhz:
        yield "FCLK0", f"{reached:g} MHz", f"{clock_mhz:g} MHz"


def _connections(metadata: Any, target: Board) -> Iterator[Row]:
    """Interrupt and memory, from the metadata itself: pynq's own tables list neither of them here."""
    accelerator, processor = metadata.blocks[IP_NAME], metadata.blocks[PS_NAME]
    ends = [
        f"{signal.parent().parent().name}/{signal.parent().name}"
        for signal in accelerator.ports[INTERRUPT].sig()._connections.values()
    ]
    yield f"end of {INTERRUPT}", ", ".join(ends) or "nothing", f"{PS_NAME}/IRQ_F2P"
    for master, port in _MASTERS.items():
        ranges = [
            (item["baseaddr"], item["addr_range"], item["subord_port"].split(":")[-1].split("[")[0])
            for item in accelerator.ports[master].addrmap.values()
        ]
        yield f"memory behind {master}", ranges, [(0, target.ddr_bytes, port)]
    gates = processor.ports["M_AXI_GP0"].addrmap
    yield "ranges behind M_AXI_GP0", len(gates), 1
