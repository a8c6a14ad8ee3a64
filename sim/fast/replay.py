"""Run instruction words on any backend, without a driver: what comparisons of two backends need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hw.contract import Counter, Error, register, slot_offset
from hw.contract.isa import INSTRUCTION_BYTES
from sim.backend import Backend
from sim.fast.product import Precision

WAIT_CYCLES = 200_000_000
"""Deadline of one program, in cycles."""


class ReplayError(RuntimeError):
    """The machine stopped with an error, or did not stop."""


def _read(backend: Backend, name: str) -> int:
    return backend.read_register(register(name).offset)


def _write(backend: Backend, name: str, value: int) -> None:
    backend.write_register(register(name).offset, value)


def replay(
    backend: Backend, words: bytes, slots: Mapping[int, Precision], ring_offset: int
) -> dict[Counter, int]:
    """Run ``words`` from a ring at byte ``ring_offset`` of memory; returns what every counter rose to.

    Operands are already in memory. ``ring_offset`` is a multiple of 4096. Raises `ReplayError`.
    """
    count = len(words) // INSTRUCTION_BYTES
    backend.memory[ring_offset : ring_offset + len(words)] = np.frombuffer(words, np.uint8)
    reset = 1 << register("CONTROL").field("soft_reset").offset
    clear = 1 << register("CONTROL").field("clear_counters").offset
    _write(backend, "CONTROL", reset | clear)
    _write(backend, "RING_BASE", backend.memory_base + ring_offset)
    _write(backend, "RING_LOG2", (count - 1).bit_length())
    for index, slot in slots.items():
        backend.write_register(slot_offset(index), slot.bits | slot.signed << 8)
    _write(backend, "RING_TAIL", count)
    finished = backend.wait(WAIT_CYCLES)
    errors = [error.name for error in Error if _read(backend, "ERROR") >> error & 1]
    if errors or not finished:
        raise ReplayError(f"program stopped with {', '.join(errors) or 'no end in sight'}")
    return {
        item: _read(backend, f"{item.name}_LO") | _read(backend, f"{item.name}_HI") << 32 for item in Counter
    }
