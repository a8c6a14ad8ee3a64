"""The driver through real pynq calls: register transactions, deadlines, errors, recovery."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from driven import Multiplication, backend, codes, fast_backend, opened

from cpt.host.counters import Counters
from cpt.host.driver import WATCHDOG_CYCLES, Accelerator, open_board
from cpt.host.errors import ContractMismatch, DeviceError, DeviceTimeout, OutOfDeviceMemory
from cpt.host.program import Program
from cpt.hw.contract import CONTRACT_HASH, ContractError, Counter, Opcode, encode, preset, register
from cpt.hw.contract.handoff import hwh
from cpt.sim.device import SimulatedDevice
from cpt.sim.trace import TracedBackend

STATUS = register("STATUS").offset
SOFT_RESET, CLEAR_COUNTERS = 1, 2
END = encode(Opcode.END, tag=0)


class NeverDone:
    """Busy from the first doorbell on; ``curable`` by a soft reset or not."""

    curable = True
    hanging = False

    def write_register(self, offset, value):
        if offset == register("RING_TAIL").offset:
            self.hanging = True
        if offset == register("CONTROL").offset and value & SOFT_RESET:
            self.hanging = self.hanging and not self.curable
        super().write_register(offset, value)

    def read_register(self, offset):
        return 1 if offset == STATUS and self.hanging else super().read_register(offset)


class NeverReset(NeverDone):
    curable = False


class Interrupted:
    """The user presses Ctrl-C while the first program runs."""

    pending = False

    def write_register(self, offset, value):
        super().write_register(offset, value)
        self.pending = self.pending or offset == register("RING_TAIL").offset

    def read_register(self, offset):
        if offset == STATUS and self.pending:
            self.pending = False
            raise KeyboardInterrupt
        return super().read_register(offset)


@pytest.fixture(params=["fast", "rtl"])
def simulated(request):
    """Makes a machine of each kind: everything below runs on the fast model and on the compiled RTL."""
    return partial(backend, request.param)


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


def multiplication(accelerator, seed=0, m=6, n=11, k=60):
    rng = np.random.default_rng(seed)
    return Multiplication(accelerator, codes(rng, m, k, 4), codes(rng, n, k, 4))


def test_opening_reads_who_answers_and_prepares_the_ring(simulated):
    trace = TracedBackend(simulated())
    with opened(trace, ring_log2=5) as accelerator:
        assert trace.writes == [
            ("CONTROL", SOFT_RESET),
            ("ERROR", register("ERROR").mask),
            ("RING_BASE", accelerator.ring.buffer.device_address),
            ("RING_LOG2", 5),
            ("READ_BASE", accelerator.ring.buffer.device_address),
            ("READ_LIMIT", accelerator.ring.buffer.device_address + (32 << 5)),
            ("WRITE_BASE", 0),
            ("WRITE_LIMIT", 0),
            ("WATCHDOG", WATCHDOG_CYCLES),
        ]
        assert accelerator.config == preset("tiny")
        assert accelerator.ring.buffer.device_address % 4096 == 0


def test_the_machine_may_read_and_write_between_its_own_buffers_and_nothing_after_closing(simulated):
    trace = TracedBackend(simulated())
    with opened(trace) as accelerator:
        work = multiplication(accelerator)
        work.product()
        a, b, c = (item.device_address for item in work.buffers)
        ring = accelerator.ring.buffer.device_address
        names = ("READ_BASE", "READ_LIMIT", "WRITE_BASE", "WRITE_LIMIT")
        low, high, write_low, write_high = (accelerator.ip.read(name) for name in names)
        assert (low, write_low) == (min(ring, a, b, c), min(a, b, c))
        assert high == write_high == max(a, b, c) + max(work.buffers, key=lambda x: x.device_address).nbytes
        far = replace(work.gemm, addr_c=high).program("far")
        with pytest.raises(DeviceError) as caught:
            accelerator.run(far)
        message = one_line(caught)
        assert "program far stopped at instruction" in message
        assert "(DRAIN)" in message
        assert f"write_window: a DRAIN would write outside WRITE_BASE = {write_low:#x}.." in message
        work.check()
    assert trace.writes[-4:] == [(name, 0) for name in names]


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


@pytest.mark.parametrize("name", ["tiny", "z7020", "zc706"])
def test_array_shape_and_clock_are_read_from_the_device(name):
    with opened(fast_backend(name)) as accelerator:
        assert accelerator.config == preset(name)
        assert accelerator.clock_mhz == preset(name).clock_mhz


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


def test_pynq_names_registers_and_fields_from_the_handoff(simulated):
    with opened(simulated()) as accelerator:
        accelerator.set_slot(5, 11, signed=True)
        shape = accelerator.ip.register_map.SHAPE
        assert (shape.rows, shape.cols, shape.word_bits) == (4, 8, 36)
        assert accelerator.ip.register_map.SLOT_5.bits == 11
        assert accelerator.ip.register_map.SLOT_5.signed == 1


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


def test_a_bitstream_of_another_contract_is_refused_with_both_hashes(simulated):
    class Other:
        def read_register(self, offset):
            value = super().read_register(offset)
            return value ^ 1 if offset == register("CONTRACT_LO").offset else value

    device = SimulatedDevice(simulated(fault=Other))
    with pytest.raises(ContractMismatch) as caught:
        Accelerator(device.bitfile, device)
    device.close()
    message = one_line(caught)
    assert f"{CONTRACT_HASH:016x}" in message
    assert f"{CONTRACT_HASH ^ 1:016x}" in message


def test_something_else_behind_the_bitstream_is_refused(simulated):
    class Stranger:
        def read_register(self, offset):
            return 0 if offset == register("MAGIC").offset else super().read_register(offset)

    device = SimulatedDevice(simulated(fault=Stranger))
    with pytest.raises(DeviceError, match="MAGIC = 0x0; expected 0x43505431") as caught:
        Accelerator(device.bitfile, device)
    device.close()
    one_line(caught)


@pytest.mark.parametrize("own", [False, True])
def test_loading_leaves_nothing_in_the_current_folder(own, tmp_path, monkeypatch):
    """pynq 3.1 writes a file there; one that was there before is the user's."""

    class Writes(SimulatedDevice):
        def download(self, bitstream, parser=None):
            Path("loaded.xclbin").write_bytes(b"theirs")
            super().download(bitstream, parser)

    monkeypatch.chdir(tmp_path)
    if own:
        Path("loaded.xclbin").write_bytes(b"mine")
    device = Writes(fast_backend())
    Accelerator(device.bitfile, device).close()
    device.close()
    assert Path("loaded.xclbin").exists() == own


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


