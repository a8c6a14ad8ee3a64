"""Matrix products of quantised codes on the accelerator: programs built once, buffers allocated once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cpt.host.caches import drop, write_back
from cpt.host.errors import DeviceError
from cpt.host.packing import pack_operand, unpack_result
from cpt.host.precision import PrecisionSlots
from cpt.host.product_check import wrong_rows
from cpt.host.program import Gemm, Program
from cpt.hw.contract import ContractError

if TYPE_CHECKING:
    from cpt.host.driver import Accelerator, Counters


@dataclass(frozen=True)
class GemmShape:
    """``C (m, n) = A (m, k) . B (n, k)^T`` with the precision slot of each operand.

    The sums of B's codes over K always come with it.
    """

    m: int
    n: int
    k: int
    slot_a: int
    slot_b: int

    @property
    def name(self) -> str:
        """Short and unique: what programs and reports are called."""
        return f"{self.m}x{self.n}x{self.k}/s{self.slot_a}s{self.slot_b}"


@dataclass(frozen=True)
class OperandProduct:
    """Exact integers: the product and B's sums over K."""

    values: NDArray[np.integer]
    """(m, n)."""
    col_sums: NDArray[np.integer]
    """(n,): B's codes."""


@dataclass(frozen=True)
class GemmRun:
    """One product that was run: what it was for, its shape and bits, and what the hardware counted."""

    label: str
    shape: GemmShape
    bits_a: int
    bits_b: int
    counters: Counters

    @property
    def binary_macs(self) -> int:
        """Useful binary multiply-accumulates: padding of rows, columns and K not included."""
        return self.shape.m * self.shape.n * self.shape.k * self.bits_a * self.bits_b


@dataclass(frozen=True)
class _Planned:
    gemm: Gemm
    program: Program


class GemmEngine:
    """Runs products on one accelerator out of three shared buffers (A, B and C).

    Layers `reserve` their shapes first; the first `run` sizes the buffers for the largest and builds one
    program per distinct shape. Layers of equal shape share a program. Every run is reported to
    ``listeners`` as a `GemmRun`. ``check_every``: the host checks one product in so many (0: none); a wrong
    one raises `DeviceError`.
    """

    def __init__(self, accelerator: Accelerator, slots: PrecisionSlots, check_every: int = 0) -> None:
        if check_every < 0:
            raise ContractError(f"check_every is {check_every}; allowed: 0 (never) and up")
        self.accelerator = accelerator
        self.slots = slots
        self.check_every = check_every
        self._runs = 0
        self.listeners: list[Callable[[GemmRun], None]] = []
        self._shapes: dict[GemmShape, None] = {}
        self._planned: dict[GemmShape, _Planned] = {}
        self._buffers: tuple[np.ndarray, ...] = ()

    def reserve(self, shape: GemmShape) -> None:
        """Announce a shape; all must be known before the first `run`."""
        if self._planned and shape not in self._planned:
            raise RuntimeError(f"{shape.name} was reserved after the first run")
        self._shapes[shape] = None

    def buffer_bytes(self) -> tuple[int, int, int]:
        """Sizes of the three buffers (A, B, C): each is that of the largest reserved shape."""
        gemms = [self._gemm(shape, 0, 0, 0) for shape in self._shapes]
        layouts = ("layout_a", "layout_b", "layout_c")
        a, b, c = (max((getattr(gemm, name).nbytes for gemm in gemms), default=0) for name in layouts)
        return a, b, c

    def programs(self) -> list[Program]:
        """The program of every reserved shape."""
        self._prepare()
        return [planned.program for planned in self._planned.values()]

    def run(
        self, shape: GemmShape, codes_a: NDArray[np.integer], codes_b: NDArray[np.integer], label: str
    ) -> OperandProduct:
        """Multiply ``codes_a`` (m, k) by ``codes_b`` (n, k), unsigned codes of their slots' bits.

        ``label`` says what it is for.
        """
        self._prepare()
        planned = self._planned[shape]
        gemm = planned.gemm
        bits_a, bits_b = self.slots[shape.slot_a], self.slots[shape.slot_b]
        a, b, c = self._buffers
        pack_operand(codes_a, gemm.layout_a, bits_a, a)
        pack_operand(codes_b, gemm.layout_b, bits_b, b)
        write_back(a[: gemm.layout_a.nbytes])
        write_back(b[: gemm.layout_b.nbytes])
        counters = self.accelerator.run(planned.program)
        drop(c[: gemm.layout_c.nbytes])
        values, col_sums = unpack_result(c, gemm.layout_c, bits_a, bits_b, col_sums=True)
        assert col_sums is not None
        self._runs += 1
        if self.check_every and self._runs % self.check_every == 0:
            wrong = wrong_rows(codes_a, codes_b, values, col_sums)
            if wrong.size:
                raise DeviceError(
                    f"product {shape.name} ({label}) is wrong in {wrong.size} of {shape.m + 1} rows, "
                    f"first in row {wrong[0]}: memory, buffers or the array have lost a bit"
                )
        run = GemmRun(label, shape, bits_a, bits_b, counters)
        for listener in self.listeners:
            listener(run)
        return OperandProduct(values, col_sums)

    def _prepare(self) -> None:
        if self._planned:
            return
        self._buffers = tuple(self.accelerator.allocate((size,), np.uint8) for size in self.buffer_bytes())
        a, b, c = (int(buffer.device_address) for buffer in self._buffers)  # type: ignore[attr-defined]
        for shape in self._shapes:
            gemm = self._gemm(shape, a, b, c)
            self._planned[shape] = _Planned(gemm, gemm.program(shape.name))

    def _gemm(self, shape: GemmShape, addr_a: int, addr_b: int, addr_c: int) -> Gemm:
        most = self.slots.max_bits
        return Gemm(
            self.accelerator.config,
            shape.m,
            shape.n,
            shape.k,
            shape.slot_a,
            shape.slot_b,
            addr_a,
            addr_b,
            addr_c,
            most[shape.slot_a],
            most[shape.slot_b],
            True,
        )
