"""Array shapes and memory layouts: what is allowed, and what follows from a shape."""

import dataclasses
import random

import pytest

from cpt.hw.contract import (
    PRESETS,
    ArrayConfig,
    ContractError,
    OperandLayout,
    ResultLayout,
    k_log2,
    preset,
    register,
    result_bytes,
)
from cpt.hw.contract.config import OF_STEPS

GOOD = {"name": "any", "rows": 4, "word_bits": 36, "cols": 8, "a_depth_words": 256, "b_depth_words": 256}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "rows is 0; allowed: a positive integer"),
        ({"cols": 8.0}, "cols is 8.0; allowed: a positive integer"),
        ({"word_bits": 44}, "word_bits is 44; allowed: multiples of 9"),
        ({"cols": 12}, "cols is 12; allowed: multiples of 8"),
        ({"rows": 256}, "rows is 256; allowed: at most 255, 8 bits of register SHAPE"),
        ({"cols": 256}, "cols is 256; allowed: at most 255, 8 bits of register SHAPE"),
        ({"word_bits": 9 << 13}, "word_bits is 73728; allowed: at most 65535, 16 bits of register SHAPE"),
        ({"a_depth_words": 100}, "a_depth_words is 100; allowed: powers of two from 32 to 1024"),
        ({"b_depth_words": 2048}, "b_depth_words is 2048; allowed: powers of two"),
        (
            {"a_depth_words": 1 << 16},
            "a_depth_words is 65536; allowed: at most 65535, 16 bits of register DEPTH",
        ),
        ({"clock_mhz": 0}, "clock_mhz is 0; allowed: above 0"),
        ({"scratch_words": -4}, "scratch_words is -4; allowed: a positive integer or 0"),
        ({"scratch_words": 5000}, "scratch_words is 5000; allowed: 0 and powers of two"),
        *(
            (
                {"scratch_words": 8192, "word_bits": bits},
                f"word_bits is {bits}; allowed with scratch: 9 times a power of two, at least 36",
            )
            for bits in (18, 45)
        ),
    ],
)
def test_shapes_that_cannot_be_built_are_refused_in_one_line(change, message):
    ArrayConfig(**GOOD)
    with pytest.raises(ContractError, match=message) as caught:
        ArrayConfig(**GOOD | change)
    assert "\n" not in str(caught.value)


def test_presets_carry_their_own_names():
    assert {name: preset(name) for name in PRESETS} == PRESETS
    assert all(item.name == name for name, item in PRESETS.items())
    assert preset("zc706").binary_macs == 73_728
    with pytest.raises(ContractError, match="preset is 'zc702'; allowed: zc706, z7020, middle, tiny"):
        preset("zc702")


def test_every_preset_is_also_a_machine_of_whole_steps():
    for name, matrix in PRESETS.items():
        step = preset(name, "step")
        assert step.scratch_words > matrix.scratch_words == 0
        changed = {
            field for field, value in dataclasses.asdict(step).items() if value != getattr(matrix, field)
        }
        assert changed == OF_STEPS[name].keys()
        assert step.as_dict().keys() - matrix.as_dict().keys() == {"scratch_words"}
    with pytest.raises(ContractError, match="machine is 'steps'; allowed: matrix, step"):
        preset("tiny", "steps")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("tiny").rows = 8


@pytest.mark.parametrize(("k", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (258, 9), (1 << 17, 17)])
def test_a_sum_of_k_products_grows_by_the_bits_of_k(k, bits):
    assert k_log2(k) == bits


@pytest.mark.parametrize("signed", [False, True])
def test_the_result_width_holds_the_extreme_sums(signed):
    """Both operands at the value of largest magnitude, K times; signed codes may both be lowest."""
    rng = random.Random(signed)
    for _ in range(500):
        bits_a, bits_b, k = rng.randint(1, 16), rng.randint(1, 16), rng.randint(1, 1 << 16)
        width = 8 * result_bytes(bits_a, bits_b, k_log2(k))
        if signed:
            least, most = -(1 << width - 1), (1 << width - 1) - 1
            extremes = [
                k * a * b
                for a in (-(1 << bits_a - 1), (1 << bits_a) - 1)
                for b in (-(1 << bits_b - 1), (1 << bits_b) - 1)
                if a < 0 or b < 0
            ]
            assert all(least <= item <= most for item in extremes)
        else:
            assert k * ((1 << bits_a) - 1) * ((1 << bits_b) - 1) < 1 << width


def test_results_wider_than_the_accumulator_are_refused():
    assert result_bytes(16, 16, 16) == 6
    with pytest.raises(ContractError, match="result needs 49 bits; allowed: at most 48"):
        result_bytes(16, 16, 17)


def test_every_number_of_the_shape_registers_is_refused_where_its_field_cannot_hold_it():
    for name in ("SHAPE", "DEPTH", "SCRATCH"):
        for part in register(name).fields:
            with pytest.raises(ContractError, match=f"{part.name} is {1 << part.width}; allowed: at most"):
                ArrayConfig(**GOOD | {part.name: 1 << part.width})


def test_a_k_step_takes_whole_beats_of_memory():
    assert [preset("tiny").group_bytes(operand) for operand in "ab"] == [24, 40]
    assert [preset("zc706").group_bytes(operand) for operand in "ab"] == [288, 576]


def test_a_tap_is_a_ninth_of_the_word():
    tiny = preset("tiny")
    assert tiny.tap_word(511) == (1 << 36) - 1
    assert tiny.tap_word(0b100000101) == 0xF_0000_0F0F
    assert preset("zc706").tap_word(0b10) == 0xFFFF_0000


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_address_the_hardware_forms_is_a_multiple_of_8(name):
    rng = random.Random(name)
    config = preset(name)
    for _ in range(200):
        m, n, k = rng.randint(1, 200), rng.randint(1, 200), rng.randint(1, 3000)
        max_bits = rng.randint(1, 16)
        for operand, count in (("a", m), ("b", n)):
            layout = OperandLayout(config, operand, count, k, max_bits)
            strides = (layout.group_bytes, layout.plane_stride, layout.tile_stride)
            assert not any(item % 8 for item in strides)
            assert layout.nbytes == layout.tiles * max_bits * layout.ksteps * layout.group_bytes
            assert layout.tiles * layout.lanes >= count > (layout.tiles - 1) * layout.lanes
            assert layout.ksteps * config.word_bits >= k > (layout.ksteps - 1) * config.word_bits
        result = ResultLayout(config, m, n, k, max_bits, max_bits)
        assert result.tile_stride % 8 == 0
        assert result.nbytes == result.row_tiles * result.col_tiles * result.tile_stride


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operand": "c"}, "operand is 'c'; allowed: a, b"),
        ({"count": 0}, "operand rows are 0; allowed: at least 1"),
        ({"k": 0}, "K is 0; allowed: at least 1"),
        ({"max_bits": 0}, "max_bits is 0; allowed: 1..16"),
        ({"max_bits": 17}, "max_bits is 17; allowed: 1..16"),
    ],
)
def test_layouts_of_nothing_are_refused(change, message):
    with pytest.raises(ContractError, match=message):
        OperandLayout(**{"config": preset("tiny"), "operand": "a", "count": 1, "k": 1} | change)
