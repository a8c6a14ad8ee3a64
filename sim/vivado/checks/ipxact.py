"""The packaged IP's description, read back: identity, buses, ports and registers are the contract's."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from cpt.hw.contract.handoff import ACCESS, REGISTER_BYTES, VLNVS
from cpt.hw.contract.ports import INTERFACES, PORTS
from cpt.hw.contract.regs import REGISTERS, SLOT_BASE
from cpt.sim.vivado.standin.ipxact import NAMESPACE

_DIRECTIONS = {"input": "in", "output": "out"}
_SPACES = {"s": NAMESPACE}


def component_problems(path: Path) -> list[str]:
    """What in the component description at ``path`` differs from the contract."""
    if not path.is_file():
        return [f"{path.name} was not written"]
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        return [f"{path.name} is not well-formed: {error}"]
    found = []
    vlnv = ":".join(
        root.findtext(f"s:{key}", "", _SPACES) for key in ("vendor", "library", "name", "version")
    )
    if vlnv != VLNVS[0]:
        found.append(f"VLNV is {vlnv}; allowed: {VLNVS[0]}")
    found += _differences("bus", _buses(root), _wanted_buses())
    wires = {
        item.findtext("s:name", "", _SPACES): item.findtext("s:wire/s:direction", "", _SPACES)
        for item in root.iterfind(".//s:model/s:ports/s:port", _SPACES)
    }
    found += _differences("port", wires, {p.name: _DIRECTIONS[p.direction] for p in PORTS.values()})
    registers = {
        item.findtext("s:name", "", _SPACES): (
            int(item.findtext("s:addressOffset", "-1", _SPACES), 0),
            item.findtext("s:access", "", _SPACES),
        )
        for item in root.iterfind(".//s:register", _SPACES)
    }
    wanted = {item.name: (item.offset, ACCESS[item.access]) for item in REGISTERS if item.offset < SLOT_BASE}
    found += _differences("register", registers, wanted)
    size = root.findtext(".//s:addressBlock/s:range", "0", _SPACES)
    if int(size, 0) != REGISTER_BYTES:
        found.append(f"address block has {size} bytes; allowed: {REGISTER_BYTES}")
    return found


def _buses(root: ElementTree.Element) -> dict[str, object]:
    """Role and the port of each signal of every bus."""
    found: dict[str, object] = {}
    for bus in root.iterfind(".//s:busInterface", _SPACES):
        role = "master" if bus.find("s:master", _SPACES) is not None else "slave"
        signals = {
            entry.findtext("s:logicalPort/s:name", "", _SPACES): entry.findtext(
                "s:physicalPort/s:name", "", _SPACES
            )
            for entry in bus.iterfind("s:portMaps/s:portMap", _SPACES)
        }
        found[bus.findtext("s:name", "", _SPACES)] = (role, signals)
    return found


def _wanted_buses() -> dict[str, object]:
    return {
        name: (
            item.role,
            {port.signal: port.name for port in PORTS.values() if port.interface == name},
        )
        for name, item in INTERFACES.items()
    }


def _differences(what: str, found: dict, wanted: dict) -> list[str]:
    lines = [f"{what} {name} is missing" for name in wanted if name not in found]
    lines += [f"{what} {name} is not in the contract" for name in found if name not in wanted]
    lines += [
        f"{what} {name} is {found[name]}; allowed: {wanted[name]}"
        for name in wanted
        if name in found and found[name] != wanted[name]
    ]
    return lines
