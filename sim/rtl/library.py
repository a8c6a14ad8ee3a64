"""ctypes wrapper of the compiled accelerator: one `Simulation` per simulated machine."""

from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cpt.host.errors import DeviceError
from cpt.sim.faults import Faults
from cpt.sim.memory import MemoryModel, Stalls, WriteOrder


class RtlError(DeviceError):
    """The RTL broke a bus rule, answered an access with an error or did not answer; one line."""


class EventKind(enum.IntEnum):
    """What a `BusEvent` records; the values are those of the harness."""

    REGISTER_WRITE = 0
    READ_BURST = 1
    WRITE_BURST = 2
    ARRIVED = 3
    """An instruction is pushed into an engine's queue."""
    TAKEN = 4
    """An engine takes one out of it."""
    MARK = 5
    """An engine's mark shows a unit more."""
    CALLED = 6
    """A list begins, and marks are cleared."""


@dataclass(frozen=True)
class BusEvent:
    """One entry of the transaction trace."""

    cycle: int
    kind: EventKind
    port: int
    """0 for m0 and the registers, 1 for m1; number of the engine."""
    address: int
    """Bus address of a burst, byte offset of a register."""
    value: int
    """Beats of a burst, value written to a register, the mark."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("cycle", ctypes.c_uint64),
        ("kind", ctypes.c_uint32),
        ("port", ctypes.c_uint32),
        ("address", ctypes.c_uint32),
        ("value", ctypes.c_uint32),
    )


_HANDLE = ctypes.c_void_p
_ALL = (1 << 64) - 1
_SIGNATURES = {
    "cpt_create": (
        _HANDLE,
        [
            ctypes.c_void_p,
            ctypes.c_uint64,
            ctypes.c_uint64,
            ctypes.POINTER(ctypes.c_int64),
            ctypes.c_double,
            ctypes.c_uint64,
            ctypes.c_uint32,
            ctypes.c_int,
        ],
    ),
    "cpt_destroy": (None, [_HANDLE]),
    "cpt_error": (ctypes.c_char_p, [_HANDLE]),
    "cpt_write": (ctypes.c_int, [_HANDLE, ctypes.c_uint32, ctypes.c_uint32]),
    "cpt_read": (ctypes.c_int, [_HANDLE, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]),
    "cpt_wait": (ctypes.c_int, [_HANDLE, ctypes.c_uint64, *[ctypes.c_uint32] * 3]),
    "cpt_run": (ctypes.c_int, [_HANDLE, ctypes.c_uint64]),
    "cpt_cycle": (ctypes.c_uint64, [_HANDLE]),
    "cpt_irq": (ctypes.c_int, [_HANDLE]),
    "cpt_open_bursts": (ctypes.c_uint64, [_HANDLE]),
    "cpt_clear_faults": (None, [_HANDLE]),
    "cpt_add_fault": (
        None,
        [_HANDLE, ctypes.c_uint32, *[ctypes.c_uint64] * 6, ctypes.c_uint32, ctypes.c_uint64],
    ),
    "cpt_trace": (None, [_HANDLE, ctypes.c_int]),
    "cpt_observe": (None, [_HANDLE, ctypes.c_int]),
    "cpt_take_events": (ctypes.c_uint64, [_HANDLE, ctypes.POINTER(_Event), ctypes.c_uint64]),
}


class Simulation:
    """A compiled accelerator wired to ``memory`` (uint8, contiguous), which starts at ``memory_base``."""

    def __init__(
        self,
        library: Path,
        memory: NDArray[np.uint8],
        memory_base: int,
        model: MemoryModel,
        stalls: Stalls,
        write_order: WriteOrder = WriteOrder.ADDRESS,
    ) -> None:
        self._calls = ctypes.CDLL(str(library))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._calls, name)
            function.restype, function.argtypes = result, arguments
        self._memory = memory  # keeps the bytes alive as long as the pointer is used
        numbers = (ctypes.c_int64 * 5)(
            model.read_latency_cycles,
            model.write_latency_cycles,
            model.slots_num,
            model.slots_den,
            model.max_outstanding,
        )
        self._handle = self._calls.cpt_create(
            memory.ctypes.data,
            memory_base,
            memory.nbytes,
            numbers,
            stalls.probability,
            stalls.seed,
            stalls.longest_cycles,
            write_order,
        )

    def close(self) -> None:
        """Free the simulation; may be called twice."""
        if self._handle is not None:
            self._calls.cpt_destroy(self._handle)
            self._handle = None

    def write(self, offset: int, value: int) -> None:
        """Write one register; raises `RtlError` on an error response."""
        status = self._checked(self._calls.cpt_write(self._handle, offset, value))
        if status:
            raise RtlError(f"write of 0x{offset:03x} was answered with response {status}; allowed: 0 (OKAY)")

    def read(self, offset: int) -> int:
        """Read one register; raises `RtlError` on an error response."""
        value = ctypes.c_uint32()
        status = self._checked(self._calls.cpt_read(self._handle, offset, ctypes.byref(value)))
        if status:
            raise RtlError(f"read of 0x{offset:03x} was answered with response {status}; allowed: 0 (OKAY)")
        return value.value

    def wait(self, max_cycles: int, offset: int, busy: int, halted: int) -> bool:
        """Poll register ``offset`` until no ``busy`` bit or any ``halted`` bit is set.

        False if that did not happen within ``max_cycles``.
        """
        return bool(self._checked(self._calls.cpt_wait(self._handle, max_cycles, offset, busy, halted)))

    def run(self, cycles: int) -> None:
        """Let ``cycles`` clock cycles pass."""
        self._checked(self._calls.cpt_run(self._handle, cycles))

    @property
    def cycle(self) -> int:
        """Clock cycles since creation."""
        return int(self._calls.cpt_cycle(self._handle))

    @property
    def irq(self) -> bool:
        """Level of the interrupt line."""
        return bool(self._calls.cpt_irq(self._handle))

    @property
    def open_bursts(self) -> int:
        """Bursts whose data or response is still owed."""
        return int(self._calls.cpt_open_bursts(self._handle))

    def set_faults(self, faults: Faults) -> None:
        """Replace what the memory does wrong; beats are numbered anew."""
        self._calls.cpt_clear_faults(self._handle)
        for refusal in faults.refusals:
            channels = sum(1 << channel for channel in set(refusal.channels))
            count = _ALL if refusal.count is None else refusal.count
            beats = (channels, refusal.start, refusal.end, refusal.first, count)
            self._add_fault(*beats, refusal.threshold, refusal.seed & _ALL, refusal.response, 0)
        for flip in faults.flips:
            beats = (1 << flip.channel, flip.start, flip.end, flip.beat, 1)
            self._add_fault(*beats, _ALL, 0, 0, 1 << flip.bit)

    def _add_fault(self, *numbers: int) -> None:
        self._calls.cpt_add_fault(self._handle, *numbers)

    def trace(self, on: bool) -> None:
        """Start or stop recording bus events."""
        self._calls.cpt_trace(self._handle, int(on))

    def observe(self, on: bool) -> None:
        """Start or stop recording what the engines of a step machine do; of others nothing is recorded."""
        self._calls.cpt_observe(self._handle, int(on))

    def take_events(self) -> list[BusEvent]:
        """The events recorded since the last call, oldest first."""
        count = self._calls.cpt_take_events(self._handle, None, 0)
        room = (_Event * count)()
        self._calls.cpt_take_events(self._handle, room, count)
        return [BusEvent(e.cycle, EventKind(e.kind), e.port, e.address, e.value) for e in room]

    def _checked(self, status: int) -> int:
        if status < 0:
            raise RtlError(self._calls.cpt_error(self._handle).decode())
        return status
