"""Amaranth layouts of everything that travels between blocks, derived from the contract.

No bit position is written here: instruction fields come from `cpt.hw.contract.isa.FORMATS`.
"""

from amaranth import signed, unsigned
from amaranth.lib import data
from amaranth.utils import bits_for

from cpt.hw.contract import FORMATS, ArrayConfig, Opcode
from cpt.hw.contract.config import ACC_BITS, BEAT_BYTES, MAX_BITS, TAPS
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.layout import result_rows as result_rows
from cpt.hw.matrix.unit import result_bits

INSTRUCTION_BITS = 8 * INSTRUCTION_BYTES
BITS_WIDTH = bits_for(MAX_BITS)
"""Width of a bits-per-code value, 1..16."""
PLANE_WIDTH = bits_for(MAX_BITS - 1)
"""Width of the number of a bit plane."""
RUN_BEATS_WIDTH = 20
"""Width of the length of a contiguous run, in beats."""

SLOT = data.StructLayout({"bits": BITS_WIDTH, "signed": 1})
"""What a precision slot holds."""

BEAT_BITS = 8 * BEAT_BYTES
"""Bits of an AXI data beat."""
ADDRESS = data.StructLayout({"addr": 32, "len": 8})
"""AXI read or write address: byte address and beats - 1."""
READ_BEAT = data.StructLayout({"data": BEAT_BITS, "resp": 2, "last": 1})
"""AXI read data."""
WRITE_BEAT = data.StructLayout({"data": BEAT_BITS, "last": 1})
"""AXI write data; every byte lane is always written."""
RUN = data.StructLayout({"addr": 32, "beats": RUN_BEATS_WIDTH})
"""A contiguous piece of memory: byte address (a multiple of 8) and number of beats, at least 1."""


def instruction_layout(opcode: Opcode) -> data.FlexibleLayout:
    """The fields of an instruction word as they lie in its 256 bits."""
    return data.FlexibleLayout(
        INSTRUCTION_BITS,
        {item.name: data.Field(unsigned(item.width), item.offset) for item in FORMATS[opcode].fields},
    )


def _widths(opcode: Opcode, *names: str) -> dict[str, int]:
    width = {item.name: item.width for item in FORMATS[opcode].fields}
    return {name: width[name] for name in names}


def load_command(config: ArrayConfig, operand: str) -> data.StructLayout:
    """A decoded LOAD: its fields, the slot's bits and the words per lane of a block."""
    opcode = {"a": Opcode.LOAD_A, "b": Opcode.LOAD_B}[operand]
    strides = ("base", "block_stride", "tile_stride", "plane_stride")
    return data.StructLayout(
        {
            "bits": BITS_WIDTH,
            **_widths(opcode, "tiles", "ksteps", "blocks", *strides),
            "block_words": bits_for(config.half_words(operand)),
        }
    )


def _half_address(config: ArrayConfig, operand: str) -> int:
    return bits_for(config.half_words(operand) - 1)


def exec_command(config: ArrayConfig) -> data.StructLayout:
    """A decoded EXEC: its fields, both slots, words of a tile of A, and from one plane of B to the next."""
    return data.StructLayout(
        {
            "a": SLOT,
            "b": SLOT,
            **_widths(Opcode.EXEC, "ksteps", "tiles", "blocks", "first", "last", "release_a", "taps"),
            "a_tile_words": bits_for(config.half_words("a")),
            "b_plane_words": _widths(Opcode.EXEC, "ksteps")["ksteps"],
        }
    )


PLANES = data.StructLayout(
    {
        "top_a": PLANE_WIDTH,
        "top_b": PLANE_WIDTH,
        **dict.fromkeys(("one_a", "one_b", "signed_a", "signed_b"), 1),
    }
)
"""Planes of an EXEC: the top ones, whether there is but one, whether the top one counts negatively."""


def tile_layout(config: ArrayConfig) -> data.StructLayout:
    """A tile on its way through EXEC: its command's place, A's word, what it begins and what it ends."""
    flags = ("takes_a", "takes_b", "block_last", "command_last")
    return data.StructLayout({"slot": 1, "a_word": _half_address(config, "a"), **dict.fromkeys(flags, 1)})


def order_layout(config: ArrayConfig) -> data.StructLayout:
    """A plane pair of a tile, or a bubble, in its order; what its first step does."""
    flags = ("clear", "double", "count", "tile_last")
    return data.StructLayout(
        {
            "tile": tile_layout(config),
            "plane_a": PLANE_WIDTH,
            "plane_b": PLANE_WIDTH,
            **dict.fromkeys(flags, 1),
        }
    )


def pair_layout(config: ArrayConfig) -> data.StructLayout:
    """A plane pair that is ready for the array, or a bubble.

    ``a_word``, ``b_word``: its first words in their halves; ``single``, ``two``: it has but so many steps;
    ``single_tile``: its only step is the last of its tile;
    ``more``: else, those beside the first two; ``takes_a``, ``takes_b``: it is the first to read a block;
    ``block_last``, ``releases_a``: its last step is the last to read one; ``fresh``: 1, until its first step
    was taken; ``first``, ``last``: of its command.
    """
    flags = (
        "clear",
        "double",
        "count",
        "subtract",
        "b_subtract",
        "single",
        "single_tile",
        "two",
        "takes_a",
        "takes_b",
        "fresh",
    )
    ends = ("tile_last", "block_last", "command_last", "releases_a", "first", "last")
    return data.StructLayout(
        {
            "a_word": _half_address(config, "a"),
            "b_word": _half_address(config, "b"),
            "more": max(_half_address(config, "a"), _half_address(config, "b")),
            "taps": TAPS,
            **dict.fromkeys((*flags, *ends), 1),
        }
    )


def drain_command() -> data.StructLayout:
    """A decoded DRAIN: its fields and the bytes per result element, 1..6."""
    fields = ("col_sums", "tiles", "blocks", "base", "block_stride", "tile_stride")
    return data.StructLayout({"bytes": bits_for(ACC_BITS // 8), **_widths(Opcode.DRAIN, *fields)})


RESULT_TILE = data.StructLayout({"bytes": bits_for(ACC_BITS // 8), "col_sums": 1})
"""What a result tile looks like in memory: bytes per element, and whether column sums follow its rows."""

COLLECT = data.StructLayout({"tile": 1, "first": 1, "last": 1})
"""What the collector does with a captured tile: which result tile, overwrite it or add, complete after it."""


def step_layout(config: ArrayConfig) -> data.StructLayout:
    """One step of the array: buffer words to multiply, what the accumulators do with them; ``fresh``: it is
    the first of its plane pair.
    """
    return data.StructLayout(
        {
            "a_addr": (config.a_depth_words - 1).bit_length(),
            "b_addr": (config.b_depth_words - 1).bit_length(),
            "clear": 1,
            "double": 1,
            "count": 1,
            "subtract": 1,
            "b_subtract": 1,
            "taps": TAPS,
            "capture": 1,
            "fresh": 1,
            "collect": COLLECT,
        }
    )


def captured_row(config: ArrayConfig) -> data.ArrayLayout:
    """One row of what the units have captured, as wide as a tile's sums can get."""
    return data.ArrayLayout(signed(result_bits(config)), config.cols)


def result_row(config: ArrayConfig) -> data.ArrayLayout:
    """One row of a result tile."""
    return data.ArrayLayout(unsigned(ACC_BITS), config.cols)
