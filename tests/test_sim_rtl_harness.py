"""The C++ harness: its memory keeps its rules, and it refuses every broken bus rule with one line."""

from pathlib import Path

import numpy as np
import pytest

from cpt.sim.faults import Faults, Flip, Refusal, Response
from cpt.sim.memory import Channel, MemoryModel, Stalls, WriteOrder
from cpt.sim.rtl import EventKind, RtlError
from cpt.sim.rtl.build import HERE, LIBRARY, compile_verilog
from cpt.sim.rtl.library import Simulation
from cpt.sim.verilator import cached_build, sources_key

STAND_IN = Path(__file__).parent / "faulty_accelerator.v"
BASE = 0x1000_0000
MODE, MEMORY_BASE, START, BUSY, BUSY_CYCLES = 0x40, 0x44, 0x4C, 0x24, 0x28
BEATS = 64
FAST = MemoryModel("test", 4, 4, 3, 1, 16)
SLOW = MemoryModel("test", 11, 7, 1, 2, 16)


@pytest.fixture(scope="module")
def library() -> Path:
    key = sources_key([STAND_IN, *HERE.glob("*.?pp"), HERE / "build.py"])
    return cached_build("rtl/stand-in", key, lambda folder: compile_verilog([STAND_IN], folder)) / LIBRARY


def simulation(
    library: Path,
    model: MemoryModel = FAST,
    stalls: Stalls | None = None,
    size: int = 1 << 13,
    order=WriteOrder.ADDRESS,
):
    memory = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return memory, Simulation(library, memory, BASE, model, stalls or Stalls(), order)


def run(machine: Simulation, mode: int = 0, base: int = BASE) -> bool:
    machine.write(MEMORY_BASE, base)
    machine.write(MODE, mode)
    machine.write(START, 1)
    return machine.wait(20_000, BUSY, busy=1, halted=2)


@pytest.mark.parametrize("stalls", [Stalls(), Stalls(0.3, 1), Stalls(0.8, 2)])
@pytest.mark.parametrize("model", [FAST, SLOW, MemoryModel("test", 1, 1, 2, 1, 1)])
def test_correct_transfers_are_accepted_and_exact(library, model, stalls):
    memory, machine = simulation(library, model, stalls)
    before = memory.copy()
    assert run(machine)
    sums = before[:1024].view(np.uint64).reshape(-1, 16).sum(axis=0)
    assert (memory[1024:1152].view(np.uint64) == sums).all()
    assert (memory[:1024] == before[:1024]).all()
    assert (memory[1152:] == before[1152:]).all()
    assert machine.open_bursts == 0
    machine.close()


@pytest.mark.parametrize("order", [WriteOrder.DATA, WriteOrder.RANDOM])
@pytest.mark.parametrize(
    "stalls", [Stalls(), Stalls(0.3, 1), Stalls(0.8, 2), Stalls(0.1, 3, longest_cycles=40)]
)
def test_data_before_its_address_ends_in_the_same_memory(library, order, stalls):
    memory, machine = simulation(library, stalls=stalls, order=order)
    before = memory.copy()
    assert run(machine)
    assert (memory[1024:1152].view(np.uint64) == sums_of(before)).all()
    assert (memory[1152:] == before[1152:]).all()
    assert machine.open_bursts == 0
    machine.close()


def test_an_address_that_waits_for_its_data_is_taken_in_the_next_cycle(library):
    cycles = []
    for order in (WriteOrder.ADDRESS, WriteOrder.DATA):
        _, machine = simulation(library, order=order)
        machine.trace(True)
        run(machine)
        (taken,) = [e.cycle for e in machine.take_events() if e.kind is EventKind.WRITE_BURST]
        cycles.append((taken, machine.read(BUSY_CYCLES)))
        machine.close()
    # 16 beats come before the address; when it is first, they begin a cycle after it.
    assert cycles[1][0] - cycles[0][0] == 16
    assert cycles[1][1] == cycles[0][1]


def sums_of(memory, refused=(), flips=()):
    """What the stand-in writes: 16 sums of the beats read, refused ones as zero, flipped ones flipped."""
    beats = memory[:1024].view(np.uint64).copy()
    for index, bit in flips:
        beats[index] ^= np.uint64(1 << bit)
    beats[list(refused)] = 0
    return beats.reshape(-1, 16).sum(axis=0)


def test_a_refused_read_brings_zeros_beat_by_beat(library):
    memory, machine = simulation(library)
    before = memory.copy()
    machine.set_faults(
        Faults(
            refusals=(
                Refusal((Channel.READ_0,), first=5, count=2),
                Refusal((Channel.READ_1,), start=BASE + 1000, end=BASE + 1008, response=Response.DECERR),
            )
        )
    )
    assert run(machine)
    assert (memory[1024:1152].view(np.uint64) == sums_of(before, [5, 6, 125])).all()
    machine.close()


def test_beats_drawn_by_address_are_those_that_python_draws(library):
    for seed in (1, 2):
        memory, machine = simulation(library, stalls=Stalls(0.4, seed))
        before = memory.copy()
        faults = Faults(refusals=(Refusal((Channel.READ_0, Channel.READ_1), probability=0.3, seed=seed),))
        machine.set_faults(faults)
        assert run(machine)
        drawn = np.flatnonzero(faults.refused(Channel.READ_0, BASE + 8 * np.arange(128)))
        assert 20 < len(drawn) < 60
        assert (memory[1024:1152].view(np.uint64) == sums_of(before, drawn)).all()
        machine.close()


