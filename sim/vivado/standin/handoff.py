"""The handoff Vivado would write for the block design at hand: the contract's, with the design's values."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

from cpt.hw.contract.handoff import BUILT_CLOCK, IP_NAME, PS_NAME, hwh

if TYPE_CHECKING:
    from cpt.sim.vivado.standin.diagram import Diagram, Segment


def write_handoff(diagram: "Diagram", path: Path) -> None:
    """Write the handoff of ``diagram``: its identities, clock, addresses and interrupt."""
    build = diagram.session.build
    root = ElementTree.fromstring(hwh(build.config, board=build.board))
    modules = {item.get("INSTANCE"): item for item in root.iter("MODULE")}
    for name in (IP_NAME, PS_NAME):
        modules[name].set("VLNV", diagram.cells[name][0])
    _set_clock(modules[PS_NAME], build.board.pll_mhz, diagram.properties(PS_NAME))
    for segment in diagram.segments:
        _place(modules, segment)
    if diagram.driver.get(f"{PS_NAME}/IRQ_F2P") != f"{IP_NAME}/irq":
        for connections in root.findall(".//PORT[@SIGIS='INTERRUPT']/CONNECTIONS"):
            connections.clear()
    ElementTree.ElementTree(root).write(path, encoding="unicode", xml_declaration=True)


def _set_clock(processor: ElementTree.Element, pll_mhz: float, properties: dict[str, str]) -> None:
    """Dividers and clocks as the processor cell has them."""
    built = properties[f"CONFIG.{BUILT_CLOCK}"]
    values = {
        "PCW_FCLK0_PERIPHERAL_DIVISOR0": str(round(pll_mhz / float(built))),
        BUILT_CLOCK: built,
    }
    for parameter in processor.iter("PARAMETER"):
        parameter.set("VALUE", values.get(parameter.get("NAME", ""), parameter.get("VALUE", "")))


def _place(modules: "dict[str | None, ElementTree.Element]", segment: "Segment") -> None:
    """Copy an assigned segment into the memory map of its master."""
    space, target = segment.space.split("/"), segment.target.split("/")
    for entry in modules[space[0]].iter("MEMRANGE"):
        if (entry.get("INSTANCE"), entry.get("SLAVEBUSINTERFACE")) == tuple(target[:2]):
            entry.set("BASEVALUE", f"0x{segment.base:08X}")
            entry.set("HIGHVALUE", f"0x{segment.base + segment.size - 1:08X}")
