"""The one description of the machine: array shape, instruction words, registers, layouts.

Standard library only. RTL, driver, simulators, generated documentation and the sample
hardware handoff are all derived from this package, so that no two of them can disagree.
"""

from cpt.hw.contract.config import MACHINES, PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.digest import CONTRACT_HASH
from cpt.hw.contract.isa import FORMATS, Format, Instruction, InstructionField, Opcode, decode, encode
from cpt.hw.contract.layout import OperandLayout, ResultLayout, k_log2, result_bytes
from cpt.hw.contract.machine import MACHINE, Machine
from cpt.hw.contract.regs import (
    REGISTERS,
    Counter,
    Error,
    Register,
    RegisterField,
    register,
    slot_offset,
)

__all__ = [
    "CONTRACT_HASH",
    "FORMATS",
    "MACHINE",
    "MACHINES",
    "PRESETS",
    "REGISTERS",
    "ArrayConfig",
    "ContractError",
    "Counter",
    "Error",
    "Format",
    "Instruction",
    "InstructionField",
    "Machine",
    "Opcode",
    "OperandLayout",
    "Register",
    "RegisterField",
    "ResultLayout",
    "decode",
    "encode",
    "k_log2",
    "preset",
    "register",
    "result_bytes",
    "slot_offset",
]
