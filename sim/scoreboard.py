"""What every bench compares with: counts checks, and names the first difference in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class Mismatch(AssertionError):
    """Two things that must be equal are not; the message is one line."""


class Scoreboard:
    """Exact comparisons of one bench.

    A bench ends with `finish`, which fails if nothing was ever compared.
    """

    def __init__(self) -> None:
        self.checked = 0

    def equal(self, name: str, got: ArrayLike, want: ArrayLike) -> None:
        """Raise `Mismatch` unless ``got`` and ``want`` have one shape and the same values."""
        a, b = np.asarray(got), np.asarray(want)
        if a.shape != b.shape:
            raise Mismatch(f"{name} has shape {a.shape}; expected {b.shape}")
        if not np.array_equal(a, b):
            where = np.argwhere(np.atleast_1d(a != b))
            first: tuple[Any, ...] = tuple(int(i) for i in where[0])
            at = f"[{', '.join(map(str, first))}]" if a.ndim else ""
            raise Mismatch(
                f"{name}{at} is {np.atleast_1d(a)[first]}; expected {np.atleast_1d(b)[first]}"
                f" ({len(where)} of {a.size} differ)"
            )
        self.checked += max(a.size, 1)

    def finish(self) -> int:
        """Number of values compared; raises `Mismatch` if there were none."""
        if self.checked == 0:
            raise Mismatch("nothing was compared; expected at least one value")
        return self.checked