def test_a_machine_that_never_rests_cannot_be_opened(simulated, monkeypatch):
    monkeypatch.setattr("cpt.host.driver._RESET_DEADLINE_S", 0.05)
    backend = simulated(fault=NeverReset)
    backend.hanging = True
    device = SimulatedDevice(backend)
    with pytest.raises(DeviceTimeout, match=r"still busy 0.05 s after a soft reset") as caught:
        Accelerator(device.bitfile, device)
    one_line(caught)
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


def test_a_machine_without_an_fpga_gives_one_clear_line():
    with pytest.raises(DeviceError, match=r"no board: .* allowed devices: fast, rtl") as caught:
        open_board("cpt.bit")
    one_line(caught)


def test_a_missing_bitstream_gives_one_clear_line(simulated):
    device = SimulatedDevice(simulated())
    with pytest.raises(DeviceError, match=r"bitstream .*absent.bit could not be loaded") as caught:
        Accelerator("absent.bit", device)
    one_line(caught)
    device.close()


def test_a_design_without_the_accelerator_is_refused(simulated, tmp_path):
    device = SimulatedDevice(simulated())
    bitfile = tmp_path / "other.bit"
    bitfile.write_bytes(b"")
    bitfile.with_suffix(".hwh").write_text(hwh(preset("tiny"), "xilinx.com:ip:axi_gpio:2.0"))
    with pytest.raises(DeviceError, match="holds no accelerator; allowed: one IP of") as caught:
        Accelerator(str(bitfile), device)
    one_line(caught)
    device.close()
