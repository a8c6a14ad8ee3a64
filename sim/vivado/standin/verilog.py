"""Ports and attributes of one module of a Verilog source, as Yosys writes it."""

import re
from dataclasses import dataclass
from pathlib import Path

_ATTRIBUTE = re.compile(r'\(\*\s*(\w+)\s*=\s*"([^"]*)"\s*\*\)')
_PORT = re.compile(
    r"^\s*(?P<direction>input|output|inout)\s+(?:wire\s+|reg\s+)?(?:\[(?P<msb>\d+):0\]\s*)?(?P<name>\w+)\s*;"
)


@dataclass(frozen=True)
class DeclaredPort:
    """A port as the source declares it."""

    name: str
    direction: str
    width: int
    attributes: dict[str, str]


def declared_ports(source: Path, module: str) -> dict[str, DeclaredPort]:
    """Ports of ``module`` by name; ValueError naming the file if it holds no such module."""
    text = source.read_text()
    start = text.find(f"module {module}(")
    if start < 0:
        raise ValueError(f"{source.name} holds no module {module}")
    ports = {}
    pending: dict[str, str] = {}
    for line in text[start : text.index("endmodule", start)].splitlines():
        attributes = dict(_ATTRIBUTE.findall(line))
        match = _PORT.match(line)
        if match:
            width = int(match["msb"] or 0) + 1
            ports[match["name"]] = DeclaredPort(match["name"], match["direction"], width, pending)
        pending = {**pending, **attributes} if attributes and not match else {}
    return ports
