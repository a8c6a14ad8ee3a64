"""Errors and deadlines through real pynq calls: named in one line, and the next program is right."""

import pytest
from driven import SOFT_RESET, Interrupted, NeverDone, NeverReset, multiplication, one_line, opened

from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError, DeviceTimeout, OutOfDeviceMemory
from cpt.host.program import Program
from cpt.hw.contract import Opcode, encode
from cpt.sim.device import SimulatedDevice
from cpt.sim.trace import TracedBackend

END = encode(Opcode.END, tag=0)


def test_a_hanging_machine_meets_the_deadline_and_is_reset(simulated):
    trace = TracedBackend(simulated(fault=NeverDone))
    with opened(trace) as accelerator:
        work = multiplication(accelerator)
        work.set_slots()
        trace.clear()
        with pytest.raises(DeviceTimeout, match=r"program gemm not finished after 0.05 s") as caught:
            accelerator.run(work.program, deadline_s=0.05)
        assert "register read last STATUS = 0x1" in one_line(caught)
        assert f"0 of {len(work.program)} instructions dispatched" in one_line(caught)
        assert ("CONTROL", SOFT_RESET) in trace.writes
        assert accelerator.ring.tail == 0


def test_a_machine_that_ignores_the_reset_says_so(simulated, monkeypatch):
    monkeypatch.setattr("cpt.host.driver._RESET_DEADLINE_S", 0.05)
    machine = TracedBackend(simulated(fault=NeverReset))
    device = SimulatedDevice(machine)
    accelerator = Accelerator(device.bitfile, device)
    work = multiplication(accelerator)
    work.set_slots()
    with pytest.raises(DeviceTimeout, match=r"not finished after .*; still busy 0.05 s after") as caught:
        accelerator.run(work.program, deadline_s=0.05)
    one_line(caught)
    machine.clear()
    calls = (
        lambda: accelerator.run(work.program),
        accelerator.soft_reset,
        work.set_slots,
        lambda: accelerator.allocate((1,)),
    )
    for call in calls:
        with pytest.raises(DeviceError, match=r"unusable: still busy .*; open it again") as caught:
            call()
        one_line(caught)
    accelerator.close()
    assert machine.writes == []
    assert device.default_memory.regions.taken_bytes == 0
    device.close()


def test_sticky_errors_are_named_and_the_next_program_runs(simulated):
    with opened(simulated()) as accelerator:
        work = multiplication(accelerator)
        work.pack()
        work.flush()
        with pytest.raises(DeviceError, match="bad_slot") as caught:
            accelerator.run(work.program)
        assert "program gemm stopped at instruction" in one_line(caught)
        work.check()


def test_an_illegal_instruction_is_named_by_its_place(simulated):
    with opened(simulated()) as accelerator:
        multiplication(accelerator).check()  # so that the ring does not start at zero
        with pytest.raises(DeviceError, match=r"stopped at instruction 1 \(unknown opcode 0\)") as caught:
            accelerator.run(Program("odd", END + bytes(32) + END))
        assert "illegal_opcode" in one_line(caught)
        multiplication(accelerator).check()


def test_a_program_that_waits_for_ever_is_stopped_by_the_watchdog(simulated):
    """EXEC without operands: the machine itself stays busy."""
    words = multiplication_words_without_loads()
    with opened(simulated()) as accelerator:
        accelerator.set_slots({0: (4, False), 1: (4, False)})
        with pytest.raises(DeviceError, match=r"program stuck stopped at instruction .*watchdog"):
            accelerator.run(Program("stuck", words), deadline_s=30)
        multiplication(accelerator).check()


def test_without_the_watchdog_it_meets_the_deadline(simulated):
    with opened(simulated()) as accelerator:
        accelerator.set_slots({0: (4, False), 1: (4, False)})
        accelerator.ip.write("WATCHDOG", 0)
        with pytest.raises(DeviceTimeout, match="STATUS = 0x1"):
            accelerator.run(Program("stuck", multiplication_words_without_loads()), deadline_s=0.05)
        multiplication(accelerator).check()


def multiplication_words_without_loads():
    return (
        encode(
            Opcode.EXEC,
            slot_a=0,
            slot_b=1,
            ksteps=1,
            first=1,
            last=1,
            tiles=1,
            release_a=1,
            taps=511,
            blocks=1,
        )
        + END
    )


def test_ctrl_c_leaves_the_machine_reset_and_the_memory_free(simulated):
    backend = TracedBackend(simulated(fault=Interrupted))
    device = SimulatedDevice(backend)

    def train():
        with Accelerator(device.bitfile, device) as accelerator:
            work = multiplication(accelerator)
            work.set_slots()
            backend.clear()
            accelerator.run(work.program)

    with pytest.raises(KeyboardInterrupt):
        train()
    assert ("CONTROL", SOFT_RESET) in backend.writes
    assert device.default_memory.regions.taken_bytes == 0
    device.close()


def test_memory_that_runs_out_is_one_line_and_frees_nothing_else(simulated):
    with opened(simulated()) as accelerator:
        with pytest.raises(OutOfDeviceMemory, match="no contiguous memory for a buffer of shape") as caught:
            accelerator.allocate((1 << 23,))
        one_line(caught)
        first = accelerator.allocate((1 << 21,))
        with pytest.raises(OutOfDeviceMemory):
            accelerator.allocate((1 << 21,))
        accelerator.free(first)
        accelerator.allocate((1 << 21,))
