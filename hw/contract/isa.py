"""Instruction words as data: one 256-bit word per instruction, little-endian in memory.

Four engines run side by side, each from its own queue and in program order:

* ``LOAD_A`` / ``LOAD_B`` bring blocks of operand tiles into a half of the operand buffer,
* ``EXEC`` multiplies every A tile of a block with each B block,
* ``DRAIN`` writes result tiles to memory.

A *block* is what fills one buffer half: ``tiles`` tiles, each ``bits`` planes of ``ksteps``
words per lane. ``bits`` comes from the precision slot, never from the instruction, so a
program stays as it is when the precision changes.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from cpt.hw.contract.config import BEAT_BYTES, SLOTS, TAPS, require

INSTRUCTION_BYTES = 32
_SLOT_BITS = SLOTS.bit_length() - 1


class Opcode(enum.IntEnum):
    """Operation of an instruction word; 0 is illegal, so that cleared memory is caught."""

    LOAD_A = 1
    LOAD_B = 2
    EXEC = 3
    DRAIN = 4
    END = 5


@dataclass(frozen=True)
class InstructionField:
    """One bit field of an instruction word."""

    name: str
    offset: int
    width: int
    doc: str
    minimum: int
    multiple: int
    """Allowed values are multiples of it (a power of two)."""

    @property
    def maximum(self) -> int:
        """Largest value the field holds."""
        return (1 << self.width) - 1

    @property
    def allowed(self) -> str:
        """The values it may have, in words."""
        values = f"{self.minimum}..{self.maximum}"
        return values if self.multiple == 1 else f"multiples of {self.multiple} in {values}"


@dataclass(frozen=True)
class Format:
    """The fields of one kind of instruction, by ascending offset; unnamed bits are zero."""

    opcode: Opcode
    doc: str
    fields: tuple[InstructionField, ...]

    def __post_init__(self) -> None:
        end = 0
        for item in self.fields:
            require(item.offset >= end, f"{self.opcode.name}.{item.name} overlaps the field before it")
            require(
                item.width <= 32 and item.offset // 32 == (item.offset + item.width - 1) // 32,
                f"{self.opcode.name}.{item.name} crosses a 32-bit boundary",
            )
            end = item.offset + item.width
        require(end <= 8 * INSTRUCTION_BYTES, f"{self.opcode.name} is longer than an instruction")

    @property
    def reserved(self) -> int:
        """The bits of the word that no field names, as a mask."""
        named = sum(item.maximum << item.offset for item in self.fields)
        return (1 << 8 * INSTRUCTION_BYTES) - 1 - named


@dataclass(frozen=True)
class Instruction:
    """A decoded instruction: its opcode and the value of every field by name."""

    opcode: Opcode
    values: Mapping[str, int] = field(default_factory=dict)

    def __getattr__(self, name: str) -> int:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def _word(index: int, *fields: tuple[str, int, str, int]) -> list[InstructionField]:
    """Consecutive fields from bit 0 of 32-bit word ``index``."""
    placed, offset = [], 32 * index
    for name, width, doc, minimum in fields:
        address = name == "base" or name.endswith("_stride")
        placed.append(InstructionField(name, offset, width, doc, minimum, BEAT_BYTES if address else 1))
        offset += width
    return placed


_OPCODE = ("opcode", 4, "Operation.", 1)


def _load(opcode: Opcode, lanes: str) -> Format:
    return Format(
        opcode,
        f"Read ``blocks`` blocks of operand {opcode.name[-1]} ({lanes}) into alternating buffer halves. "
        "Each block waits until EXEC has released the half it overwrites. Plane ``p`` of tile ``t`` of "
        "block ``i`` is one contiguous run of ``ksteps`` groups at "
        "``base + i*block_stride + t*tile_stride + p*plane_stride``.",
        tuple(
            _word(
                0,
                _OPCODE,
                ("slot", _SLOT_BITS, "Precision slot: how many planes to read.", 0),
                ("tiles", 10, "Tiles per block.", 1),
                ("ksteps", 10, "Groups (K steps) per plane.", 1),
            )
            + _word(1, ("blocks", 16, "Blocks to read.", 1))
            + _word(2, ("base", 32, "Byte address of the first plane.", 0))
            + _word(3, ("block_stride", 32, "Bytes between blocks.", 0))
            + _word(4, ("tile_stride", 32, "Bytes between tiles of a block.", 0))
            + _word(5, ("plane_stride", 32, "Bytes between bit planes.", 0))
        ),
    )


FORMATS: dict[Opcode, Format] = {
    item.opcode: item
    for item in (
        _load(Opcode.LOAD_A, "array rows"),
        _load(Opcode.LOAD_B, "array columns"),
        Format(
            Opcode.EXEC,
            "Multiply every tile of the current A block with the next ``blocks`` B blocks (one tile each): "
            "for each B block, for each A tile, ``bits_a * bits_b * ksteps`` steps along the "
            "anti-diagonals of plane pairs, highest weight first, and a cycle more where a diagonal has only "
            "negative pairs (one per tile if both slots are signed). Waits for each block to be loaded and "
            "releases each B block after its last tile.",
            tuple(
                _word(
                    0,
                    _OPCODE,
                    ("slot_a", _SLOT_BITS, "Precision slot of operand A.", 0),
                    ("slot_b", _SLOT_BITS, "Precision slot of operand B.", 0),
                    ("ksteps", 10, "Groups (K steps) per plane.", 1),
                    (
                        "first",
                        1,
                        "Result starts from zero and no result tile is open; 0: it adds to the open one.",
                        0,
                    ),
                    ("last", 1, "Result tile is complete and goes to DRAIN; 0: it stays open.", 0),
                )
                + _word(
                    1,
                    ("tiles", 10, "A tiles per block; 1 unless ``first`` and ``last`` are both set.", 1),
                    ("release_a", 1, "Release the A block at the end.", 0),
                    (
                        "taps",
                        TAPS,
                        "Bits of a word that the column sums take: bit ``t`` is for bits ``[t*g, (t+1)*g)``, "
                        f"``g = word_bits / {TAPS}``.",
                        1,
                    ),
                )
                + _word(
                    2, ("blocks", 16, "B blocks to consume; 1 unless ``first`` and ``last`` are both set.", 1)
                )
            ),
        ),
        Format(
            Opcode.DRAIN,
            "Write ``blocks * tiles`` result tiles to memory, in the order EXEC completes them. Tile ``t`` "
            "of block ``i`` is one contiguous run at ``base + i*block_stride + t*tile_stride``: rows, then "
            "the column sums of B if asked for and ``t`` is 0. A row is ``result_bytes`` byte planes (least "
            "significant first) of one byte per column.",
            tuple(
                _word(
                    0,
                    _OPCODE,
                    ("slot_a", _SLOT_BITS, "Precision slot of operand A.", 0),
                    ("slot_b", _SLOT_BITS, "Precision slot of operand B.", 0),
                    ("k_log2", 5, "ceil(log2(K)); with the slots it gives the result width.", 0),
                    ("col_sums", 1, "Append the sums of B's columns over K to the first tile of a block.", 0),
                )
                + _word(1, ("tiles", 10, "Tiles per block.", 1))
                + _word(2, ("base", 32, "Byte address of the first tile.", 0))
                + _word(3, ("block_stride", 32, "Bytes between blocks.", 0))
                + _word(4, ("tile_stride", 32, "Bytes between tiles of a block.", 0))
                + _word(5, ("blocks", 16, "Blocks to write.", 1))
            ),
        ),
        Format(
            Opcode.END,
            "Wait until everything before it is finished and its results are in memory, then publish ``tag`` "
            "in DONE_TAG and raise the ``done`` interrupt.",
            tuple(_word(0, _OPCODE) + _word(1, ("tag", 32, "Value published in DONE_TAG.", 0))),
        ),
    )
}


def encode(opcode: Opcode, **values: int) -> bytes:
    """One instruction as 32 bytes.

    Every field except ``opcode`` must be given. Raises `ContractError` for a missing, unknown or
    out-of-range field.
    """
    form = FORMATS[opcode]
    names = {item.name for item in form.fields} - {"opcode"}
    unknown, missing = sorted(set(values) - names), sorted(names - set(values))
    require(not unknown, f"{opcode.name} has no field {', '.join(unknown)}")
    require(not missing, f"{opcode.name} needs {', '.join(missing)}")
    word = int(opcode)
    for item in form.fields[1:]:
        value = int(values[item.name])
        require(
            item.minimum <= value <= item.maximum and value % item.multiple == 0,
            f"{opcode.name}.{item.name} is {value}; allowed: {item.allowed}",
        )
        word |= value << item.offset
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def decode(word: bytes) -> Instruction:
    """The instruction in 32 bytes; raises `ContractError` for an unknown opcode or a wrong length."""
    require(
        len(word) == INSTRUCTION_BYTES,
        f"instruction has {len(word)} bytes; allowed: {INSTRUCTION_BYTES}",
    )
    value = int.from_bytes(word, "little")
    code = value & 0xF
    require(
        code in Opcode._value2member_map_,
        f"opcode is {code}; allowed: {', '.join(f'{int(o)} ({o.name})' for o in Opcode)}",
    )
    form = FORMATS[Opcode(code)]
    return Instruction(
        form.opcode,
        {item.name: value >> item.offset & item.maximum for item in form.fields if item.name != "opcode"},
    )
