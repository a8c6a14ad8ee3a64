"""The hardware handoff (`.hwh`): how pynq finds the accelerator behind the processor.

Vivado writes the real file beside a bitstream; this one describes the same block design for the
simulated devices, with every address, interrupt and register taken from the contract.
"""

import xml.etree.ElementTree as ElementTree

from cpt.hw.contract.board import BOARDS, Board
from cpt.hw.contract.config import ArrayConfig
from cpt.hw.contract.regs import ADDRESS_BITS, REGISTERS, Register

IP_NAME = "cpt_accelerator_0"
"""Instance name in the block design."""
PS_NAME = "processing_system7_0"
VLNVS = ("cpt-fpga:ip:cpt_accelerator:1.0", "xilinx.com:module_ref:cpt_accelerator:1.0")
"""Identities the accelerator may carry: packaged IP, or plain Verilog placed by module reference."""
REGISTER_BASE = 0x43C0_0000
"""Bus address of the registers in the block design (M_AXI_GP0)."""
REGISTER_BYTES = 1 << max(ADDRESS_BITS, 12)
CRYSTAL, BUILT_CLOCK = "PCW_CRYSTAL_PERIPHERAL_FREQMHZ", "PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ"
"""Parameters of the processor: reference of its clocks, and the fabric clock that timing was met at."""
SIMULATED = BOARDS["zc706"]
"""Board whose clocks and memory the simulated devices have."""
CRYSTAL_MHZ = SIMULATED.crystal_mhz
PLL_FEEDBACK = SIMULATED.pll_feedback

ACCESS = {"ro": "read-only", "rw": "read-write", "w1c": "read-write", "w1s": "write-only"}


def clock_divisor(clock_mhz: float, board: Board = SIMULATED) -> int:
    """Divisor of the board's PLL whose output is nearest to ``clock_mhz`` (1..63)."""
    return min(63, max(1, round(board.pll_mhz / clock_mhz)))


def hwh(config: ArrayConfig, vlnv: str = VLNVS[0], board: Board = SIMULATED) -> str:
    """The handoff of a design with one accelerator of shape ``config`` on ``board``, as XML text."""
    root = ElementTree.Element("EDKSYSTEM", EDWVERSION="1.2")
    ElementTree.SubElement(
        root,
        "SYSTEMINFO",
        ARCH="zynq",
        DEVICE=board.device,
        NAME="design_1",
        PACKAGE=board.package,
        SPEEDGRADE=board.speed,
    )
    ports = ElementTree.SubElement(root, "EXTERNALPORTS")
    ElementTree.SubElement(ports, "PORT", DIR="IO", NAME="DDR_cas_n", SIGIS="undef", SIGNAME=f"{PS_NAME}_DDR")
    ElementTree.SubElement(root, "EXTERNALINTERFACES")
    modules = ElementTree.SubElement(root, "MODULES")
    _processor(modules, config, board)
    _accelerator(modules, config, vlnv, board)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _module(
    parent: ElementTree.Element, name: str, vlnv: str, parameters: dict[str, object]
) -> ElementTree.Element:
    module = ElementTree.SubElement(
        parent,
        "MODULE",
        FULLNAME=f"/{name}",
        HWVERSION=vlnv.rsplit(":", 1)[1],
        INSTANCE=name,
        IPTYPE="PERIPHERAL",
        IS_ENABLE="1",
        MODCLASS="PERIPHERAL",
        MODTYPE=vlnv.split(":")[2],
        VLNV=vlnv,
    )
    holder = ElementTree.SubElement(module, "PARAMETERS")
    for key, value in parameters.items():
        ElementTree.SubElement(holder, "PARAMETER", NAME=key, VALUE=str(value))
    return module


def _connect(
    module: ElementTree.Element,
    buses: dict[str, tuple[str, str]],
    pins: dict[str, tuple[str, str, str, str]],
) -> None:
    """Ports of a module: ``buses`` maps name to (MASTER or SLAVE, net), with one signal each for all;
    ``pins`` maps name to (direction, kind, other instance, its port)."""
    ports = ElementTree.SubElement(module, "PORTS")
    for name, (role, net) in buses.items():
        ElementTree.SubElement(
            ports,
            "PORT",
            DIR="O" if role == "MASTER" else "I",
            LEFT="31",
            NAME=f"{name}_araddr",
            RIGHT="0",
            SIGIS="undef",
            SIGNAME=f"{net}_ARADDR",
        )
    for name, (direction, kind, instance, port) in pins.items():
        pin = ElementTree.SubElement(
            ports,
            "PORT",
            DIR=direction,
            NAME=name,
            SIGIS=kind,
            SIGNAME=f"net_{'_'.join(sorted((name, port)))}",
        )
        connections = ElementTree.SubElement(pin, "CONNECTIONS")
        ElementTree.SubElement(connections, "CONNECTION", INSTANCE=instance, PORT=port)
    interfaces = ElementTree.SubElement(module, "BUSINTERFACES")
    for name, (role, net) in buses.items():
        bus = ElementTree.SubElement(
            interfaces,
            "BUSINTERFACE",
            BUSNAME=net,
            NAME=name,
            TYPE=role,
            VLNV="xilinx.com:interface:aximm:1.0",
        )
        maps = ElementTree.SubElement(bus, "PORTMAPS")
        ElementTree.SubElement(maps, "PORTMAP", LOGICAL="ARADDR", PHYSICAL=f"{name}_araddr")


