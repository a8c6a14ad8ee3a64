"""Attributes that tell Vivado which bus each port of the exported Verilog belongs to."""

import re

from cpt.hw.contract.ports import INTERFACES, PORTS, TOP, Port

_DECLARATION = re.compile(r"^( *)(?:input|output)\s+(?:wire\s+|reg\s+)?(?:\[[^]]*\]\s*)?(\w+)\s*;", re.M)


def attributes(port: Port) -> dict[str, str]:
    """The attributes of one port; the parameters of a bus stand on the first of its ports."""
    interface = INTERFACES[port.interface]
    found = {"X_INTERFACE_INFO": f"{interface.bus} {interface.name} {port.signal}"}
    if port.name == next(item.name for item in PORTS.values() if item.interface == interface.name):
        parameters = ", ".join(f"{key} {value}" for key, value in interface.parameters)
        found["X_INTERFACE_PARAMETER"] = f"XIL_INTERFACENAME {interface.name}, {parameters}"
    return found


def annotate(verilog: str) -> str:
    """The same source with the attributes in front of the top module's port declarations.

    A port that the contract does not know stays as it is; `cpt.hw.vivado` refuses it with its name.
    """
    start = verilog.index(f"module {TOP}(")
    end = verilog.index("endmodule", start)
    return verilog[:start] + _DECLARATION.sub(_annotated, verilog[start:end]) + verilog[end:]


def _annotated(match: "re.Match[str]") -> str:
    indent, name = match.groups()
    if name not in PORTS:
        return match.group()
    values = attributes(PORTS[name])
    return "".join(f'{indent}(* {key} = "{value}" *)\n' for key, value in values.items()) + match.group()
