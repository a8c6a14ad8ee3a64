"""Which words the machine of whole steps refuses by their bits alone: `hw.program.word_check`."""

from __future__ import annotations

from collections.abc import Mapping

from cpt.hw.contract import Error
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.passes import CHOICES, COUNTS, SLOT_KINDS
from cpt.hw.contract.step import ENGINES, FORMATS, WORD_BYTES, Code, decode

RING_CODES = (Code.SET, Code.RUN, Code.END)
"""What the ring holds, and no list."""


def refusal(word: bytes, slots: Mapping[int, int], *, listed: bool = True) -> Error | None:
    """What ``word`` is refused with, the first kind that applies; None: it goes to its engine.

    ``slots``: what the slot registers hold, 0 where none is named. ``listed``: it comes from a list, not from
    the ring. An engine may still refuse where the word leads.
    """
    number = word[0] & 0xF
    if number not in {int(code) for code in (ENGINES if listed else RING_CODES)}:
        return Error.ILLEGAL_OPCODE
    found, taken = decode(word), sum(((1 << item.width) - 1) << item.offset for item in FORMATS[Code(number)])
    if int.from_bytes(word, "little") & ~taken & (1 << 8 * WORD_BYTES) - 1:
        return Error.RESERVED_BITS
    if found.code is Code.RUN and found.offset % WORD_BYTES:
        return Error.MISALIGNED
    fields = found.values
    if not all(fields[name] for name in COUNTS.get(found.code, ())):
        return Error.ILLEGAL_OPCODE
    if any(fields[name] not in allowed for (code, name), allowed in CHOICES.items() if code is found.code):
        return Error.ILLEGAL_OPCODE
    kinds = SLOT_KINDS.get(found.code, ())
    named = ["slot", "slot_a"] if kinds is None or ("kind" in fields and fields["kind"] in kinds) else []
    named += ["slot_b"] if found.code in (Code.EXEC, Code.EXEC_DW) else []
    bits = [slots.get(fields[name], 0) & 0xFF for name in named if name in fields]
    return None if all(0 < each <= MAX_BITS for each in bits) else Error.BAD_SLOT
