"""What the dispatcher refuses an instruction for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cpt.hw.contract import FORMATS, ArrayConfig, ContractError, Error, Instruction, Opcode, decode
from cpt.hw.contract.config import ACC_BITS, MAX_BITS
from cpt.hw.contract.layout import SUM_ROWS, result_bytes
from cpt.sim.registers import Precision

_WINDOWS = {
    Opcode.LOAD_A: Error.READ_WINDOW,
    Opcode.LOAD_B: Error.READ_WINDOW,
    Opcode.DRAIN: Error.WRITE_WINDOW,
}
SLOT_FIELDS = ("slot", "slot_a", "slot_b")
"""Instruction fields that name a precision slot."""


@lru_cache(maxsize=1 << 14)
def decoded(word: bytes) -> Instruction | None:
    """The instruction in 32 bytes, or None for an unknown opcode."""
    try:
        return decode(word)
    except ContractError:
        return None


class Window(NamedTuple):
    """Byte addresses from ``base`` up to, not including, ``limit``."""

    base: int
    limit: int


@dataclass(frozen=True)
class State:
    """What an instruction is checked against, beside its own bits."""

    config: ArrayConfig
    slots: Sequence[Precision]
    read: Window
    write: Window
    open_tile: bool = False
    """A result tile waits for its last EXEC."""


def faults(word: bytes, state: State) -> list[Error]:
    """Every error that an instruction raises at dispatch, the same ones in the same order as the RTL."""
    instruction = decoded(word)
    if instruction is None:
        return [Error.ILLEGAL_OPCODE]
    found = list(_word_faults(word))
    opcode, values = instruction.opcode, instruction.values
    if opcode == Opcode.EXEC and bool(instruction.first) == state.open_tile:
        found.append(Error.ILLEGAL_EXEC)
    bits = [state.slots[value].bits for name, value in values.items() if name in SLOT_FIELDS]
    if not all(1 <= width <= MAX_BITS for width in bits):
        found.append(Error.BAD_SLOT)
    elif opcode == Opcode.DRAIN:
        if sum(bits) + instruction.k_log2 > ACC_BITS:
            found.append(Error.RESULT_WIDTH)
    elif opcode != Opcode.END and _overflows(instruction, bits, state.config):
        found.append(Error.OPERAND_OVERFLOW)
    if not found and opcode in _WINDOWS:
        window = state.read if _WINDOWS[opcode] == Error.READ_WINDOW else state.write
        if instruction.base < window.base or _reach(instruction, bits, state.config) > window.limit:
            found.append(_WINDOWS[opcode])
    return found


def check_cycles(instruction: Instruction, bits: int) -> int:
    """Cycles that the dispatcher takes longer for an instruction with addresses, see ``docs/machine.md``."""
    planes = 0 if instruction.opcode == Opcode.DRAIN else bits - 1
    return sum(number.bit_length() for number in (instruction.blocks - 1, instruction.tiles - 1, planes))


def _reach(instruction: Instruction, bits: Sequence[int], config: ArrayConfig) -> int:
    """The first byte beyond all that a good LOAD or DRAIN may touch; not reduced to 32 bits."""
    end: int = instruction.base
    end += (instruction.blocks - 1) * instruction.block_stride
    end += (instruction.tiles - 1) * instruction.tile_stride
    if instruction.opcode == Opcode.DRAIN:
        rows = config.rows + SUM_ROWS * instruction.col_sums
        return end + rows * config.cols * result_bytes(bits[0], bits[1], instruction.k_log2)
    operand = "a" if instruction.opcode == Opcode.LOAD_A else "b"
    return end + (bits[0] - 1) * instruction.plane_stride + instruction.ksteps * config.group_bytes(operand)


@lru_cache(maxsize=1 << 14)
def _word_faults(word: bytes) -> tuple[Error, ...]:
    """What is wrong with a word of a known opcode by itself."""
    instruction = decode(word)
    form, values = FORMATS[instruction.opcode], instruction.values
    fields = form.fields[1:]
    found = []
    if any(values[item.name] < item.minimum for item in fields):
        found.append(Error.ILLEGAL_OPCODE)
    if int.from_bytes(word, "little") & form.reserved:
        found.append(Error.RESERVED_BITS)
    if any(values[item.name] % item.multiple for item in fields):
        found.append(Error.MISALIGNED)
    partial = instruction.opcode == Opcode.EXEC and not (instruction.first and instruction.last)
    if partial and (instruction.tiles > 1 or instruction.blocks > 1):
        found.append(Error.ILLEGAL_EXEC)
    return tuple(found)


def _overflows(instruction: Instruction, bits: Sequence[int], config: ArrayConfig) -> bool:
    """Whether the blocks of a LOAD or EXEC are larger than half a buffer."""
    block_words = bits[0] * instruction.ksteps * instruction.tiles
    if instruction.opcode == Opcode.EXEC:
        words_b = bits[1] * instruction.ksteps
        return block_words > config.half_words("a") or words_b > config.half_words("b")
    return block_words > config.half_words("a" if instruction.opcode == Opcode.LOAD_A else "b")
