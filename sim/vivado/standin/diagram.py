"""The block design: cells, connections, address segments, and the checks of validate_bd_design."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpt.hw.contract.handoff import BUILT_CLOCK
from cpt.hw.vivado.tcl import split_list
from cpt.sim.vivado.standin.catalog import (
    CATALOGUE,
    PS,
    SWITCH,
    Bus,
    Ip,
    Pin,
    fabric_clock_mhz,
    memory_bytes,
    packaged,
)
from cpt.sim.vivado.standin.command import Arguments, command
from cpt.sim.vivado.standin.handoff import write_handoff
from cpt.sim.vivado.standin.objects import CommandError, Thing

if TYPE_CHECKING:
    from cpt.sim.vivado.standin.session import Session

GP0_APERTURE = (0x4000_0000, 0x8000_0000)
"""Bus addresses that M_AXI_GP0 serves (UG585, system address map)."""
NEGATIVE_LANES = {"clg400": (2, 3)}
"""Byte lanes of DDR that Vivado warns of in designs for PYNQ boards, by package."""
_ACTUAL_CLOCK = f"CONFIG.{BUILT_CLOCK}"


@dataclass(frozen=True)
class Segment:
    """An assigned address range."""

    space: str
    target: str
    base: int
    size: int


class Diagram:
    """The open block design."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.name = ""
        self.cells: dict[str, tuple[str, Ip]] = {}
        self.driver: dict[str, str] = {}
        """Driving pin of each input pin, by ``cell/pin``."""
        self.bus_peer: dict[str, str] = {}
        self.segments: list[Segment] = []
        self.external = False
        self.valid = False

    def configured(self, cell: Thing) -> None:
        """Recompute what the processor derives from its settings."""
        if cell.properties["VLNV"] == PS:
            cell.properties[_ACTUAL_CLOCK] = f"{fabric_clock_mhz(cell.properties):.6f}"

    @command("create_bd_design", least=1)
    def create_bd_design(self, given: Arguments) -> str:
        """An empty design; its file joins the project."""
        folder = self.session.project.require_open()
        self.name = given.words[0]
        path = folder / f"cpt.srcs/sources_1/bd/{self.name}/{self.name}.bd"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        self.session.project.files[path.name] = path
        file = Thing("file", path.name, {"synth_checkpoint_mode": "Hierarchical"})
        file.allowed["synth_checkpoint_mode"] = ("None", "Singular", "Hierarchical")
        self.session.add(file)
        return ""

    @command("create_bd_cell", "-type= -vlnv=", least=1)
    def create_bd_cell(self, given: Arguments) -> str:
        """A cell of the catalogue, or the packaged core."""
        vlnv, name = given.need("-vlnv"), given.words[0]
        component = self.session.packager.component
        if given.need("-type") != "ip" or name in self.cells:
            raise CommandError(f"cell {name} exists or is no ip")
        if vlnv in CATALOGUE:
            ip = CATALOGUE[vlnv]
        elif component is not None and vlnv == component.vlnv and self.session.packager.saved:
            ip = packaged(component.interfaces)
        else:
            raise CommandError(f"no IP {vlnv} in the catalogue")
        self.cells[name] = (vlnv, ip)
        cell = Thing("cell", name, {"VLNV": vlnv})
        for key, (default, allowed) in ip.properties.items():
            cell.properties[f"CONFIG.{key}"] = default
            cell.allowed[f"CONFIG.{key}"] = allowed
        self.configured(cell)
        return self.session.add(cell)

    @command("apply_bd_automation", "-rule= -config=", least=1)
    def apply_bd_automation(self, given: Arguments) -> str:
        """Only the processor's rule, which brings DDR and FIXED_IO to the outside."""
        if given.need("-rule") != "xilinx.com:bd_rule:processing_system7":
            raise CommandError(f"unknown rule {given.flags['-rule']}")
        config = split_list(given.need("-config"))
        known = ("make_external", "apply_board_preset", "Master", "Slave")
        unknown = set(config[::2]) - set(known)
        if unknown or self.session.thing(given.words[0], "cell").properties["VLNV"] != PS:
            raise CommandError(f"unknown options {sorted(unknown)}, or the cell is no processor")
        self.external = "DDR" in config[config.index("make_external") + 1]
        return ""

    @command("get_bd_pins", least=1)
    def get_bd_pins(self, given: Arguments) -> str:
        """Handle of ``cell/pin``."""
        self._pin(given.words[0])
        return self.session.add(Thing("pin", given.words[0]))

    @command("get_bd_intf_pins", least=1)
    def get_bd_intf_pins(self, given: Arguments) -> str:
        """Handle of ``cell/bus``."""
        self._bus(given.words[0])
        return self.session.add(Thing("bus", given.words[0]))

    @command("connect_bd_net", least=2)
    def connect_bd_net(self, given: Arguments) -> str:
        """One output with one input of the same kind and polarity."""
        names = [self.session.thing(word, "pin").name for word in given.words]
        pins = [self._pin(name) for name in names]
        if sorted(pin.direction for pin in pins) != ["input", "output"]:
            raise CommandError(f"{' and '.join(names)} are not one output and one input")
        source, sink = (0, 1) if pins[0].direction == "output" else (1, 0)
        kinds = {(pin.kind, pin.active) for pin in pins}
        if len(kinds) > 1:
            described = " and ".join(
                f"{name} ({pin.kind} {pin.active})" for name, pin in zip(names, pins, strict=True)
            )
            raise CommandError(f"{described} do not fit")
        if names[sink] in self.driver:
            raise CommandError(f"{names[sink]} is driven already")
        self.driver[names[sink]] = names[source]
        return ""

    @command("connect_bd_intf_net", least=2)
    def connect_bd_intf_net(self, given: Arguments) -> str:
        """A master with a slave, each once."""
        names = [self.session.thing(word, "bus").name for word in given.words]
        roles = [self._bus(name).role for name in names]
        if sorted(roles) != ["master", "slave"]:
            raise CommandError(f"{' and '.join(names)} are {' and '.join(roles)}")
        for name, peer in (names, names[::-1]):
            if name in self.bus_peer:
                raise CommandError(f"{name} is connected already")
            self.bus_peer[name] = peer
        return ""

    @command("get_bd_addr_spaces", least=1)
    def get_bd_addr_spaces(self, given: Arguments) -> str:
        """Address space of a master: the processor's is called Data."""
        cell, name = given.words[0].split("/", 1)
        vlnv, ip = self._cell(cell)
        if not ((vlnv == PS and name == "Data") or (name in ip.buses and ip.buses[name].role == "master")):
            raise CommandError(f"no address space {given.words[0]}")
        return self.session.add(Thing("space", given.words[0]))

    @command("get_bd_addr_segs", least=1)
    def get_bd_addr_segs(self, given: Arguments) -> str:
        """Segment of a slave: ``cell/bus/segment``."""
        cell, bus, segment = given.words[0].split("/")
        vlnv, _ = self._cell(cell)
        role = self._bus(f"{cell}/{bus}").role
        block = self.session.scenario.inferred_block or "reg0"
        expected = f"{bus.removeprefix('S_AXI_')}_DDR_LOWOCM" if vlnv == PS else block
        if role != "slave" or segment not in ("*", expected):
            raise CommandError(f"no segment {given.words[0]}; {cell}/{bus} has {expected}")
        return self.session.add(Thing("segment", f"{cell}/{bus}/{expected}"))

    @command("assign_bd_address", "-offset= -range= -target_address_space=", least=1)
    def assign_bd_address(self, given: Arguments) -> str:
        """Place a segment where nothing else of its space lies and its slave reaches."""
        space = self.session.thing(given.need("-target_address_space"), "space").name
        target = self.session.thing(given.words[0], "segment").name
        new = Segment(space, target, int(given.need("-offset"), 0), int(given.need("-range"), 0))
        if new.size & new.size - 1 or new.size < 4096 or new.base % new.size:
            raise CommandError(f"{target}: {new.size:#x} bytes at {new.base:#x} are no aligned power of two")
        for other in [*self.segments, *self._own_memory(space)]:
            if (
                other.space == space
                and new.base < other.base + other.size
                and other.base < new.base + new.size
            ):
                raise CommandError(
                    f"{target} at {new.base:#x}..{new.base + new.size - 1:#x} overlaps {other.target} at "
                    f"{other.base:#x}..{other.base + other.size - 1:#x}"
                )
        self._reach(new)
        self.segments.append(new)
        return ""

    @command("validate_bd_design")
    def validate_bd_design(self, given: Arguments) -> str:
        """Every pin and bus connected, clocks and addresses complete."""
        problems = [*self._open_pins(), *self._open_buses()]
        if not self.external:
            problems.append("DDR and FIXED_IO are not brought to the outside")
        if problems:
            raise CommandError("; ".join(problems))
        for number, lane in enumerate(NEGATIVE_LANES.get(self.session.build.board.package, ()), 1):
            self.session.say(
                f"CRITICAL WARNING: [PSU-{number}]  Parameter : PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_{lane} "
                "has negative value -0.009 . PS DDR interfaces might fail when entering negative DQS skew "
                "values. "
            )
        self.valid = True
        return ""

    @command("save_bd_design")
    def save_bd_design(self, given: Arguments) -> str:
        """Only a validated design is worth keeping."""
        if not self.valid:
            raise CommandError("the design was not validated")
        return ""

    @command("generate_target", least=2)
    def generate_target(self, given: Arguments) -> str:
        """Write the handoff, with what this design holds."""
        self.session.thing(given.words[1], "file")
        if given.words[0] != "all" or not self.valid:
            raise CommandError("targets other than all, or a design that was not validated")
        below = self.session.scenario.handoff_below
        folder = self.session.project.require_open() / f"cpt.{below}/sources_1/bd/{self.name}/hw_handoff"
        folder.mkdir(parents=True, exist_ok=True)
        write_handoff(self, folder / f"{self.name}.hwh")
        return ""

    @command("make_wrapper", "-files= -top")
    def make_wrapper(self, given: Arguments) -> str:
        """Path of a Verilog wrapper around the design."""
        self.session.thing(given.need("-files"), "file")
        path = self.session.project.require_open() / f"{self.name}_wrapper.v"
        path.write_text(f"module {self.name}_wrapper();\nendmodule\n")
        return str(path)

    def properties(self, cell: str) -> dict[str, str]:
        """Properties of one cell."""
        return self.session.thing(f"cell:{cell}").properties

    def _cell(self, name: str) -> tuple[str, Ip]:
        if name not in self.cells:
            raise CommandError(f"no cell {name}")
        return self.cells[name]

    def _exists(self, cell: str, item: Pin | Bus) -> bool:
        return not item.needs or self.properties(cell)[f"CONFIG.{item.needs}"] == SWITCH[1]

    def _pin(self, name: str) -> Pin:
        cell, pin = name.split("/", 1)
        found = self._cell(cell)[1].pins.get(pin)
        if found is None or not self._exists(cell, found):
            raise CommandError(f"cell {cell} has no pin {pin}")
        return found

    def _bus(self, name: str) -> Bus:
        cell, bus = name.split("/", 1)
        found = self._cell(cell)[1].buses.get(bus)
        if found is None or not self._exists(cell, found):
            raise CommandError(f"cell {cell} has no interface {bus}")
        return found

    def _own_memory(self, space: str) -> list[Segment]:
        """DDR, which the processor sees from address 0 on."""
        cell = space.split("/")[0]
        if self.cells[cell][0] != PS:
            return []
        return [Segment(space, "the processor's DDR", 0, memory_bytes(self.properties(cell)))]

    def _reach(self, segment: Segment) -> None:
        end = segment.base + segment.size
        if segment.space.endswith("/Data"):
            if segment.base < GP0_APERTURE[0] or end > GP0_APERTURE[1]:
                raise CommandError(f"{segment.target} at {segment.base:#x} is not behind M_AXI_GP0")
        else:
            memory = memory_bytes(self.properties(segment.target.split("/")[0]))
            if end > memory:
                raise CommandError(f"{segment.target} ends at {end:#x}; the board has {memory:#x} bytes")

    def _open_pins(self) -> list[str]:
        return [
            f"{cell}/{name} is not connected"
            for cell, (_, ip) in self.cells.items()
            for name, pin in ip.pins.items()
            if pin.direction == "input" and not pin.optional and self._exists(cell, pin)
            if f"{cell}/{name}" not in self.driver
        ]

    def _open_buses(self) -> list[str]:
        found = []
        for cell, (_, ip) in self.cells.items():
            for name, bus in ip.buses.items():
                if not self._exists(cell, bus):
                    continue
                peer = self.bus_peer.get(f"{cell}/{name}")
                if peer is None:
                    found.append(f"{cell}/{name} is not connected")
                    continue
                other = self._bus(peer).clock
                if self.driver.get(f"{cell}/{bus.clock}") != self.driver.get(f"{peer.split('/')[0]}/{other}"):
                    found.append(f"{cell}/{name} and {peer} have different clocks")
        spaces = {segment.space for segment in self.segments}
        return found + [f"{name} has no address" for name in self._masters() if name not in spaces]

    def _masters(self) -> list[str]:
        """Address spaces that need a segment."""
        found = []
        for cell, (vlnv, ip) in self.cells.items():
            if vlnv == PS:
                found.append(f"{cell}/Data")
            elif vlnv not in CATALOGUE:
                found += [f"{cell}/{name}" for name, bus in ip.buses.items() if bus.role == "master"]
        return found
