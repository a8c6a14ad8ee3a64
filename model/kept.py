"""Activations kept for the backward pass as codes of a byte instead of float32 values.

A quantised activation is ``code*scale + lo``: where codes have at most 8 bits, a product keeps these and its
backward pass makes the values anew, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cpt.model.functional import Grid

MOST_BITS = 8
"""That a byte holds."""
_ATTRIBUTE = "_cpt_codes"


class Coded(NamedTuple):
    """Codes of a tensor, uint8, laid out like it, and what they stand for."""

    codes: Tensor
    grid: Grid

    def values(self) -> Tensor:
        """The tensor: float32."""
        return self.grid.values(self.codes)


_Made = list[tuple[Tensor, Coded]]
_made: ContextVar[_Made | None] = ContextVar("_made", default=None)


@contextmanager
def codes_wanted() -> Iterator[_Made]:
    """Inside, `cpt.model.estimators.StraightThrough` gives codes of what it quantises to the list."""
    found: _Made = []
    token = _made.set(found)
    try:
        yield found
    finally:
        _made.reset(token)


def wanted() -> _Made | None:
    """The list of `codes_wanted`; None outside, and in compiled code."""
    return None if torch.compiler.is_compiling() else _made.get()


def mark(x: Tensor, made: _Made) -> Tensor:
    """``x``, which then knows its codes if they are in ``made``."""
    for values, coded in made:
        if values.data_ptr() == x.data_ptr() and values.shape == x.shape:
            setattr(x, _ATTRIBUTE, coded)
    return x


def as_codes(x: Tensor) -> AbstractContextManager[Any]:
    """Inside, what autograd keeps of ``x`` are its codes, if it knows them and nobody else looks after it."""
    if torch.compiler.is_compiling():
        return nullcontext()
    coded: Coded | None = getattr(x, _ATTRIBUTE, None)
    if coded is None or others():
        return nullcontext()
    pointer, shape, stride, rows = x.data_ptr(), x.shape, x.stride(), x.is_contiguous()

    def pack(kept: Tensor) -> Tensor | tuple[Coded, torch.Size]:
        if kept.data_ptr() != pointer or kept.numel() != shape.numel():
            return kept
        same = kept.shape == shape and kept.stride() == stride
        return (coded, kept.shape) if same or (rows and kept.is_contiguous()) else kept

    def unpack(kept: Tensor | tuple[Coded, torch.Size]) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        found, as_kept = kept
        values = found.values()
        return values if values.shape == as_kept else values.view(as_kept)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


def others() -> bool:
    """Whether hooks of checkpointing, offloading or the like are in force."""
    return torch._C._autograd._top_saved_tensors_default_hooks(False) is not None
