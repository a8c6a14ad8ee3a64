"""Opening through real pynq calls: who answers is checked, and what does not fit gets one line."""

from dataclasses import replace
from pathlib import Path

import pytest
from driven import SOFT_RESET, NeverReset, fast_backend, multiplication, one_line, opened

from cpt.host.driver import WATCHDOG_CYCLES, Accelerator, open_board
from cpt.host.errors import ContractMismatch, DeviceError, DeviceTimeout
from cpt.hw.contract import CONTRACT_HASH, preset, register
from cpt.hw.contract.handoff import hwh
from cpt.sim.device import SimulatedDevice
from cpt.sim.trace import TracedBackend


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


@pytest.mark.parametrize("name", ["tiny", "z7020", "zc706"])
def test_array_shape_and_clock_are_read_from_the_device(name):
    with opened(fast_backend(name)) as accelerator:
        assert accelerator.config == preset(name)
        assert accelerator.clock_mhz == preset(name).clock_mhz


def test_pynq_names_registers_and_fields_from_the_handoff(simulated):
    with opened(simulated()) as accelerator:
        accelerator.set_slot(5, 11, signed=True)
        shape = accelerator.ip.register_map.SHAPE
        assert (shape.rows, shape.cols, shape.word_bits) == (4, 8, 36)
        assert accelerator.ip.register_map.SLOT_5.bits == 11
        assert accelerator.ip.register_map.SLOT_5.signed == 1


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
