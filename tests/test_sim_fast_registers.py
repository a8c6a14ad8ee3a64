"""Software sees the same registers on the compiled RTL and on the fast model."""

from collections.abc import Iterator

import numpy as np
import pytest

from cpt.hw.contract import REGISTERS, Counter, Error, Opcode, encode, preset, register, slot_offset
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.fast import FastBackend
from cpt.sim.faults import Faults, Refusal
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend

MEMORY_BYTES = 1 << 16
OPERANDS = MEMORY_BASE + 4096
DEADLINE_CYCLES = 100_000
# TOTAL and the stalls depend on when the two are looked at; test_sim_fast_cycles compares cycles.
TIMED = {f"{counter.name}_{half}" for counter in Counter for half in ("LO", "HI")}
END = encode(Opcode.END, tag=77)


@pytest.fixture
def machines() -> Iterator[tuple[Backend, Backend]]:
    config = preset("tiny")
    model = memory_model("ideal", config.clock_mhz)
    rtl = RtlBackend(config, model, MEMORY_BYTES)
    yield rtl, FastBackend(config, model, MEMORY_BYTES)
    rtl.close()


def _state(backend: Backend) -> dict[str, int]:
    return {item.name: backend.read_register(item.offset) for item in REGISTERS if item.name not in TIMED}


def _write(machines: tuple[Backend, Backend], name: str, value: int) -> None:
    for backend in machines:
        backend.write_register(register(name).offset, value)


def _open_windows(machines: tuple[Backend, Backend]) -> None:
    """Everything may be read and written."""
    for name in ("READ_LIMIT", "WRITE_LIMIT"):
        _write(machines, name, (1 << 32) - 1)


def test_registers_start_alike(machines: tuple[Backend, Backend]) -> None:
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert rtl["MAGIC"] == register("MAGIC").reset


def test_random_writes_read_back_alike(machines: tuple[Backend, Backend]) -> None:
    rng = np.random.default_rng(30)
    # The doorbell and commands act; every other register only holds.
    passive = [item for item in REGISTERS if item.name not in ("RING_TAIL", "CONTROL")]
    for _ in range(3000):
        item = passive[int(rng.integers(len(passive)))]
        value = int(rng.integers(0, 1 << 32))
        for backend in machines:
            backend.write_register(item.offset, value)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert rtl["WATCHDOG"] != 0


def test_offsets_without_a_register_read_as_zero(machines: tuple[Backend, Backend]) -> None:
    known = {item.offset for item in REGISTERS}
    for offset in range(0, 4096, 4):
        if offset not in known:
            assert [backend.read_register(offset) for backend in machines] == [0, 0], hex(offset)


def _load(**changes: int) -> bytes:
    fields = {"slot": 1, "tiles": 1, "ksteps": 1, "blocks": 1, "base": OPERANDS}
    fields |= dict.fromkeys(("block_stride", "tile_stride", "plane_stride"), 0)
    return encode(Opcode.LOAD_A, **{**fields, **changes})


def _load_b(**changes: int) -> bytes:
    return bytes([_load(**changes)[0] ^ Opcode.LOAD_A ^ Opcode.LOAD_B]) + _load(**changes)[1:]


def _exec(**changes: int) -> bytes:
    fields = {"slot_a": 1, "slot_b": 1, "ksteps": 1, "first": 1, "last": 1}
    return encode(Opcode.EXEC, **{**fields, "tiles": 1, "release_a": 1, "taps": 511, "blocks": 1, **changes})


def _drain(**changes: int) -> bytes:
    fields = {"slot_a": 3, "slot_b": 3, "k_log2": 16, "col_sums": 0, "tiles": 1}
    fields |= {"base": OPERANDS, "block_stride": 0, "tile_stride": 0, "blocks": 1}
    return encode(Opcode.DRAIN, **{**fields, **changes})


def _raw(word: bytes, *bits: int) -> bytes:
    """``word`` with some bits more."""
    return (int.from_bytes(word, "little") | sum(1 << bit for bit in bits)).to_bytes(32, "little")


