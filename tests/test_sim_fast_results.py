"""The fast model computes the integer product, whatever the shape, precision and order of instructions."""

import numpy as np
import pytest

from cpt.host.packing import pack_operand, unpack_operand, unpack_result
from cpt.host.program import Gemm, Program
from cpt.hw.contract import ArrayConfig, Error, Opcode, OperandLayout, encode, preset, register
from cpt.sim.bare import BareMachine, MachineFault
from cpt.sim.fast import FastBackend
from cpt.sim.memory import memory_model
from cpt.sim.registers import Precision

RING_LOG2 = 13
RING_BYTES = 32 << RING_LOG2
DEADLINE_CYCLES = 100_000_000


def _backend(config: ArrayConfig, nbytes: int = 1 << 24) -> FastBackend:
    return FastBackend(config, memory_model("ideal", config.clock_mhz), nbytes)


def _run(backend: FastBackend, words: bytes, slots: dict[int, Precision]) -> None:
    machine = BareMachine(backend, RING_LOG2)
    for index, slot in slots.items():
        machine.set_slot(index, slot.bits, slot.signed)
    machine.run(Program("test", words), DEADLINE_CYCLES)


def _codes(rng: np.random.Generator, shape: tuple[int, int], precision: Precision) -> np.ndarray:
    low = -(1 << precision.bits - 1) if precision.signed else 0
    return rng.integers(low, low + (1 << precision.bits), shape)


