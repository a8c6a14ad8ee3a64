"""Packaging of IP (ipx): buses are inferred from the port attributes of the Verilog."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cpt.sim.vivado.standin.command import Arguments, command
from cpt.sim.vivado.standin.ipxact import Component, write_component
from cpt.sim.vivado.standin.objects import CommandError, Thing, settable
from cpt.sim.vivado.standin.verilog import declared_ports

if TYPE_CHECKING:
    from cpt.sim.vivado.standin.session import Session

_ACCESS = ("read-only", "read-write", "write-only")
_FROM_MASTER = {"ARVALID", "INTERRUPT", "CLK", "RST"}
"""Signals whose direction tells a bus's master from its slave."""


class Packager:
    """The core being packaged."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.component: Component | None = None
        self.saved: Path | None = None

    def saved_in(self, folder: Path) -> bool:
        """Whether the packaged core lies in ``folder``."""
        return self.saved is not None and self.saved.parent == folder

    def _open(self) -> Component:
        if self.component is None:
            raise CommandError("no core is open")
        return self.component

    @command("ipx::package_project", "-root_dir= -vendor= -library= -taxonomy= -import_files -force")
    def package_project(self, given: Arguments) -> str:
        """Make a core of the project's top module."""
        project = self.session.project
        project.require_open()
        sources = [path for path in project.files.values() if path.suffix == ".v"]
        if not project.top or len(sources) != 1:
            raise CommandError("the project needs a top module in one source file")
        identity = settable(
            "core",
            "current",
            vendor=given.need("-vendor"),
            library=given.need("-library"),
            name=project.top,
            version="1.0",
            display_name="",
            description="",
        )
        ports = declared_ports(sources[0], project.top)
        self.component = Component(identity, Path(given.need("-root_dir")), sources[0], ports)
        self.session.add(identity)
        for name, interface in _inferred(ports).items():
            self.component.interfaces[name] = interface
            self.session.add(interface)
            interface.properties["master_address_space_ref"] = ""
            interface.allowed["master_address_space_ref"] = None
            if self.session.scenario.infers_spaces and interface in self.component.masters():
                interface.properties["master_address_space_ref"] = name
        return ""

    @command("ipx::current_core")
    def current_core(self, given: Arguments) -> str:
        """Handle of the core."""
        return self._open().identity.handle

    @command("ipx::get_bus_interfaces", "-of_objects= -quiet", least=1)
    def get_bus_interfaces(self, given: Arguments) -> str:
        """One interface, or nothing."""
        self.session.thing(given.need("-of_objects"), "core")
        found = self._open().interfaces.get(given.words[0])
        if found is None and "-quiet" not in given:
            raise CommandError(f"no interface {given.words[0]}")
        return found.handle if found else ""

    @command("ipx::associate_bus_interfaces", "-busif= -clock= -reset=", least=1)
    def associate_bus_interfaces(self, given: Arguments) -> str:
        """A bus with its clock, or a clock with its reset."""
        for flag in given.flags:
            if given.flags[flag] not in self._open().interfaces:
                raise CommandError(f"{flag} {given.flags[flag]} is no interface of the core")
        self._open().associations.append(dict(given.flags))
        return ""

    @command("ipx::get_memory_maps", "-of_objects= -quiet", least=1)
    def get_memory_maps(self, given: Arguments) -> str:
        """Register buses have a map of their own name."""
        found = self._open().interfaces.get(given.words[0])
        memory = found is not None and found.properties["bus_type_vlnv"].endswith(":aximm:1.0")
        if not memory or found is None or found.properties["interface_mode"] != "slave":
            return ""
        return self.session.add(Thing("map", given.words[0]))

    @command("ipx::get_address_blocks", "-of_objects= -quiet")
    def get_address_blocks(self, given: Arguments) -> str:
        """What was inferred: one block or none; by its name, or without a name whatever it is called."""
        self.session.thing(given.need("-of_objects"), "map")
        name = self.session.scenario.inferred_block
        return self._block(name) if name and given.words in ([], [name]) else ""

    def _block(self, name: str) -> str:
        block = settable("block", name, range="", usage="")
        self._open().block = block
        return self.session.add(block)

    @command("ipx::add_memory_map", least=2)
    def add_memory_map(self, given: Arguments) -> str:
        """Only where none was inferred."""
        raise CommandError(f"memory map {given.words[0]} exists already, or its bus does not")

    @command("ipx::add_address_block", least=2)
    def add_address_block(self, given: Arguments) -> str:
        """Only where none was inferred."""
        self.session.thing(given.words[1], "map")
        if self.session.scenario.inferred_block:
            raise CommandError("the bus has an inferred address block already")
        return self._block(given.words[0])

    @command("ipx::get_address_spaces", "-of_objects= -quiet", least=1)
    def get_address_spaces(self, given: Arguments) -> str:
        """Address space of a master, where one was inferred or added."""
        self.session.thing(given.need("-of_objects"), "core")
        found = self._open().interfaces.get(given.words[0])
        if found is None or not found.properties["master_address_space_ref"]:
            return ""
        return self._space(given.words[0])

    @command("ipx::add_address_space", least=2)
    def add_address_space(self, given: Arguments) -> str:
        """Only where none was inferred."""
        self.session.thing(given.words[1], "core")
        if given.words[0] in self._open().spaces:
            raise CommandError(f"address space {given.words[0]} exists already")
        return self._space(given.words[0])

    def _space(self, name: str) -> str:
        space = self._open().spaces.setdefault(name, settable("space", name, range="", width=""))
        return self.session.add(space)

    @command("ipx::add_register", least=2)
    def add_register(self, given: Arguments) -> str:
        """A register with a name not used before."""
        self.session.thing(given.words[1], "block")
        register = _described("register", given.words[0], address_offset=r"0x[0-9A-Fa-f]+", size=r"\d+")
        if register.name in self._open().registers:
            raise CommandError(f"register {register.name} exists already")
        self._open().registers[register.name] = (register, [])
        return self.session.add(register)

    @command("ipx::add_field", least=2)
    def add_field(self, given: Arguments) -> str:
        """A bit field of a register."""
        register = self.session.thing(given.words[1], "register")
        field = _described("field", f"{register.name}.{given.words[0]}", bit_offset=r"\d+", bit_width=r"\d+")
        self._open().registers[register.name][1].append(field)
        return self.session.add(field)

    @command("ipx::create_xgui_files", least=1)
    def create_xgui_files(self, given: Arguments) -> str:
        """Nothing to see from outside."""
        self.session.thing(given.words[0], "core")
        return ""

    @command("ipx::update_checksums", least=1)
    def update_checksums(self, given: Arguments) -> str:
        """Nothing to see from outside."""
        return ""

    @command("ipx::check_integrity", least=1)
    def check_integrity(self, given: Arguments) -> str:
        """1 if every bus has a clock, the clock a reset, and registers lie apart inside their block."""
        problems = self._open().problems()
        if problems:
            self.session.say("\n".join(f"CRITICAL WARNING: [IP_Flow 19-4751] {line}" for line in problems))
        return "0" if problems else "1"

    @command("ipx::save_core", least=1)
    def save_core(self, given: Arguments) -> str:
        """Write component.xml."""
        component = self._open()
        component.root.mkdir(parents=True, exist_ok=True)
        self.saved = component.root / "component.xml"
        write_component(component, self.saved)
        return ""


