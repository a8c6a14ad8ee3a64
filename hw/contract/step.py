"""Instruction words of the machine that does whole training steps: eight engines, marks, loops.

docs/fabric.md describes it. One 256-bit word per instruction, little-endian in memory, as in `isa`, whose
machine this one will replace. Tensors are walked in tiles of pixels; precision comes from slots, addresses
from base registers.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cpt.hw.contract.config import CHANNEL_BITS, GROUPS_BITS, SLOTS, ContractError, require

WORD_BYTES = 32
BASES = 16
"""Base registers: an address is one of them plus an offset."""
KEYS = 2
"""Numbers for noise: of the run's seed and step, and of the micro-batch."""
SCRATCH_BANKS = 4
SUM_PARTS, SUM_WORDS = 3, 4
"""Words of scratch that hold 16 bits each of 48-bit sums of dW, the lowest first, and that they take."""
MARK_BITS = 24
"""Width of the engines' marks."""
_SLOT = SLOTS.bit_length() - 1
_BASE = BASES.bit_length() - 1


class Engine(enum.IntEnum):
    """Who executes; a wait names one, 0 names none."""

    LOAD = 1
    FETCH = 2
    EXEC = 3
    DRAIN = 4
    APPLY = 5
    BRING = 6
    STORE = 7
    FLOAT = 8


class Code(enum.IntEnum):
    """Operation of an instruction word; 0 is illegal, so that cleared memory is caught."""

    LOAD_A = 1
    LOAD_E = 2
    FETCH = 3
    FETCH_X = 4
    EXEC = 5
    EXEC_DW = 6
    DRAIN = 7
    APPLY = 8
    BRING = 9
    STORE = 10
    FLOAT = 11
    SET = 12
    RUN = 13
    END = 14


