"""A packaged core: what the ipx commands said of it, checked, and written as IP-XACT (IEEE 1685-2009)."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from cpt.sim.vivado.standin.objects import Thing
from cpt.sim.vivado.standin.verilog import DeclaredPort

NAMESPACE = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_VLNV = ("vendor", "library", "name", "version")


@dataclass
class Component:
    """One core in the making. ``registers`` maps a name to the register and its fields."""

    identity: Thing
    root: Path
    source: Path
    ports: dict[str, DeclaredPort] = field(default_factory=dict)
    interfaces: dict[str, Thing] = field(default_factory=dict)
    associations: list[dict[str, str]] = field(default_factory=list)
    registers: dict[str, tuple[Thing, list[Thing]]] = field(default_factory=dict)
    block: Thing | None = None
    spaces: dict[str, Thing] = field(default_factory=dict)

    @property
    def vlnv(self) -> str:
        """Vendor, library, name and version with colons."""
        return ":".join(self.identity.properties[key] for key in _VLNV)

    def buses(self) -> list[Thing]:
        """Memory-mapped interfaces."""
        return [item for item in self.interfaces.values() if ":aximm:" in item.properties["bus_type_vlnv"]]

    def masters(self) -> list[Thing]:
        """Memory-mapped interfaces that begin transfers."""
        return [item for item in self.buses() if item.properties["interface_mode"] == "master"]

    def problems(self) -> list[str]:
        """What is wrong with the core, one line each."""
        clocked = {item.get("-busif") for item in self.associations}
        found = [f"bus {item.name} has no clock" for item in self.buses() if item.name not in clocked]
        if not any("-reset" in item for item in self.associations):
            found.append("the clock has no reset")
        for master in self.masters():
            space = self.spaces.get(master.properties["master_address_space_ref"])
            if space is None or not space.properties["range"]:
                found.append(f"bus {master.name} has no address space with a range")
        if self.block is None or not self.block.properties["range"]:
            return [*found, "the register bus has no address block with a range"]
        size = int(self.block.properties["range"], 0)
        taken: dict[int, str] = {}
        for register, fields in self.registers.values():
            offset = int(register.properties["address_offset"], 0)
            if offset + 4 > size:
                found.append(f"register {register.name} at {offset:#x} lies outside {size} bytes")
            if offset in taken:
                found.append(f"registers {taken[offset]} and {register.name} overlap at {offset:#x}")
            taken[offset] = register.name
            found += _overlaps(register, fields)
        return found


def _overlaps(register: Thing, fields: list[Thing]) -> list[str]:
    used, found = 0, []
    for item in fields:
        mask = ((1 << int(item.properties["bit_width"])) - 1) << int(item.properties["bit_offset"])
        if used & mask or mask >> int(register.properties["size"]):
            found.append(f"field {item.name} overlaps another or leaves its register")
        used |= mask
    return found


def write_component(component: Component, path: Path) -> None:
    """Write ``component`` as component.xml."""
    ElementTree.register_namespace("spirit", NAMESPACE)
    root = ElementTree.Element(_tag("component"))
    for key in _VLNV:
        _text(root, key, component.identity.properties[key])
    buses = ElementTree.SubElement(root, _tag("busInterfaces"))
    for interface in component.interfaces.values():
        _bus(buses, interface)
    spaces = ElementTree.SubElement(root, _tag("addressSpaces"))
    for space in component.spaces.values():
        entry = ElementTree.SubElement(spaces, _tag("addressSpace"))
        for key in ("range", "width"):
            _text(entry, key, space.properties[key])
        _text(entry, "name", space.name)
    memory = ElementTree.SubElement(ElementTree.SubElement(root, _tag("memoryMaps")), _tag("memoryMap"))
    _text(
        memory, "name", next(i.name for i in component.buses() if i.properties["interface_mode"] == "slave")
    )
    block = ElementTree.SubElement(memory, _tag("addressBlock"))
    assert component.block is not None
    for key, value in (
        ("name", component.block.name),
        ("baseAddress", "0"),
        ("range", component.block.properties["range"]),
        ("width", "32"),
        ("usage", component.block.properties["usage"]),
    ):
        _text(block, key, value)
    for register, fields in component.registers.values():
        _register(block, register, fields)
    ports = ElementTree.SubElement(ElementTree.SubElement(root, _tag("model")), _tag("ports"))
    for port in component.ports.values():
        _port(ports, port)
    _text(root, "description", component.identity.properties["description"])
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="unicode", xml_declaration=True)


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _text(parent: ElementTree.Element, name: str, value: str) -> None:
    ElementTree.SubElement(parent, _tag(name)).text = value


def _signals(interface: Thing) -> dict[str, str]:
    """Port of each signal of an interface."""
    prefix = "signal "
    return {
        key.removeprefix(prefix): value
        for key, value in interface.properties.items()
        if key.startswith(prefix)
    }


def _bus(parent: ElementTree.Element, interface: Thing) -> None:
    bus = ElementTree.SubElement(parent, _tag("busInterface"))
    _text(bus, "name", interface.name)
    names = dict(zip(_VLNV, interface.properties["bus_type_vlnv"].split(":"), strict=True))
    ElementTree.SubElement(bus, _tag("busType"), {_tag(key): value for key, value in names.items()})
    names["name"] += "_rtl"
    ElementTree.SubElement(bus, _tag("abstractionType"), {_tag(key): value for key, value in names.items()})
    role = ElementTree.SubElement(bus, _tag(interface.properties["interface_mode"]))
    if role.tag == _tag("master") and names["name"] == "aximm_rtl":
        space = interface.properties["master_address_space_ref"]
        ElementTree.SubElement(role, _tag("addressSpaceRef"), {_tag("addressSpaceRef"): space})
    if role.tag == _tag("slave") and names["name"] == "aximm_rtl":
        ElementTree.SubElement(role, _tag("memoryMapRef"), {_tag("memoryMapRef"): interface.name})
    maps = ElementTree.SubElement(bus, _tag("portMaps"))
    for signal, port in _signals(interface).items():
        entry = ElementTree.SubElement(maps, _tag("portMap"))
        _text(ElementTree.SubElement(entry, _tag("logicalPort")), "name", signal)
        _text(ElementTree.SubElement(entry, _tag("physicalPort")), "name", port)


def _port(parent: ElementTree.Element, port: DeclaredPort) -> None:
    entry = ElementTree.SubElement(parent, _tag("port"))
    _text(entry, "name", port.name)
    wire = ElementTree.SubElement(entry, _tag("wire"))
    _text(wire, "direction", {"input": "in", "output": "out"}[port.direction])
    if port.width > 1:
        vector = ElementTree.SubElement(wire, _tag("vector"))
        _text(vector, "left", str(port.width - 1))
        _text(vector, "right", "0")


def _register(parent: ElementTree.Element, register: Thing, fields: list[Thing]) -> None:
    entry = ElementTree.SubElement(parent, _tag("register"))
    _text(entry, "name", register.name)
    _text(entry, "description", register.properties["description"])
    _text(entry, "addressOffset", register.properties["address_offset"])
    _text(entry, "size", register.properties["size"])
    _text(entry, "access", register.properties["access"])
    for item in fields:
        part = ElementTree.SubElement(entry, _tag("field"))
        _text(part, "name", item.name.split(".")[1])
        _text(part, "description", item.properties["description"])
        _text(part, "bitOffset", item.properties["bit_offset"])
        _text(part, "bitWidth", item.properties["bit_width"])
        _text(part, "access", item.properties["access"])
