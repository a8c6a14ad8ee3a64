"""The device of a Linux without the PYNQ image, on a folder of ordinary files instead of /dev and /sys."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pynq
import pytest
from driven import MEMORY_BYTES, Multiplication, backend, codes
from linux_board import ATTRIBUTES, DEVICE, MANAGER, SLCR, bit_file, board, put

import cpt.host.driver
from cpt.host.driver import Accelerator, open_board
from cpt.host.errors import DeviceError, OutOfDeviceMemory
from cpt.host.linux import FCLK0_GATE, LinuxDevice
from cpt.host.ports import CHANNELS, PORT_BYTES, PORTS
from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP
from cpt.hw.contract.handoff import REGISTER_BASE
from cpt.main import main
from cpt.model.run import SUMMARY
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.device import RegisterWindow
from cpt.sim.memory import memory_model
from cpt.sim.step.backend import StepBackend


class Zynq(LinuxDevice):
    """The device itself, with a machine behind the registers and a kernel that obeys the sync attributes."""

    def __init__(self, root, machine):
        super().__init__(root)
        self.machine = machine
        self.memory = np.memmap(root / DEVICE, np.uint8, "r+")

    def mmap(self, base, length):
        if base == REGISTER_BASE:
            return RegisterWindow(self.machine, 0, length // 4)
        return super().mmap(base, length)

    def flush(self, bo, offset, address, nbytes):
        super().flush(bo, offset, address, nbytes)
        lines = self.lines("sync_for_device", 1)
        self.machine.memory[lines] = self.memory[lines]

    def invalidate(self, bo, offset, address, nbytes):
        super().invalidate(bo, offset, address, nbytes)
        lines = self.lines("sync_for_cpu", 2)
        self.memory[lines] = self.machine.memory[lines]

    def lines(self, attribute, direction):
        """The bytes that the word last written to ``attribute`` stands for."""
        word = int((self.root / ATTRIBUTES / attribute).read_text(), 0)
        start, size = word >> 32, word & 0xFFFF_FFF0
        assert word & 0xF == direction << 2 | 1
        assert start + size <= self.memory.size
        return slice(start, start + size)


@pytest.fixture(autouse=True)
def fresh_clocks(monkeypatch):
    """pynq keeps the clock registers of the first device it saw."""
    monkeypatch.delattr(pynq.Clocks, "_real_instance", raising=False)


@pytest.fixture(params=["fast", "rtl"])
def zynq(request, tmp_path):
    machine = backend(request.param)
    yield Zynq(board(tmp_path), machine)
    machine.close()


def test_the_unmodified_driver_multiplies_on_it(zynq, tmp_path, monkeypatch):
    monkeypatch.setattr(cpt.host.driver, "LinuxDevice", {zynq.root: zynq}.get)
    rng = np.random.default_rng(5)
    with open_board(bit_file(tmp_path), zynq.root) as accelerator:
        assert accelerator.clock_mhz == 200.0
        for bits in ((3, 5), (8, 8)):
            a, b = codes(rng, 9, 100, bits[0]), codes(rng, 17, 100, bits[1])
            Multiplication(accelerator, a, b, bits=bits).check()
        assert zynq.default_memory.regions.taken_bytes > 0
    assert zynq.default_memory.regions.taken_bytes == 0


def test_loading_hands_a_swapped_copy_to_the_fpga_manager_and_starts_the_clock(zynq, tmp_path):
    Accelerator(bit_file(tmp_path), zynq).close()
    loaded = (tmp_path / "lib/firmware/cpt.bin").read_bytes()
    assert loaded == bytes.fromhex("ffffffff 665599aa 00000020")
    assert (tmp_path / MANAGER / "firmware").read_bytes() == b"cpt.bin"
    assert (tmp_path / MANAGER / "flags").read_bytes() == b"0"
    assert LinuxDevice(tmp_path).mmap(FCLK0_GATE, 4)[0] == 0
    ports = [LinuxDevice(tmp_path).mmap(base, PORT_BYTES) for base in PORTS.values()]
    assert [int(words[at // 4]) & 1 for words in ports for at in CHANNELS.values()] == [0, 0, 0, 0]


def test_the_command_trains_on_it_as_on_the_model(tmp_path, monkeypatch, capsys):
    machine = StepBackend(preset("tiny", STEP), memory_model("ideal", 200.0), 8 * MEMORY_BYTES)
    root = board(tmp_path / "root", 8 * MEMORY_BYTES)
    monkeypatch.setattr(cpt.host.driver, "ROOT", root)
    monkeypatch.setattr(cpt.host.driver, "LinuxDevice", lambda root: Zynq(root, machine))
    quick = ["--width", "4", "--steps", "2", "--batch-size", "16", "--cycles", "1", "--out"]
    assert main(["train", *quick, str(tmp_path / "model"), "--preset", "tiny"]) == 0
    bitfile = ["--bitfile", bit_file(tmp_path)]
    assert main(["train", *quick, str(tmp_path / "board"), "--device", "board", *bitfile]) == 0
    assert "s by the wall clock" in capsys.readouterr().out
    weights = [
        json.loads((tmp_path / name / f"digits-resnet8-cpt-{device}" / SUMMARY).read_text())["weights_sha256"]
        for name, device in (("model", "fast"), ("board", "board"))
    ]
    assert weights[0] == weights[1]


def test_buffers_lie_in_the_u_dma_buf_without_overlap(tmp_path):
    device = LinuxDevice(board(tmp_path))
    buffers = [pynq.allocate((size,), "u1", target=device) for size in (5000, 1, 4096)]
    assert [item.device_address - MEMORY_BASE for item in buffers] == [0, 8192, 12288]
    for value, item in enumerate(buffers, 1):
        item[:] = value
    seen = np.fromfile(tmp_path / DEVICE, np.uint8)
    assert [set(seen[start : start + size]) for start, size in ((0, 5000), (8192, 1), (12288, 4096))] == [
        {1},
        {2},
        {3},
    ]
    assert seen[5000] == seen[8193] == 0xA5
    buffers[0].freebuffer()
    assert pynq.allocate((8192,), "u1", target=device).device_address == MEMORY_BASE


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (slice(0, 4096), "0x0000200000001000"),
        (slice(100, 200), "0x0000206000000080"),
        (slice(32, 33), "0x0000202000000020"),
    ],
)
def test_whole_cache_lines_of_the_part_are_flushed_and_invalidated(tmp_path, part, expected):
    """Offset in the upper 32 bits, size in the lower, direction in bits 2 and 3, bit 0 set."""
    device = LinuxDevice(board(tmp_path))
    first = pynq.allocate((8192,), "u1", target=device)
    buffer = pynq.allocate((4096,), "u1", target=device)
    buffer[part].flush()
    assert (
        tmp_path / ATTRIBUTES / "sync_for_device"
    ).read_text() == f"0x{int(expected, 0) | 1 << 2 | 1:016X}"
    assert buffer.device_address == first.device_address + 8192
    buffer[part].invalidate()
    assert (tmp_path / ATTRIBUTES / "sync_for_cpu").read_text() == f"0x{int(expected, 0) | 2 << 2 | 1:016X}"


def test_a_fresh_buffer_is_written_back_before_the_accelerator_gets_it(tmp_path):
    LinuxDevice(board(tmp_path)).allocate((10_000,), "u1")
    assert (tmp_path / ATTRIBUTES / "sync_for_device").read_text() == "0x0000000000002725"


def one_line(caught):
    assert "\n" not in str(caught.value)


def test_too_small_a_buffer_is_named_with_its_size(zynq, tmp_path):
    small = Zynq(board(tmp_path / "small", 1 << 14), zynq.machine)
    with pytest.raises(OutOfDeviceMemory, match=r"131072 bytes wanted, 16384 of 16384 free in all") as caught:
        Accelerator(bit_file(tmp_path), small)
    one_line(caught)


def test_without_a_u_dma_buf_the_module_is_named(zynq, tmp_path):
    for path in (zynq.root / ATTRIBUTES).iterdir():
        path.unlink()
    (zynq.root / ATTRIBUTES).rmdir()
    with pytest.raises(DeviceError, match=r"udmabuf0 is missing; allowed: .* u-dma-buf loaded") as caught:
        open_board(bit_file(tmp_path), zynq.root)
    one_line(caught)


def test_a_kernel_that_takes_no_file_names_is_named(zynq, tmp_path):
    (tmp_path / MANAGER / "firmware").unlink()
    with pytest.raises(
        DeviceError, match=r"could not be loaded: .*firmware is missing; allowed: a kernel"
    ) as caught:
        Accelerator(bit_file(tmp_path), zynq)
    one_line(caught)


def test_an_fpga_that_was_not_configured_is_named(zynq, tmp_path):
    put(tmp_path / MANAGER / "state", b"write error\n")
    with pytest.raises(
        DeviceError, match="state is 'write error' after loading; expected 'operating'"
    ) as caught:
        Accelerator(bit_file(tmp_path), zynq)
    one_line(caught)


def test_a_file_that_is_no_bitstream_is_named(zynq, tmp_path):
    bitfile = bit_file(tmp_path)
    Path(bitfile).write_bytes(b"\0")
    with pytest.raises(DeviceError, match=r"cpt.bit could not be loaded: it is no bit file") as caught:
        Accelerator(bitfile, zynq)
    one_line(caught)
    assert not (tmp_path / "lib").exists()


@contextlib.contextmanager
def ordinary_user():
    """Without root's rights, where the tests have them."""
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(before)


def use_everything(root):
    device = LinuxDevice(root)
    device.mmap(SLCR, 4)
    device.allocate((1,), "u1")
    device.download(SimpleNamespace(bitfile_name=bit_file(root)))


@pytest.mark.parametrize("name", ["dev/mem", DEVICE, ATTRIBUTES / "sync_for_device", MANAGER / "flags"])
def test_an_ordinary_user_is_told_to_be_root(name):
    with tempfile.TemporaryDirectory() as folder:
        root = board(Path(folder))
        for path in (root, *root.rglob("*")):
            os.chmod(path, 0o777)
        os.chmod(root / name, 0)
        with ordinary_user(), pytest.raises(DeviceError, match="Permission denied; run as root") as caught:
            use_everything(root)
        assert str(root / name) in str(caught.value)
        one_line(caught)
