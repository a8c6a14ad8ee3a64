"""A pynq device around a simulated machine, so that the unmodified pynq package and driver run on it.

Host buffers and device memory are separate copies: `flush` and `invalidate` move bytes between them,
and forgetting either one is as visible as with a non-coherent port of the real chip.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata

from cpt.host.contiguous import ContiguousMemory
from cpt.host.ports import CHANNELS, PORT_BYTES, PORTS
from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.handoff import PLL_FEEDBACK, REGISTER_BASE, REGISTER_BYTES, hwh
from cpt.model.scratch import Scratch
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.memory import memory_model as memory_model_named

MEMORY_BYTES = 1 << 28
"""Device memory of a simulated machine unless told otherwise; pages never touched cost nothing."""
KINDS = ("fast", "rtl")
_SLCR_BASE, _SLCR_BYTES = 0xF800_0000, 0x1000
_PLL_OFFSETS = (0x100, 0x104, 0x108)
_POISON = 0xA5
"""What fresh host buffers hold, so that nothing relies on their contents."""


class RegisterWindow:
    """The accelerator's registers as the 32-bit array that `pynq.MMIO` and `register_map` index."""

    def __init__(self, backend: Backend, first: int, words: int) -> None:
        self._backend = backend
        self._first = first
        self._words = words

    def __len__(self) -> int:
        return self._words

    def _offset(self, index: int) -> int:
        if not 0 <= index < self._words:
            raise IndexError(f"register word is {index}; allowed: 0..{self._words - 1}")
        return 4 * (self._first + index)

    def __getitem__(self, index: int | slice) -> int | RegisterWindow:
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._words)
            return RegisterWindow(self._backend, self._first + start, stop - start)
        return self._backend.read_register(self._offset(index))

    def __setitem__(self, index: int, value: int) -> None:
        self._backend.write_register(self._offset(index), int(value))

    def view(self, dtype: object = None) -> RegisterWindow:
        """Itself: words are 32 bits wide whatever pynq asks for."""
        return self


class _BufferObject:
    """Host bytes of one buffer and where its device bytes lie."""

    def __init__(self, host: NDArray[np.uint8], start: int) -> None:
        self.host = host
        self.start = start


class SimulatedMemory(ContiguousMemory):
    """The device's DRAM; every buffer has bytes of its own on the host."""

    def place(self, start: int, nbytes: int) -> dict[str, Any]:
        """Host bytes of a fresh buffer."""
        host = np.full(nbytes, _POISON, np.uint8)
        return {"bo": _BufferObject(host, start), "buffer": host}


