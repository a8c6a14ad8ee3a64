"""What a simulated machine must offer so that the pynq device in `cpt.sim.device` can wrap it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig

MEMORY_BASE = 0x1000_0000
"""Default bus address of byte 0 of a backend's memory; any multiple of 4096 below 4 GB will do."""


class Backend(Protocol):
    """One accelerator and the DRAM it is wired to.

    Backends are constructed as ``Class(config, memory_model, memory_bytes, memory_base=MEMORY_BASE)``
    and start out of reset: every slot unset, ring base and counters zero.

    Simulated time passes in `wait` and in reads of registers that tell how far the machine is, STATUS above
    all. Writing RING_TAIL marks the machine busy at once, so a STATUS read straight after the doorbell
    reports idle only if all is done.
    """

    config: ArrayConfig
    memory: NDArray[np.uint8]
    """Device DRAM, ``(memory_bytes,)``; the machine reads and writes it in place, never rebinds it."""
    memory_base: int
    """Bus address of ``memory[0]``."""

    def read_register(self, offset: int) -> int:
        """The 32-bit register at byte ``offset`` (a multiple of 4).

        Reading STATUS while busy advances the machine by a bounded number of cycles first, so a
        polling driver makes progress; a hanging machine never blocks the caller.
        """
        ...

    def write_register(self, offset: int, value: int) -> None:
        """Write ``value`` (0..2**32-1) to the register at byte ``offset``.

        A write to RING_TAIL starts the machine.
        """
        ...

    def wait(self, max_cycles: int) -> bool:
        """Advance until the machine is idle or halted, at most ``max_cycles``; True if it no longer runs."""
        ...

    def close(self) -> None:
        """Free the simulator's resources; the backend is not used afterwards."""
        ...
