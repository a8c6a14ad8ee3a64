"""The register map and the hash that ties it to a bitstream."""

import pytest

from cpt.hw.contract import (
    REGISTERS,
    ContractError,
    Counter,
    Error,
    register,
    regs,
    slot_offset,
)


def test_registers_are_aligned_unique_and_inside_the_address_space():
    offsets = [item.offset for item in REGISTERS]
    assert len(set(offsets)) == len(offsets) == len({item.name for item in REGISTERS})
    assert all(offset % 4 == 0 and 0 <= offset < 1 << regs.ADDRESS_BITS for offset in offsets)


def test_fields_fit_their_register_and_do_not_overlap():
    for item in REGISTERS:
        taken = 0
        for part in item.fields:
            mask = ((1 << part.width) - 1) << part.offset
            assert mask < 1 << 32
            assert not taken & mask
            taken |= mask
        assert item.mask == (taken or 0xFFFF_FFFF)


def test_every_error_is_a_field_and_every_counter_two_registers():
    fields = {part.name: part.offset for part in register("ERROR").fields}
    assert fields == {item.name.lower(): int(item) for item in Error}
    for item in Counter:
        assert register(f"{item.name}_HI").offset == register(f"{item.name}_LO").offset + 4


def test_slots_are_found_by_index_and_refused_beyond():
    assert slot_offset(0) == register("SLOT_0").offset
    assert slot_offset(255) == register("SLOT_255").offset
    for index in (-1, 256):
        with pytest.raises(ContractError, match=rf"slot is {index}; allowed: 0..255"):
            slot_offset(index)


def test_unknown_registers_and_fields_are_refused():
    with pytest.raises(ContractError, match="register is 'STATE'; allowed: a name from the register map"):
        register("STATE")
    with pytest.raises(KeyError, match="STATUS has no field idle"):
        register("STATUS").field("idle")