def _run_gemm(
    config: ArrayConfig, m: int, n: int, k: int, a: Precision, b: Precision, seed: int, taps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A, B and the values and column sums that the backend left in memory."""
    rng = np.random.default_rng(seed)
    backend = _backend(config)
    layout_a, layout_b = OperandLayout(config, "a", m, k), OperandLayout(config, "b", n, k)
    at_a = RING_BYTES
    at_b = at_a + layout_a.nbytes
    at_c = at_b + layout_b.nbytes
    codes_a, codes_b = _codes(rng, (m, k), a), _codes(rng, (n, k), b)
    pack_operand(codes_a, layout_a, a.bits, backend.memory[at_a:], signed=a.signed)
    pack_operand(codes_b, layout_b, b.bits, backend.memory[at_b:], signed=b.signed)
    base = backend.memory_base
    gemm = Gemm(config, m, n, k, 1, 2, base + at_a, base + at_b, base + at_c, col_sums=True, taps=taps)
    _run(backend, gemm.program().words, {1: a, 2: b})
    product = unpack_result(
        backend.memory[at_c:],
        gemm.layout_c,
        a.bits,
        b.bits,
        signed=a.signed or b.signed,
        col_sums=True,
    )
    return codes_a, codes_b, product.values, product.col_sums


@pytest.mark.parametrize("name", ["tiny", "middle", "z7020", "zc706"])
def test_random_products_and_sums_are_exact(name: str) -> None:
    rng = np.random.default_rng(20)
    for seed in range(40):
        m, n, k = (int(rng.integers(1, limit)) for limit in (80, 80, 700))
        a, b = (Precision(int(rng.integers(1, 17)), bool(rng.integers(2))) for _ in "ab")
        config, taps = preset(name), int(rng.integers(1, 512))
        codes_a, codes_b, values, col_sums = _run_gemm(config, m, n, k, a, b, seed, taps)
        np.testing.assert_array_equal(values, codes_a @ codes_b.T, f"{m}x{n}x{k} {a} {b} seed {seed}")
        taken = [taps >> at % config.word_bits * 9 // config.word_bits & 1 for at in range(k)]
        np.testing.assert_array_equal(col_sums, codes_b @ np.array(taken))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_largest_codes_over_a_long_k_do_not_round(bits: int) -> None:
    config = preset("zc706")
    k = 4000
    backend = _backend(config)
    layout_a, layout_b = OperandLayout(config, "a", 1, k), OperandLayout(config, "b", 1, k)
    at_b, at_c = RING_BYTES + layout_a.nbytes, RING_BYTES + layout_a.nbytes + layout_b.nbytes
    top = np.full((1, k), (1 << bits) - 1)
    odd = top - (np.arange(k) % 7 == 0)
    pack_operand(top, layout_a, bits, backend.memory[RING_BYTES:])
    pack_operand(odd, layout_b, bits, backend.memory[at_b:])
    base = backend.memory_base
    gemm = Gemm(config, 1, 1, k, 0, 0, base + RING_BYTES, base + at_b, base + at_c)
    _run(backend, gemm.program().words, {0: Precision(bits, False)})
    product = unpack_result(backend.memory[at_c:], gemm.layout_c, bits, bits)
    assert int(product.values[0, 0]) == int((top * odd).sum())


def test_instructions_of_a_program_may_come_before_what_they_wait_for() -> None:
    config = preset("tiny")
    results = []
    for reorder in (False, True):
        backend = _backend(config)
        rng = np.random.default_rng(3)
        backend.memory[RING_BYTES : RING_BYTES + 8192] = rng.integers(0, 256, 8192, dtype=np.uint8)
        base = backend.memory_base + RING_BYTES
        at_c = base + 8192
        gemm = Gemm(config, 4, 8, 90, 1, 2, base, base + 4096, at_c, 8, 8)
        words = gemm.program().words
        parts = [words[start : start + 32] for start in range(0, len(words), 32)]
        if reorder:
            parts = [*reversed(parts[:-1]), parts[-1]]
        _run(backend, b"".join(parts), {1: Precision(5, False), 2: Precision(3, True)})
        results.append(backend.memory[RING_BYTES + 8192 :].copy())
    assert results[0].any()
    np.testing.assert_array_equal(results[0], results[1])


def test_exec_with_fewer_bits_than_loaded_reads_the_words_where_they_lie() -> None:
    config = preset("tiny")
    backend = _backend(config)
    rng = np.random.default_rng(4)
    layout = OperandLayout(config, "a", config.rows, 36, 4)
    codes = rng.integers(0, 16, (config.rows, 36))
    ones = np.ones((config.cols, 36), int)
    layout_b = OperandLayout(config, "b", config.cols, 36, 1)
    pack_operand(codes, layout, 4, backend.memory[RING_BYTES:])
    pack_operand(ones, layout_b, 1, backend.memory[RING_BYTES + 4096 :])
    base = backend.memory_base + RING_BYTES
    gemm = Gemm(config, config.rows, config.cols, 36, 1, 2, base, base + 4096, base + 8192, 4, 1)
    words = gemm.program().words
    # LOAD_A keeps slot 1 (4 planes); EXEC and DRAIN use slot 3 (2 planes): the two lowest.
    execute = words[64:96]
    patched = (int.from_bytes(execute, "little") & ~(0xFF << 4) | 3 << 4).to_bytes(32, "little")
    words = words[:64] + patched + words[96:]
    slots = {1: Precision(4, False), 2: Precision(1, False), 3: Precision(2, False)}
    _run(backend, words, slots)
    product = unpack_result(backend.memory[RING_BYTES + 8192 :], gemm.layout_c, 4, 1)
    np.testing.assert_array_equal(product.values[:, 0], (codes & 3).sum(1))
    np.testing.assert_array_equal(unpack_operand(backend.memory[RING_BYTES:], layout, 4), codes)


def _load_a(**changes: int) -> bytes:
    fields = dict(
        slot=1, tiles=1, ksteps=1, blocks=1, base=0x1000_0000, block_stride=0, tile_stride=0, plane_stride=0
    )
    return encode(Opcode.LOAD_A, **{**fields, **changes})


@pytest.mark.parametrize(
    ("word", "error"),
    [
        (bytes(32), Error.ILLEGAL_OPCODE),
        (_load_a(slot=9), Error.BAD_SLOT),
        (_load_a(ksteps=129), Error.OPERAND_OVERFLOW),
        (_load_a(base=0x2000_0000), Error.READ_WINDOW),
        (
            (int.from_bytes(_load_a(), "little") & ~(0xFFFF << 32)).to_bytes(32, "little"),
            Error.ILLEGAL_OPCODE,
        ),
        (
            encode(
                Opcode.DRAIN,
                slot_a=3,
                slot_b=3,
                k_log2=17,
                col_sums=0,
                tiles=1,
                base=0,
                block_stride=0,
                tile_stride=0,
                blocks=1,
            ),
            Error.RESULT_WIDTH,
        ),
    ],
)
def test_bad_instructions_halt_with_their_error(word: bytes, error: Error) -> None:
    backend = _backend(preset("tiny"), 1 << 20)
    words = Program("end", encode(Opcode.END, tag=0)).words
    with pytest.raises(MachineFault, match=error.name.lower()):
        _run(backend, word + words, {1: Precision(1, False), 3: Precision(16, False)})
    status = backend.read_register(register("STATUS").offset)
    assert status == 1 << register("STATUS").field("halted").offset


def test_a_program_that_waits_forever_never_ends() -> None:
    backend = _backend(preset("tiny"), 1 << 20)
    execute = encode(
        Opcode.EXEC, slot_a=1, slot_b=1, ksteps=1, first=1, last=1, tiles=1, release_a=1, taps=511, blocks=1
    )
    with pytest.raises(MachineFault, match="still runs"):
        _run(backend, execute + encode(Opcode.END, tag=0), {1: Precision(1, False)})


def test_slots_and_ring_are_locked_while_busy() -> None:
    backend = _backend(preset("tiny"), 1 << 20)
    backend.memory[:32] = np.frombuffer(encode(Opcode.END, tag=5), np.uint8)
    backend.write_register(register("RING_BASE").offset, backend.memory_base)
    for name in ("READ_LIMIT", "WRITE_LIMIT"):
        backend.write_register(register(name).offset, (1 << 32) - 1)
    backend.write_register(register("RING_TAIL").offset, 1)
    backend.write_register(register("SLOT_0").offset, 8)
    assert backend.read_register(register("SLOT_0").offset) == 0
    assert backend.read_register(register("ERROR").offset) == 1 << Error.BUSY_WRITE
    assert backend.read_register(register("STATUS").offset) == 0
    assert backend.read_register(register("DONE_TAG").offset) == 5


@pytest.mark.parametrize("piece", [1, 2, 3, 5])
def test_a_program_handed_over_in_pieces_ends_like_the_whole(piece: int) -> None:
    config = preset("tiny")
    results = []
    for size in (1 << RING_LOG2, piece):
        backend = _backend(config)
        backend.memory[RING_BYTES : RING_BYTES + 65536] = np.random.default_rng(6).integers(
            0, 256, 65536, dtype=np.uint8
        )
        base = backend.memory_base + RING_BYTES
        gemm = Gemm(config, 17, 50, 300, 1, 2, base, base + 32768, base + 65536, 8, 8)
        words = gemm.program().tagged(9)
        backend.memory[: len(words)] = np.frombuffer(words, np.uint8)
        backend.write_register(register("RING_BASE").offset, backend.memory_base)
        for name in ("READ_LIMIT", "WRITE_LIMIT"):
            backend.write_register(register(name).offset, (1 << 32) - 1)
        backend.write_register(register("RING_LOG2").offset, RING_LOG2)
        backend.write_register(register("WATCHDOG").offset, 1000)
        for slot in (1, 2):
            backend.write_register(register(f"SLOT_{slot}").offset, 5)
        for tail in [*range(size, len(words) // 32, size), len(words) // 32]:
            backend.write_register(register("RING_TAIL").offset, tail)
            status = backend.read_register(register("STATUS").offset)
        assert (status, backend.read_register(register("DONE_TAG").offset)) == (0, 9)
        busy = backend.read_register(register("EXEC_BUSY_LO").offset)
        results.append((busy, backend.memory[RING_BYTES + 65536 :].copy()))
    assert results[0][0] == results[1][0] > 0
    np.testing.assert_array_equal(results[0][1], results[1][1])