def test_a_refused_write_beat_changes_nothing(library):
    memory, machine = simulation(library, order=WriteOrder.RANDOM)
    before = memory.copy()
    machine.set_faults(Faults(refusals=(Refusal((Channel.WRITE_0,), first=3, count=1),)))
    assert run(machine)
    expected = sums_of(before)
    expected[3] = before[1024:1152].view(np.uint64)[3]
    assert (memory[1024:1152].view(np.uint64) == expected).all()
    machine.set_faults(Faults())
    assert run(machine)
    assert (memory[1024:1152].view(np.uint64) == sums_of(before)).all()
    machine.close()


def test_one_bit_of_one_beat_is_flipped_on_request(library):
    memory, machine = simulation(library)
    before = memory.copy()
    flips = (Flip(Channel.READ_0, 9, 63), Flip(Channel.READ_1, 2, 0, start=BASE + 640, end=BASE + 1024))
    machine.set_faults(Faults(flips=(*flips, Flip(Channel.WRITE_0, 15, 7))))
    assert run(machine)
    expected = sums_of(before, flips=[(9, 63), (82, 0)])
    expected[15] ^= np.uint64(1 << 7)
    assert (memory[1024:1152].view(np.uint64) == expected).all()
    assert (memory[:1024] == before[:1024]).all()
    machine.close()


def test_cycles_follow_the_memory_rules_exactly(library):
    for model in (FAST, MemoryModel("test", 40, 24, 2, 1, 8)):
        _, machine = simulation(library, model)
        run(machine)
        # Both ports stream a beat a cycle, the first one a latency after its address; one cycle to notice
        # the last beat, then address, 16 beats from the next cycle on, and the response after its latency.
        cycles = model.read_latency_cycles + BEATS + 1 + 1 + 16 + model.write_latency_cycles
        assert machine.read(BUSY_CYCLES) == cycles
        machine.close()


def test_bandwidth_is_shared_by_the_ports(library):
    _, machine = simulation(library, SLOW)
    run(machine)
    # 128 beats read and 16 written at half a beat a cycle.
    cycles = machine.read(BUSY_CYCLES)
    assert 2 * 144 <= cycles <= 2 * 144 + SLOW.read_latency_cycles + SLOW.write_latency_cycles + 4
    machine.close()


def test_one_open_burst_at_a_time_waits_the_latency_for_each(library):
    model = MemoryModel("test", 30, 4, 3, 1, 1)
    _, machine = simulation(library, model)
    run(machine)
    assert machine.read(BUSY_CYCLES) >= 4 * (30 + 16)
    machine.close()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (1, "m0 AR: valid withdrawn before the transfer"),
        (2, "m0 AW: payload changed before the transfer"),
        (3, "m0 AR: burst of 17 beats"),
        (4, "m0 AR: burst at 0x10000fc0 of 16 beats crosses 4 KB"),
        (5, "m0 AR: size is 2"),
        (6, "m0 W: last is 0 on beat 16 of 16"),
        (7, "s_axil: read of 0x024 not answered within 10000 cycles"),
        (8, "s_axil R: data without a request"),
        (9, "depends on an input of the same cycle"),
        (10, "m0 W: payload changed before the transfer"),
    ],
)
def test_a_broken_rule_is_named_in_one_line(library, mode, message):
    _, machine = simulation(library, stalls=Stalls(0.7, 3))
    with pytest.raises(RtlError, match=message) as caught:
        run(machine, mode)
    assert "\n" not in str(caught.value)
    machine.close()


def test_beats_outside_memory_read_as_zero_and_write_nothing(library):
    memory, machine = simulation(library, size=1024 + 64)
    before = memory.copy()
    assert run(machine)
    assert (memory[:1024] == before[:1024]).all()
    sums = before[:1024].view(np.uint64).reshape(-1, 16).sum(axis=0)
    assert (memory[1024:].view(np.uint64) == sums[:8]).all()
    assert run(machine, base=BASE + (1 << 16))
    assert (memory[1024:].view(np.uint64) == sums[:8]).all()
    machine.close()


def test_the_trace_holds_register_writes_and_bursts(library):
    _, machine = simulation(library)
    machine.trace(True)
    run(machine)
    events = machine.take_events()
    writes = [(e.address, e.value) for e in events if e.kind is EventKind.REGISTER_WRITE]
    assert writes == [(MEMORY_BASE, BASE), (MODE, 0), (START, 1)]
    reads = [(e.port, e.address, e.value) for e in events if e.kind is EventKind.READ_BURST]
    assert sorted(reads) == [(port, BASE + 512 * port + 128 * n, 16) for port in range(2) for n in range(4)]
    assert [(e.address, e.value) for e in events if e.kind is EventKind.WRITE_BURST] == [(BASE + 1024, 16)]
    assert machine.take_events() == []
    machine.close()


def test_the_same_seed_stalls_the_same_and_another_does_not(library):
    cycles = []
    for seed in (5, 5, 6):
        _, machine = simulation(library, stalls=Stalls(0.5, seed))
        run(machine)
        cycles.append(machine.read(BUSY_CYCLES))
        machine.close()
    assert cycles[0] == cycles[1] != cycles[2]
