"""What the dispatcher refuses an instruction for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from hw.contract import FORMATS, ArrayConfig, ContractError, Error, Instruction, Opcode, decode
from hw.contract.config import ACC_BITS, MAX_BITS
from sim.fast.product import Precision

SLOT_FIELDS = ("slot", "slot_a", "slot_b")
"""Instruction fields that name a precision slot."""


@lru_cache(maxsize=1 << 14)
def decoded(word: bytes) -> Instruction | None:
    """The instruction in 32 bytes, or None for an unknown opcode or a count below its minimum."""
    try:
        instruction = decode(word)
    except ContractError:
        return None
    fields = FORMATS[instruction.opcode].fields[1:]
    return instruction if all(instruction.values[f.name] >= f.minimum for f in fields) else None


def faults(instruction: Instruction | None, slots: Sequence[Precision], config: ArrayConfig) -> list[Error]:
    """Every error that an instruction (None: an illegal one) raises at dispatch; empty for a good one."""
    if instruction is None:
        return [Error.ILLEGAL_OPCODE]
    opcode = instruction.opcode
    bits = [slots[value].bits for name, value in instruction.values.items() if name in SLOT_FIELDS]
    if not all(1 <= width <= MAX_BITS for width in bits):
        return [Error.BAD_SLOT]
    if opcode == Opcode.DRAIN and sum(bits) + instruction.k_log2 > ACC_BITS:
        return [Error.RESULT_WIDTH]
    if opcode == Opcode.EXEC:
        words = {"a": bits[0] * instruction.ksteps * instruction.tiles, "b": bits[1] * instruction.ksteps}
    elif opcode in (Opcode.LOAD_A, Opcode.LOAD_B):
        operand = "a" if opcode == Opcode.LOAD_A else "b"
        words = {operand: bits[0] * instruction.ksteps * instruction.tiles}
    else:
        words = {}
    if any(count > config.half_words(operand) for operand, count in words.items()):
        return [Error.OPERAND_OVERFLOW]
    return []
