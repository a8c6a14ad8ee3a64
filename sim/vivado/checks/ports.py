"""The exported top module has the contract's ports, each with the attributes of its bus."""

from pathlib import Path

from cpt.hw.contract.ports import PORTS, TOP
from cpt.hw.export.interfaces import attributes
from cpt.sim.vivado.standin.verilog import declared_ports


def port_problems(verilog: Path) -> list[str]:
    """Ports that are missing, unknown, of another shape or without their attributes."""
    try:
        declared = declared_ports(verilog, TOP)
    except ValueError as error:
        return [str(error)]
    found = [f"port {name} is missing in {TOP}" for name in PORTS if name not in declared]
    found += [f"port {name} of {TOP} is not in the contract" for name in declared if name not in PORTS]
    for name, port in PORTS.items():
        if name not in declared:
            continue
        shape = (declared[name].direction, declared[name].width)
        if shape != (port.direction, port.width):
            found.append(f"port {name} is {shape[0]} [{shape[1]}]; allowed: {port.direction} [{port.width}]")
        if declared[name].attributes != attributes(port):
            found.append(
                f"port {name} has attributes {declared[name].attributes}; allowed: {attributes(port)}"
            )
    return found
