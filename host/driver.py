"""The accelerator through pynq.

The same calls (`Overlay`, `DefaultIP`, `MMIO`, `allocate`) drive the board and the simulated devices.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pynq
from pynq import MMIO, Clocks, DefaultIP, Overlay

from cpt.host.board import (
    INSTALLED_BITFILE,
    WallClock,
    fabric_clock_mhz,
    free_contiguous_bytes,
    reference_mhz,
)
from cpt.host.contiguous import ContiguousMemory
from cpt.host.counters import Counters
from cpt.host.diagnosis import explain
from cpt.host.errors import DeviceError, DeviceTimeout, OutOfDeviceMemory
from cpt.host.identity import identify
from cpt.host.linux import FPGA_MANAGER, LinuxDevice
from cpt.host.ports import widen
from cpt.host.program import Program
from cpt.host.ring import CommandRing
from cpt.hw.contract import ContractError, Counter, register
from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS
from cpt.hw.contract.handoff import VLNVS
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.regs import slot_offset

RING_LOG2 = 12
"""log2 of the instructions the command ring holds (128 KiB)."""
DEADLINE_S = 60.0
"""Longest a program may take unless told otherwise."""
WATCHDOG_CYCLES = 1 << 20
"""Cycles without progress after which the hardware gives up: 5 ms at 200 MHz."""
_RESET_DEADLINE_S = 5.0
_SPINS, _PAUSE_S = 200, 50e-6
"""Status reads before the poll starts to pause between them, and for how long."""
_STATUS = register("STATUS")
_BUSY = 1 << _STATUS.field("busy").offset
_HALTED = 1 << _STATUS.field("halted").offset
ROOT = Path("/")
"""Where a board's file system begins."""
_LEFT_BY_PYNQ = "loaded.xclbin"
"""What pynq 3.1 writes into the current folder while it loads."""
_PYNQ_IMAGE = "proc/device-tree/chosen/pynq_board"


class AcceleratorIP(DefaultIP):
    """The accelerator's registers by name; pynq binds it to the identities in the handoff."""

    bindto = list(VLNVS)  # noqa: RUF012 - pynq wants a list here

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__(description=description)
        self.last_read = "no register read yet"
        """Name and value of the register read last, for error messages."""

    def read(self, name: str) -> int:
        """The value of register ``name``."""
        value = int(self.mmio.read(register(name).offset))
        self.last_read = f"{name} = {value:#x}"
        return value

    def write(self, name: str, value: int) -> None:
        """Write ``value`` to register ``name``."""
        self.mmio.write(register(name).offset, int(value))  # MMIO refuses numpy integers


