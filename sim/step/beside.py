"""RTL of the step machine beside its exact model: the same calls to both, their memory compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from cpt.host.driver import Accelerator
from cpt.host.step_device import StepDevice
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import WORD_BYTES, decode
from cpt.sim.device import open_simulated
from cpt.sim.step.machine import StepMachine

DEADLINE_S = 600.0
"""Of what was rung, unless another is given."""


class StepsDiffer(AssertionError):
    """Memory of RTL and model is not the same; one line with the first byte."""


class Beside:
    """A `cpt.host.fabric.Device` of two machines; whenever all that was rung has ended, memory is compared.

    Raises `StepsDiffer` then, `DeviceTimeout` after ``deadline_s``. Other arguments: those of
    `cpt.sim.device.open_simulated`, ``stalls`` for one.
    """

    def __init__(
        self, config: ArrayConfig, *, memory_bytes: int, deadline_s: float = DEADLINE_S, **options: Any
    ) -> None:
        # From address 0, so that both have the same addresses; the ring is the RTL's alone.
        self._simulated = open_simulated(
            "rtl",
            config,
            memory_bytes=memory_bytes,
            memory_base=0,
            **options,
        )
        self._accelerator = Accelerator(self._simulated.bitfile, self._simulated, deadline_s=deadline_s)
        self.rtl = StepDevice(self._accelerator)
        self.model = StepMachine(config, memory=memory_bytes, scratch_words=config.scratch_words)
        self._own = slice(0, 0)
        self._rung = 0
        """Tag of the last END."""

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._accelerator.close()
        self._simulated.close()

    @property
    def backend(self) -> Any:
        """The RTL's, for its trace."""
        return self._simulated.backend

    def allocate(self, size: int) -> int:
        """Memory of both, at one address; what it held before is not said."""
        address = self.rtl.allocate(size)
        self._own = slice(address, address + size)
        rubbish = np.random.default_rng(size).integers(0, 256, size, np.uint8)
        self.rtl.write(address, rubbish)
        self.model.write(address, rubbish)
        return address

    def write(self, address: int, values: np.ndarray) -> None:
        """Bytes of ``values`` to both."""
        self.rtl.write(address, values)
        self.model.write(address, values)

    def read(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes of the RTL's memory."""
        return self.rtl.read(address, size)

    def set_slots(self, slots: Mapping[int, tuple[int, bool]]) -> None:
        """Bits and sign of the codes of precision slots."""
        self.rtl.set_slots(slots)
        self.model.set_slots(slots)

    def ring(self, words: bytes) -> None:
        """Queue words for both."""
        self.model.ring(words)
        self.rtl.ring(words)
        self._rung = decode(words[-WORD_BYTES:]).tag

    def wait(self, tag: int) -> None:
        """Return when both have reached ``tag``."""
        self.rtl.wait(tag)
        self.model.wait(tag)
        if tag != self._rung:
            return
        ours, theirs = self.backend.memory[self._own], self.model.state.memory[self._own]
        differ = np.flatnonzero(ours != theirs)
        if len(differ):
            first = int(differ[0])
            raise StepsDiffer(
                f"memory differs in {len(differ)} bytes from {self._own.start + first:#x} on: "
                f"RTL {ours[first]:#04x}, model {theirs[first]:#04x}"
            )
