"""The register file as software sees it, built from the contract's data."""

from __future__ import annotations

from dataclasses import dataclass

from cpt.hw.contract import CONTRACT_HASH, REGISTERS, ArrayConfig, Counter, register
from cpt.hw.contract.config import SLOTS
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.regs import RING_ALIGNMENT, RING_LOG2_MAX, SLOT_BASE

_BY_OFFSET = {item.offset: item for item in REGISTERS}
_MASK_32 = 0xFFFF_FFFF
_MASK_64 = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True)
class Precision:
    """What a precision slot holds."""

    bits: int
    signed: bool

    @property
    def magnitude(self) -> int:
        """Largest absolute value of a code."""
        return 1 << (self.bits - 1) if self.signed else (1 << self.bits) - 1


class RegisterFile:
    """Values of all registers by name, with the access rules of the contract.

    `read` and `write` are the bus; indexing is the machine's own side, which sees every register
    as a plain value.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self._values = {item.name: item.reset for item in REGISTERS}
        self.slots = [Precision(0, False)] * SLOTS
        """All precision slots."""
        self["CONTRACT_LO"] = CONTRACT_HASH & _MASK_32
        self["CONTRACT_HI"] = CONTRACT_HASH >> 32
        self["SHAPE"] = self._pack("SHAPE", config)
        self["DEPTH"] = self._pack("DEPTH", config)
        self["SCRATCH"] = self._pack("SCRATCH", config)

    @staticmethod
    def _pack(name: str, config: ArrayConfig) -> int:
        form = register(name)
        return form.pack(**{item.name: getattr(config, item.name) for item in form.fields})

    @staticmethod
    def _precision(fields: dict[str, int]) -> Precision:
        return Precision(fields["bits"], bool(fields["signed"]))

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __setitem__(self, name: str, value: int) -> None:
        self._values[name] = value & _MASK_32

    def read(self, offset: int) -> int:
        """What the bus reads at byte ``offset``; offsets without a register read as zero."""
        item = _BY_OFFSET.get(offset)
        if item is None or item.access == "w1s":
            return 0
        return self._values[item.name] & item.mask

    def write(self, offset: int, value: int) -> str:
        """Write from the bus; returns the name of the register, ``""`` where there is none.

        Read-only registers keep their value; ``w1c`` bits clear; ``w1s`` is left to the caller.
        """
        item = _BY_OFFSET.get(offset)
        if item is None:
            return ""
        if item.access == "rw":
            self._values[item.name] = value & item.mask
            if item.name.startswith("SLOT_"):
                self.slots[(offset - SLOT_BASE) // 4] = self._precision(item.unpack(value))
        elif item.access == "w1c":
            self._values[item.name] &= ~value & _MASK_32
        return item.name

    def name(self, offset: int) -> str:
        """Name of the register at byte ``offset``, ``""`` where there is none."""
        item = _BY_OFFSET.get(offset)
        return item.name if item else ""

    @property
    def ring_is_sound(self) -> bool:
        """Whether the ring may be read at all."""
        base, log2 = self["RING_BASE"], self["RING_LOG2"]
        inside = self["READ_BASE"] <= base and base + (INSTRUCTION_BYTES << log2) <= self["READ_LIMIT"]
        return inside and base % RING_ALIGNMENT == 0 and log2 <= RING_LOG2_MAX

    def flag(self, name: str, field: str) -> int:
        """Mask of the one-bit ``field`` of register ``name``."""
        return 1 << register(name).field(field).offset

    def counter(self, which: Counter) -> int:
        """The 64-bit performance counter ``which``."""
        return self[f"{which.name}_LO"] | self[f"{which.name}_HI"] << 32

    def add(self, which: Counter, amount: int) -> None:
        """Add to a performance counter, modulo 2**64."""
        value = (self.counter(which) + amount) & _MASK_64
        self[f"{which.name}_LO"] = value
        self[f"{which.name}_HI"] = value >> 32

    def soft_reset(self) -> None:
        """Reset what CONTROL.soft_reset resets: every register that is not kept."""
        for item in REGISTERS:
            if not item.kept:
                self._values[item.name] = item.reset

    def clear_counters(self) -> None:
        """Set all performance counters to zero."""
        for which in Counter:
            self[f"{which.name}_LO"] = 0
            self[f"{which.name}_HI"] = 0
