"""Ports of the accelerator's top module, and the bus each of them belongs to.

They are those of the machine that a board gets; that of products has no write channels on m1.
"""

from dataclasses import dataclass

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.contract.regs import ADDRESS_BITS

TOP = "cpt_accelerator"
"""Name of the top module."""
CLOCK, RESET, INTERRUPT = "clk", "rst", "irq"
"""One clock, a synchronous reset that is active high, and a level that is high while an event is pending."""
BUS_ADDRESS_BITS = 32
_DATA_BITS = 8 * BEAT_BYTES


@dataclass(frozen=True)
class Port:
    """One port of the top module; ``signal`` is its name in the AXI specification, in capitals."""

    name: str
    direction: str
    """``input`` or ``output``."""
    width: int
    interface: str
    signal: str


@dataclass(frozen=True)
class Interface:
    """One bus, clock, reset or interrupt and its IP-XACT parameters."""

    name: str
    role: str
    """``slave`` or ``master``."""
    bus: str
    """Vendor, library, name and version of the bus definition."""
    parameters: tuple[tuple[str, str], ...]


_AXI = "xilinx.com:interface:aximm:1.0"
_BURSTS = (("MAX_BURST_LENGTH", str(BURST_BEATS)), ("SUPPORTS_NARROW_BURST", "0"))


def _master(name: str) -> Interface:
    widths = (("DATA_WIDTH", str(_DATA_BITS)), ("ADDR_WIDTH", str(BUS_ADDRESS_BITS)), ("ID_WIDTH", "1"))
    return Interface(
        name, "master", _AXI, (("PROTOCOL", "AXI4"), ("READ_WRITE_MODE", "READ_WRITE"), *widths, *_BURSTS)
    )


INTERFACES: dict[str, Interface] = {
    item.name: item
    for item in (
        Interface(
            "s_axil",
            "slave",
            _AXI,
            (("PROTOCOL", "AXI4LITE"), ("DATA_WIDTH", "32"), ("ADDR_WIDTH", str(ADDRESS_BITS))),
        ),
        _master("m0_axi"),
        _master("m1_axi"),
        Interface(
            CLOCK,
            "slave",
            "xilinx.com:signal:clock:1.0",
            (("ASSOCIATED_BUSIF", "s_axil:m0_axi:m1_axi"), ("ASSOCIATED_RESET", RESET)),
        ),
        Interface(RESET, "slave", "xilinx.com:signal:reset:1.0", (("POLARITY", "ACTIVE_HIGH"),)),
        Interface(INTERRUPT, "master", "xilinx.com:signal:interrupt:1.0", (("SENSITIVITY", "LEVEL_HIGH"),)),
    )
}
"""Every interface of the top module, by name."""

_ADDRESS = {
    "addr": BUS_ADDRESS_BITS,
    "len": 8,
    "size": 3,
    "burst": 2,
    "lock": 1,
    "cache": 4,
    "prot": 3,
    "id": 1,
    "valid": 1,
}
_READ = {"data": _DATA_BITS, "resp": 2, "last": 1, "id": 1, "valid": 1}
_WRITE = {"data": _DATA_BITS, "strb": _DATA_BITS // 8, "last": 1, "valid": 1}
_RESPONSE = {"resp": 2, "id": 1, "valid": 1}
_LITE_ADDRESS = {"addr": ADDRESS_BITS, "prot": 3, "valid": 1}


def _channel(interface: str, channel: str, signals: dict[str, int], *, driven: bool) -> list[Port]:
    """Ports of one AXI channel whose payload the accelerator drives or not; ready goes the other way."""
    payload, ready = ("output", "input") if driven else ("input", "output")
    rows = [(item, width, payload) for item, width in signals.items()] + [("ready", 1, ready)]
    return [
        Port(f"{interface}_{channel}{item}", direction, width, interface, f"{channel}{item}".upper())
        for item, width, direction in rows
    ]


PORTS: dict[str, Port] = {
    port.name: port
    for port in (
        Port(CLOCK, "input", 1, CLOCK, "CLK"),
        Port(RESET, "input", 1, RESET, "RST"),
        Port(INTERRUPT, "output", 1, INTERRUPT, "INTERRUPT"),
        *_channel("s_axil", "aw", _LITE_ADDRESS, driven=False),
        *_channel("s_axil", "w", {"data": 32, "strb": 4, "valid": 1}, driven=False),
        *_channel("s_axil", "b", {"resp": 2, "valid": 1}, driven=True),
        *_channel("s_axil", "ar", _LITE_ADDRESS, driven=False),
        *_channel("s_axil", "r", {"data": 32, "resp": 2, "valid": 1}, driven=True),
        *_channel("m0_axi", "aw", _ADDRESS, driven=True),
        *_channel("m0_axi", "w", _WRITE, driven=True),
        *_channel("m0_axi", "b", _RESPONSE, driven=False),
        *_channel("m0_axi", "ar", _ADDRESS, driven=True),
        *_channel("m0_axi", "r", _READ, driven=False),
        *_channel("m1_axi", "aw", _ADDRESS, driven=True),
        *_channel("m1_axi", "w", _WRITE, driven=True),
        *_channel("m1_axi", "b", _RESPONSE, driven=False),
        *_channel("m1_axi", "ar", _ADDRESS, driven=True),
        *_channel("m1_axi", "r", _READ, driven=False),
    )
}
"""Every port of the top module, by name."""
