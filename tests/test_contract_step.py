"""Instruction words of the step machine: fields hold their range, nothing overlaps, all engines wait."""

import random

import pytest

from cpt.hw.contract import ContractError
from cpt.hw.contract.step import (
    ENGINES,
    FORMATS,
    OP_DOCS,
    WORD_BYTES,
    Code,
    Op,
    Shape,
    decode,
    encode,
    pitch,
    plane_bytes,
)


@pytest.mark.parametrize("code", Code)
def test_a_word_gives_back_every_field(code):
    draw = random.Random(int(code))
    for _ in range(50):
        fields = [item for item in FORMATS[code] if item.name != "code"]
        values = {
            item.name: draw.choice([item.minimum, item.maximum, draw.randint(item.minimum, item.maximum)])
            for item in fields
        }
        word = encode(code, **values)
        assert len(word) == WORD_BYTES
        assert decode(word).values == values


@pytest.mark.parametrize("code", Code)
def test_no_two_fields_share_a_bit(code):
    taken = 0
    for item in FORMATS[code]:
        mask = (1 << item.width) - 1 << item.offset
        assert not taken & mask, item.name
        assert item.offset // 32 == (item.offset + item.width - 1) // 32, item.name
        taken |= mask
    assert taken < 1 << 8 * WORD_BYTES


def test_whatever_an_engine_executes_can_wait_for_two_marks():
    for code in ENGINES:
        assert {"wait0_first", "wait1_first"} <= {item.name for item in FORMATS[code]}


def test_every_operation_says_what_it_does():
    assert set(OP_DOCS) == set(Op)


def test_what_a_field_does_not_hold_is_refused_by_name_and_range():
    with pytest.raises(ContractError, match=r"FLOAT\.n is 2048; allowed: 0\.\.2047"):
        encode(Code.FLOAT, n=2048)
    with pytest.raises(ContractError, match="END has no field base"):
        encode(Code.END, base=1)
    with pytest.raises(ContractError, match="code is 0"):
        decode(bytes(WORD_BYTES))


@pytest.mark.parametrize(
    ("height", "width", "columns", "expected"),
    [
        (32, 32, 32, (32, 1, 1, 32)),
        (8, 8, 32, (8, 1, 4, 2)),
        (2, 2, 32, (8, 1, 4, 1)),
        (7, 7, 16, (8, 1, 2, 4)),
        (224, 224, 32, (32, 7, 1, 1568)),
        (8, 8, 8, (8, 1, 1, 8)),
    ],
)
def test_images_lie_in_tiles(height, width, columns, expected):
    shape = Shape(height, width, columns)
    assert (shape.pitch, shape.strips, shape.tile_rows, shape.tiles) == expected
    assert shape.strips * columns >= width
    assert 1 <= shape.geometry["width"] <= shape.pitch


def test_pitches_and_planes_are_whole():
    assert [pitch(width, 32) for width in (1, 8, 9, 16, 17, 33)] == [8, 8, 16, 16, 32, 32]
    assert [plane_bytes(2 * group, group) for group in (4, 8, 16)] == [8, 16, 64]
