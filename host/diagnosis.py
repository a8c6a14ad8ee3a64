"""Sticky errors of the accelerator in words."""

from __future__ import annotations

from cpt.host.program import Program
from cpt.hw.contract import Error, Opcode
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.regs import ERROR_DOCS

_OPCODE_MASK = 0xF


def explain(program: Program, errors: int, index: int) -> str:
    """One line: which errors stopped ``program``, and at which of its instructions.

    ``errors`` is the value of ERROR, ``index`` the place of the last instruction dispatched.
    """
    named = "; ".join(f"{item.name.lower()}: {ERROR_DOCS[item]}" for item in Error if errors >> item & 1)
    return f"program {program.name} stopped at instruction {index}{_kind(program, index)}, {named}"


def _kind(program: Program, index: int) -> str:
    """What instruction ``index`` is, in brackets; nothing if the index lies outside the program."""
    if index >= len(program):
        return ""
    code = program.words[index * INSTRUCTION_BYTES] & _OPCODE_MASK
    return f" ({Opcode(code).name})" if code in list(Opcode) else f" (unknown opcode {code})"