def _described(kind: str, name: str, **patterns: str) -> Thing:
    """A register or field; numbers are checked when the core is."""
    thing = settable(kind, name, description="", **dict.fromkeys(patterns, ""))
    thing.properties["access"] = ""
    thing.allowed["access"] = _ACCESS
    return thing


def _inferred(ports: dict) -> dict[str, Thing]:
    """Interfaces from X_INTERFACE_INFO: ``vendor:library:bus:version name SIGNAL``."""
    found: dict[str, Thing] = {}
    for port in ports.values():
        info = port.attributes.get("X_INTERFACE_INFO")
        if info is None:
            continue
        match = re.fullmatch(r"(\S+:\S+:\S+:\S+) (\w+) (\w+)", info)
        if not match:
            raise CommandError(f"X_INTERFACE_INFO of {port.name} is {info!r}")
        bus, name, signal = match.groups()
        if name not in found:
            found[name] = Thing(
                "interface", name, {"interface_mode": "", "bus_type_vlnv": bus, "parameters": ""}
            )
        if signal in _FROM_MASTER:
            role = "master" if port.direction == "output" else "slave"
            found[name].properties["interface_mode"] = role
        parameter = port.attributes.get("X_INTERFACE_PARAMETER", "")
        if parameter:
            found[name].properties["parameters"] = parameter
        found[name].properties[f"signal {signal}"] = port.name
    return found
