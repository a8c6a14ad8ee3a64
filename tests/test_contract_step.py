"""Instruction words of the step machine: fields hold their range, nothing overlaps, all engines wait."""

import copy
import pickle
import random

import pytest

from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.floats import OP_DOCS, Op
from cpt.hw.contract.passes import geometry
from cpt.hw.contract.step import ENGINES, FORMATS, WORD_BYTES, Code, decode, encode
from cpt.hw.contract.tiles import Picture


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


def test_a_word_may_be_copied_and_sent_to_another_process():
    word = decode(encode(Code.BRING, kind=2, words=2, runs=1))
    assert pickle.loads(pickle.dumps(word)) == copy.deepcopy(word) == word
    with pytest.raises(AttributeError, match="layer"):
        _ = word.layer


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
    ("height", "width", "expected"),
    [(32, 32, (5, 1, 32, 0)), (8, 8, (3, 1, 8, 3)), (2, 2, (3, 1, 2, 1)), (224, 224, (5, 7, 32, 0))],
)
def test_a_drain_knows_which_lanes_hold_pixels(height, width, expected):
    found = geometry(Picture(preset("zc706"), height, width))
    assert tuple(found.values()) == expected
