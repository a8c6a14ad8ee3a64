"""Bit-plane packing and result unpacking against the layouts spelled out bit by bit."""

import numpy as np
import pytest

from cpt.host.packing import pack_operand, unpack_operand, unpack_result
from cpt.hw.contract import ContractError, OperandLayout, ResultLayout, k_log2, preset, result_bytes

SHAPES = ((1, 1), (4, 36), (5, 37), (9, 100), (17, 7), (33, 150))


def random_codes(rng, shape, bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return rng.integers(low, low + (1 << bits), shape)


def packed_bit_by_bit(codes, layout, bits):
    """Every bit where the contract has it."""
    out = np.zeros(layout.nbytes, np.uint8)
    for row in range(layout.count):
        for column in range(layout.k):
            for plane in range(bits):
                if int(codes[row, column]) >> plane & 1:
                    byte, bit = layout.place(row, column, plane)
                    out[byte] |= 1 << bit
    return out


def test_the_first_and_the_last_bit_of_an_operand_lie_as_written_down():
    layout = OperandLayout(preset("tiny"), "a", 5, 37, max_bits=3)
    assert layout.place(0, 0, 0) == (0, 0)
    assert layout.place(0, 9, 0) == (1, 1), "bit 0 of a byte first"
    assert layout.place(1, 0, 0) == (4, 4), "words of 36 bits side by side"
    assert layout.place(0, 36, 0) == (24, 0), "a group of 18 bytes takes three beats"
    assert layout.place(0, 0, 1) == (48, 0)
    assert layout.place(4, 0, 0) == (144, 0)


@pytest.mark.parametrize("operand", ["a", "b"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (3, False), (8, True), (11, False), (16, True)])
def test_planes_lie_where_the_contract_says(operand, shape, bits, signed):
    codes = random_codes(np.random.default_rng(1), shape, bits, signed)
    layout = OperandLayout(preset("tiny"), operand, *shape, max_bits=16)
    out = np.zeros(layout.nbytes, np.uint8)
    pack_operand(codes, layout, bits, out, signed=signed)
    np.testing.assert_array_equal(out, packed_bit_by_bit(codes, layout, bits))


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("signed", [False, True])
def test_codes_survive_packing_and_unpacking(bits, signed):
    rng = np.random.default_rng(bits)
    codes = random_codes(rng, (37, 301), bits, signed)
    layout = OperandLayout(preset("zc706"), "b", *codes.shape, max_bits=16)
    out = rng.integers(0, 256, layout.nbytes + 5, dtype=np.uint8)  # leftovers of an earlier step
    pack_operand(codes, layout, bits, out, signed=signed)
    np.testing.assert_array_equal(unpack_operand(out, layout, bits, signed=signed), codes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int64])
def test_every_integer_type_packs_alike(dtype):
    codes = np.random.default_rng(2).integers(0, 128, (9, 60))
    layout = OperandLayout(preset("tiny"), "a", *codes.shape, max_bits=8)
    expected, out = np.zeros((2, layout.nbytes), np.uint8)
    pack_operand(codes, layout, 7, expected)
    pack_operand(np.asfortranarray(codes.astype(dtype)), layout, 7, out)
    np.testing.assert_array_equal(out, expected)


def test_planes_above_the_bits_in_use_stay_untouched():
    layout = OperandLayout(preset("tiny"), "a", 4, 36, max_bits=8)
    out = np.full(layout.nbytes, 0xA5, np.uint8)
    pack_operand(np.zeros((4, 36), np.uint8), layout, 3, out)
    assert not out[: 3 * layout.plane_stride].any()
    assert (out[3 * layout.plane_stride :] == 0xA5).all()


def test_many_tiles_are_packed_in_blocks_without_a_seam():
    codes = np.random.default_rng(3).integers(0, 256, (2100, 290)).astype(np.uint8)  # several blocks
    layout = OperandLayout(preset("zc706"), "b", *codes.shape, max_bits=8)
    out = np.full(layout.nbytes, 0xFF, np.uint8)
    pack_operand(codes, layout, 8, out)
    np.testing.assert_array_equal(unpack_operand(out, layout, 8), codes)


