"""The driver through real pynq calls: which registers a run writes, slots, ring and counters."""

import numpy as np
import pytest
from driven import CLEAR_COUNTERS, Multiplication, NeverDone, codes, multiplication, opened

from cpt.host.counters import Counters
from cpt.host.errors import DeviceError
from cpt.hw.contract import ContractError, Counter, Opcode, register
from cpt.sim.trace import TracedBackend


def test_a_run_is_one_doorbell_between_clearing_and_reading_the_counters(simulated):
    trace = TracedBackend(simulated())
    with opened(trace) as accelerator:
        work = multiplication(accelerator)
        work.product()
        trace.clear()
        accelerator.run(work.program)
        count = len(work.program)
        assert trace.writes == [("CONTROL", CLEAR_COUNTERS), ("RING_TAIL", 2 * count)]
        assert b"".join(trace.words) == work.program.tagged(2)


def test_only_slots_that_change_are_written(simulated):
    trace = TracedBackend(simulated())
    with opened(trace) as accelerator:
        accelerator.set_slots({0: (3, False), 7: (8, True)})
        trace.clear()
        accelerator.set_slots({0: (3, False), 7: (7, True), 8: (16, False)})
        assert trace.writes == [("SLOT_7", 0x107), ("SLOT_8", 16)]
        trace.clear()
        accelerator.set_slot(8, np.int64(16))
        assert trace.writes == []


@pytest.mark.parametrize("mend", ["soft_reset", "rewrite_slots"])
def test_an_upset_slot_is_mended(simulated, mend):
    """The driver's own copy still says what the register no longer holds."""
    machine = simulated()
    with opened(machine) as accelerator:
        work = multiplication(accelerator)
        work.check()
        machine.write_register(register("SLOT_0").offset, 1)
        assert not (work.product().values == work.a @ work.b.T).all()
        getattr(accelerator, mend)()
        work.check()


def test_precision_changes_nothing_but_slots(simulated):
    """Same buffers, same instruction words; only slot registers differ between two precisions."""
    trace = TracedBackend(simulated())
    rng = np.random.default_rng(3)
    with opened(trace) as accelerator:
        work = Multiplication(accelerator, codes(rng, 9, 100, 3), codes(rng, 20, 100, 3), bits=(3, 3))
        work.check()
        seen = []
        for bits in ((4, 4), (3, 3), (8, 8), (5, 8)):
            work.bits = bits
            trace.clear()
            work.check()
            words = [word for word in trace.words if word[0] & 0xF != Opcode.END]
            others = [item for item in trace.writes if not item[0].startswith(("SLOT_", "RING_TAIL"))]
            seen.append((words, others))
            slots = [item for item in trace.writes if item[0].startswith("SLOT_")]
            assert dict(slots).items() <= {"SLOT_0": bits[0], "SLOT_1": bits[1]}.items()
            assert slots
        assert seen[0] == seen[1] == seen[2] == seen[3]


def test_numpy_integers_reach_the_registers(simulated):
    with opened(simulated()) as accelerator:
        with pytest.raises(ValueError, match="int or bytes"):
            accelerator.ip.mmio.write(register("IRQ_ENABLE").offset, np.uint32(3))
        accelerator.ip.write("IRQ_ENABLE", np.uint32(3))
        assert accelerator.ip.read("IRQ_ENABLE") == 3


@pytest.mark.parametrize("ring_log2", [2, 4, 12])
def test_programs_longer_than_the_ring_and_many_in_a_row_go_through_it(simulated, ring_log2):
    with opened(simulated(), ring_log2=ring_log2) as accelerator:
        work = multiplication(accelerator, m=9, n=17, k=800)  # 2 chunks for each of 9 result tiles
        assert len(work.program) > 16
        for _ in range(5):
            work.check()


def test_counters_are_those_of_one_program(simulated):
    assert list(Counters().as_dict()) == [item.name.lower() for item in Counter]
    with opened(simulated()) as accelerator:
        work = multiplication(accelerator)
        work.check()
        once = work.counters
        assert once.bytes_read > 0
        assert accelerator.run(work.program) == once
        assert (once + once).bytes_read == 2 * once.bytes_read


def test_counters_that_were_taken_start_again(simulated):
    with opened(simulated()) as accelerator:
        work = multiplication(accelerator)
        work.product()
        first = accelerator.take_counters()
        assert first.total > first.exec_busy > 0
        assert accelerator.take_counters() == Counters() == first.times(0)
        assert first.times(3) == first + first + first


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ({0: (0, False)}, "bits of slot 0 is 0; allowed: 1..16"),
        ({3: (17, False)}, "bits of slot 3 is 17; allowed: 1..16"),
        ({256: (8, False)}, "slot is 256; allowed: 0..255"),
    ],
)
def test_slots_out_of_range_are_refused_before_any_is_written(simulated, slots, message):
    trace = TracedBackend(simulated())
    with opened(trace) as accelerator:
        trace.clear()
        with pytest.raises(ContractError, match=message):
            accelerator.set_slots({1: (4, False), **slots})
        assert trace.writes == []


def test_slots_are_not_touched_while_the_machine_is_busy(simulated):
    backend = simulated(fault=NeverDone)
    with opened(backend) as accelerator:
        backend.hanging = True
        with pytest.raises(DeviceError, match="while the accelerator is busy; allowed: when idle"):
            accelerator.set_slot(0, 4)
