"""What only a real board needs: its clocks as they are, and the wall clock beside the cycle counter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.host.errors import DeviceError
from cpt.hw.contract.board import CLOCK_TOLERANCE, DIVIDER_MAX
from cpt.hw.contract.handoff import BUILT_CLOCK, CRYSTAL

INSTALLED_BITFILE = Path(__file__).absolute().parents[3] / "bitstream" / "cpt.bit"
"""Where `install.sh` puts the bitstream that came in a board's archive."""
_REFERENCE = "proc/device-tree/*/slcr@f8000000/clkc@100/ps-clk-frequency"
"""Where Linux describes the reference of the Zynq-7000's clocks: hertz, 32 bits, big-endian."""
_FABRIC = 0
CHECKED_S = 0.05
"""Accelerator time from which the wall clock says something about the fabric clock."""
CLOCKS_MHZ = 1.0, 1000.0
"""Clocks that a handoff may state."""


def reference_mhz(root: Path) -> float | None:
    """Reference of the processor's clocks as the kernel of ``root`` knows it; None where it says nothing."""
    for path in sorted(root.glob(_REFERENCE)):
        return int.from_bytes(path.read_bytes()[:4], "big") / 1e6
    return None


def free_contiguous_bytes(root: Path) -> int | None:
    """What the kernel of ``root`` has left of its contiguous memory; None where it says nothing."""
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^CmaFree:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) << 10 if found else None


def fabric_clock_mhz(clocks: Any, parameters: Mapping[str, Any], reference: float | None = None) -> float:
    """Fabric clock in MHz, never above the one the bitstream was built for.

    pynq assumes a 50 MHz reference, and sets the dividers that belong to the PLL Vivado assumed; the boot
    loader may run another. Both are put right here.

    Args:
        clocks: pynq's clock registers.
        parameters: those of the processor in the handoff.
        reference: the kernel's figure in MHz; the handoff's if None.

    Raises `DeviceError` if the handoff names no clock or the dividers cannot go that low.
    """
    crystal, built = reference or _mhz(parameters, CRYSTAL), _mhz(parameters, BUILT_CLOCK)
    clocks._ref_clk_mhz = round(3 * crystal) / 3  # files round 100/3 to whole hertz
    found = float(clocks.get_pl_clk(_FABRIC))
    if abs(found - built) <= CLOCK_TOLERANCE * built:
        return found
    control = clocks.PL_CLK_CTRLS[_FABRIC]
    pll = found * control.DIVISOR0 * control.DIVISOR1
    first, second = _divisors(pll / (built * (1 + CLOCK_TOLERANCE)))
    clocks.set_pl_clk(_FABRIC, div0=first, div1=second)
    return float(clocks.get_pl_clk(_FABRIC))


def _mhz(parameters: Mapping[str, Any], name: str) -> float:
    """A clock of the handoff; raises `DeviceError` where there is none, or none that a Zynq could have."""
    if name not in parameters:
        raise DeviceError(f"the handoff names no {name}; build it with cpt bitstream")
    try:
        value = float(parameters[name])
    except (TypeError, ValueError):
        value = math.nan
    if not CLOCKS_MHZ[0] <= value <= CLOCKS_MHZ[1]:
        raise DeviceError(
            f"{name} of the handoff is {parameters[name]!r}; allowed: MHz from {CLOCKS_MHZ[0]:g} to "
            f"{CLOCKS_MHZ[1]:g}"
        )
    return value


def _divisors(least: float) -> tuple[int, int]:
    """The two dividers with the smallest product of at least ``least``."""
    pairs = (
        (first * second, first, second)
        for second in range(1, DIVIDER_MAX + 1)
        for first in [max(1, math.ceil(least / second))]
        if first <= DIVIDER_MAX
    )
    found = min(pairs, default=None)
    if found is None:
        raise DeviceError(f"fabric clock needs a divider of {least:.0f}; allowed: at most {DIVIDER_MAX**2}")
    return found[1:]


@dataclass
class WallClock:
    """Wall time of all programs beside what the cycle counter says of them."""

    seconds: float = 0.0
    cycles: int = 0

    def add(self, seconds: float, cycles: int) -> None:
        """Count one program."""
        self.seconds += seconds
        self.cycles += cycles

    def check(self, clock_mhz: float) -> str:
        """One line with both times.

        The wall clock also runs while the processor notices the end, so it may show more, never less. Raises
        `DeviceError` if it shows less: then the fabric clock is not what it is said to be.
        """
        counted = self.cycles / (clock_mhz * 1e6)
        line = (
            f"{self.seconds:.3f} s by the wall clock, "
            f"{counted:.3f} s by the cycle counter at {clock_mhz:g} MHz"
        )
        if counted >= CHECKED_S and self.seconds < counted * (1 - 10 * CLOCK_TOLERANCE):
            raise DeviceError(
                f"{line}: the fabric clock is at least {self.cycles / self.seconds / 1e6:.1f} MHz, "
                "so the reference of the processor's clocks is not the one assumed"
            )
        return line
