"""Numeric health: what quantised training loses of each layer's numbers, measured every so many steps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model.filters import Filter
from cpt.model.guard import TrainingDiverged
from cpt.model.layer_precisions import selected
from cpt.model.layers import LayerPrecision

TENSORS = ("weight", "activation", "gradient")


class NotFinite(TrainingDiverged):
    """A tensor that is quantised has a number that is not finite; the message is one line."""


@dataclass(frozen=True)
class Health:
    """One tensor of one layer at one step, beside what it was quantised to.

    Its grid reaches from the smallest to the largest quantised number in equal steps; weights have a grid
    for each output channel.
    """

    step: int
    layer: str
    tensor: str
    """One of `TENSORS`; of a gradient, that of the layer's output."""
    bits: int
    lo: float
    hi: float
    """Of the tensor."""
    grid_lo: float
    grid_hi: float
    """Smallest and largest quantised number."""
    grid_step: float
    """Between neighbours of the grid; the mean over output channels."""
    underflow: float
    """Share of the numbers other than 0 that are smaller than half a step of the grid."""
    saturation: float
    """Share of the numbers that lie more than half a step outside of the grid."""
    mse: float
    """Mean of the squared differences between the tensor and what it was quantised to."""
    power: float
    """Mean of the tensor's squares."""

    @property
    def snr_db(self) -> float:
        """Signal to noise; infinite where nothing was lost."""
        return 10 * math.log10(self.power / self.mse) if self.mse and self.power else math.inf

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.lo:.3g} .. {self.hi:.3g}, {self.underflow:.1%} below half a step, "
            f"{self.saturation:.1%} beyond the grid, mean square error {self.mse:.3g}"
        )


