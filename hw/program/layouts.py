"""What reaches an engine: an instruction, with its address and slots worked out."""

from amaranth import Shape, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import SLOTS
from cpt.hw.contract.step import FORMATS, MARK_BITS, WORD_BYTES, Code, Engine, WordField
from cpt.hw.layouts import SLOT

WORD_BITS = 8 * WORD_BYTES

MARKS = data.ArrayLayout(unsigned(MARK_BITS), max(Engine) + 1)
"""Marks of all engines, by number; that of engine 0 is 0 and what nobody waits for."""
COMMAND = data.StructLayout({"word": WORD_BITS, "address": 32, "slot_a": SLOT, "slot_b": SLOT})
"""``word``: the instruction (see `fields`); ``address``: base register + offset; ``slot_a``: what its
``slot`` or ``slot_a`` names, ``slot_b``: what its ``slot_b`` names.
"""


def _field(item: WordField) -> data.Field:
    return data.Field(Shape(item.width, item.signed), item.offset)


def fields(code: Code) -> data.FlexibleLayout:
    """The fields of an instruction word as they lie in its 256 bits."""
    return data.FlexibleLayout(WORD_BITS, {item.name: _field(item) for item in FORMATS[code]})


def _wait(index: int) -> tuple[int, data.FlexibleLayout]:
    """Where wait ``index`` lies in every engine's instruction, and its fields."""
    prefix = f"wait{index}_"
    items = [item for item in FORMATS[Code.FLOAT] if item.name.startswith(prefix)]
    first, last = items[0], items[-1]
    size = last.offset + last.width - first.offset
    named = {
        item.name.removeprefix(prefix): data.Field(unsigned(item.width), item.offset - first.offset)
        for item in items
    }
    return first.offset, data.FlexibleLayout(size, named)


WAIT_PLACES = [_wait(index) for index in (0, 1)]
"""First bit of each wait, and its layout."""
WAIT = WAIT_PLACES[0][1]
"""``engine``, ``step``, ``first``: unit i waits until the engine's mark is at least first + i*step."""
WAITS = data.ArrayLayout(WAIT, len(WAIT_PLACES))


def slot_read() -> wiring.Signature:
    """Reads a precision slot; ``slot`` comes `Machine.slot_cycles` after ``addr``."""
    return wiring.Signature({"addr": Out(range(SLOTS)), "slot": In(SLOT)})


def waits(word) -> list:
    """Views of both waits in an engine's instruction word."""
    return [data.View(layout, word[offset : offset + layout.size]) for offset, layout in WAIT_PLACES]
