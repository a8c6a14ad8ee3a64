"""Accelerator cycles of a network's training step, from its shapes alone: no data, no training."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cpt.host.engine import GemmShape
from cpt.host.metrics import Tally
from cpt.host.pages import whole_pages
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT
from cpt.host.program import Gemm
from cpt.hw.contract import ArrayConfig, Counter
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.sim.backend import MEMORY_BASE
from cpt.sim.fast.checks import decoded
from cpt.sim.fast.product import Precision
from cpt.sim.fast.timing import Timing, simulate
from cpt.sim.memory import MemoryModel


class ShapeRecorder:
    """Stands in for `cpt.host.engine.GemmEngine` while a network plans: collects the products to run."""

    def __init__(self) -> None:
        self.shapes: list[GemmShape] = []

    def reserve(self, shape: GemmShape) -> None:
        """Note a product."""
        self.shapes.append(shape)


@dataclass(frozen=True)
class ProductForecast:
    """One product at given bits and how often a step runs it."""

    shape: GemmShape
    bits_a: int
    bits_b: int
    count: int
    timing: Timing

    @property
    def tally(self) -> Tally:
        """Its share of a step."""
        counters, count = self.timing.counters, self.count
        macs = self.shape.m * self.shape.n * self.shape.k * self.bits_a * self.bits_b
        return Tally(
            count,
            count * counters[Counter.TOTAL],
            count * counters[Counter.EXEC_BUSY],
            count * counters[Counter.BYTES_READ],
            count * counters[Counter.BYTES_WRITTEN],
            count * macs,
        )


class Forecast:
    """The products of one training step on one array and memory.

    Args:
        config: array shape.
        model: memory model.
        shapes: every product of a step, as often as it is run.
        fw: widest forward bits, ``bw``: widest gradient bits that programs are built for.
    """

    def __init__(
        self, config: ArrayConfig, model: MemoryModel, shapes: Iterable[GemmShape], fw: int, bw: int
    ) -> None:
        self._config, self._model = config, model
        self._widest = {FORWARD_SLOT: fw, BACKWARD_SLOT: bw}
        self._programs = [
            (shape, count, self._gemm(shape).program(shape.name).words)
            for shape, count in Multiset(shapes).items()
        ]

    def step(self, fw: int, bw: int) -> list[ProductForecast]:
        """Every distinct product of a step at ``fw`` and ``bw`` bits."""
        slots = [Precision(0, False)] * (1 + max(self._widest))
        slots[FORWARD_SLOT], slots[BACKWARD_SLOT] = Precision(fw, False), Precision(bw, False)
        forecasts = []
        for shape, count, words in self._programs:
            instructions = [
                instruction
                for start in range(0, len(words), INSTRUCTION_BYTES)
                if (instruction := decoded(words[start : start + INSTRUCTION_BYTES]))
            ]
            timing = simulate(instructions, slots, self._config, self._model)
            bits_a, bits_b = slots[shape.slot_a].bits, slots[shape.slot_b].bits
            forecasts.append(ProductForecast(shape, bits_a, bits_b, count, timing))
        return forecasts

    def _gemm(self, shape: GemmShape) -> Gemm:
        """The product with its buffers one behind the other, each on a page of its own."""
        draft = Gemm(
            self._config,
            shape.m,
            shape.n,
            shape.k,
            shape.slot_a,
            shape.slot_b,
            addr_a=0,
            addr_b=0,
            addr_c=0,
            max_bits_a=self._widest[shape.slot_a],
            max_bits_b=self._widest[shape.slot_b],
            col_sums=True,
        )
        addresses = [MEMORY_BASE]
        for layout in (draft.layout_a, draft.layout_b):
            addresses.append(addresses[-1] + whole_pages(layout.nbytes))
        addr_a, addr_b, addr_c = addresses
        return replace(draft, addr_a=addr_a, addr_b=addr_b, addr_c=addr_c)


def total(forecasts: Iterable[ProductForecast]) -> Tally:
    """Sum over products."""
    tallies = [forecast.tally for forecast in forecasts]
    names = Tally().as_dict()
    return Tally(**{name: sum(getattr(tally, name) for tally in tallies) for name in names})
