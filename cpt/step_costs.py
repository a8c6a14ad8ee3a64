"""What a training step takes: as a whole, and by passes of its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cpt.host.config import TrainConfig, settled
from cpt.host.metrics import Tally
from cpt.hw.contract import ArrayConfig
from cpt.model.architecture.layers import Layer
from cpt.model.bitops import counted_macs
from cpt.model.golden.fabric.network import Network
from cpt.model.units import percent
from cpt.sim.memory import MemoryModel
from cpt.sim.step.by_layer import ALL, ARRAY
from cpt.sim.step.forecast import Forecast
from cpt.sim.step.roofline import operand_bits
from cpt.table import align


@dataclass(frozen=True)
class LayerPass:
    """A pass of a layer in a whole step."""

    layer: str
    which: str
    fw: int
    bw: int
    cycles: int
    bytes: int
    utilisation: float
    """Useful binary multiply-accumulates over what the array could have done in these cycles, or in those in
    which it worked, if they are more."""
    bound: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        row = asdict(self)
        return {"layer": row.pop("layer"), "pass": row.pop("which"), **row}


class WholeSteps:
    """Steps of a network on a machine."""

    def __init__(
        self,
        config: ArrayConfig,
        model: MemoryModel,
        layers: Sequence[Layer],
        network: Network,
        plan: TrainConfig,
    ) -> None:
        settled_plan = settled(plan)
        self._config, self._batch, self._bounds = config, plan.batch_size, (plan.fw, plan.bw)
        self._convolutions = {layer.shape.name: layer.shape for layer in network.layers}
        self._macs = counted_macs(layers) * plan.batch_size
        self._forecast = Forecast(config, model, network, settled_plan)

    def together(self, precisions: Iterable[tuple[int, int]]) -> None:
        """Work several precisions out at once, on all processors."""
        self._forecast.together(precisions)

    def tally(self, bits: tuple[int, int]) -> Tally:
        """What a step takes."""
        fw, bw = bits
        found = Tally()
        found.add_counters(self._forecast.trained(bits), self._macs * (fw * fw + 2 * fw * bw))
        return found

    def busy(self, bits: tuple[int, int]) -> Counter[str]:
        """Cycles of a step in which array, memory and others work, as `cpt.sim.step.by_layer` calls them."""
        return sum((part.busy for part in self._forecast.parts(bits)), Counter())

    def rows(self) -> dict[str, Any]:
        """Passes of layers at both bounds, as JSON has them."""
        return {"layers": [item.as_dict() for item in self._passes()]}

    def table(self) -> str:
        """Passes of layers in the order of a step, one precision after the other."""
        rows = [("layer", "pass", "bits", "cycles", "MB", "array used", "bound by")]
        for item in self._passes():
            rows.append(
                (
                    item.layer,
                    item.which,
                    f"{item.fw}x{item.bw}",
                    f"{item.cycles:,}",
                    f"{item.bytes / 1e6:.1f}",
                    percent(item.utilisation),
                    item.bound,
                )
            )
        return align(rows)

    def _passes(self) -> Iterator[LayerPass]:
        fws, bw = self._bounds
        for fw in sorted(set(fws)):
            yield from self._of_bits((fw, bw))

    def _of_bits(self, bits: tuple[int, int]) -> Iterator[LayerPass]:
        """Every pass of every layer."""
        for part in self._forecast.parts(bits):
            useful = self._useful(part.layer, part.which, bits)
            # What overlaps with the pass before it is not in its cycles.
            most = self._config.binary_macs * max(part.cycles, part.busy[ARRAY], 1)
            yield LayerPass(part.layer, part.which, *bits, part.cycles, part.bytes, useful / most, part.bound)

    def _useful(self, layer: str, which: str, bits: tuple[int, int]) -> int:
        """Binary multiply-accumulates of a pass of a step."""
        if which == ALL:
            return 0
        one, other = operand_bits(which, *bits, first=layer == next(iter(self._convolutions)))
        return self._convolutions[layer].macs * self._batch * one * other
