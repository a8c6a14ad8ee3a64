"""Faults that only broken hardware shows: each ends in one line."""

import numpy as np
import pytest
from driven import Multiplication, backend, codes, opened

from cpt.host.board import fabric_clock_mhz
from cpt.host.diagnosis import explain
from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError
from cpt.host.program import Program
from cpt.hw.contract import Error, Opcode, encode, register
from cpt.hw.contract.handoff import BUILT_CLOCK, CRYSTAL
from cpt.sim.device import SimulatedDevice


class OldTag:
    """Says that another program ended than the one that was started."""

    def read_register(self, offset):
        value = super().read_register(offset)
        return value ^ 0x80 if offset == register("DONE_TAG").offset else value


@pytest.mark.parametrize("kind", ["fast", "rtl"])
def test_a_program_that_did_not_end_is_not_taken_for_one_that_did(kind):
    with opened(backend(kind, OldTag)) as accelerator:
        rng = np.random.default_rng(1)
        work = Multiplication(accelerator, codes(rng, 4, 48, 4), codes(rng, 8, 48, 4))
        with pytest.raises(DeviceError, match=r"ended with DONE_TAG = 0x81; expected tag 0x1$"):
            work.product()


def test_an_index_outside_the_program_is_reported_as_it_is():
    program = Program("nothing", encode(Opcode.END, tag=0))
    text = explain(program, 1 << Error.WATCHDOG, 77)
    assert text.startswith("program nothing stopped at instruction 77, watchdog: ")


@pytest.mark.parametrize("kind", ["fast", "rtl"])
def test_a_clock_that_no_divider_reaches_is_named(kind):
    """A handoff whose clock is four thousand times slower than its PLL."""
    device = SimulatedDevice(backend(kind))
    try:
        with Accelerator(device.bitfile, device):
            import pynq

            clocks = pynq.Clocks._instance
            parameters = {CRYSTAL: "133.333333", BUILT_CLOCK: "1"}
            with pytest.raises(DeviceError, match=r"needs a divider of 399\d; allowed: at most 3969"):
                fabric_clock_mhz(clocks, parameters)
    finally:
        device.close()