@dataclass(frozen=True)
class WordField:
    """One bit field of an instruction word."""

    name: str
    offset: int
    width: int
    doc: str
    signed: bool

    @property
    def minimum(self) -> int:
        """Smallest value it holds."""
        return -(1 << self.width - 1) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Largest value it holds."""
        return (1 << self.width - self.signed) - 1


@dataclass(frozen=True)
class Word:
    """A decoded instruction: its code and the value of every field by name."""

    code: Code
    values: Mapping[str, int] = field(default_factory=dict)

    def __getattr__(self, name: str) -> int:
        # What is asked before there are values, while a copy is made, is not one of them.
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None


def _at(index: int, *fields: tuple[str, int, str]) -> list[WordField]:
    """Consecutive fields from bit 0 of 32-bit word ``index``; a name that ends in ``-`` is signed."""
    placed, offset = [], 32 * index
    for name, width, doc in fields:
        placed.append(WordField(name.rstrip("-"), offset, width, doc, name.endswith("-")))
        offset += width
        require(offset <= 32 * (index + 1), f"{name} crosses a 32-bit boundary")
    return placed


_CODE = ("code", 4, "Operation.")
_WAITS = [
    item
    for index in (0, 1)
    for item in _at(
        6 + index,
        (f"wait{index}_engine", 4, "Engine whose mark is waited for; 0: none."),
        (f"wait{index}_step", 4, "What the mark must grow by for each further unit."),
        (f"wait{index}_first", MARK_BITS, "Mark that the first unit waits for."),
    )
]


def _memory(index: int) -> list[WordField]:
    return _at(index, ("offset", 32, "Byte address of the first piece, counted from the base register."))


_GEOMETRY = (
    ("pitch_log2", 3, "log2 of the pixels between rows of a tile."),
    ("strips", 4, "Tiles side by side in a row of the image; 1 unless it is wider than the array."),
    ("width", 6, "Pixels of a row in its last strip."),
    ("rows_last", 3, "Rows of an image's last tile, less 1."),
)

FORMATS: dict[Code, tuple[WordField, ...]] = {
    Code.LOAD_A: tuple(
        _at(
            0,
            _CODE,
            ("slot", _SLOT, "Precision slot of the weights."),
            ("tiles", 10, "Tiles of rows."),
            ("ksteps", 10, "K steps per plane."),
        )
        + _at(1, ("base", _BASE, "Base register."))
        + _memory(2)
        + _at(3, ("tile_stride", 32, "Bytes between tiles."))
        + _at(4, ("plane_stride", 32, "Bytes between planes."))
        + _WAITS
    ),
    Code.FETCH: tuple(
        _at(
            0,
            _CODE,
            ("slot", _SLOT, "Precision slot of the codes."),
            ("kernel", 1, "`Kernel`."),
            ("sampling", 2, "`Sampling`."),
            ("images", 10, "Images."),
            ("pad", 2, "Rows and columns of zeros before the image."),
        )
        + _at(
            1,
            ("base", _BASE, "Base register."),
            ("groups", GROUPS_BITS, "Groups of channels."),
            ("pitch_log2", 3, "Of the input."),
            ("out_pitch_log2", 3, "Of the output."),
            ("strips", 4, "Of the input."),
            ("out_strips", 4, "Of the output."),
            ("all_groups", GROUPS_BITS, "Groups that memory holds of a tile; 0: `groups`."),
        )
        + _memory(2)
        + _at(3, ("height", 10, "Of the input."), ("width", 10, "Of the input."))
        + _at(4, ("out_height", 10, "Of the output."), ("out_width", 10, "Of the output."))
        + _at(5, ("planes", 5, "Planes that memory keeps for a group."))
        + _WAITS
    ),
    Code.EXEC: tuple(
        _at(
            0,
            _CODE,
            ("slot_a", _SLOT, "Precision slot of the weights."),
            ("slot_b", _SLOT, "Precision slot of the windows."),
            ("ksteps", 10, "K steps per plane."),
        )
        + _at(
            1,
            ("a_tiles", 10, "Tiles of rows; the block is released at the end."),
            ("own", 1, "Each tile of rows takes one K step, its own, of windows of as many."),
        )
        + _at(2, ("tiles", 16, "Tiles of pixels."))
        + _WAITS
    ),
    Code.LOAD_E: tuple(
        _at(
            0,
            _CODE,
            ("slot", _SLOT, "Precision slot of the errors."),
            ("images", 10, "Images of the whole micro-batch."),
            ("groups", 6, "Groups of channels: tiles of rows."),
            ("pitch_log2", 3, "Of the error."),
        )
        + _at(
            1,
            ("base", _BASE, "Base register."),
            ("strips", 4, "Of the error."),
            ("planes", 5, "Planes that memory keeps for a group."),
            ("all_groups", GROUPS_BITS, "Groups that memory holds of a tile; 0: `groups`."),
        )
        + _memory(2)
        + _at(3, ("height", 10, "Of the error."), ("width", 10, "Of the error."))
        + _at(4, ("row", 10, "First row of this chunk."), ("rows", 10, "Rows of it."))
        + _at(5, ("image_group", 10, "Which word's worth of images."))
        + _WAITS
    ),
    Code.FETCH_X: tuple(
        _at(
            0,
            _CODE,
            ("slot", _SLOT, "Precision slot of the inputs."),
            ("images", 10, "Images of the whole micro-batch."),
            ("groups", GROUPS_BITS, "Groups of channels."),
            ("kernel", 1, "`Kernel`."),
            ("sampling", 2, "`Sampling`, SAME or STRIDE."),
        )
        + _at(
            1,
            ("base", _BASE, "Base register."),
            ("pitch_log2", 3, "Of the input."),
            ("out_pitch_log2", 3, "Of the error."),
            ("strips", 4, "Of the input."),
            ("pad", 2, "Rows and columns of zeros before the image."),
            ("planes", 5, "Planes that memory keeps for a group."),
            ("all_groups", GROUPS_BITS, "Groups that memory holds of a tile; 0: `groups`."),
        )
        + _memory(2)
        + _at(3, ("height", 10, "Of the input."), ("width", 10, "Of the input."))
        + _at(4, ("row", 10, "First row of the error's chunk."), ("rows", 10, "Rows of it."))
        + _at(5, ("image_group", 10, "Which word's worth of images."), ("out_strips", 4, "Of the error."))
        + _WAITS
    ),
    Code.EXEC_DW: tuple(
        _at(
            0,
            _CODE,
            ("slot_a", _SLOT, "Precision slot of the errors."),
            ("slot_b", _SLOT, "Precision slot of the inputs."),
            ("kernel", 1, "`Kernel`."),
            ("sampling", 2, "`Sampling`, SAME or STRIDE."),
        )
        + _at(
            1,
            ("a_tiles", GROUPS_BITS, "Groups of output channels."),
            (
                "groups",
                GROUPS_BITS,
                "Groups of input channels; 1: both halves of a tile take two taps of it.",
            ),
            ("rows", 10, "Rows of the chunk: K steps per plane."),
        )
        + _WAITS
    ),
    Code.DRAIN: tuple(
        _at(
            0,
            _CODE,
            ("kind", 3, "`Drain`."),
            ("slot", _SLOT, "Precision slot of the weights, for 17 - b."),
            *_GEOMETRY,
            ("first", 1, "GRADIENT: sums start from 0."),
        )
        + _at(1, ("tiles", 16, "Tiles per image."), ("a_tiles", GROUPS_BITS, "Groups of channels."))
        + _at(
            2,
            ("images", 10, "Images."),
            ("channel", CHANNEL_BITS, "First channel's coefficients and statistics."),
        )
        + _at(
            3,
            (
                "out",
                24,
                "Scratch word of the first result; GRADIENT: a multiple of 4, columns of a row side by side.",
            ),
        )
        + _at(
            4,
            ("y", 24, "Scratch word of y: INNER_ERROR, BLOCK_ERROR."),
            ("clear", 1, "Statistics start."),
            ("keeps", 1, "Statistics stay as they are."),
        )
        + _at(5, ("stream", 16, "Scratch words of g, in 256."), ("mask", 16, "Scratch words of x', in 256."))
        + _WAITS
    ),
    Code.APPLY: tuple(
        _at(
            0,
            _CODE,
            ("kind", 3, "`Apply`."),
            ("slot", _SLOT, "Precision slot of the codes."),
            *_GEOMETRY,
            ("clear", 1, "Statistics start."),
        )
        + _at(
            1,
            ("tiles", 15, "Tiles per image."),
            ("groups", GROUPS_BITS, "Groups of channels."),
            ("images", 10, "Images."),
        )
        + _at(
            2,
            ("y", 21, "Scratch word of the first operand."),
            ("channel", CHANNEL_BITS, "First channel's coefficients."),
        )
        + _at(
            3,
            ("second", 16, "Scratch words of the second operand, in 256."),
            (
                "out",
                16,
                "Scratch words of x' or g, in 256; POOL, UNPOOL: local words; ERROR: see `noise_place`.",
            ),
        )
        + _at(4, ("offset", 32, "Byte address of the codes, counted from the base register."))
        + _at(
            5,
            ("base", _BASE, "Base register."),
            ("planes", 5, "Planes that memory keeps for a group."),
            ("layer", 12, "Layer number, for noise."),
            ("channels", 11, "Channels that memory holds of a tile; those beyond have coefficients 0."),
        )
        + _WAITS
    ),
    Code.BRING: tuple(
        _at(0, _CODE, ("kind", 3, "`Bring`."), ("base", _BASE, "Base register."))
        + _at(1, ("words", 16, "Words of a run."), ("runs", 16, "Runs."))
        + _memory(2)
        + _at(3, ("stride-", 32, "Bytes between runs."))
        + _at(4, ("place", 24, "First word of scratch or local memory."))
        + _at(5, ("place_stride", 16, "Words there between runs; 0: `words`."))
        + _WAITS
    ),
    Code.STORE: tuple(
        _at(
            0,
            _CODE,
            ("kind", 3, "`Store`."),
            ("base", _BASE, "Base register."),
            ("slot", _SLOT, "PACK: precision slot of the weights."),
            ("ksteps", 10, "PACK: K steps."),
        )
        + _at(1, ("words", 16, "Words of a run."), ("runs", 16, "Runs."))
        + _memory(2)
        + _at(3, ("stride-", 32, "Bytes between runs; PACK: local words between channels, < 0: taps turned."))
        + _at(
            4,
            ("place", 24, "First word of scratch or local memory."),
            ("all_ksteps", 8, "PACK: K steps that memory keeps for a plane; 0: `ksteps`."),
        )
        + _at(
            5,
            ("place_stride", 16, "Words there between runs, 0: `words`; PACK: between taps."),
            ("row_stride", 16, "PACK: local words between rows."),
        )
        + _WAITS
    ),
    Code.FLOAT: tuple(
        _at(
            0,
            _CODE,
            ("op", 5, "`Op`."),
            ("n", 11, "Elements."),
            ("reps", 11, "Repetitions."),
        )
        + [
            item
            for index, name in enumerate(("to", "a", "b", "c"))
            for item in _at(
                1 + index,
                (f"{name}_space", 3, "`Space`."),
                (f"{name}_moves", 1, "Moves by a word per element."),
                (f"{name}", 14, "Address."),
                (f"{name}_stride", 14, "Words per repetition."),
            )
        ]
        + _at(5, ("constant", 32, "Float32 or integer, as the operation takes it."))
        + _WAITS
    ),
    Code.SET: tuple(
        _at(0, _CODE, ("kind", 1, "0: base register; 1: noise key."), ("index", 4, "Which."))
        + _at(1, ("value", 32, "Its value."))
    ),
    Code.RUN: tuple(
        _at(0, _CODE, ("base", _BASE, "Base register."), ("count", MARK_BITS, "Instructions.")) + _memory(2)
    ),
    Code.END: tuple(_at(0, _CODE) + _at(1, ("tag", 32, "Published in DONE_TAG."))),
}

ENGINES: dict[Code, Engine] = {
    Code.LOAD_A: Engine.LOAD,
    Code.LOAD_E: Engine.LOAD,
    Code.FETCH: Engine.FETCH,
    Code.FETCH_X: Engine.FETCH,
    Code.EXEC: Engine.EXEC,
    Code.EXEC_DW: Engine.EXEC,
    Code.DRAIN: Engine.DRAIN,
    Code.APPLY: Engine.APPLY,
    Code.BRING: Engine.BRING,
    Code.STORE: Engine.STORE,
    Code.FLOAT: Engine.FLOAT,
}
"""Who takes an instruction; the others are the dispatch's own."""


