"""Who answers behind a bitstream: magic, contract, shape of the array."""

from __future__ import annotations

from typing import Protocol

from cpt.host.errors import ContractMismatch, DeviceError
from cpt.hw.contract import CONTRACT_HASH, PRESETS, ArrayConfig, preset, register
from cpt.hw.contract.config import MATRIX, SHAPE_FIELDS, STEP
from cpt.hw.contract.regs import MAGIC


class Registers(Protocol):
    """Registers that can be read by name."""

    last_read: str

    def read(self, name: str) -> int:
        """The value of register ``name``."""
        ...


def identify(registers: Registers, clock_mhz: float) -> ArrayConfig:
    """The shape of the array that answers, named like the preset it equals or ``custom``.

    Raises:
        DeviceError: what answers is no accelerator.
        ContractMismatch: it was generated from another contract than this software.
    """
    if registers.read("MAGIC") != MAGIC:
        raise DeviceError(f"no accelerator answers: {registers.last_read}; expected {MAGIC:#x}")
    found = registers.read("CONTRACT_LO") | registers.read("CONTRACT_HI") << 32
    if found != CONTRACT_HASH:
        raise ContractMismatch(
            f"bitstream has contract {found:016x}, this software {CONTRACT_HASH:016x}; "
            "generate the bitstream again or install the matching software"
        )
    shape: dict[str, int] = {}
    for name in SHAPE_FIELDS:
        shape |= register(name).unpack(registers.read(name))
    array = [key for key in shape if key != "scratch_words"]
    named = [preset(name, STEP if shape["scratch_words"] else MATRIX) for name in PRESETS]
    alike = next((item for item in named if all(getattr(item, key) == shape[key] for key in array)), None)
    lanes = alike.float_lanes if alike else ArrayConfig.float_lanes
    name = alike.name if alike else "custom"
    return ArrayConfig(name, **shape, clock_mhz=clock_mhz, float_lanes=lanes)
