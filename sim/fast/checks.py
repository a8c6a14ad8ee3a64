"""What the dispatcher refuses an instruction for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cpt.hw.contract import FORMATS, ArrayConfig, ContractError, Error, Instruction, Opcode, decode
from cpt.hw.contract.config import ACC_BITS, MAX_BITS
from cpt.sim.fast.product import Precision

SLOT_FIELDS = ("slot", "slot_a", "slot_b")
"""Instruction fields that name a precision slot."""


@lru_cache(maxsize=1 << 14)
def decoded(word: bytes) -> Instruction | None:
    """The instruction in 32 bytes, or None for an unknown opcode."""
    try:
        return decode(word)
    except ContractError:
        return None


def faults(instruction: Instruction | None, slots: Sequence[Precision], config: ArrayConfig) -> list[Error]:
    """Every error that an instruction (None: an unknown one) raises at dispatch; empty for a good one."""
    if instruction is None:
        return [Error.ILLEGAL_OPCODE]
    opcode, values = instruction.opcode, instruction.values
    found = []
    if any(values[item.name] < item.minimum for item in FORMATS[opcode].fields[1:]):
        found.append(Error.ILLEGAL_OPCODE)
    bits = [slots[value].bits for name, value in values.items() if name in SLOT_FIELDS]
    if not all(1 <= width <= MAX_BITS for width in bits):
        found.append(Error.BAD_SLOT)
    elif opcode == Opcode.DRAIN:
        if sum(bits) + instruction.k_log2 > ACC_BITS:
            found.append(Error.RESULT_WIDTH)
    elif opcode != Opcode.END and _overflows(instruction, bits, config):
        found.append(Error.OPERAND_OVERFLOW)
    return found


def _overflows(instruction: Instruction, bits: Sequence[int], config: ArrayConfig) -> bool:
    """Whether the blocks of a LOAD or EXEC are larger than half a buffer."""
    block_words = bits[0] * instruction.ksteps * instruction.tiles
    if instruction.opcode == Opcode.EXEC:
        words_b = bits[1] * instruction.ksteps
        return block_words > config.half_words("a") or words_b > config.half_words("b")
    return block_words > config.half_words("a" if instruction.opcode == Opcode.LOAD_A else "b")