class Accelerator:
    """One opened accelerator; a context manager that frees everything it allocated.

    Args:
        bitfile: path of the bitstream, with its ``.hwh`` beside it.
        device: the pynq device to load it on; that of a PYNQ image by default.
        reference_mhz: reference of the processor's clocks; the handoff's by default.
        ring_log2: log2 of the instructions the command ring holds.
        deadline_s: longest a program may take, unless `run` is told otherwise.

    Raises:
        DeviceError: there is no accelerator behind the bitstream, or it does not answer.
        ContractMismatch: it was generated from another contract than this software.
    """

    def __init__(
        self,
        bitfile: str,
        device: Any = None,
        *,
        reference_mhz: float | None = None,
        ring_log2: int = RING_LOG2,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.deadline_s = deadline_s
        self._buffers: list[Any] = []
        self._slots: dict[int, tuple[int, bool]] = {}
        self._windows: dict[str, int] = {}
        """What the window registers hold."""
        self._broken = ""
        """Why nothing more is asked of this machine; empty while it answers."""
        self._tag = 0
        self.wall = WallClock()
        """Wall time and cycles of every program run."""
        self.overlay, self.ip = _load(bitfile, device)
        self.device = self.overlay.device
        widen(lambda base, nbytes: MMIO(base, nbytes, device=self.device))
        self.config = identify(self.ip, _fabric_clock_mhz(self.overlay, reference_mhz))
        self.ring = CommandRing(self.allocate((INSTRUCTION_BYTES << ring_log2,), "u1"))
        try:
            self.soft_reset()
        except BaseException:
            self._free_all()
            raise

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clock_mhz(self) -> float:
        """Fabric clock."""
        return self.config.clock_mhz

    def close(self) -> None:
        """Stop the machine if it still runs, forbid it all memory, and free every buffer allocated here."""
        try:
            if not self._broken:
                if self.ip.read("STATUS") & (_BUSY | _HALTED):
                    self.soft_reset()
                self._set_windows(dict.fromkeys(self._windows, 0))
        finally:
            self._free_all()

    def allocate(self, shape: tuple[int, ...], dtype: Any = "u1") -> Any:
        """A contiguous buffer (`pynq.PynqBuffer`), freed with the accelerator or by `free`.

        Raises `OutOfDeviceMemory` if there is no room.
        """
        self._check_whole()
        try:
            buffer = pynq.allocate(shape, dtype, target=self.device, cacheable=1)
        except (MemoryError, OSError, RuntimeError) as error:
            raise OutOfDeviceMemory(
                f"no contiguous memory for a buffer of shape {shape}: {_first_line(error)}"
            ) from error
        self._buffers.append(buffer)
        return buffer

    def free_bytes(self) -> int | None:
        """Contiguous memory that is left, in all; None where nobody says."""
        memory = getattr(self.device, "default_memory", None)
        if isinstance(memory, ContiguousMemory):
            return memory.size - memory.regions.taken_bytes
        return free_contiguous_bytes(ROOT)

    def free(self, buffer: Any) -> None:
        """Free one buffer before the accelerator is closed."""
        self._buffers = [item for item in self._buffers if item is not buffer]
        buffer.freebuffer()

    def set_slot(self, index: int, bits: int, signed: bool = False) -> None:
        """Set one precision slot; see `set_slots`."""
        self.set_slots({index: (bits, signed)})

    def set_slots(self, slots: Mapping[int, tuple[int, bool]]) -> None:
        """Set precision slots to ``(bits, signed)``; only those that change are written.

        Raises `ContractError` for a value out of range, `DeviceError` while a program runs.
        """
        changed = {index: value for index, value in slots.items() if self._slots.get(index) != value}
        for index, (bits, _) in changed.items():
            slot_offset(index)
            if not 1 <= bits <= MAX_BITS:
                raise ContractError(f"bits of slot {index} is {bits}; allowed: 1..{MAX_BITS}")
        self._check_whole()
        if changed and self.ip.read("STATUS") & _BUSY:
            raise DeviceError("precision slots set while the accelerator is busy; allowed: when idle")
        for index, (bits, signed) in changed.items():
            value = int(bits), bool(signed)
            self.ip.write(f"SLOT_{index}", register(f"SLOT_{index}").pack(bits=value[0], signed=value[1]))
            self._slots[index] = value

    def open_windows(self) -> None:
        """Let the machine, which is at rest, reach every buffer that was allocated."""
        self._set_windows(self._own_windows())

    def rewrite_slots(self) -> None:
        """Write every precision slot that was set once more, whatever the machine holds by now."""
        slots, self._slots = self._slots, {}
        self.set_slots(slots)

    def run(self, program: Program, deadline_s: float | None = None) -> Counters:
        """Run ``program`` to its end and return what the hardware counted meanwhile.

        After any failure, Ctrl-C included, the machine is reset and ready for the next program.

        Raises:
            DeviceTimeout: not finished after ``deadline_s`` (the accelerator's by default).
            DeviceError: the machine stopped with a sticky error, or an earlier failure left it unusable.
        """
        self._check_whole()
        self._tag = (self._tag + 1) & 0xFFFF_FFFF
        limit_s = self.deadline_s if deadline_s is None else deadline_s
        first = self.ring.tail
        try:
            self.open_windows()
            self._command("clear_counters")
            start = time.monotonic()
            self._feed(program, start + limit_s, limit_s)
            self._check_done(program, first)
            wall_s = time.monotonic() - start
            counters = self._counters()
            self.wall.add(wall_s, counters.total)
            return counters
        except BaseException as error:
            self._recover(error)
            raise

    def take_counters(self) -> Counters:
        """What the hardware has counted since they were taken last; the machine should be at rest."""
        counters = self._counters()
        self._command("clear_counters")
        return counters

    def soft_reset(self) -> None:
        """Stop whatever runs, start the ring afresh and write the precision slots again.

        Raises `DeviceTimeout` if the machine stays busy: then only loading the bitstream again helps, and
        every later call raises `DeviceError`.
        """
        self._check_whole()
        self._command("soft_reset")
        end = time.monotonic() + _RESET_DEADLINE_S
        while self.ip.read("STATUS") & _BUSY:
            if time.monotonic() > end:
                self._broken = f"still busy {_RESET_DEADLINE_S:g} s after a soft reset ({self.ip.last_read})"
                raise DeviceTimeout(f"{self._broken}; load the bitstream again")
        self.ip.write("ERROR", register("ERROR").mask)
        self.ip.write("RING_BASE", self.ring.buffer.device_address)  # type: ignore[attr-defined]
        self.ip.write("RING_LOG2", self.ring.log2)
        self._windows = {}
        self.open_windows()
        self.ip.write("WATCHDOG", WATCHDOG_CYCLES)
        self.ring.reset()
        self.rewrite_slots()

    def _check_whole(self) -> None:
        """Raise `DeviceError` if the machine has stopped answering; nothing is asked of it then."""
        if self._broken:
            raise DeviceError(f"the accelerator is unusable: {self._broken}; open it again")

    def _own_windows(self) -> dict[str, int]:
        """The machine may read from the first to the last buffer, and write the same, the ring aside."""
        ring = self.ring.buffer
        results = [buffer for buffer in self._buffers if buffer is not ring]
        return {
            name: value
            for window, buffers in (("READ", self._buffers), ("WRITE", results))
            for name, value in zip((f"{window}_BASE", f"{window}_LIMIT"), _span(buffers), strict=True)
        }

    def _set_windows(self, wanted: Mapping[str, int]) -> None:
        """Write the window registers that change; the machine is at rest."""
        for name, value in wanted.items():
            if self._windows.get(name) != value:
                self.ip.write(name, value)
                self._windows[name] = value

    def _free_all(self) -> None:
        while self._buffers:
            self._buffers.pop().freebuffer()

    def _command(self, name: str) -> None:
        self.ip.write("CONTROL", 1 << register("CONTROL").field(name).offset)

    def _feed(self, program: Program, end: float, limit_s: float) -> None:
        """Hand the program over, as much at a time as the ring takes, and wait until the machine rests."""
        words = memoryview(program.tagged(self._tag))
        polls = 0
        while True:
            if words:
                room = self.ring.free(self.ip.read("RING_HEAD")) * INSTRUCTION_BYTES
                if room:
                    self.ring.place(bytes(words[:room]))
                    words = words[room:]
                    self.ip.write("RING_TAIL", self.ring.tail)
            status = self.ip.read("STATUS")
            if status & _HALTED or not (words or status & _BUSY):
                return
            polls += 1
            if time.monotonic() > end:
                last = self.ip.last_read
                dispatched = len(program) - (self.ring.tail - self.ip.read("RING_HEAD")) % (1 << 32)
                raise DeviceTimeout(
                    f"program {program.name} not finished after {limit_s:g} s: register read last {last}, "
                    f"{dispatched - len(words) // INSTRUCTION_BYTES} of {len(program)} "
                    "instructions dispatched"
                )
            if polls > _SPINS:
                time.sleep(_PAUSE_S)

    def _check_done(self, program: Program, first: int) -> None:
        """Raise unless the program's own END completed without an error."""
        errors = self.ip.read("ERROR")
        if errors:
            index = (self.ip.read("ERROR_INDEX") - first) % self.ring.slots
            raise DeviceError(explain(program, errors, index, self._windows))
        done = self.ip.read("DONE_TAG")
        if done != self._tag:
            raise DeviceError(
                f"program {program.name} ended with {self.ip.last_read}; expected tag {self._tag:#x}"
            )

    def _counters(self) -> Counters:
        return Counters(
            **{
                item.name.lower(): self.ip.read(f"{item.name}_LO") | self.ip.read(f"{item.name}_HI") << 32
                for item in Counter
            }
        )

    def _recover(self, error: BaseException) -> None:
        """Reset after ``error``; a reset that fails too is added to its message, not put in its place."""
        try:
            self.soft_reset()
        except Exception as second:
            error.args = (f"{error}; {_first_line(second)}",)


def open_board(bitfile: str | None, root: Path | None = None) -> Accelerator:
    """The accelerator on this machine's own FPGA; `DeviceError` if this is no board or has no bitstream.

    A PYNQ image has pynq's own device; any other Linux needs what `cpt.host.linux` names.

    Args:
        bitfile: path of the bitstream; by default the one installed with this software.
        root: where the board's file system begins; `ROOT` by default.
    """
    root = root or ROOT
    manager = root / FPGA_MANAGER
    if not manager.exists():
        raise DeviceError(f"no board: this machine has no FPGA ({manager}); allowed devices: fast, rtl")
    bitfile = bitfile or str(INSTALLED_BITFILE)
    if not Path(bitfile).is_file():
        raise DeviceError(f"bitstream is {bitfile}; allowed: path of a .bit file with its .hwh beside it")
    device = None if (root / _PYNQ_IMAGE).exists() else LinuxDevice(root)
    return Accelerator(bitfile, device, reference_mhz=reference_mhz(root))


def _load(bitfile: str, device: Any) -> tuple[Overlay, AcceleratorIP]:
    """Load the bitstream and find the accelerator's driver in it."""
    left = Path(_LEFT_BY_PYNQ)
    known = left.exists()
    try:
        overlay = Overlay(bitfile, device=device)
        for name, entry in overlay.ip_dict.items():
            if entry["type"] in VLNVS:
                driver = overlay
                for part in name.split("/"):
                    driver = getattr(driver, part)
                return overlay, driver
    except Exception as error:  # pynq and its parsers raise anything for files that are not right
        raise DeviceError(f"bitstream {bitfile} could not be loaded: {_first_line(error)}") from error
    finally:
        if not known:
            left.unlink(missing_ok=True)
    raise DeviceError(f"bitstream {bitfile} holds no accelerator; allowed: one IP of {' or '.join(VLNVS)}")


def _span(buffers: Sequence[Any]) -> tuple[int, int]:
    """First address of the first buffer and first one behind the last, in whole beats; 0, 0 for none."""
    starts = [int(buffer.device_address) for buffer in buffers]
    ends = [start + int(buffer.nbytes) for start, buffer in zip(starts, buffers, strict=True)]
    return min(starts, default=0), -(-max(ends, default=0) // BEAT_BYTES) * BEAT_BYTES


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _fabric_clock_mhz(overlay: Overlay, reference: float | None) -> float:
    """FCLK0, given the reference of the processor's clocks if the kernel knows it."""
    processor = next(
        entry for entry in overlay.ip_dict.values() if ":processing_system7:" in entry.get("type", "")
    )
    return fabric_clock_mhz(Clocks._instance, processor["parameters"], reference)
