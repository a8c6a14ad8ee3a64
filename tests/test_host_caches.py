"""host.caches: maintenance covers the bytes that are used, on devices that would take the whole buffer."""

import sys
from types import SimpleNamespace

import numpy as np
import pynq
import pytest

from cpt.host.caches import LINE_BYTES, drop, lines, write_back
from cpt.host.driver import Accelerator
from cpt.host.fabric import FabricTrainer
from cpt.host.step_device import StepDevice
from cpt.hw.contract import preset
from cpt.sim.device import SimulatedDevice
from cpt.sim.memory import memory_model
from cpt.sim.step.backend import StepBackend
from cpt.sim.step.rtl import Case

OUT, IN = "to the device", "from the device"


class BufferObject:
    """XRT's: sync takes direction, size and offset."""

    def __init__(self, device, inner):
        self.device, self.inner = device, inner

    def sync(self, direction, size, offset):
        self.device.maintained.append((direction, size))
        size = min(size, self.inner.host.size - offset)
        move = (
            super(XrtLike, self.device).flush if direction == OUT else super(XrtLike, self.device).invalidate
        )
        move(self.inner, offset, 0, size)


class XrtLike(SimulatedDevice):
    """A device whose flush and invalidate ignore offset and size, as pynq 3.1's of a PYNQ image does."""

    def __init__(self, backend):
        super().__init__(backend)
        self.maintained = []
        place = self.default_memory.place

        def wrapped(start, nbytes):
            placed = place(start, nbytes)
            return {**placed, "bo": BufferObject(self, placed["bo"])}

        self.default_memory.place = wrapped

    def flush(self, bo, offset, address, nbytes):
        bo.sync(OUT, bo.inner.host.size, 0)

    def invalidate(self, bo, offset, address, nbytes):
        bo.sync(IN, bo.inner.host.size, 0)


@pytest.fixture
def device(monkeypatch):
    directions = SimpleNamespace(XCL_BO_SYNC_BO_TO_DEVICE=OUT, XCL_BO_SYNC_BO_FROM_DEVICE=IN)
    monkeypatch.setitem(sys.modules, "pyxrt", SimpleNamespace(xclBOSyncDirection=directions))
    simulated = XrtLike(StepBackend(preset("tiny", "step"), memory_model("ideal", 200.0), 1 << 25))
    yield simulated
    simulated.close()


@pytest.mark.parametrize(
    ("start", "nbytes", "expected"),
    [(0, 1, (0, 32)), (33, 31, (32, 32)), (31, 2, (0, 64)), (64, 4096, (64, 4096))],
)
def test_whole_cache_lines_are_maintained(start, nbytes, expected):
    assert lines(start, nbytes) == expected


def test_a_view_is_synchronised_alone_in_the_direction_asked_for(device):
    buffer = pynq.allocate((4096,), "u1", target=device)
    write_back(buffer[100:200])
    drop(buffer[:10])
    assert device.maintained == [(OUT, 128), (IN, LINE_BYTES)]


def test_a_training_step_maintains_what_it_moves(device):
    """At most a tenth more than the host writes and reads; the whole memory would be far more."""
    config = device.backend.config
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (8, 8, 8, 1), np.uint8), np.arange(8) % 10
    case = Case(4, 4, 4, 2, (4, 8), before=0, steps=1, stall=0.0, seed=3)
    with Accelerator(device.bitfile, device) as accelerator:
        step = StepDevice(accelerator)
        trainer = FabricTrainer(
            step, config, case.network(), batch_size=8, micro_batch=4, scratch_words=config.scratch_words
        )
        touched = []
        write, read = step.write, step.read
        step.write = lambda at, values: (touched.append(values.nbytes), write(at, values))[1]
        step.read = lambda at, size: (touched.append(size), read(at, size))[1]
        device.maintained.clear()
        trainer.train_step(images, labels, case.bits, 0.05)
    in_ring = [(way, size) for way, size in device.maintained if way == OUT]
    assert len(in_ring) > len(touched) - 2
    maintained = sum(size for _, size in device.maintained)
    assert sum(touched) <= maintained <= 1.1 * sum(touched) + 4096
    assert maintained < trainer.memory_bytes / 10
