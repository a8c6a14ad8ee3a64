"""Programs for matrix products: every loop order gives exact results, and none depends on the bits."""

import numpy as np
import pytest
from driven import Multiplication, codes, fast_backend, opened

from cpt.host.program import Gemm, Program, build_gemm, join
from cpt.hw.contract import ContractError, Opcode, decode, preset
from cpt.hw.contract.isa import INSTRUCTION_BYTES

TINY = preset("tiny")  # 4 rows, 8 columns, 36 bits, 128 words per half: 16 K steps of 8 planes


def instructions(program):
    return [
        decode(program.words[at : at + INSTRUCTION_BYTES])
        for at in range(0, len(program.words), INSTRUCTION_BYTES)
    ]


def gemm(m=5, n=9, k=50, **changes):
    return Gemm(TINY, m, n, k, **{"slot_a": 0, "slot_b": 1, "addr_a": 0, "addr_b": 0, "addr_c": 0, **changes})


@pytest.mark.parametrize(
    ("m", "n", "k", "loads_of_b", "executes"),
    [
        (1, 1, 1, 1, 1),  # one tile, padded everywhere
        (4, 8, 36, 1, 1),  # one full tile
        (64, 20, 36, 1, 1),  # all 16 row tiles of A stay on chip
        (65, 20, 36, 2, 2),  # one row too many: two groups, B read twice
        (13, 17, 576, 4, 4),  # one row tile fills the half: as many groups as row tiles
        (6, 9, 577, 8, 8),  # one K step too many for a half: 2 chunks for each of 2 x 2 result tiles
        (3, 3, 1500, 3, 3),  # 42 K steps in three chunks of 14
    ],
)
def test_loop_order_follows_what_fits_on_chip(m, n, k, loads_of_b, executes):
    listing = instructions(gemm(m, n, k, max_bits_a=8, max_bits_b=8).program())
    opcodes = [item.opcode for item in listing]
    assert opcodes.count(Opcode.LOAD_B) == loads_of_b
    assert opcodes.count(Opcode.EXEC) == executes
    assert opcodes[-1] == Opcode.END
    rng = np.random.default_rng(m * n * k)
    with opened() as accelerator:
        Multiplication(accelerator, codes(rng, m, k, 4), codes(rng, n, k, 4)).check()


def test_random_products_are_exact_in_every_loop_order():
    rng = np.random.default_rng(7)
    with opened() as accelerator:
        for _ in range(40):
            m, n = rng.integers(1, 81, 2)
            k = rng.integers(1, 1200)
            bits = tuple(int(item) for item in rng.integers(1, 9, 2))
            signed = tuple(bool(item) for item in rng.integers(0, 2, 2))
            sums = bool(rng.integers(0, 2))
            operands = [codes(rng, *item) for item in zip((m, n), (k, k), bits, signed, strict=True)]
            work = Multiplication(accelerator, *operands, bits, signed, (8, 8), sums)
            work.check()
            for buffer in work.buffers:
                accelerator.free(buffer)


@pytest.mark.parametrize(("m", "n", "k"), [(5, 9, 50), (80, 20, 100), (9, 17, 900)])
def test_busy_cycles_are_known_beforehand(m, n, k):
    rng = np.random.default_rng(8)
    with opened() as accelerator:
        work = Multiplication(accelerator, codes(rng, m, k, 3), codes(rng, n, k, 6), bits=(3, 6))
        work.check()
        assert work.counters.exec_busy == work.program.exec_cycles({0: (3, False), 1: (6, False)})


def test_more_column_tiles_than_a_load_counts_are_split():
    """With more than 65535 column tiles B takes two instructions, while A stays on chip."""
    listing = instructions(gemm(4, 8 * 65536, 36, max_bits_a=1, max_bits_b=1).program())
    expected = "LOAD_A, LOAD_B, EXEC, DRAIN, LOAD_B, EXEC, DRAIN, END"
    assert ", ".join(item.opcode.name for item in listing) == expected
    assert [item.release_a for item in listing if item.opcode == Opcode.EXEC] == [0, 1]
    assert [item.blocks for item in listing if item.opcode == Opcode.DRAIN] == [65535, 1]


def test_chunks_of_k_differ_by_one_step_at_most():
    listing = instructions(gemm(4, 8, 36 * 35, max_bits_a=8, max_bits_b=8).program())
    steps = [item.ksteps for item in listing if item.opcode == Opcode.EXEC]
    assert steps == [11, 12, 12]
    assert [(item.first, item.last) for item in listing if item.opcode == Opcode.EXEC] == [
        (1, 0),
        (0, 0),
        (0, 1),
    ]


def test_joined_programs_run_as_one():
    rng = np.random.default_rng(9)
    with opened() as accelerator:
        parts = [Multiplication(accelerator, codes(rng, 6, 60, 4), codes(rng, 11, 60, 4)) for _ in range(3)]
        whole = join("three", [item.program for item in parts])
        assert len(whole) == sum(len(item.program) for item in parts) - 2
        for item in parts:
            item.set_slots()
            item.pack()
            item.flush()
        accelerator.run(whole)
        for item in parts:
            item.buffers[2].invalidate()
            np.testing.assert_array_equal(item.unpack().values, item.a @ item.b.T)


def test_build_gemm_takes_the_arguments_in_the_order_of_the_contract():
    program = build_gemm(TINY, 5, 9, 50, 3, 8, 10, 20, 0x1000, 0x2000, 0x3000, True, 3, "named")
    assert program == gemm(
        max_bits_a=3,
        max_bits_b=8,
        slot_a=10,
        slot_b=20,
        addr_a=0x1000,
        addr_b=0x2000,
        addr_c=0x3000,
        col_sums=True,
        taps=3,
    ).program("named")


def test_the_tag_goes_into_the_last_instruction_only():
    program = gemm().program()
    tagged = program.tagged(0xDEADBEEF)
    assert tagged[:-INSTRUCTION_BYTES] == program.words[:-INSTRUCTION_BYTES]
    assert decode(tagged[-INSTRUCTION_BYTES:]).tag == 0xDEADBEEF


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": 0}, "operand rows are 0; allowed: at least 1"),
        ({"k": 0}, "K is 0; allowed: at least 1"),
        ({"max_bits_a": 17}, "max_bits is 17; allowed: 1..16"),
        ({"slot_a": 256}, "LOAD_A.slot is 256; allowed: 0..255"),
        ({"addr_b": 4}, "addr_b is 0x4; allowed: multiples of 8"),
        ({"addr_c": (1 << 32) - 8}, "addr_c is 0xfffffff8; allowed: .* below 4 GB"),
        ({"k": 1 << 17}, "result needs 49 bits; allowed: at most 48"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(changes, message):
    with pytest.raises(ContractError, match=message) as caught:
        gemm(**changes).program()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [b"", b"\0" * 32, gemm().program().words[:-1], gemm().program().tagged(1)])
def test_a_program_ends_in_an_untagged_end(words):
    with pytest.raises(ContractError, match="the last one END with tag 0"):
        Program("broken", words)


def test_the_widest_codes_of_the_default_preset_fit():
    rng = np.random.default_rng(10)
    with opened(fast_backend("zc706")) as accelerator:
        a, b = codes(rng, 20, 1500, 16), codes(rng, 40, 1500, 16, signed=True)
        Multiplication(accelerator, a, b, (16, 16), (False, True), (16, 16)).check()
