"""A Zynq-7000 under any Linux, as a pynq device: FPGA manager, u-dma-buf and /dev/mem, no PYNQ image.

Sources: attributes ``firmware`` and ``flags`` of the FPGA manager in Xilinx's kernels; the Readme of
u-dma-buf (github.com/ikwzm/udmabuf) for its sync attributes, which take offset, size and direction in one
word; the kernel's drivers/clk/zynq/clkc.c for the gate of FCLK0.
"""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynq import Device
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.embedded_device import bit2bin
from pynqmetadata.frontends import Metadata

from cpt.host.caches import lines
from cpt.host.contiguous import ContiguousMemory
from cpt.host.errors import DeviceError

FPGA_MANAGER = "sys/class/fpga_manager/fpga0"
FIRMWARE = "lib/firmware"
"""Where the kernel looks for files that it is told by name."""
BUFFER = "udmabuf0"
"""The one u-dma-buf that all buffers lie in."""
FCLK0_GATE = 0xF800_0178
"""Register whose bit 0 stops FCLK0; kernels stop the clocks that no driver uses."""
TO_DEVICE, FROM_DEVICE = 1, 2


class DmaMemory(ContiguousMemory):
    """One u-dma-buf; raises `DeviceError` if it is missing or may not be opened."""

    def __init__(self, device: LinuxDevice) -> None:
        self.attributes = device.root / "sys/class/u-dma-buf" / BUFFER
        if not self.attributes.exists():
            raise DeviceError(
                f"no contiguous memory: {self.attributes} is missing; allowed: a PYNQ image, "
                f"or the module u-dma-buf loaded with {BUFFER}=134217728"
            )
        super().__init__(device, self._number("phys_addr"), self._number("size"))
        self._files: dict[str, int] = {}
        """Attributes that are written dozens of times a step, and so stay open."""
        self._bytes = _map(device.root / "dev" / BUFFER, 0, self.size)

    def _number(self, name: str) -> int:
        return int((self.attributes / name).read_text(), 0)

    def _opened(self, attribute: str) -> int:
        file = os.open(self.attributes / attribute, os.O_WRONLY)
        weakref.finalize(self, os.close, file)
        return file

    def place(self, start: int, nbytes: int) -> dict[str, Any]:
        """The bytes the accelerator sees, through the processor's caches.

        What an earlier buffer left in the caches is written back now: later it would overwrite results.
        """
        self.sync("sync_for_device", TO_DEVICE, start, nbytes)
        return {"bo": start, "buffer": self._bytes, "offset": start}

    def sync(self, attribute: str, direction: int, start: int, nbytes: int) -> None:
        """Write cache lines back (``sync_for_device``) or drop them (``sync_for_cpu``)."""
        first, size = lines(start, nbytes)
        word = b"0x%08X%08X" % (first, size | direction << 2 | 1)
        try:
            if attribute not in self._files:
                self._files[attribute] = self._opened(attribute)
            os.pwrite(self._files[attribute], word, 0)
        except OSError as error:
            raise DeviceError(f"{self.attributes / attribute} cannot be written: {_reason(error)}") from None


class LinuxDevice(Device):
    """This machine's FPGA, for `cpt.host.driver.Accelerator`; ``root`` is where its file system begins."""

    def __init__(self, root: Path) -> None:
        super().__init__("linux")
        self.name = self.tag
        self.capabilities = {"MEMORY_MAPPED": True}
        self.arch = "armv7l"  # makes pynq use the clock registers of the Zynq-7000
        self.root = root
        self.default_memory = DmaMemory(self)

    def mmap(self, base: int, length: int) -> NDArray[np.uint32]:
        """The 32-bit words at bus address ``base``."""
        skipped = base % mmap.PAGESIZE
        mapped = _map(self.root / "dev/mem", base - skipped, skipped + length, os.O_SYNC)
        return np.frombuffer(mapped, np.uint32, length // 4, skipped)

    def flush(self, bo: int, offset: int, address: int, nbytes: int) -> None:
        """Make what the processor wrote visible to the accelerator."""
        self.default_memory.sync("sync_for_device", TO_DEVICE, bo + offset, nbytes)

    def invalidate(self, bo: int, offset: int, address: int, nbytes: int) -> None:
        """Make what the accelerator wrote visible to the processor."""
        self.default_memory.sync("sync_for_cpu", FROM_DEVICE, bo + offset, nbytes)

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> RuntimeMetadataParser:
        """Parse the handoff beside the bit file."""
        return RuntimeMetadataParser(Metadata(input=Path(bitfile_name).with_suffix(".hwh")))

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Configure the FPGA from a byte-swapped copy of the bit file, and let its clock run."""
        manager = self.root / FPGA_MANAGER
        if not (manager / "firmware").exists():
            raise DeviceError(f"{manager / 'firmware'} is missing; allowed: a kernel from Xilinx's sources")
        bitfile = Path(bitstream.bitfile_name)
        try:
            content = bit2bin(bitfile.read_bytes())
        except Exception:  # pynq's parser raises anything
            raise DeviceError("it is no bit file as Vivado writes them") from None
        copy = self.root / FIRMWARE / f"{bitfile.stem}.bin"
        copy.parent.mkdir(parents=True, exist_ok=True)
        _write(copy, content)
        _write(manager / "flags", b"0")
        _write(manager / "firmware", copy.name.encode())
        state = (manager / "state").read_text().strip()
        if state != "operating":
            raise DeviceError(f"the FPGA manager's state is {state!r} after loading; expected 'operating'")
        self.mmap(FCLK0_GATE, 4)[0] = 0
        self.post_download(bitstream, parser, self.name)

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Keep no cache: pynq's serves its own device."""


def _map(path: Path, offset: int, nbytes: int, flags: int = 0) -> mmap.mmap:
    try:
        file = os.open(path, os.O_RDWR | flags)
        try:
            return mmap.mmap(file, nbytes, offset=offset)
        finally:
            os.close(file)
    except OSError as error:
        raise DeviceError(f"{path} cannot be mapped: {_reason(error)}") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DeviceError(f"{path} cannot be written: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return f"{error.strerror}{'; run as root' if isinstance(error, PermissionError) else ''}"