_FIELDS: dict[Code, dict[str, WordField]] = {
    code: {item.name: item for item in form} for code, form in FORMATS.items()
}
"""`FORMATS` by name: the host encodes words in every step."""


def encode(code: Code, **values: int) -> bytes:
    """One instruction as 32 bytes; fields that are not given are 0.

    Raises `ContractError` for an unknown field, or a value that its field does not hold.
    """
    fields = _FIELDS[code]
    if not values.keys() <= fields.keys():
        raise ContractError(f"{code.name} has no field {', '.join(sorted(set(values) - set(fields)))}")
    word = int(code)
    for name, value in values.items():
        item, number = fields[name], int(value)
        if not item.minimum <= number <= item.maximum:
            raise ContractError(f"{code.name}.{name} is {number}; allowed: {item.minimum}..{item.maximum}")
        word |= (number & (1 << item.width) - 1) << item.offset
    return word.to_bytes(WORD_BYTES, "little")


@lru_cache(1 << 16)
def decode(word: bytes) -> Word:
    """The instruction in 32 bytes; raises `ContractError` for an unknown code or a wrong length."""
    if len(word) != WORD_BYTES:
        raise ContractError(f"instruction has {len(word)} bytes; allowed: {WORD_BYTES}")
    value = int.from_bytes(word, "little")
    number = value & 0xF
    if number not in Code._value2member_map_:
        raise ContractError(f"code is {number}; allowed: 1..{max(Code)}")
    values = {}
    for item in FORMATS[Code(number)]:
        found = value >> item.offset & (1 << item.width) - 1
        values[item.name] = found - (item.signed and found >> item.width - 1) * (1 << item.width)
    del values["code"]
    return Word(Code(number), values)
