"""Instruction words: packing is exact, range-checked and leaves nothing to chance."""

import random

import pytest

from cpt.hw.contract import FORMATS, ContractError, Opcode, decode, encode
from cpt.hw.contract.isa import INSTRUCTION_BYTES

FIELDS = [(form.opcode, item) for form in FORMATS.values() for item in form.fields if item.name != "opcode"]
IDS = [f"{opcode.name}.{item.name}" for opcode, item in FIELDS]


def least(opcode):
    """Every field at its minimum."""
    return {item.name: item.minimum for item in FORMATS[opcode].fields if item.name != "opcode"}


@pytest.mark.parametrize("opcode", Opcode)
def test_any_instruction_survives_encoding_and_decoding(opcode):
    rng = random.Random(int(opcode))
    for _ in range(200):
        values = {
            item.name: rng.randrange(item.minimum, item.maximum + 1, item.multiple)
            for item in FORMATS[opcode].fields
            if item.name != "opcode"
        }
        word = encode(opcode, **values)
        assert len(word) == INSTRUCTION_BYTES
        decoded = decode(word)
        assert (decoded.opcode, dict(decoded.values)) == (opcode, values)


@pytest.mark.parametrize(("opcode", "item"), FIELDS, ids=IDS)
def test_a_field_changes_its_own_bits_and_no_others(opcode, item):
    base = least(opcode)
    low = int.from_bytes(encode(opcode, **base | {item.name: item.minimum}), "little")
    most = item.maximum // item.multiple * item.multiple
    high = int.from_bytes(encode(opcode, **base | {item.name: most}), "little")
    assert low ^ high == (item.minimum ^ most) << item.offset
    assert high >> item.offset & item.maximum == most


@pytest.mark.parametrize(("opcode", "item"), FIELDS, ids=IDS)
def test_values_out_of_range_are_refused_by_name(opcode, item):
    wrong = (1, 4, 12) if item.multiple == 8 else ()
    for value in (item.minimum - 1, item.maximum + 1, *wrong):
        message = rf"{opcode.name}.{item.name} is {value}; allowed: {item.allowed}"
        with pytest.raises(ContractError, match=message):
            encode(opcode, **least(opcode) | {item.name: value})


def test_fields_must_be_exactly_those_of_the_format():
    with pytest.raises(ContractError, match="END needs tag"):
        encode(Opcode.END)
    with pytest.raises(ContractError, match="END has no field slot"):
        encode(Opcode.END, tag=1, slot=0)


@pytest.mark.parametrize("code", sorted(set(range(16)) - set(Opcode)))
def test_unknown_opcodes_are_refused_zero_included(code):
    with pytest.raises(ContractError, match=rf"opcode is {code}; allowed: 1 \(LOAD_A\)"):
        decode(code.to_bytes(INSTRUCTION_BYTES, "little"))


def test_words_of_another_length_are_refused():
    with pytest.raises(ContractError, match="instruction has 31 bytes; allowed: 32"):
        decode(bytes(31))


@pytest.mark.parametrize("opcode", Opcode)
def test_every_bit_is_named_or_reserved(opcode):
    named = 0
    for item in FORMATS[opcode].fields:
        named |= item.maximum << item.offset
    assert named & FORMATS[opcode].reserved == 0
    assert named | FORMATS[opcode].reserved == (1 << 8 * INSTRUCTION_BYTES) - 1


def test_fields_do_not_overlap_and_stay_inside_32_bit_words():
    for form in FORMATS.values():
        taken = 0
        for item in form.fields:
            mask = item.maximum << item.offset
            assert not taken & mask
            assert item.offset // 32 == (item.offset + item.width - 1) // 32
            taken |= mask
        assert taken < 1 << 8 * INSTRUCTION_BYTES
