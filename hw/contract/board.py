"""Boards the accelerator is built for: what the block design, the handoff and the driver need to know."""

from dataclasses import dataclass

from cpt.hw.contract.config import STEP, ArrayConfig, preset, require

DIVIDER_MAX = 63
"""Largest value of each of the two dividers behind a fabric clock (UG585, FPGA_CLK_CTRL)."""
CLOCK_TOLERANCE = 1e-3
"""Relative difference up to which a clock counts as the one asked for."""


@dataclass(frozen=True)
class Capacity:
    """What a part's fabric holds (DS190)."""

    luts: int
    flip_flops: int
    bram36: int
    dsp: int


@dataclass(frozen=True)
class Board:
    """One Zynq-7000 board.

    Raises `ContractError` if ``preset`` is no array preset or the clock cannot be divided down to.
    """

    name: str
    part: str
    """Full part name as Vivado spells it."""
    device: str
    package: str
    speed: str
    capacity: Capacity
    crystal_mhz: float
    """Reference of the processor's PLLs; pynq assumes 50 MHz."""
    pll_feedback: int
    """Multiplier of the PLL that the fabric clock is divided from."""
    ddr_bytes: int
    """Memory on the processor's side."""
    preset: str
    """Name of the array preset built for this board."""
    clock_mhz: float
    """Fabric clock unless another is asked for."""
    processor: tuple[tuple[str, str], ...]
    """Properties of processing_system7 that describe the board, in the order they are set."""

    @property
    def chip(self) -> str:
        """``XC7Z045``."""
        return f"XC{self.device.upper()}"

    def __post_init__(self) -> None:
        preset(self.preset, STEP)  # refuses names that do not exist
        self.clock_divisors(self.clock_mhz)

    @property
    def config(self) -> ArrayConfig:
        """Shape of the array that is built."""
        return preset(self.preset, STEP)

    @property
    def pll_mhz(self) -> float:
        """PLL that the fabric clock is divided from."""
        return self.crystal_mhz * self.pll_feedback

    def clock_divisors(self, clock_mhz: float) -> tuple[int, int]:
        """Values of the two dividers that give ``clock_mhz``, the first as large as possible.

        Raises `ContractError` naming the nearest clocks if there are none.
        """
        require(clock_mhz > 0, f"clock is {clock_mhz:g} MHz; allowed: above 0")
        ratio = max(1, round(self.pll_mhz / clock_mhz))
        reached = self.pll_mhz / ratio
        near = ", ".join(f"{self.pll_mhz / n:g}" for n in (ratio + 1, ratio, ratio - 1) if n > 0)
        require(
            abs(reached - clock_mhz) <= CLOCK_TOLERANCE * clock_mhz,
            f"clock is {clock_mhz:g} MHz; allowed on {self.name}: {self.pll_mhz:g} MHz divided by a whole "
            f"number, for instance {near}",
        )
        for first in range(min(DIVIDER_MAX, ratio), 0, -1):
            if ratio % first == 0 and ratio // first <= DIVIDER_MAX:
                return first, ratio // first
        require(False, f"clock is {clock_mhz:g} MHz; allowed on {self.name}: one that two dividers reach")
        raise AssertionError


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        # UG954: 33.33 MHz crystal, 1 GB DDR3 on the processor. Vivado brings the preset along.
        Board(
            "zc706",
            part="xc7z045ffg900-2",
            device="7z045",
            package="ffg900",
            speed="-2",
            capacity=Capacity(luts=218_600, flip_flops=437_200, bram36=545, dsp=900),
            crystal_mhz=100 / 3,
            pll_feedback=30,
            ddr_bytes=1 << 30,
            preset="zc706",
            clock_mhz=200.0,
            processor=(("preset", "ZC706"),),
        ),
        # PYNQ-Z2 reference manual: 50 MHz crystal, 512 MB DDR3 with 16 data lines. The boot loader of the
        # image sets up PLLs, memory and pins, a bitstream changes none of them; what is set here only has to
        # agree with it. The peripherals matter: Ethernet makes Vivado choose the 1 GHz PLL the board runs.
        Board(
            "pynq-z2",
            part="xc7z020clg400-1",
            device="7z020",
            package="clg400",
            speed="-1",
            capacity=Capacity(luts=53_200, flip_flops=106_400, bram36=140, dsp=220),
            crystal_mhz=50.0,
            pll_feedback=20,
            ddr_bytes=1 << 29,
            preset="z7020",
            clock_mhz=100.0,
            processor=(
                ("PCW_CRYSTAL_PERIPHERAL_FREQMHZ", "50"),
                ("PCW_APU_PERIPHERAL_FREQMHZ", "650"),
                ("PCW_UIPARAM_DDR_PARTNO", "MT41J256M16 RE-125"),
                ("PCW_UIPARAM_DDR_BUS_WIDTH", "16 Bit"),
                ("PCW_UIPARAM_DDR_FREQ_MHZ", "525"),
                ("PCW_PRESET_BANK1_VOLTAGE", "LVCMOS 1.8V"),
                ("PCW_QSPI_PERIPHERAL_ENABLE", "1"),
                ("PCW_QSPI_GRP_SINGLE_SS_ENABLE", "1"),
                ("PCW_ENET0_PERIPHERAL_ENABLE", "1"),
                ("PCW_ENET0_ENET0_IO", "MIO 16 .. 27"),
                ("PCW_ENET0_GRP_MDIO_ENABLE", "1"),
                ("PCW_ENET0_GRP_MDIO_IO", "MIO 52 .. 53"),
                ("PCW_SD0_PERIPHERAL_ENABLE", "1"),
                ("PCW_SD0_SD0_IO", "MIO 40 .. 45"),
                ("PCW_UART0_PERIPHERAL_ENABLE", "1"),
                ("PCW_UART0_UART0_IO", "MIO 14 .. 15"),
                ("PCW_USB0_PERIPHERAL_ENABLE", "1"),
            ),
        ),
    )
}


def board(name: str) -> Board:
    """The board called ``name``; raises `ContractError` naming the known ones."""
    require(name in BOARDS, f"board is {name!r}; allowed: {', '.join(BOARDS)}")
    return BOARDS[name]
