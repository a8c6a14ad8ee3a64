"""Clocks of a real board: the reference, the dividers, and the wall clock beside the cycle counter."""

import dataclasses

import numpy as np
import pynq
import pytest
from driven import Multiplication, backend, codes, opened

from cpt.host.board import WallClock, fabric_clock_mhz, reference_mhz
from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError
from cpt.hw.contract import ContractError
from cpt.hw.contract.board import BOARDS, board
from cpt.hw.contract.handoff import BUILT_CLOCK, CRYSTAL
from cpt.sim.device import SimulatedDevice

IO_PLL = 0x108
FCLK0 = 0x170


def _device_tree(folder, hertz):
    node = folder / "proc" / "device-tree" / "amba" / "slcr@f8000000" / "clkc@100"
    node.mkdir(parents=True)
    (node / "ps-clk-frequency").write_bytes(hertz.to_bytes(4, "big"))
    return folder


def _open(device):
    with Accelerator(device.bitfile, device) as accelerator:
        return accelerator.clock_mhz


@pytest.fixture(params=["fast", "rtl"])
def device(request, monkeypatch):
    """A simulated device whose own clock registers pynq uses; it keeps those of the first one it saw."""
    monkeypatch.delattr(pynq.Clocks, "_real_instance", raising=False)
    simulated = SimulatedDevice(backend(request.param))
    yield simulated
    simulated.close()


def test_the_kernel_knows_the_reference(tmp_path):
    assert reference_mhz(_device_tree(tmp_path, 33_333_333)) == pytest.approx(100 / 3, abs=1e-5)


def test_a_machine_without_a_device_tree_knows_none(tmp_path):
    assert reference_mhz(tmp_path) is None


def test_where_pynq_allocates_the_kernel_says_how_much_contiguous_memory_is_left(
    device, tmp_path, monkeypatch
):
    with Accelerator(device.bitfile, device) as accelerator, monkeypatch.context() as image:
        image.setattr("cpt.host.driver.ROOT", tmp_path)
        image.setattr(device, "default_memory", object())
        assert accelerator.free_bytes() is None
        (tmp_path / "proc").mkdir()
        meminfo = "MemFree:  5 kB\nCmaTotal:  131072 kB\nCmaFree:  100 kB\n"
        (tmp_path / "proc" / "meminfo").write_text(meminfo)
        assert accelerator.free_bytes() == 102_400


def test_a_third_of_100_mhz_is_not_reported_as_50(device):
    """pynq alone would say 300 MHz."""
    assert _open(device) == 200.0


def test_another_pll_than_vivado_assumed_gets_other_dividers(device):
    """1.6 GHz instead of 1 GHz: the divider of 5 from the handoff would give 320 MHz."""
    device._slcr[IO_PLL // 4] = 48 << 12
    assert _open(device) == 200.0
    control = int(device._slcr[FCLK0 // 4])
    assert (control >> 8 & 63) * (control >> 20 & 63) == 8


def test_a_clock_between_two_dividers_is_never_above_the_built_one(device):
    device._slcr[IO_PLL // 4] = 33 << 12  # 1.1 GHz; a divider of 5 gives 220 MHz
    assert _open(device) == pytest.approx(1100 / 6, abs=1e-3)


def test_the_kernels_reference_goes_before_the_handoffs(device):
    """With 50 MHz the same registers mean 1.5 GHz, so the dividers become 8: 187.5 MHz."""
    with Accelerator(device.bitfile, device, reference_mhz=50.0) as accelerator:
        assert accelerator.clock_mhz == 187.5


def test_a_handoff_without_the_built_clock_is_refused():
    with pytest.raises(DeviceError, match="names no PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ"):
        fabric_clock_mhz(None, {"PCW_CRYSTAL_PERIPHERAL_FREQMHZ": "50"})


@pytest.mark.parametrize("kind", ["fast", "rtl"])
def test_every_program_is_timed_on_both_clocks(kind):
    with opened(backend(kind)) as accelerator:
        rng = np.random.default_rng(7)
        work = Multiplication(accelerator, codes(rng, 6, 60, 4), codes(rng, 11, 60, 4))
        work.product()
        counted = accelerator.run(work.program)
        assert accelerator.wall.cycles == 2 * counted.total
        assert accelerator.wall.seconds > 0


def test_a_wall_clock_that_shows_more_is_reported():
    wall = WallClock()
    wall.add(0.6, 100_000_000)
    assert wall.check(200.0) == "0.600 s by the wall clock, 0.500 s by the cycle counter at 200 MHz"


def test_a_wall_clock_that_shows_less_betrays_a_wrong_reference():
    """The fabric really ran at 300 MHz: 1e8 cycles took a third of a second."""
    wall = WallClock(1 / 3, 100_000_000)
    with pytest.raises(DeviceError, match=r"the fabric clock is at least 300\.0 MHz"):
        wall.check(200.0)


def test_too_short_a_time_proves_nothing():
    assert WallClock(1e-6, 1000).check(200.0).startswith("0.000 s by the wall clock")


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_reaches_its_clock(name):
    first, second = board(name).clock_divisors(board(name).clock_mhz)
    assert board(name).pll_mhz / (first * second) == pytest.approx(board(name).clock_mhz)


def test_a_clock_out_of_reach_names_its_neighbours():
    with pytest.raises(ContractError, match=r"clock is 300 MHz; allowed on pynq-z2: .*250, 333\.333, 500"):
        board("pynq-z2").clock_divisors(300.0)
    with pytest.raises(ContractError, match="two dividers"):
        board("zc706").clock_divisors(1000 / 67 / 64)


def test_an_unknown_board_or_preset_is_named():
    with pytest.raises(ContractError, match="board is 'zedboard'; allowed: zc706, pynq-z2"):
        board("zedboard")
    with pytest.raises(ContractError, match="preset is 'huge'; allowed"):
        dataclasses.replace(board("zc706"), preset="huge")


@pytest.mark.parametrize("value", ["0", "nan", "inf", "-50", "fast", None])
def test_a_clock_that_no_board_has_is_refused_by_name(value):
    parameters = {BUILT_CLOCK: "100", CRYSTAL: "33.333333"}
    for name in parameters:
        with pytest.raises(DeviceError, match=f"{name} of the handoff is"):
            fabric_clock_mhz(None, {**parameters, name: value})
