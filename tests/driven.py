"""Opening simulated accelerators and multiplying on them, for the tests of driver and device."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from cpt.host.driver import Accelerator
from cpt.host.packing import Product, pack_operand, unpack_result
from cpt.host.program import Gemm
from cpt.hw.contract import preset, register
from cpt.sim.device import SimulatedDevice
from cpt.sim.fast import FastBackend
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend

MEMORY_BYTES = 1 << 22
STATUS = register("STATUS").offset
SOFT_RESET, CLEAR_COUNTERS = 1, 2
"""Bits of CONTROL."""


def fast_backend(name: str = "tiny", kind: type = FastBackend, memory_bytes: int = MEMORY_BYTES):
    """A fast model of preset ``name`` with ideal memory; ``kind`` may be a subclass."""
    config = preset(name)
    return kind(config, memory_model("ideal", config.clock_mhz), memory_bytes)


def backend(kind: str, fault: type = object, memory_bytes: int = MEMORY_BYTES):
    """A tiny machine with ideal memory: fast ``model`` or compiled ``rtl``, seen through ``fault``."""
    config = preset("tiny")
    machine = {"fast": FastBackend, "rtl": RtlBackend}[kind]
    bases = (machine,) if fault is object else (fault, machine)
    return type("Machine", bases, {})(config, memory_model("ideal", config.clock_mhz), memory_bytes)


@contextmanager
def opened(backend=None, **options) -> Iterator[Accelerator]:
    """An accelerator on ``backend`` (a tiny fast model by default)."""
    device = SimulatedDevice(backend if backend is not None else fast_backend())
    try:
        with Accelerator(device.bitfile, device, **options) as accelerator:
            yield accelerator
    finally:
        device.close()


class Multiplication:
    """One product on an accelerator, step by step, so that tests can leave a step out."""

    def __init__(
        self, accelerator, a, b, bits=(4, 4), signed=(False, False), max_bits=(8, 8), sums=True
    ) -> None:
        self.accelerator, self.a, self.b = accelerator, np.asarray(a), np.asarray(b)
        self.bits, self.signed, self.sums = bits, signed, sums
        shape = (accelerator.config, len(a), len(b), self.a.shape[1], 0, 1)
        sizes = Gemm(*shape, 0, 0, 0, *max_bits)
        self.buffers = [
            accelerator.allocate((layout.nbytes,), np.uint8)
            for layout in (sizes.layout_a, sizes.layout_b, sizes.layout_c)
        ]
        self.gemm = Gemm(*shape, *(item.device_address for item in self.buffers), *max_bits, sums)
        self.program = self.gemm.program()

    def pack(self) -> None:
        layouts = (self.gemm.layout_a, self.gemm.layout_b)
        for codes, layout, bits, out, signed in zip(
            (self.a, self.b), layouts, self.bits, self.buffers, self.signed, strict=False
        ):
            pack_operand(codes, layout, bits, out, signed=signed)

    def flush(self) -> None:
        for buffer in self.buffers[:2]:
            buffer.flush()

    def set_slots(self) -> None:
        self.accelerator.set_slots(dict(enumerate(zip(self.bits, self.signed, strict=True))))

    def unpack(self) -> Product:
        return unpack_result(
            self.buffers[2],
            self.gemm.layout_c,
            *self.bits,
            signed=any(self.signed),
            col_sums=self.sums,
        )

    def product(self) -> Product:
        """All steps."""
        self.set_slots()
        self.pack()
        self.flush()
        self.counters = self.accelerator.run(self.program)
        self.buffers[2].invalidate()
        return self.unpack()

    def check(self) -> None:
        """Raise unless values and sums are exact."""
        product = self.product()
        a, b = self.a.astype(np.int64), self.b.astype(np.int64)
        np.testing.assert_array_equal(product.values, a @ b.T)
        if self.sums:
            np.testing.assert_array_equal(product.col_sums, b.sum(axis=1))


def codes(rng, count, k, bits, signed=False):
    """Random codes ``(count, k)`` of ``bits`` bits."""
    low = -(1 << bits - 1) if signed else 0
    return rng.integers(low, low + (1 << bits), (count, k))


def multiplication(accelerator, seed=0, m=6, n=11, k=60):
    rng = np.random.default_rng(seed)
    return Multiplication(accelerator, codes(rng, m, k, 4), codes(rng, n, k, 4))


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
