"""The compiled RTL as a `cpt.sim.backend.Backend`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig, register
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.faults import Faults
from cpt.sim.memory import MemoryModel, Stalls, WriteOrder
from cpt.sim.rtl.build import build_library
from cpt.sim.rtl.library import BusEvent, Simulation

_STATUS, _TAIL = register("STATUS"), register("RING_TAIL")
_POLLED = _STATUS.offset, register("DONE_TAG").offset
_BUSY = 1 << _STATUS.field("busy").offset
_HALTED = 1 << _STATUS.field("halted").offset
POLL_CYCLES = 20_000
"""Most cycles that one read of STATUS or DONE_TAG advances a busy machine."""
_WRITE_CYCLES = 3
"""From the cycle in which a register write begins to the first that knows of it, nothing stalled."""


class RtlBackend:
    """One accelerator as exported from ``hw``, cycle by cycle.

    ``memory_model`` gives the timing of the AXI ports, ``stalls`` adds random stalls to every AXI channel,
    ``write_order`` lets data in before its address, ``faults`` is what the memory does wrong. ``in_step``:
    a doorbell waits until the memory is where the fast model takes it to be, at the start of its pattern.
    The first use of a configuration compiles it. `cpt.sim.rtl.RtlError`: the RTL has broken a bus rule.
    """

    def __init__(
        self,
        config: ArrayConfig,
        memory_model: MemoryModel,
        memory_bytes: int,
        memory_base: int = MEMORY_BASE,
        stalls: Stalls | None = None,
        write_order: WriteOrder = WriteOrder.ADDRESS,
        faults: Faults | None = None,
        in_step: bool = False,
    ) -> None:
        self.config = config
        self._period_cycles = memory_model.period_cycles if in_step else 1
        self.memory_base = memory_base
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, dtype=np.uint8)
        self.simulation = Simulation(
            build_library(config),
            self.memory,
            memory_base,
            memory_model,
            stalls or Stalls(),
            write_order,
        )
        self.faults = faults or Faults()

    @property
    def faults(self) -> Faults:
        """What the memory does wrong; setting it numbers beats from 0 again."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self.simulation.set_faults(faults)

    def read_register(self, offset: int) -> int:
        """Read a register; one that drivers poll first advances a busy machine up to `POLL_CYCLES`."""
        if offset in _POLLED:
            self.wait(POLL_CYCLES)
        return self.simulation.read(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write a register."""
        if offset == _TAIL.offset:
            self.simulation.run(-(self.simulation.cycle + _WRITE_CYCLES) % self._period_cycles)
        self.simulation.write(offset, value)

    def wait(self, max_cycles: int) -> bool:
        """Advance until the machine is idle or halted, at most ``max_cycles``; True if it no longer runs."""
        return self.simulation.wait(max_cycles, _STATUS.offset, _BUSY, _HALTED)

    def trace(self, on: bool) -> None:
        """Start or stop recording register writes and AXI bursts."""
        self.simulation.trace(on)

    def observe(self, on: bool) -> None:
        """Start or stop recording instructions and marks of a step machine's engines."""
        self.simulation.observe(on)

    def take_events(self) -> list[BusEvent]:
        """Bus events since the last call."""
        return self.simulation.take_events()

    def close(self) -> None:
        """Free the simulation."""
        self.simulation.close()
