"""Sticky errors of the accelerator in words."""

from __future__ import annotations

from collections.abc import Mapping

from cpt.host.program import Program
from cpt.hw.contract import Error, Opcode
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.regs import ERROR_DOCS

_OPCODE_MASK = 0xF


def explain(program: Program, errors: int, index: int, windows: Mapping[str, int] | None = None) -> str:
    """One line: which errors stopped ``program``, and at which of its instructions.

    ``errors`` is the value of ERROR, ``index`` the place of the last instruction dispatched, ``windows`` what
    the window registers hold.
    """
    return (
        f"program {program.name} stopped at instruction {index}{_kind(program, index)}, "
        f"{named(errors, windows)}"
    )


def named(errors: int, windows: Mapping[str, int] | None = None) -> str:
    """The errors of ERROR's value by name and in words."""
    found = [item for item in Error if errors >> item & 1]
    return "; ".join(f"{item.name.lower()}: {_in_words(item, windows or {})}" for item in found)


def _in_words(error: Error, windows: Mapping[str, int]) -> str:
    """What ``error`` means, with the values of the registers that it names."""
    text = ERROR_DOCS[error]
    for name, value in windows.items():
        text = text.replace(name, f"{name} = {value:#x}")
    return text


def _kind(program: Program, index: int) -> str:
    """What instruction ``index`` is, in brackets; nothing if the index lies outside the program."""
    if index >= len(program):
        return ""
    code = program.words[index * INSTRUCTION_BYTES] & _OPCODE_MASK
    return f" ({Opcode(code).name})" if code in list(Opcode) else f" (unknown opcode {code})"
