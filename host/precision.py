"""Precision slots as the trainer sees them: bits by slot number, written to the machine when they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cpt.hw.contract import ContractError
from cpt.hw.contract.config import MAX_BITS

FORWARD_SLOT = 0
"""Weights and activations of every layer, unless the layer is given a slot of its own."""
BACKWARD_SLOT = 1
"""Gradients of every layer."""


def check_bits(name: str, bits: int, most: int = MAX_BITS) -> int:
    """``bits``, if it is 1..``most``; raises `ContractError` naming ``name`` otherwise."""
    if not isinstance(bits, int) or not 1 <= bits <= most:
        raise ContractError(f"{name} is {bits!r} bits; allowed: 1..{most}")
    return bits


class PrecisionSlots:
    """Bits of each precision slot in use; all codes are unsigned.

    ``max_bits`` fixes, per slot, the widest codes that programs and buffers are built for. Changing the
    precision is `set`, which hands slot and bits to ``write`` (the driver's ``set_slot``).
    """

    def __init__(self, max_bits: Mapping[int, int], write: Callable[[int, int], None]) -> None:
        self.max_bits = {slot: check_bits(f"slot {slot}", bits) for slot, bits in max_bits.items()}
        self._write = write
        self._bits: dict[int, int] = {}

    def set(self, slot: int, bits: int) -> None:
        """Use ``bits`` in ``slot``; raises `ContractError` beyond the slot's ``max_bits``."""
        if slot not in self.max_bits:
            allowed = ", ".join(str(known) for known in self.max_bits)
            raise ContractError(f"slot is {slot}; allowed: {allowed}")
        check_bits(f"slot {slot}", bits, self.max_bits[slot])
        self._write(slot, bits)
        self._bits[slot] = bits

    def __getitem__(self, slot: int) -> int:
        """Bits in use."""
        return self._bits[slot]

    def as_dict(self) -> dict[int, int]:
        """Bits in use, by slot."""
        return dict(self._bits)
