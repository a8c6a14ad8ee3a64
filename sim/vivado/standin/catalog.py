"""The IP the block design uses: pins, buses and properties, as the product guides give them.

processing_system7 5.5: PG082; axi_interconnect 2.1: PG059; proc_sys_reset 5.0: PG164.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cpt.hw.contract.board import BOARDS
from cpt.sim.vivado.standin.objects import Thing

SWITCH = ("0", "1")
PS = "xilinx.com:ip:processing_system7:5.5"
INTERCONNECT = "xilinx.com:ip:axi_interconnect:2.1"
RESET = "xilinx.com:ip:proc_sys_reset:5.0"
_FREE: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Pin:
    """A pin of a cell. ``kind``: clk, rst, intr or data; ``active`` low or high for a reset, else empty."""

    direction: str
    kind: str
    active: str = ""
    optional: bool = False
    needs: str = ""
    """Property that must be 1 for the pin to exist."""


@dataclass(frozen=True)
class Bus:
    """An AXI interface of a cell and the pin that clocks it."""

    role: str
    clock: str
    needs: str = ""


@dataclass(frozen=True)
class Ip:
    """One entry of the catalogue. ``properties`` maps a name to its default and the values allowed."""

    pins: dict[str, Pin]
    buses: dict[str, Bus]
    properties: dict[str, tuple[str, tuple[str, ...] | None]] = field(default_factory=dict)


_PRESETS = ("None", "ZC702", "ZC706", "ZedBoard", "Microzed")
_PROCESSOR = Ip(
    pins={
        "FCLK_CLK0": Pin("output", "clk", needs="PCW_EN_CLK0_PORT"),
        "FCLK_RESET0_N": Pin("output", "rst", "low", needs="PCW_EN_RST0_PORT"),
        "IRQ_F2P": Pin("input", "intr", needs="PCW_USE_FABRIC_INTERRUPT"),
        "M_AXI_GP0_ACLK": Pin("input", "clk", needs="PCW_USE_M_AXI_GP0"),
        "S_AXI_HP0_ACLK": Pin("input", "clk", needs="PCW_USE_S_AXI_HP0"),
        "S_AXI_HP2_ACLK": Pin("input", "clk", needs="PCW_USE_S_AXI_HP2"),
    },
    buses={
        "M_AXI_GP0": Bus("master", "M_AXI_GP0_ACLK", "PCW_USE_M_AXI_GP0"),
        "S_AXI_HP0": Bus("slave", "S_AXI_HP0_ACLK", "PCW_USE_S_AXI_HP0"),
        "S_AXI_HP2": Bus("slave", "S_AXI_HP2_ACLK", "PCW_USE_S_AXI_HP2"),
    },
    properties={
        "preset": ("None", _PRESETS),
        "PCW_CRYSTAL_PERIPHERAL_FREQMHZ": ("33.333333", _FREE),
        "PCW_APU_PERIPHERAL_FREQMHZ": ("666.666666", _FREE),
        "PCW_UIPARAM_DDR_PARTNO": ("MT41J256M8 HX-15E", ("MT41J256M8 HX-15E", "MT41J256M16 RE-125")),
        "PCW_UIPARAM_DDR_BUS_WIDTH": ("32 Bit", ("16 Bit", "32 Bit")),
        "PCW_UIPARAM_DDR_FREQ_MHZ": ("533.333333", _FREE),
        "PCW_PRESET_BANK1_VOLTAGE": ("LVCMOS 3.3V", ("LVCMOS 1.8V", "LVCMOS 2.5V", "LVCMOS 3.3V")),
        "PCW_QSPI_PERIPHERAL_ENABLE": ("0", SWITCH),
        "PCW_QSPI_GRP_SINGLE_SS_ENABLE": ("0", SWITCH),
        "PCW_ENET0_PERIPHERAL_ENABLE": ("0", SWITCH),
        "PCW_ENET0_ENET0_IO": ("<Select>", ("MIO 16 .. 27", "MIO 28 .. 39", "EMIO")),
        "PCW_ENET0_GRP_MDIO_ENABLE": ("0", SWITCH),
        "PCW_ENET0_GRP_MDIO_IO": ("<Select>", ("MIO 52 .. 53", "EMIO")),
        "PCW_SD0_PERIPHERAL_ENABLE": ("0", SWITCH),
        "PCW_SD0_SD0_IO": ("<Select>", ("MIO 16 .. 21", "MIO 28 .. 33", "MIO 40 .. 45", "EMIO")),
        "PCW_UART0_PERIPHERAL_ENABLE": ("0", SWITCH),
        "PCW_UART0_UART0_IO": ("<Select>", ("MIO 10 .. 11", "MIO 14 .. 15", "EMIO")),
        "PCW_USB0_PERIPHERAL_ENABLE": ("0", SWITCH),
        "PCW_USE_M_AXI_GP0": ("1", SWITCH),
        "PCW_USE_S_AXI_HP0": ("0", SWITCH),
        "PCW_USE_S_AXI_HP2": ("0", SWITCH),
        "PCW_S_AXI_HP0_DATA_WIDTH": ("64", ("32", "64")),
        "PCW_S_AXI_HP2_DATA_WIDTH": ("64", ("32", "64")),
        "PCW_USE_FABRIC_INTERRUPT": ("0", SWITCH),
        "PCW_IRQ_F2P_INTR": ("0", SWITCH),
        "PCW_EN_CLK0_PORT": ("1", SWITCH),
        "PCW_EN_RST0_PORT": ("1", SWITCH),
        "PCW_FCLK0_PERIPHERAL_CLKSRC": ("IO PLL", ("IO PLL", "ARM PLL", "DDR PLL")),
        "PCW_FPGA0_PERIPHERAL_FREQMHZ": ("50", _FREE),
    },
)
_INTERCONNECT = Ip(
    pins={
        **{name: Pin("input", "clk") for name in ("ACLK", "S00_ACLK", "M00_ACLK")},
        **{name: Pin("input", "rst", "low") for name in ("ARESETN", "S00_ARESETN", "M00_ARESETN")},
    },
    buses={"S00_AXI": Bus("slave", "S00_ACLK"), "M00_AXI": Bus("master", "M00_ACLK")},
    properties={"NUM_SI": ("1", ("1",)), "NUM_MI": ("2", ("1",))},
)
_RESET = Ip(
    pins={
        "slowest_sync_clk": Pin("input", "clk"),
        "ext_reset_in": Pin("input", "rst", "low"),
        "aux_reset_in": Pin("input", "rst", "low", optional=True),
        "dcm_locked": Pin("input", "data", optional=True),
        "peripheral_reset": Pin("output", "rst", "high"),
        "peripheral_aresetn": Pin("output", "rst", "low"),
        "interconnect_aresetn": Pin("output", "rst", "low"),
    },
    buses={},
)
CATALOGUE: dict[str, Ip] = {PS: _PROCESSOR, INTERCONNECT: _INTERCONNECT, RESET: _RESET}
"""The entries by VLNV; the accelerator joins them once it is packaged."""

_KINDS = {"clock": "clk", "reset": "rst", "interrupt": "intr"}


def packaged(interfaces: Mapping[str, Thing]) -> Ip:
    """Pins and buses of a packaged core, from the interfaces inferred for it."""
    pins, buses = {}, {}
    kinds = {item.name: item.properties["bus_type_vlnv"].split(":")[2] for item in interfaces.values()}
    clock = next((name for name, kind in kinds.items() if kind == "clock"), "")
    for name, interface in interfaces.items():
        role = interface.properties["interface_mode"]
        if kinds[name] == "aximm":
            buses[name] = Bus(role, clock)
        else:
            active = "high" if "POLARITY ACTIVE_HIGH" in interface.properties["parameters"] else "low"
            kind = _KINDS[kinds[name]]
            pins[name] = Pin("input" if role == "slave" else "output", kind, active if kind == "rst" else "")
    return Ip(pins, buses)


def memory_bytes(properties: dict[str, str]) -> int:
    """DDR of a processor cell: of the board with its preset, or of the board with its bus width."""
    for board in BOARDS.values():
        wanted = dict(board.processor)
        if all(properties.get(f"CONFIG.{key}") == value for key, value in wanted.items()):
            return board.ddr_bytes
    return 0


def fabric_clock_mhz(properties: dict[str, str]) -> float:
    """FCLK0 that the dividers reach: the board's PLL divided by the nearest whole number."""
    for board in BOARDS.values():
        if all(properties.get(f"CONFIG.{key}") == value for key, value in board.processor):
            wanted = float(properties["CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ"])
            return board.pll_mhz / max(1, round(board.pll_mhz / wanted))
    return 0.0
