"""The processor's memory ports: as wide as the accelerator's, whatever the boot loader left.

Source: UG585, AFI registers; bit 0 of each channel's control says 32 bits. A port left at 32 bits by a boot
loader that was built for another design corrupts data without any error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cpt.host.errors import DeviceError

PORTS = {"HP0": 0xF800_8000, "HP2": 0xF800_A000}
"""Ports of the block design (``hw/vivado/design.tcl``) and the addresses of their registers."""
PORT_BYTES = 0x1000
CHANNELS = {"read": 0x00, "write": 0x14}
"""Control register of each channel, relative to its port's."""
_NARROW = 1


class Words(Protocol):
    """Registers by byte offset, as `pynq.MMIO` has them."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


def widen(registers: Callable[[int, int], Words]) -> None:
    """Set both directions of every port to 64 bits and read that back.

    ``registers(base, nbytes)`` opens a window. Raises `DeviceError` if a port stays narrow.
    """
    for port, base in PORTS.items():
        words = registers(base, PORT_BYTES)
        for channel, offset in CHANNELS.items():
            words.write(offset, int(words.read(offset)) & ~_NARROW)
            if int(words.read(offset)) & _NARROW:
                raise DeviceError(
                    f"the {channel} channel of port {port} stays at 32 bits ({base + offset:#x} cannot be "
                    "written); allowed: 64, or data would be corrupted"
                )