class SimulatedDevice(Device):
    """One simulated accelerator behind a Zynq-7000, as a `pynq.Device`.

    `bitfile` names a placeholder with the handoff beside it; both vanish with `close`.
    """

    _count = 0

    def __init__(self, backend: Backend) -> None:
        SimulatedDevice._count += 1
        super().__init__(f"simulated{SimulatedDevice._count}")
        self.name = self.tag
        self.backend = backend
        self.capabilities = {"MEMORY_MAPPED": True}
        self.arch = "armv7l"  # makes pynq use the clock registers of the Zynq-7000
        self.default_memory = SimulatedMemory(self, backend.memory_base, backend.memory.size)
        self._slcr = np.zeros(_SLCR_BYTES // 4, np.uint32)
        for offset in _PLL_OFFSETS:
            self._slcr[offset // 4] = PLL_FEEDBACK << 12
        self._ports = {base: np.ones(PORT_BYTES // 4, np.uint32) for base in PORTS.values()}
        """Memory ports as a boot loader may leave them: 32 bits wide."""
        self._folder = Scratch("overlay")
        bitfile = self._folder.path / "cpt.bit"
        bitfile.write_bytes(b"")
        bitfile.with_suffix(".hwh").write_text(hwh(backend.config), encoding="utf-8")
        self.bitfile = str(bitfile)

    def mmap(self, base: int, length: int) -> RegisterWindow | NDArray[np.uint32]:
        """The 32-bit words at bus address ``base``: the accelerator's, the clocks' or a memory port's."""
        if base >= REGISTER_BASE and base + length <= REGISTER_BASE + REGISTER_BYTES:
            return RegisterWindow(self.backend, (base - REGISTER_BASE) // 4, length // 4)
        if base >= _SLCR_BASE and base + length <= _SLCR_BASE + _SLCR_BYTES:
            first = (base - _SLCR_BASE) // 4
            return self._slcr[first : first + length // 4]
        if base in self._ports and length <= PORT_BYTES:
            return self._ports[base][: length // 4]
        raise OSError(f"nothing at bus addresses {base:#x}..{base + length - 1:#x}")

    def get_memory(self, description: object) -> SimulatedMemory:
        """The only memory there is."""
        return self.default_memory

    def flush(self, bo: _BufferObject, offset: int, address: int, nbytes: int) -> None:
        """Copy host bytes to the device's memory."""
        target = self.backend.memory[bo.start + offset : bo.start + offset + nbytes]
        target[:] = bo.host[offset : offset + nbytes]

    def invalidate(self, bo: _BufferObject, offset: int, address: int, nbytes: int) -> None:
        """Copy the device's memory to the host bytes; through a narrow port half of each word is lost."""
        source = self.backend.memory[bo.start + offset : bo.start + offset + nbytes]
        arrived = np.ones(nbytes, bool)
        if any(words[at // 4] & 1 for words in self._ports.values() for at in CHANNELS.values()):
            arrived = (offset + np.arange(nbytes)) % 8 < 4
        np.copyto(bo.host[offset : offset + nbytes], source, where=arrived)

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> RuntimeMetadataParser:
        """Parse the handoff beside the bit file, as pynq does on a board."""
        return RuntimeMetadataParser(Metadata(input=Path(os.path.splitext(bitfile_name)[0] + ".hwh")))

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Nothing to configure: the machine is built; publish the metadata as pynq does."""
        self.post_download(bitstream, parser, self.name)

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Keep no cache: pynq's is one file per machine."""

    def close(self) -> None:
        """End the simulation and remove the placeholder files."""
        self.backend.close()
        self._folder.close()


def make_backend(kind: str, config: ArrayConfig, memory: str, memory_bytes: int, **options: Any) -> Backend:
    """The simulated machine called ``kind``; see `open_simulated`."""
    timing = memory_model_named(memory, config.clock_mhz)
    if kind == "fast" and config.scratch_words:
        from cpt.sim.step.backend import StepBackend

        return StepBackend(config, timing, memory_bytes, **options)
    if kind == "fast":
        from cpt.sim.fast import FastBackend

        return FastBackend(config, timing, memory_bytes, **options)
    if kind == "rtl":
        from cpt.sim.rtl import RtlBackend

        return RtlBackend(config, timing, memory_bytes, **options)
    raise ContractError(f"device is {kind!r}; allowed: {', '.join(KINDS)}")


def open_simulated(
    kind: str,
    config: ArrayConfig | str,
    memory: str = "ps-ddr",
    memory_bytes: int = MEMORY_BYTES,
    memory_base: int = MEMORY_BASE,
    **options: Any,
) -> SimulatedDevice:
    """A simulated accelerator for `cpt.host.driver.Accelerator`.

    Args:
        kind: ``"fast"`` (an exact model, numpy only) or ``"rtl"`` (compiled on first use).
        config: array shape, or the name of a preset.
        memory: name of a memory model, see `cpt.sim.memory.memory_model`.
        memory_bytes: size of the device's memory.
        memory_base: bus address of the device's memory.
        **options: passed on to the backend, for instance ``stalls`` for the RTL.

    Raises `ContractError` for an unknown name.
    """
    shape = preset(config) if isinstance(config, str) else config
    return SimulatedDevice(
        make_backend(kind, shape, memory, memory_bytes, memory_base=memory_base, **options)
    )
