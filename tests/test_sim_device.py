"""The simulated pynq device: what real pynq code relies on, and what it must not get away with."""

import os

import numpy as np
import pynq
import pytest
from driven import Multiplication, codes, fast_backend, opened

from cpt.host.contiguous import Regions
from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError
from cpt.host.ports import widen
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.handoff import VLNVS, hwh
from cpt.sim.device import SimulatedDevice, open_simulated


def multiplication(accelerator):
    rng = np.random.default_rng(4)
    return Multiplication(accelerator, codes(rng, 9, 70, 4), codes(rng, 12, 70, 4))


def test_operands_that_were_not_flushed_are_not_seen():
    with opened() as accelerator:
        work = multiplication(accelerator)
        work.flush = lambda: None
        assert not (work.product().values == work.a @ work.b.T).all()


def test_results_that_were_not_invalidated_are_not_seen():
    with opened() as accelerator:
        work = multiplication(accelerator)
        work.set_slots()
        work.pack()
        work.flush()
        accelerator.run(work.program)
        assert (np.asarray(work.buffers[2]) == 0xA5).all()
        work.buffers[2].invalidate()
        np.testing.assert_array_equal(work.unpack().values, work.a @ work.b.T)


def test_instructions_that_were_not_flushed_are_not_seen(monkeypatch):
    with opened() as accelerator:
        work = multiplication(accelerator)
        work.set_slots()
        monkeypatch.setattr(SimulatedDevice, "flush", lambda *arguments: None)
        with pytest.raises(DeviceError, match="illegal_opcode"):
            accelerator.run(work.program)


def test_flushing_a_part_moves_that_part_only():
    device = SimulatedDevice(fast_backend())
    widen(lambda base, nbytes: pynq.MMIO(base, nbytes, device=device))
    buffer = pynq.allocate((4, 8), "u2", target=device)
    start = buffer.device_address - device.backend.memory_base
    buffer[:] = np.arange(32).reshape(4, 8)
    buffer[1:3].flush()
    seen = device.backend.memory[start : start + 64].view("u2").reshape(4, 8)
    np.testing.assert_array_equal(seen[1:3], buffer[1:3])
    assert not seen[[0, 3]].any()
    seen[2] = 7
    buffer[2].invalidate()
    assert (buffer[2] == 7).all()
    assert buffer[1, 0] == 8
    device.close()


def test_buffers_behave_like_those_of_pynq():
    device = SimulatedDevice(fast_backend())
    with pynq.allocate((10,), target=device) as buffer:
        assert isinstance(buffer, pynq.buffer.PynqBuffer)
        assert buffer.dtype == np.uint32
        assert buffer.physical_address == buffer.device_address
        assert buffer[3:].physical_address == buffer.physical_address + 12
        assert device.default_memory.regions.taken_bytes == 4096
        buffer[3:].freebuffer()
        assert device.default_memory.regions.taken_bytes == 4096
    assert device.default_memory.regions.taken_bytes == 0
    with pytest.raises(RuntimeError, match=r"BO allocation failed: .* bytes wanted"):
        pynq.allocate((1 << 23,), "u1", target=device)
    device.close()


def test_an_overlay_of_unmodified_pynq_finds_the_accelerator():
    device = SimulatedDevice(fast_backend())
    overlay = pynq.Overlay(device.bitfile, device=device)
    assert overlay.is_loaded()
    assert type(overlay.cpt_accelerator_0).__name__ == "AcceleratorIP"
    assert overlay.cpt_accelerator_0.mmio.read(0) == 0x43505431
    device.close()


def test_the_driver_binds_to_a_module_reference_too(tmp_path):
    device = SimulatedDevice(fast_backend())
    bitfile = tmp_path / "referenced.bit"
    bitfile.write_bytes(b"")
    bitfile.with_suffix(".hwh").write_text(hwh(preset("tiny"), VLNVS[1]))
    with Accelerator(str(bitfile), device) as accelerator:
        multiplication(accelerator).check()
    device.close()


@pytest.mark.parametrize("text", [None, "", "not XML", "<EDKSYSTEM/>", hwh(preset("tiny"))[:20_000]])
def test_a_missing_or_damaged_handoff_is_one_line(text, tmp_path):
    device = SimulatedDevice(fast_backend())
    bitfile = tmp_path / "damaged.bit"
    bitfile.write_bytes(b"")
    if text is not None:
        bitfile.with_suffix(".hwh").write_text(text)
    with pytest.raises(DeviceError, match=r"damaged.bit could not be loaded: .") as caught:
        Accelerator(str(bitfile), device)
    assert "\n" not in str(caught.value)
    device.close()


def test_two_devices_live_side_by_side():
    with opened(fast_backend("tiny")) as one, opened(fast_backend("z7020")) as other:
        for _ in range(2):
            multiplication(one).check()
            multiplication(other).check()
        assert (one.clock_mhz, other.clock_mhz) == (200.0, 100.0)


def test_nothing_answers_beside_registers_and_clocks():
    device = SimulatedDevice(fast_backend())
    with pytest.raises(OSError, match="nothing at bus addresses 0x43c01000"):
        pynq.MMIO(0x43C0_1000, 4, device=device)
    with pytest.raises(IndexError, match="register word is 1024"):
        device.mmap(0x43C0_0000, 4096)[1024]
    device.close()


def test_the_placeholder_vanishes_with_the_device():
    device = open_simulated("fast", "tiny", "ideal", 1 << 20)
    assert os.path.exists(device.bitfile)
    device.close()
    assert not os.path.exists(device.bitfile)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modle", "tiny"), "device is 'modle'; allowed: fast, rtl"),
        (("fast", "huge"), "preset is 'huge'; allowed: zc706, z7020, middle, tiny"),
        (("fast", "tiny", "fast"), "memory model is 'fast'; allowed: "),
    ],
)
def test_unknown_names_are_refused_in_one_line(arguments, message):
    with pytest.raises(ContractError, match=message):
        open_simulated(*arguments)


def test_regions_never_overlap_and_are_reused():
    rng = np.random.default_rng(5)
    regions, held = Regions(1 << 20), {}
    for _ in range(2000):
        if held and rng.random() < 0.5:
            regions.give_back(held.pop(list(held)[rng.integers(len(held))])[0])
            continue
        nbytes = int(rng.integers(1, 40_000))
        try:
            start = regions.take(nbytes)
        except MemoryError:
            assert regions.taken_bytes > 1 << 18
            continue
        assert start % 4096 == 0
        assert start + nbytes <= 1 << 20
        assert all(start + nbytes <= other or start >= other + size for other, size in held.values())
        held[start] = (start, nbytes)
    for start, _ in held.values():
        regions.give_back(start)
    assert regions.take(1 << 20) == 0