def result_tiles(values, col_sums, layout, depth):
    """Result memory, every byte where the contract has it."""
    memory = np.full(layout.nbytes, 0xEE, np.uint8)
    for byte in range(depth):
        for (row, column), value in np.ndenumerate(values):
            memory[layout.place(row, column, byte, depth)] = value >> 8 * byte & 0xFF
        for column, value in enumerate(() if col_sums is None else col_sums):
            memory[layout.sum_place(column, byte, depth)] = value >> 8 * byte & 0xFF
    return memory


def test_result_bytes_lie_as_written_down():
    layout = ResultLayout(preset("tiny"), 10, 21, 36, 8, 8)  # 4 rows, 8 columns, up to 3 bytes
    assert layout.place(0, 1, 0, 3) == 1
    assert layout.place(0, 0, 1, 3) == 8, "byte planes of a row"
    assert layout.place(1, 0, 0, 3) == 24
    assert layout.sum_place(0, 0, 3) == 96, "behind the rows"
    assert layout.place(4, 0, 0, 3) == 120, "the next row tile"
    assert layout.place(0, 8, 0, 3) == 360, "the next column tile"


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("bits_a", "bits_b", "k"), [(1, 1, 1), (3, 8, 144), (8, 8, 576), (8, 8, 65536), (16, 16, 65536)]
)
@pytest.mark.parametrize("col_sums", [False, True])
def test_results_and_sums_come_back_exactly(signed, bits_a, bits_b, k, col_sums):
    rng = np.random.default_rng([bits_a, bits_b, k])
    bits = bits_a + bits_b + k_log2(k)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    m, n = 10, 21
    layout = ResultLayout(preset("tiny"), m, n, k)
    values = rng.integers(low, high, (m, n))
    values[0, 0], values[-1, -1] = low, high - 1
    by_col = rng.integers(low, high, n) if col_sums else None
    memory = result_tiles(values, by_col, layout, result_bytes(bits_a, bits_b, k_log2(k)))
    product = unpack_result(memory, layout, bits_a, bits_b, signed=signed, col_sums=col_sums)
    np.testing.assert_array_equal(product.values, values)
    np.testing.assert_array_equal(product.col_sums, by_col)
    assert product.values.dtype == (np.int32 if bits + (not signed) <= 32 else np.int64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 0}, "bits is 0; allowed: 1..8"),
        ({"bits": 9}, "bits is 9; allowed: 1..8"),
        ({"codes": np.full((4, 36), 8)}, r"codes span 8..8; allowed at 3 bits: 0..7"),
        ({"codes": np.full((4, 36), -1)}, r"codes span -1..-1; allowed at 3 bits: 0..7"),
        ({"codes": np.full((4, 36), 4), "signed": True}, r"allowed at 3 signed bits: -4..3"),
        ({"codes": np.zeros((4, 35), int)}, r"codes have shape \(4, 35\); allowed: \(4, 36\)"),
        ({"codes": np.zeros((4, 36))}, "codes have type float64; allowed: integers"),
        ({"out": np.zeros(10, np.uint8)}, "buffer has 10 bytes; allowed: at least 192"),
        ({"out": np.zeros(400, np.uint8)[::2]}, "allowed: contiguous uint8"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, message):
    layout = OperandLayout(preset("tiny"), "a", 4, 36, max_bits=8)
    good = {"codes": np.zeros((4, 36), int), "bits": 3, "out": np.zeros(layout.nbytes, np.uint8)}
    arguments = good | change
    with pytest.raises(ContractError, match=message) as caught:
        pack_operand(arguments.pop("codes"), layout, arguments.pop("bits"), **arguments)
    assert "\n" not in str(caught.value)