class NumericHealth:
    """Measures a quantised model in training; call `step` after every training step.

    Args:
        model, filter_fn: the layers that are measured, by module and name as in `set_precision`.
        every: steps from one that is measured to the next, the first included; the others cost nothing.

    A measured step raises `NotFinite` where a number that is to be quantised is not finite: it names layer,
    tensor and bits, and the last healthy figures. Compiled models are not measured. A context manager;
    `close` ends it.
    """

    def __init__(self, model: nn.Module, every: int = 100, filter_fn: Filter | None = None) -> None:
        if every < 1:
            raise ValueError(f"every is {every}; allowed: at least 1")
        self._layers = [layer for layer in selected(model, filter_fn) if isinstance(layer, LayerPrecision)]
        if not self._layers:
            raise ValueError("model has 0 quantised layers to measure; allowed: at least 1 (see quantize_)")
        self.every = every
        self.rows: list[Health] = []
        """In the order of the steps, and in each by layer and tensor."""
        self._step = 0
        self._sums: dict[tuple[str, str], _Sums] = {}
        for layer in self._layers:
            layer.observer = self

    @property
    def active(self) -> bool:
        """Whether this step is measured."""
        return self._step % self.every == 0

    def step(self) -> list[Health]:
        """The training step is over: its rows, none unless it was measured."""
        found = [sums.row(self._step, layer, tensor) for (layer, tensor), sums in sorted(self._sums.items())]
        self.rows += found
        self._sums = {}
        self._step += 1
        return found

    def close(self) -> None:
        """Measure no more."""
        for layer in self._layers:
            layer.observer = None

    def by_range(self, steps: int) -> list[Health]:
        """Means over ranges of ``steps`` training steps, at the first step of each; a row per precision.

        Extremes are those of the range.
        """
        groups: dict[tuple[Any, ...], list[Health]] = {}
        for row in self.rows:
            key = row.step // steps * steps, row.layer, row.tensor, row.bits
            groups.setdefault(key, []).append(row)
        return [_joined(key[0], group) for key, group in groups.items()]

    def last(self, layer: str, tensor: str) -> Health | None:
        """The latest row of a tensor."""
        return next((row for row in reversed(self.rows) if (row.layer, row.tensor) == (layer, tensor)), None)

    def state_dict(self) -> dict[str, Any]:
        """The position and all rows."""
        return {"step": self._step, "rows": [row.as_dict() for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved position."""
        self._step, self.rows, self._sums = int(state["step"]), rows_of(state["rows"]), {}

    def __enter__(self) -> NumericHealth:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(
        self, layer: LayerPrecision, tensor: str, bits: Tensor, x: Tensor, quantised: Tensor
    ) -> None:
        """As the layers' observer: ``x`` was quantised."""
        sums = self._sums.setdefault((layer.name, tensor), _Sums(tensor == "weight" and x.dim() > 1))
        if not sums.add(int(bits), x.detach(), quantised.detach()):
            raise NotFinite(
                f"{tensor} of layer {layer.name} at {int(bits)} bits is not finite at step {self._step}; "
                f"allowed: finite numbers ({self.healthy(layer.name, tensor)})"
            )

    def healthy(self, layer: str, tensor: str) -> str:
        """The latest figures of a tensor, in words."""
        last = self.last(layer, tensor)
        return f"last healthy at step {last.step}: {last}" if last else "not measured before"


def rows_of(records: Iterable[Mapping[str, Any]]) -> list[Health]:
    """Rows from what `Health.as_dict` gave."""
    return [Health(**record) for record in records]


def read_rows(lines: Iterable[str]) -> list[Health]:
    """Rows from lines of JSON."""
    return rows_of(json.loads(line) for line in lines)


class _Sums:
    """Of all calls of a layer in a step. ``by_row``: a grid for each index of axis 0."""

    def __init__(self, by_row: bool) -> None:
        self._by_row = by_row
        self._bits = self._count = self._nonzero = 0
        self._lo = self._grid_lo = math.inf
        self._hi = self._grid_hi = -math.inf
        self._small = self._beyond = self._grids = 0
        self._errors = self._squares = self._steps = 0.0

    @torch.no_grad()
    def add(self, bits: int, x: Tensor, quantised: Tensor) -> bool:
        """Whether all of ``x`` is finite; else it is not added."""
        lo, hi = torch.aminmax(x)
        if not bool(torch.isfinite(hi - lo)):
            return False
        rows, grid = (item.flatten(1) if self._by_row else item.reshape(1, -1) for item in (x, quantised))
        bottom, top = grid.amin(1, keepdim=True), grid.amax(1, keepdim=True)
        half = (top - bottom) / (2 * ((1 << bits) - 1))
        small = (rows.abs() < half) & (rows != 0)
        beyond = (rows < bottom - half) | (rows > top + half)
        counts = torch.stack([small.sum(), beyond.sum(), (rows != 0).sum()]).tolist()
        values = torch.stack(
            [
                *((grid - rows).double().square().sum(), rows.double().square().sum()),
                *(
                    2 * half.double().sum(),
                    lo.double(),
                    hi.double(),
                    bottom.amin().double(),
                    top.amax().double(),
                ),
            ]
        ).tolist()
        self._bits = bits
        self._count += x.numel()
        self._grids += len(rows)
        self._small += counts[0]
        self._beyond += counts[1]
        self._nonzero += counts[2]
        self._errors += values[0]
        self._squares += values[1]
        self._steps += values[2]
        self._lo, self._hi = min(self._lo, values[3]), max(self._hi, values[4])
        self._grid_lo, self._grid_hi = min(self._grid_lo, values[5]), max(self._grid_hi, values[6])
        return True

    def row(self, step: int, layer: str, tensor: str) -> Health:
        """What they come to."""
        return Health(
            step,
            layer,
            tensor,
            self._bits,
            self._lo,
            self._hi,
            self._grid_lo,
            self._grid_hi,
            self._steps / self._grids,
            self._small / max(self._nonzero, 1),
            self._beyond / self._count,
            self._errors / self._count,
            self._squares / self._count,
        )


def _joined(step: int, rows: list[Health]) -> Health:
    def mean(name: str) -> float:
        return math.fsum(getattr(row, name) for row in rows) / len(rows)

    first = rows[0]
    return Health(
        step,
        first.layer,
        first.tensor,
        first.bits,
        min(row.lo for row in rows),
        max(row.hi for row in rows),
        min(row.grid_lo for row in rows),
        max(row.grid_hi for row in rows),
        *(mean(name) for name in ("grid_step", "underflow", "saturation", "mse", "power")),
    )
