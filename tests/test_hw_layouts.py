"""cpt.hw.layouts: the RTL sees the same fields in an instruction as the host writes."""

from __future__ import annotations

import random

import pytest
from amaranth.lib import data

from cpt.hw.contract import FORMATS, PRESETS, Opcode, encode
from cpt.hw.layouts import INSTRUCTION_BITS, exec_command, instruction_layout, load_command, step_layout


@pytest.mark.parametrize("opcode", list(Opcode))
def test_every_field_is_where_the_host_puts_it(opcode: Opcode) -> None:
    rng = random.Random(int(opcode))
    fields = FORMATS[opcode].fields[1:]
    for _ in range(20):
        values = {i.name: rng.randint(i.minimum, i.maximum) // i.multiple * i.multiple for i in fields}
        word = data.Const(instruction_layout(opcode), int.from_bytes(encode(opcode, **values), "little"))
        assert word["opcode"] == opcode
        assert {item.name: word[item.name] for item in fields} == values


def test_an_instruction_is_one_word() -> None:
    assert {instruction_layout(opcode).size for opcode in Opcode} == {INSTRUCTION_BITS}


@pytest.mark.parametrize("name", PRESETS)
def test_commands_and_steps_hold_the_largest_block(name: str) -> None:
    config = PRESETS[name]
    for operand in ("a", "b"):
        assert 1 << load_command(config, operand).members["block_words"] > config.half_words(operand)
        assert 1 << step_layout(config).members[f"{operand}_addr"] == 2 * config.half_words(operand)
    assert 1 << exec_command(config).members["a_tile_words"] > config.half_words("a")
