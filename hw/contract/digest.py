"""The hash that ties a bitstream to this description: of every fact, register, instruction and layout.

Whatever is public in `HASHED` goes in by itself, wording apart. Functions and layouts go in as what they give
for `_SAMPLES`, so a changed formula changes the hash; one without samples stops the import.
"""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from cpt.hw.contract import config, floats, isa, layout, machine, order, passes, regs, step, tiles
from cpt.hw.contract.config import ALL_TAPS, MAX_BITS, ArrayConfig, ContractError, require

HASHED: tuple[ModuleType, ...] = (config, isa, layout, machine, order, regs, tiles, floats, step, passes)
"""Modules whose public names are hashed."""
NOT_HASHED: dict[str, str] = {
    "ContractError": "what wrong values raise in software",
    "require": "what wrong values raise in software",
    "PRESETS": "a machine tells its own shape in SHAPE, DEPTH and SCRATCH",
    "preset": "a look-up in PRESETS",
    "InstructionField": "its instances are in FORMATS",
    "Format": "its instances are in FORMATS",
    "Instruction": "its instances are what decode gives",
    "Machine": "its instance is MACHINE",
    "Pair": "its instances are what plane_pairs gives",
    "Step": "its instances are what tile_steps gives",
    "RegisterField": "its instances are in REGISTERS",
    "register": "a look-up in REGISTERS",
    "WordField": "its instances are in step.FORMATS",
    "Word": "its instances are what step.decode gives",
    "ERROR_DOCS": "wording",
    "OP_DOCS": "wording",
    "COUNTER_DOCS": "wording",
}
"""Public names that are left out, and why."""

