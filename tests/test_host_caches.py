"""host.caches: maintenance covers the bytes that are used, on devices that would take the whole buffer."""

import sys
from types import SimpleNamespace

import numpy as np
import pynq
import pytest
from driven import MEMORY_BYTES, fast_backend

from cpt.host.caches import LINE_BYTES, drop, lines, write_back
from cpt.host.config import TrainConfig
from cpt.host.data import Images, split
from cpt.host.driver import Accelerator
from cpt.host.trainer import Trainer
from cpt.sim.device import SimulatedDevice

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
    simulated = XrtLike(fast_backend(memory_bytes=8 * MEMORY_BYTES))
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
    """At most a tenth more than the accelerator reads and writes; whole buffers would be far more."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(64, 8, 8, 1)).astype(np.float32)
    data = split("noise", Images(pixels, (np.arange(64) % 4).astype(np.int64)))
    config = TrainConfig(model="resnet8", width=4, fw=(8, 8), steps=2, batch_size=16, cycles=1)
    with Accelerator(device.bitfile, device) as accelerator:
        trainer = Trainer(config, data, accelerator)
        device.maintained.clear()
        used = []
        trainer.engine.listeners.append(lambda run: used.append(used_bytes(trainer.engine, run)))
        assert len(trainer.train_epoch()) == 2
    maintained = sum(size for _, size in device.maintained)
    assert sum(used) <= maintained <= 1.1 * sum(used)


def used_bytes(engine, run):
    """Operands, result and instructions of one product."""
    planned = engine._planned[run.shape]
    layouts = (planned.gemm.layout_a, planned.gemm.layout_b, planned.gemm.layout_c)
    return sum(layout.nbytes for layout in layouts) + 32 * len(planned.program)
