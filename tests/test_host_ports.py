"""host.ports: both directions of both memory ports are 64 bits wide before anything is moved."""

import numpy as np
import pytest
from driven import Multiplication, backend, codes

from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError
from cpt.host.ports import CHANNELS, PORTS
from cpt.sim.device import SimulatedDevice


@pytest.fixture(params=["fast", "rtl"])
def device(request):
    simulated = SimulatedDevice(backend(request.param))
    yield simulated
    simulated.close()


def narrow(device):
    """Ports and channels that are 32 bits wide."""
    return {
        (port, channel)
        for port, base in PORTS.items()
        for channel, offset in CHANNELS.items()
        if device.mmap(base, 0x18)[offset // 4] & 1
    }


def test_ports_that_a_boot_loader_left_narrow_are_wide_once_the_accelerator_is_open(device):
    assert len(narrow(device)) == 4
    with Accelerator(device.bitfile, device):
        assert narrow(device) == set()


def test_other_bits_of_a_port_are_kept(device):
    for base in PORTS.values():
        device.mmap(base, 0x18)[:] = 0xF05
    with Accelerator(device.bitfile, device):
        kept = {int(device.mmap(base, 0x18)[at // 4]) for base in PORTS.values() for at in CHANNELS.values()}
        assert kept == {0xF04}


def test_a_narrow_port_corrupts_data(device):
    """What the check is for."""
    rng = np.random.default_rng(1)
    with Accelerator(device.bitfile, device) as accelerator:
        work = Multiplication(accelerator, codes(rng, 9, 70, 4), codes(rng, 12, 70, 4))
        work.check()
        device.mmap(PORTS["HP2"], 0x18)[0] = 1
        work.buffers[2][:] = 0
        assert not (work.product().values == work.a @ work.b.T).all()


def test_a_port_that_stays_narrow_is_refused(device, monkeypatch):
    for words in device._ports.values():
        words.flags.writeable = False

    class Stuck:
        def __init__(self, words):
            self.words = words

        def __getitem__(self, index):
            return self.words[index]

        def __setitem__(self, index, value):
            pass

    mapped = device.mmap
    monkeypatch.setattr(
        device, "mmap", lambda base, n: Stuck(mapped(base, n)) if base in PORTS.values() else mapped(base, n)
    )
    with pytest.raises(DeviceError, match=r"the read channel of port HP0 stays at 32 bits") as caught:
        Accelerator(device.bitfile, device)
    assert "\n" not in str(caught.value)
