"""The whole accelerator, compiled: errors, halt, reset, interrupts, ring, counters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cpt.host.packing import pack_operand, unpack_result
from cpt.host.program import Gemm
from cpt.hw.contract import CONTRACT_HASH, Counter, Error, Opcode, encode, preset, register, slot_offset
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.regs import MAGIC
from cpt.model.golden import int_matmul
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.memory import Stalls, memory_model
from cpt.sim.rtl import RtlBackend

TINY = preset("tiny")
MEMORY_BYTES = 1 << 16
RING_LOG2 = 5
OPERANDS = MEMORY_BASE + 0x2000
OUTSIDE = MEMORY_BASE + 2 * MEMORY_BYTES
DEADLINE_CYCLES = 100_000
SLOT_A, SLOT_B, UNSET_SLOT = 3, 200, 77

LOAD = {"tiles": 1, "ksteps": 1, "blocks": 1, "block_stride": 0, "tile_stride": 0, "plane_stride": 24}
LOAD_A = encode(Opcode.LOAD_A, slot=SLOT_A, base=OPERANDS, **LOAD)
LOAD_B = encode(Opcode.LOAD_B, slot=SLOT_B, base=OPERANDS + 0x1000, **LOAD)
EXEC = encode(
    Opcode.EXEC,
    slot_a=SLOT_A,
    slot_b=SLOT_B,
    ksteps=1,
    first=1,
    last=1,
    tiles=1,
    release_a=1,
    taps=511,
    blocks=1,
)
RESULT = {
    "k_log2": 6,
    "col_sums": 0,
    "tiles": 1,
    "block_stride": 0,
    "tile_stride": 0,
    "blocks": 1,
}
DRAIN = encode(Opcode.DRAIN, slot_a=SLOT_A, slot_b=SLOT_B, base=OPERANDS + 0x3000, **RESULT)


def end(tag: int) -> bytes:
    return encode(Opcode.END, tag=tag)


class Machine:
    """A compiled accelerator with two slots set and a ring at the start of memory."""

    def __init__(self, *, memory: str = "ideal", stall: float = 0.0, seed: int = 0) -> None:
        model = memory_model(memory, TINY.clock_mhz)
        self.backend = RtlBackend(TINY, model, MEMORY_BYTES, stalls=Stalls(stall, seed))
        self.set_slot(SLOT_A, 3)
        self.set_slot(SLOT_B, 2)
        self.placed = 0
        self.open_ring(RING_LOG2)

    def open_ring(self, log2: int) -> None:
        self.ring_log2, self.placed = log2, 0
        self.write("RING_BASE", MEMORY_BASE)
        for name in ("READ_LIMIT", "WRITE_LIMIT"):
            self.write(name, (1 << 32) - 1)
        self.write("RING_LOG2", log2)

    def read(self, name: str) -> int:
        return self.backend.simulation.read(register(name).offset)

    def write(self, name: str, value: int) -> None:
        self.backend.write_register(register(name).offset, value)

    def set_slot(self, index: int, bits: int) -> None:
        self.backend.write_register(slot_offset(index), bits)

    def ring(self, *words: bytes) -> None:
        """Place instructions and ring the doorbell."""
        for word in words:
            start = INSTRUCTION_BYTES * (self.placed % (1 << self.ring_log2))
            self.backend.memory[start : start + INSTRUCTION_BYTES] = np.frombuffer(word, np.uint8)
            self.placed += 1
        self.write("RING_TAIL", self.placed)

    def finish(self) -> None:
        assert self.backend.wait(DEADLINE_CYCLES), "still busy"

    def flag(self, name: str, field: str) -> int:
        return self.read(name) >> register(name).field(field).offset & 1

    def errors(self) -> list[Error]:
        return [error for error in Error if self.read("ERROR") >> error & 1]

    def reset(self) -> None:
        self.write("CONTROL", 1 << register("CONTROL").field("soft_reset").offset)
        for _ in range(DEADLINE_CYCLES):
            if not self.flag("STATUS", "busy"):
                break
        assert not self.flag("STATUS", "busy")
        assert self.backend.simulation.open_bursts == 0
        self.open_ring(RING_LOG2)

    def multiply(self, seed: int) -> None:
        """A product of several tiles must come out exactly."""
        rng = np.random.default_rng(seed)
        gemm = Gemm(
            TINY, 9, 17, 100, SLOT_A, SLOT_B, OPERANDS, OPERANDS + 0x2000, OPERANDS + 0x4000, 3, 2, True
        )
        a, b = rng.integers(0, 8, (9, 100)), rng.integers(0, 4, (17, 100))
        memory = self.backend.memory
        pack_operand(a, gemm.layout_a, 3, memory[gemm.addr_a - MEMORY_BASE :])
        pack_operand(b, gemm.layout_b, 2, memory[gemm.addr_b - MEMORY_BASE :])
        words = gemm.program().tagged(seed)
        parts = [words[n : n + INSTRUCTION_BYTES] for n in range(0, len(words), INSTRUCTION_BYTES)]
        self.ring(*parts)
        self.finish()
        assert self.errors() == []
        assert self.read("DONE_TAG") == seed
        found = memory[gemm.addr_c - MEMORY_BASE :][: gemm.layout_c.nbytes]
        product = unpack_result(found, gemm.layout_c, 3, 2, signed=False, col_sums=True)
        assert np.array_equal(product.values, int_matmul(a, b))
        assert np.array_equal(product.col_sums, b.sum(axis=1))


@pytest.fixture
def machine() -> Iterator[Machine]:
    opened = Machine()
    yield opened
    opened.backend.close()


def test_identification_is_that_of_the_contract(machine: Machine) -> None:
    assert machine.read("MAGIC") == MAGIC
    assert machine.read("CONTRACT_LO") | machine.read("CONTRACT_HI") << 32 == CONTRACT_HASH
    shape, depth = register("SHAPE"), register("DEPTH")
    for item, names in ((shape, ("rows", "cols", "word_bits")), (depth, ("a_depth_words", "b_depth_words"))):
        for name in names:
            field = item.field(name)
            value = machine.read(item.name) >> field.offset & ((1 << field.width) - 1)
            assert value == getattr(TINY, name)


READ_OUTSIDE = encode(Opcode.LOAD_B, slot=SLOT_B, base=OUTSIDE, **LOAD)
WRITE_OUTSIDE = encode(Opcode.DRAIN, slot_a=SLOT_A, slot_b=SLOT_B, base=OUTSIDE, **RESULT)
BAD_SLOT = encode(Opcode.LOAD_A, slot=UNSET_SLOT, base=OPERANDS, **LOAD)
TOO_LARGE = encode(Opcode.LOAD_A, slot=SLOT_A, base=OPERANDS, **{**LOAD, "ksteps": 43})
TOO_WIDE = encode(Opcode.DRAIN, slot_a=SLOT_A, slot_b=SLOT_B, base=OPERANDS, **{**RESULT, "k_log2": 31})


@pytest.mark.parametrize(
    ("words", "error", "index"),
    [
        ((LOAD_A, bytes(INSTRUCTION_BYTES), LOAD_B), Error.ILLEGAL_OPCODE, 1),
        ((BAD_SLOT, LOAD_B), Error.BAD_SLOT, 0),
        ((LOAD_B, LOAD_A, TOO_LARGE), Error.OPERAND_OVERFLOW, 2),
        ((READ_OUTSIDE, end(1)), Error.AXI_READ, 0),
        ((LOAD_A, LOAD_B, EXEC, WRITE_OUTSIDE, end(1)), Error.AXI_WRITE, 3),
    ],
)
def test_an_error_halts_names_its_place_and_soft_reset_recovers(
    machine: Machine, words: tuple[bytes, ...], error: Error, index: int
) -> None:
    machine.write("IRQ_ENABLE", 1 << register("IRQ_ENABLE").field("error").offset)
    machine.ring(*words)
    machine.finish()
    assert machine.errors() == [error]
    assert machine.flag("STATUS", "halted")
    assert machine.read("ERROR_INDEX") == index
    assert machine.backend.simulation.irq
    machine.write("ERROR", 1 << error)
    assert machine.errors() == []
    assert machine.flag("STATUS", "halted"), "clearing the error must not start the machine"
    machine.reset()
    assert not machine.flag("STATUS", "halted")
    assert not machine.backend.simulation.irq
    machine.multiply(seed=5)


def test_a_result_wider_than_the_accumulator_is_refused(machine: Machine) -> None:
    machine.set_slot(SLOT_A, 16)
    machine.ring(TOO_WIDE)
    machine.finish()
    assert machine.errors() == [Error.RESULT_WIDTH]


def test_a_ring_outside_memory_is_a_read_error(machine: Machine) -> None:
    machine.write("RING_BASE", OUTSIDE)
    machine.write("RING_TAIL", 1)
    machine.finish()
    assert Error.AXI_READ in machine.errors()
    machine.reset()
    machine.multiply(seed=6)


def test_the_watchdog_ends_a_wait_for_an_operand_that_never_comes(machine: Machine) -> None:
    machine.write("WATCHDOG", 500)
    machine.ring(LOAD_A, EXEC, end(1))
    machine.finish()
    assert machine.errors() == [Error.WATCHDOG]
    assert machine.read("DONE_TAG") == 0
    machine.reset()
    machine.multiply(seed=7)


def test_without_watchdog_a_stuck_machine_stays_busy_until_soft_reset(machine: Machine) -> None:
    machine.ring(LOAD_A, EXEC, end(1))
    assert not machine.backend.wait(20_000)
    machine.reset()
    machine.multiply(seed=8)


def test_the_watchdog_does_not_bite_while_work_goes_on(machine: Machine) -> None:
    machine.write("WATCHDOG", 100)
    machine.multiply(seed=9)


def test_locked_writes_while_busy_are_ignored_and_flagged_without_a_halt(machine: Machine) -> None:
    machine.ring(LOAD_A, EXEC)  # waits for operand B
    assert not machine.backend.wait(1000)
    machine.set_slot(SLOT_B, 9)
    machine.write("RING_BASE", OPERANDS)
    machine.write("RING_LOG2", 1)
    assert machine.errors() == [Error.BUSY_WRITE]
    assert not machine.flag("STATUS", "halted")
    assert machine.backend.read_register(slot_offset(SLOT_B)) == 2
    assert machine.read("RING_BASE") == MEMORY_BASE
    machine.ring(LOAD_B, DRAIN, end(4))
    machine.finish()
    assert machine.errors() == [Error.BUSY_WRITE]
    assert machine.read("DONE_TAG") == 4


@pytest.mark.parametrize("cycles", [30, 60, 90, 130, 180, 240, 400])
def test_soft_reset_in_mid_program_waits_for_transfers_and_leaves_nothing_behind(cycles: int) -> None:
    machine = Machine(memory="ps-ddr", stall=0.3, seed=cycles)
    try:
        for _ in range(3):
            machine.ring(
                LOAD_A, LOAD_B, EXEC, DRAIN, LOAD_A, LOAD_B, EXEC, DRAIN, LOAD_A, LOAD_B, EXEC, DRAIN
            )
            machine.backend.simulation.run(cycles)
            machine.reset()
            assert machine.read("RING_TAIL") == machine.read("RING_HEAD") == 0
        machine.multiply(seed=cycles)
    finally:
        machine.backend.close()


def test_end_raises_the_done_interrupt_if_enabled(machine: Machine) -> None:
    done = 1 << register("IRQ_STATUS").field("done").offset
    machine.ring(end(11))
    machine.finish()
    assert machine.read("IRQ_STATUS") == done
    assert not machine.backend.simulation.irq
    machine.write("IRQ_ENABLE", done)
    assert machine.backend.simulation.irq
    machine.write("IRQ_STATUS", done)
    assert not machine.backend.simulation.irq
    machine.ring(end(12))
    machine.finish()
    assert machine.backend.simulation.irq
    assert machine.read("DONE_TAG") == 12


@pytest.mark.parametrize("log2", [0, 1, 2, 3])
def test_the_ring_wraps_at_every_size(machine: Machine, log2: int) -> None:
    machine.open_ring(log2)
    rng = np.random.default_rng(log2)
    tag = 0
    for _ in range(12):
        tags = [tag + n + 1 for n in range(int(rng.integers(1, (1 << log2) + 1)))]
        machine.ring(*map(end, tags))
        machine.finish()
        tag = tags[-1]
        assert machine.read("DONE_TAG") == tag
        assert machine.read("RING_HEAD") == machine.placed
    assert machine.errors() == []


def test_a_doorbell_while_busy_adds_to_the_run(machine: Machine) -> None:
    machine.ring(LOAD_A, LOAD_B)
    machine.ring(EXEC, DRAIN)
    machine.ring(end(3))
    machine.finish()
    assert machine.read("DONE_TAG") == 3


def test_counters_count_and_clear(machine: Machine) -> None:
    machine.ring(LOAD_A, EXEC, LOAD_B, DRAIN, end(1))
    machine.finish()

    def counter(item: Counter) -> int:
        return machine.read(f"{item.name}_LO") | machine.read(f"{item.name}_HI") << 32

    planes = 3 * TINY.group_bytes("a") + 2 * TINY.group_bytes("b")
    assert counter(Counter.EXEC_BUSY) == 3 * 2
    assert counter(Counter.BYTES_READ) == 5 * INSTRUCTION_BYTES + planes
    assert counter(Counter.BYTES_WRITTEN) == TINY.rows * TINY.cols * 2
    assert counter(Counter.TOTAL) > counter(Counter.EXEC_WAIT_FETCH) > 0
    machine.write("CONTROL", 1 << register("CONTROL").field("clear_counters").offset)
    assert [counter(item) for item in Counter] == [0] * len(Counter)


def test_random_stalls_change_cycles_and_nothing_else() -> None:
    for seed in range(6):
        machine = Machine(memory="ps-ddr", stall=(0.0, 0.2, 0.7)[seed % 3], seed=seed)
        try:
            machine.multiply(seed=100 + seed)
            machine.multiply(seed=200 + seed)
        finally:
            machine.backend.close()
