"""What the dispatcher refuses an instruction for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from hw.contract import FORMATS, ArrayConfig, ContractError, Error, Instruction, Opcode, decode
from hw.contract.config import ACC_BITS, MAX_BITS
from sim.fast.product import Precision

_UNSET_BITS = 32
"""What the dispatcher multiplies with for a slot of 0 bits; the slot is refused anyway."""


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
    if opcode == Opcode.END:
        return []
    overflow = False
    if opcode in (Opcode.LOAD_A, Opcode.LOAD_B):
        used = [slots[instruction.slot].bits]
        half = config.half_words("a" if opcode == Opcode.LOAD_A else "b")
        overflow = (used[0] or _UNSET_BITS) * instruction.ksteps * instruction.tiles > half
    else:
        used = [slots[instruction.slot_a].bits, slots[instruction.slot_b].bits]
    if opcode == Opcode.EXEC:
        words_a, words_b = ((bits or _UNSET_BITS) * instruction.ksteps for bits in used)
        words_a *= instruction.tiles
        overflow = words_a > config.half_words("a") or words_b > config.half_words("b")
    found = []
    if not all(1 <= bits <= MAX_BITS for bits in used):
        found.append(Error.BAD_SLOT)
    if overflow:
        found.append(Error.OPERAND_OVERFLOW)
    if opcode == Opcode.DRAIN and sum(used) + instruction.k_log2 > ACC_BITS:
        found.append(Error.RESULT_WIDTH)
    return found