BAD: dict[str, tuple] = {
    "cleared memory": (bytes(32), Error.ILLEGAL_OPCODE),
    "no tiles, in an unset slot": (bytes([1]) + bytes(31), Error.ILLEGAL_OPCODE, Error.BAD_SLOT),
    "unset slot": (_load(slot=9), Error.BAD_SLOT),
    "slot of 17 bits": (_load(slot=4), Error.BAD_SLOT),
    "one word too many": (_load(ksteps=129), Error.OPERAND_OVERFLOW),
    "A beyond its half": (_exec(ksteps=43, tiles=3), Error.OPERAND_OVERFLOW),
    "B beyond its half": (_exec(slot_b=3, ksteps=9), Error.OPERAND_OVERFLOW),
    "49 result bits": (_drain(k_log2=17), Error.RESULT_WIDTH),
    "operand outside the memory": (_load(base=0x2000_0000), Error.AXI_READ),
    "reserved bits": (_raw(END, 9), Error.RESERVED_BITS),
    "last reserved bit": (_raw(_load(), 255), Error.RESERVED_BITS),
    "misaligned base": (_raw(_load(), 64), Error.MISALIGNED),
    "misaligned stride of one block": (_raw(_drain(k_log2=8), 98), Error.MISALIGNED),
    "two blocks that stay open": (_exec(last=0, blocks=2), Error.ILLEGAL_EXEC),
    "two tiles that add": (_exec(first=0, tiles=2), Error.ILLEGAL_EXEC),
    "adds to nothing": (_exec(first=0), Error.ILLEGAL_EXEC),
    "everything at once": (
        _raw(bytes([1]) + bytes(31), 64, 255),
        *(Error.ILLEGAL_OPCODE, Error.BAD_SLOT, Error.MISALIGNED, Error.RESERVED_BITS),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_look_alike_and_soft_reset_recovers(machines: tuple[Backend, Backend], case: str) -> None:
    word, *errors = BAD[case]
    program = _load() + word + END
    for backend in machines:
        for slot, bits in ((1, 1), (3, 16), (4, 17)):
            backend.write_register(slot_offset(slot), bits)
        backend.memory[: len(program)] = np.frombuffer(program, np.uint8)
    _open_windows(machines)
    _write(machines, "RING_BASE", MEMORY_BASE)
    _write(machines, "RING_LOG2", 4)
    _write(machines, "IRQ_ENABLE", 3)
    _write(machines, "RING_TAIL", len(program) // 32)
    for backend in machines:
        assert backend.wait(DEADLINE_CYCLES)
    rtl, fast = map(_state, machines)
    if errors == [Error.AXI_READ]:
        # How far instructions were dispatched while a read was on its way is timing.
        for name in ("RING_HEAD", "ERROR_INDEX"):
            del rtl[name], fast[name]
    else:
        assert (rtl["RING_HEAD"], rtl["ERROR_INDEX"]) == (2, 1)
    assert rtl == fast
    assert rtl["ERROR"] == sum(1 << error for error in errors)
    _write(machines, "CONTROL", 1)
    for backend in machines:
        assert backend.wait(DEADLINE_CYCLES)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert (rtl["ERROR"], rtl["RING_TAIL"], rtl["SLOT_3"]) == (0, 0, 16)


def test_a_program_that_waits_forever_raises_the_watchdog_alike(machines: tuple[Backend, Backend]) -> None:
    program = _exec() + END
    for backend in machines:
        backend.write_register(slot_offset(1), 1)
        backend.memory[: len(program)] = np.frombuffer(program, np.uint8)
    _open_windows(machines)
    _write(machines, "RING_BASE", MEMORY_BASE)
    _write(machines, "RING_LOG2", 1)
    _write(machines, "WATCHDOG", 500)
    _write(machines, "RING_TAIL", 2)
    for backend in machines:
        assert backend.wait(DEADLINE_CYCLES)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert (rtl["ERROR"], rtl["ERROR_INDEX"], rtl["RING_HEAD"]) == (1 << Error.WATCHDOG, 0, 1)


def test_an_instruction_that_waits_to_be_refused_is_named_when_the_watchdog_gives_up(
    machines: tuple[Backend, Backend],
) -> None:
    program = _exec() + _load(slot=9) + END
    for backend in machines:
        backend.write_register(slot_offset(1), 1)
        backend.memory[: len(program)] = np.frombuffer(program, np.uint8)
    _open_windows(machines)
    _write(machines, "RING_BASE", MEMORY_BASE)
    _write(machines, "RING_LOG2", 2)
    _write(machines, "WATCHDOG", 500)
    _write(machines, "RING_TAIL", 3)
    for backend in machines:
        assert backend.wait(DEADLINE_CYCLES)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert (rtl["ERROR"], rtl["ERROR_INDEX"]) == (1 << Error.WATCHDOG | 1 << Error.BAD_SLOT, 1)


def test_what_comes_before_a_faulty_instruction_is_finished_first(machines: tuple[Backend, Backend]) -> None:
    """Results are in memory, and nothing behind the fault is looked at, whatever is read ahead."""
    words = [_load(), _load_b(), _exec(), _drain(slot_a=1, slot_b=1, base=OPERANDS + 0x800), bytes(32)]
    program = b"".join([*words, END, bytes(32)])
    for backend in machines:
        backend.write_register(slot_offset(1), 1)
        backend.memory[:] = np.arange(MEMORY_BYTES).astype(np.uint8)
        backend.memory[: len(program)] = np.frombuffer(program, np.uint8)
        backend.faults = Faults(refusals=(Refusal(start=MEMORY_BASE + 5 * 32, end=MEMORY_BASE + 7 * 32),))
    before = machines[0].memory.copy()
    _open_windows(machines)
    _write(machines, "RING_BASE", MEMORY_BASE)
    _write(machines, "RING_LOG2", 3)
    _write(machines, "RING_TAIL", 7)
    for backend in machines:
        assert backend.wait(DEADLINE_CYCLES)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert (rtl["ERROR"], rtl["ERROR_INDEX"], rtl["RING_HEAD"]) == (1 << Error.ILLEGAL_OPCODE, 4, 5)
    np.testing.assert_array_equal(machines[0].memory, machines[1].memory)
    assert (machines[0].memory != before).any()


def test_a_stuck_program_leaves_what_it_finished_alike(machines: tuple[Backend, Backend]) -> None:
    """Two of three blocks are there, and the four tiles of a larger DRAIN that they give are written."""
    words = [_load(tiles=2), _load_b(blocks=2), _exec(tiles=2, blocks=3)]
    words.append(_drain(slot_a=1, slot_b=1, base=OPERANDS + 0x800, tiles=6, tile_stride=256, col_sums=1))
    program = b"".join([*words, END])
    for backend in machines:
        backend.write_register(slot_offset(1), 1)
        backend.memory[:] = np.random.default_rng(5).integers(0, 256, MEMORY_BYTES, np.uint8)
        backend.memory[: len(program)] = np.frombuffer(program, np.uint8)
    before = machines[0].memory.copy()
    _open_windows(machines)
    _write(machines, "RING_BASE", MEMORY_BASE)
    _write(machines, "RING_LOG2", 3)
    _write(machines, "RING_TAIL", 5)
    for backend in machines:
        assert not backend.wait(20_000)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    assert (rtl["STATUS"], rtl["RING_HEAD"]) == (1, 4)
    np.testing.assert_array_equal(machines[0].memory, machines[1].memory)
    changed = np.flatnonzero(machines[0].memory != before) - (OPERANDS - MEMORY_BASE) - 0x800
    assert set(changed // 256) == {0, 1, 2, 3}
    # the rest comes later, and the program ends as if it had been there from the start
    more = _load_b() + _load_b() + _exec() + END
    for backend in machines:
        backend.memory[5 * 32 : 8 * 32] = np.frombuffer(more[:96], np.uint8)
        backend.memory[:32] = np.frombuffer(END, np.uint8)
    _write(machines, "RING_TAIL", 9)
    for backend in machines:
        backend.wait(20_000)
    rtl, fast = map(_state, machines)
    assert rtl == fast
    np.testing.assert_array_equal(machines[0].memory, machines[1].memory)


def test_a_doorbell_far_beyond_the_ring_goes_round_and_round_it_alike(
    machines: tuple[Backend, Backend],
) -> None:
    """A tail of 2**32 - 1: neither machine holds more than a ring of it."""
    for backend in machines:
        backend.memory[: 2 * len(END)] = np.frombuffer(END * 2, np.uint8)
    _open_windows(machines)
    _write(machines, "RING_BASE", MEMORY_BASE)
    _write(machines, "RING_LOG2", 1)
    _write(machines, "RING_TAIL", (1 << 32) - 1)
    for backend in machines:
        assert not backend.wait(1000)
        assert backend.read_register(register("STATUS").offset) == 1
        assert backend.read_register(register("DONE_TAG").offset) == 77
    # an instruction that is none ends it; one beat of each changes, so that none is read half old, half new
    for backend in machines:
        backend.memory[: 2 * len(END) : len(END)] = 0
        assert backend.wait(DEADLINE_CYCLES)
    rtl, fast = map(_state, machines)
    assert rtl["ERROR"] == fast["ERROR"] != 0
