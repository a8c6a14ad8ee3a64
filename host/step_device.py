"""The machine that does whole training steps, through its registers and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cpt.host.caches import drop, write_back
from cpt.host.counters import Counters
from cpt.host.diagnosis import named
from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError, DeviceTimeout, OutOfDeviceMemory
from cpt.hw.contract.step import WORD_BYTES, decode

_TAGS = 1 << 32
"""Tags come round; of two, the one less than half a round ahead is the later."""
_SPINS, _PAUSE_S = 200, 50e-6
"""Reads of a register before the poll starts to pause between them, and for how long."""


class StepDevice:
    """An opened accelerator as a `cpt.host.fabric.Device`.

    Words are rung without waiting for those before them; `wait` looks at the tag of the last END. Raises
    `DeviceError` where the machine has stopped, or does no whole steps, `DeviceTimeout` past the deadline.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        if not accelerator.config.scratch_words:
            raise DeviceError("the machine has no scratch; allowed: one that does whole training steps")
        self.accelerator = accelerator
        self._memory: Any = np.zeros(0, np.uint8)
        """A buffer of pynq's, once there is one."""
        self._base = 0
        self.listeners: list[Callable[[], None]] = []
        """Called whenever the machine is not ready yet; one that raises ends the wait."""
        self._rung, self._since = 0, 0.0
        """Tag of the last END rung, and since when something has been waited for; 0: nothing is."""
        self._busy_s = 0.0

    def allocate(self, size: int) -> int:
        """Bus address of ``size`` bytes that the machine may read and write; once.

        Raises `OutOfDeviceMemory` if there is no room.
        """
        if self._memory.size:
            raise DeviceError("memory was allocated already; allowed: once a device")
        room = self.accelerator.free_bytes()
        if room is not None and size > room:
            raise OutOfDeviceMemory(
                f"the network needs {size / 2**20:.1f} MiB of contiguous memory, {room / 2**20:.1f} MiB are "
                "free; allowed: a smaller micro-batch or network, or more memory"
            )
        self._memory = self.accelerator.allocate((size,), np.uint8)
        self._base = int(self._memory.device_address)
        self.accelerator.open_windows()
        return self._base

    @property
    def memory_bytes(self) -> int:
        """What has been allocated."""
        return int(self._memory.size)

    def write(self, address: int, values: np.ndarray) -> None:
        """Bytes of ``values`` to memory."""
        held = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        part = self._part(address, held.size)
        np.copyto(part, held)  # an assignment makes a view of pynq's first, which takes longer than the copy
        write_back(part)

    def read(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes of memory."""
        part = self._part(address, size)
        drop(part)
        return np.array(part, np.uint8)

    def _part(self, address: int, size: int) -> Any:
        start = address - self._base
        if not 0 <= start <= start + size <= self._memory.size:
            raise DeviceError(
                f"bytes are {address:#x}..{address + size - 1:#x}; "
                f"allowed: {self._base:#x}..{self._base + self._memory.size - 1:#x}"
            )
        return self._memory[start : start + size]

    def set_slots(self, slots: Mapping[int, tuple[int, bool]]) -> None:
        """Bits and sign of the codes of precision slots; the machine must be at rest."""
        self.accelerator.set_slots(slots)

    def ring(self, words: bytes) -> None:
        """Place words in the ring; waits only where it is full."""
        ring, ip = self.accelerator.ring, self.accelerator.ip
        left = memoryview(words)
        self._rung = decode(words[-WORD_BYTES:]).tag
        self._since = self._since or time.monotonic()

        def some_placed() -> bool:
            nonlocal left
            room = ring.free(ip.read("RING_HEAD")) * WORD_BYTES
            if room:
                ring.place(bytes(left[:room]))
                left = left[room:]
                ip.write("RING_TAIL", ring.tail)
            return not left

        self._until(some_placed, "room in the ring")

    def wait(self, tag: int) -> None:
        """Return when the END with ``tag`` was reached."""

        def reached() -> bool:
            return (self.accelerator.ip.read("DONE_TAG") - tag) % _TAGS < _TAGS // 2

        self._until(reached, f"tag {tag:#x}")
        if tag == self._rung:
            self._busy_s += time.monotonic() - self._since
            self._since = 0.0

    def counters(self) -> Counters:
        """What the machine has counted since it was asked last; nothing may be under way."""
        counters = self.accelerator.take_counters()
        self.accelerator.wall.add(self._busy_s, counters.total)
        self._busy_s = 0.0
        return counters

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Ask until ``condition`` holds."""
        ip, limit_s = self.accelerator.ip, self.accelerator.deadline_s
        end, polls = time.monotonic() + limit_s, 0
        while not condition():
            for listener in self.listeners:
                listener()
            errors = ip.read("ERROR")
            if errors:
                raise DeviceError(
                    f"the machine stopped at word {ip.read('ERROR_INDEX')} of the ring, {named(errors)}"
                )
            if time.monotonic() > end:
                raise DeviceTimeout(f"{what} not reached after {limit_s:g} s ({ip.last_read})")
            polls += 1
            if polls > _SPINS:
                time.sleep(_PAUSE_S)


class DeviceClock:
    """A `cpt.host.trainer.Clock` that asks the device; asked first, it forgets what was before."""

    def __init__(self, device: StepDevice) -> None:
        self._device = device
        device.counters()

    def trained(self, bits: tuple[int, int]) -> Counters:
        """Of the step that has just been done."""
        return self._device.counters()

    def evaluated(self, bits: int, images: int) -> Counters:
        """Of the evaluation that has just been done."""
        return self._device.counters()