_SHAPES = (
    ArrayConfig("odd", rows=3, word_bits=45, cols=8, a_depth_words=32, b_depth_words=32),
    ArrayConfig("small", rows=8, word_bits=72, cols=16, a_depth_words=64, b_depth_words=128),
    ArrayConfig("large", rows=16, word_bits=144, cols=32, a_depth_words=1024, b_depth_words=512),
)
_WORD_BITS = (9, 18, 36, 72, 144, 288)
_WIDTHS = [(1, 1, 0), (1, 8, 1), (3, 5, 0), (8, 8, 9), (16, 16, 16)]
_SIGNED = [(3, 2, False, True), (1, 3, True, True), (2, 4, True, True), (8, 8, True, False)]
"""Bits and signs of A and B."""
_WORDS = [
    isa.encode(
        opcode,
        **{
            item.name: max(item.minimum, 0x5A5A_5A5A >> index & item.maximum & -item.multiple)
            for index, item in enumerate(form.fields[1:])
        },
    )
    for opcode, form in isa.FORMATS.items()
]
_OPERANDS = [
    layout.OperandLayout(shape, side, count, k, bits)
    for shape in _SHAPES
    for side in "ab"
    for count, k, bits in ((1, 1, 1), (33, 300, 8), (64, 1152, MAX_BITS))
]
_RESULTS = [
    layout.ResultLayout(shape, m, n, k, bits, 1 + bits // 2)
    for shape in _SHAPES
    for m, n, k, bits in ((1, 1, 1, 1), (33, 65, 300, 8), (64, 32, 1152, MAX_BITS))
]
_PICTURES = [
    tiles.Picture(config.PRESETS[name], *size)
    for name, *size in (
        ("tiny", 8, 8),
        ("tiny", 5, 21),
        ("middle", 9, 12),
        ("zc706", 32, 32),
        ("zc706", 7, 70),
        ("zc706", 9, 9),
    )
]
_STEP_WORDS = [
    step.encode(
        code,
        **{
            item.name: (0x5A5A_5A5A >> index & item.maximum) * (-1) ** item.signed
            for index, item in enumerate(fields_of)
            if item.name != "code"
        },
    )
    for code, fields_of in step.FORMATS.items()
]
_UNITS = [
    step.decode(
        step.encode(
            code,
            **{
                item.name: {"kernel": kernel, "out_height": 9, "out_width": 7}.get(item.name, 3 + place)
                for place, item in enumerate(fields_of)
                if item.maximum > len(fields_of) + 3 or item.name == "kernel"
            },
        )
    )
    for code, fields_of in step.FORMATS.items()
    for kernel in (passes.Kernel.ONE, passes.Kernel.THREE)
    if code in passes.COUNTS
]
_SAMPLES: dict[str, list[Any]] = {
    "step.encode": _STEP_WORDS,
    "step.decode": [[word.code, word.values] for word in map(step.decode, _STEP_WORDS)],
    "geometry": [passes.geometry(picture) for picture in (*_PICTURES, tiles.Picture(_SHAPES[2], 8, 8))],
    "noise_place": [passes.noise_place(5, 9)],
    "gradient_tiles": [passes.gradient_tiles(taps, groups) for taps in (1, 9) for groups in (1, 2, 5)],
    "gradient_slots": [passes.gradient_slots(taps, groups) for taps in (1, 9) for groups in (1, 2)],
    "GradientSlot": list(passes.gradient_slots(9, 5)),
    "units": [passes.units(config.PRESETS["tiny"], word) for word in _UNITS],
    "ArrayConfig": [
        [
            shape,
            [shape.tap_word(taps) for taps in (1, 0b101100110, ALL_TAPS)],
            *([shape.lanes(side), shape.half_words(side), shape.group_bytes(side)] for side in "ab"),
        ]
        for shape in _SHAPES
    ],
    "isa.encode": _WORDS,
    "isa.decode": [isa.decode(word) for word in _WORDS],
    "k_log2": [layout.k_log2(k) for k in range(1, 70)],
    "result_bytes": [layout.result_bytes(*widths) for widths in _WIDTHS],
    "result_rows": [layout.result_rows(shape) for shape in _SHAPES],
    "OperandLayout": [[item, item.place(7, 150, 3)] for item in _OPERANDS],
    "ResultLayout": [[item, item.place(21, 37, 2, 3), item.sum_place(37, 1, 4)] for item in _RESULTS],
    "count_latency_cycles": [machine.count_latency_cycles(word_bits) for word_bits in _WORD_BITS],
    "accumulate_latency_cycles": [machine.accumulate_latency_cycles(shape) for shape in _SHAPES],
    "array_latency_cycles": [machine.array_latency_cycles(shape) for shape in _SHAPES],
    "collector_latency_cycles": [machine.collector_latency_cycles(shape) for shape in _SHAPES],
    "tile_interval_cycles": [order.tile_interval_cycles(shape) for shape in _SHAPES],
    "Register": [
        [regs.register("SLOT_0").pack(bits=5, signed=1), regs.register("SHAPE").unpack(0xFFFF_FFFF)]
    ],
    "plane_pairs": [order.plane_pairs(*bits) for bits in _SIGNED],
    "bubbles": [order.bubbles(*bits) for bits in _SIGNED],
    "tile_cycles": [order.tile_cycles(*bits, 5) for bits in _SIGNED],
    "tile_steps": [list(order.tile_steps(*bits, 3)) for bits in _SIGNED],
    "step_bits": [tiles.step_bits(shape) for shape in _SHAPES],
    "Picture": [[item, item.place(4, 6), item.place(item.height - 1, item.width - 1)] for item in _PICTURES],
    "CodesLayout": [
        [item, item.place(3, 11, 4, 6, 1)]
        for item in (tiles.CodesLayout(_PICTURES[1], 13, 5), tiles.CodesLayout(_PICTURES[3], 16))
    ],
    "WindowLayout": [
        [item, item.slot_words(3), [item.in_half(bits) for bits in range(1, MAX_BITS + 1)]]
        for picture in (*_PICTURES, *(tiles.Picture(_SHAPES[2], *size) for size in ((7, 7), (8, 8), (2, 20))))
        for spread in [(2 * picture.height - 1, 2 * picture.width)]
        for shape in ((3, 1), (3, 2), (1, 1), (1, 2), (3, 1, spread), (1, 1, spread))
        for item in [tiles.WindowLayout(picture, 70, *shape)]
    ],
    "PixelLayout": [
        [item, item.row_words(3), item.slot_words(3)]
        for picture, *shape in (
            (_PICTURES[0], 1, 3),
            (_PICTURES[3], 1, 12),
            (_PICTURES[5], 2, 5),
            (_PICTURES[4], 1, 7),
            (_PICTURES[4], 2, 2),
        )
        for item in [tiles.PixelLayout(picture, *shape)]
    ],
    "slot_offset": [regs.slot_offset(index) for index in (0, 1, 100)],
}
"""What every function and layout gives, by name, with its module where two have the same."""


@lru_cache
def _names(record: type[Any]) -> list[str]:
    """Fields of a record that are no wording, and its properties."""
    own = [item.name for item in fields(record) if item.name != "doc"]
    return own + [name for name, item in vars(record).items() if isinstance(item, property)]


def _plain(value: object) -> object:
    """``value`` as JSON holds it, without its wording; records with what they derive."""
    if value is None or type(value) in (int, bool, str, float):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return [value.name, value.value]
    if isinstance(value, type) and issubclass(value, enum.Enum):
        return [_plain(member) for member in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [[name, _plain(getattr(value, name))] for name in _names(type(value))]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, bytes):
        return value.hex()
    raise ContractError(
        f"contract holds a {type(value).__name__}; allowed: numbers, strings, records, enumerations"
    )


def _is_own(module: ModuleType, value: object) -> bool:
    """Whether ``value`` belongs to ``module``, not to what it imports."""
    if isinstance(value, ModuleType):
        return False
    return not callable(value) or getattr(value, "__module__", "") == module.__name__


def _described(module: str, name: str, value: object) -> object:
    for sampled in (f"{module}.{name}", name):
        if sampled in _SAMPLES:
            return _plain(_SAMPLES[sampled])
    needs_samples = callable(value) and not (isinstance(value, type) and issubclass(value, enum.Enum))
    require(not needs_samples, f"{name} is in the contract without samples; allowed: samples or a reason")
    return _plain(value)


def description() -> list[list[Any]]:
    """Name and value of everything hardware and software must agree on."""
    return [
        [name, _described(module.__name__.rpartition(".")[2], name, value)]
        for module in HASHED
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in NOT_HASHED and _is_own(module, value)
    ]


CONTRACT_HASH: int = int.from_bytes(
    hashlib.sha256(json.dumps(description(), separators=(",", ":")).encode()).digest()[:8], "little"
)
"""64 bits that change whenever a fact, an instruction, a register or a layout does."""