def _memory_map(module: ElementTree.Element, ranges: list[tuple[str, str, str, int, int, str]]) -> None:
    """Address ranges: (master interface, slave instance, slave interface, base, bytes, kind)."""
    memory = ElementTree.SubElement(module, "MEMORYMAP")
    for master, instance, slave, base, size, kind in ranges:
        ElementTree.SubElement(
            memory,
            "MEMRANGE",
            ADDRESSBLOCK="reg0",
            BASEVALUE=f"0x{base:08X}",
            HIGHVALUE=f"0x{base + size - 1:08X}",
            INSTANCE=instance,
            IS_DATA="TRUE",
            MASTERBUSINTERFACE=master,
            MEMTYPE=kind,
            SLAVEBUSINTERFACE=slave,
        )


def _processor(modules: ElementTree.Element, config: ArrayConfig, board: Board) -> None:
    reached_mhz = board.pll_mhz / clock_divisor(config.clock_mhz, board)
    parameters: dict[str, object] = {
        CRYSTAL: f"{board.crystal_mhz:.6f}",
        BUILT_CLOCK: f"{reached_mhz:.6f}",
    }
    for clock in range(4):
        parameters[f"PCW_FPGA_FCLK{clock}_ENABLE"] = int(clock == 0)
        parameters[f"PCW_FCLK{clock}_PERIPHERAL_CLKSRC"] = "IO PLL"
        parameters[f"PCW_FCLK{clock}_PERIPHERAL_DIVISOR0"] = clock_divisor(config.clock_mhz, board)
        parameters[f"PCW_FCLK{clock}_PERIPHERAL_DIVISOR1"] = 1
    module = _module(modules, PS_NAME, "xilinx.com:ip:processing_system7:5.5", parameters)
    _connect(
        module,
        {"M_AXI_GP0": ("MASTER", "gp0"), "S_AXI_HP0": ("SLAVE", "hp0"), "S_AXI_HP2": ("SLAVE", "hp2")},
        {
            "FCLK_CLK0": ("O", "clk", IP_NAME, "clk"),
            "IRQ_F2P": ("I", "INTERRUPT", IP_NAME, "irq"),
        },
    )
    _memory_map(module, [("M_AXI_GP0", IP_NAME, "s_axil", REGISTER_BASE, REGISTER_BYTES, "REGISTER")])


def _accelerator(modules: ElementTree.Element, config: ArrayConfig, vlnv: str, board: Board) -> None:
    module = _module(
        modules, IP_NAME, vlnv, {f"C_{key.upper()}": value for key, value in config.as_dict().items()}
    )
    blocks = ElementTree.SubElement(module, "ADDRESSBLOCKS")
    block = ElementTree.SubElement(
        blocks,
        "ADDRESSBLOCK",
        ACCESS="read-write",
        INTERFACE="s_axil",
        NAME="reg0",
        RANGE=str(REGISTER_BYTES),
        USAGE="register",
    )
    registers = ElementTree.SubElement(block, "REGISTERS")
    for register in REGISTERS:
        _register(registers, register)
    _connect(
        module,
        {"s_axil": ("SLAVE", "gp0"), "m0_axi": ("MASTER", "hp0"), "m1_axi": ("MASTER", "hp2")},
        {
            "clk": ("I", "clk", PS_NAME, "FCLK_CLK0"),
            "irq": ("O", "INTERRUPT", PS_NAME, "IRQ_F2P"),
        },
    )
    _memory_map(
        module,
        [
            ("m0_axi", PS_NAME, "S_AXI_HP0", 0, board.ddr_bytes, "MEMORY"),
            ("m1_axi", PS_NAME, "S_AXI_HP2", 0, board.ddr_bytes, "MEMORY"),
        ],
    )


def _register(parent: ElementTree.Element, register: Register) -> None:
    def describe(element: ElementTree.Element, doc: str, **values: object) -> None:
        for key, value in {"DESCRIPTION": doc, "ACCESS": ACCESS[register.access], **values}.items():
            ElementTree.SubElement(element, "PROPERTY", NAME=key, VALUE=str(value))

    element = ElementTree.SubElement(parent, "REGISTER", NAME=register.name)
    describe(
        element,
        register.doc,
        ADDRESS_OFFSET=f"0x{register.offset:X}",
        SIZE=32,
        IS_ENABLED="true",
        RESET_VALUE=f"0x{register.reset:X}",
    )
    fields = ElementTree.SubElement(element, "FIELDS")
    for item in register.fields:
        describe(
            ElementTree.SubElement(fields, "FIELD", NAME=item.name),
            item.doc,
            BIT_OFFSET=item.offset,
            BIT_WIDTH=item.width,
        )
