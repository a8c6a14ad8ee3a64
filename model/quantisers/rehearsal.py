"""Whether a quantiser makes of parts of a batch what it makes of the whole: tried before it matters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cpt.model.functional import Noise
from cpt.model.quantisers.base import Batch, PartOfBatch, Quantiser

PARTS = 2
_BITS = 4
_KEY = 12345
_EQUAL = 0.98
"""Share of values: the order of a sum may move one across a rounding edge."""

Quantise = Callable[[Tensor, Batch], Tensor]


class _Part(PartOfBatch):
    """A part in this process. ``answers``: what all parts together say to each question, as far as known."""

    def __init__(self, rank: int, answers: list[Tensor]) -> None:
        super().__init__(rank, PARTS)
        self.answers = answers
        self.said: list[tuple[str, Tensor]] = []
        """What was asked for, and this part's own."""

    def largest(self, x: Tensor) -> Tensor:
        return self._ask("largest", x)

    def sum(self, x: Tensor) -> Tensor:
        return self._ask("sum", x)

    def _ask(self, what: str, x: Tensor) -> Tensor:
        number = len(self.said)
        self.said.append((what, x))
        return self.answers[number] if number < len(self.answers) else x


def check_parts(quantiser: Quantiser) -> None:
    """Raise `ValueError` if activations or gradients of half a batch are others than in the whole batch."""
    bits = torch.tensor(_BITS)
    generator = torch.Generator().manual_seed(0)

    def activation(x: Tensor, batch: Batch) -> Tensor:
        found = quantiser.range_of(x, batch) if quantiser.has_range else None
        return quantiser.activation(x, bits, found, True)

    def gradient(x: Tensor, batch: Batch) -> Tensor:
        noise = batch.numbered(Noise(_KEY, x.dim() == 4), x) if quantiser.stochastic else None
        return quantiser.gradient(x, bits, noise, batch)

    for shape in ((4, 3, 2, 8), (4, 6)):
        x = torch.randn(shape, generator=generator)
        x[0] *= 8  # so that the parts' ranges differ
        for quantise in (activation, gradient):
            equal = torch.isclose(torch.cat(_in_parts(quantise, x)), quantise(x, Batch()))
            if equal.float().mean() < _EQUAL:
                raise ValueError(
                    f"quantiser {quantiser} makes another {quantise.__name__} of half a batch than of the "
                    "whole; allowed in several processes: one that asks the Batch for what it has to know"
                )


def _in_parts(quantise: Quantise, x: Tensor) -> list[Tensor]:
    """What each part of ``x`` becomes when all hear what the others said."""
    answers: list[Tensor] = []
    while True:
        batches = [_Part(rank, answers) for rank in range(PARTS)]
        done = [quantise(part, batch) for part, batch in zip(x.chunk(PARTS), batches, strict=True)]
        if len(answers) == len(batches[0].said):
            return done
        # One question more: it may depend on the answers before.
        asked = [batch.said[len(answers)] for batch in batches]
        found = torch.stack([own for _, own in asked])
        answers = [*answers, found.sum(0) if asked[0][0] == "sum" else found.amax(0)]
