"""Whether a product is what its codes say, with far less work than computing it: Freivalds' check."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SEED = 20_210_125


def weights(count: int) -> NDArray[np.int64]:
    """``(count,)`` odd integers below 2**16, the same on every machine."""
    mixed = (np.arange(count, dtype=np.uint64) + np.uint64(_SEED)) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(48) | np.uint64(1)).astype(np.int64)


def wrong_rows(
    codes_a: NDArray[np.integer],
    codes_b: NDArray[np.integer],
    values: NDArray[np.integer],
    col_sums: NDArray[np.integer],
) -> NDArray[np.intp]:
    """Rows of ``values`` (m, n) that are not A (m, k) . B (n, k)^T; row ``m`` stands for ``col_sums`` (n,).

    Compares weighted sums of each row, modulo 2**64, in m*n + m*k + n*k multiplications. A single wrong value
    in a row is always seen, as its weight is odd; several cancel once in 2**15 or so.
    """
    drawn = weights(len(codes_b))
    # Codes and weights are below 2**16, so every partial sum over n < 2**21 is exact in float64.
    mixed = (drawn.astype(np.float64) @ codes_b.astype(np.float64)).astype(np.int64)  # (k,)
    found = np.append(values.astype(np.int64) @ drawn, col_sums.astype(np.int64) @ drawn)
    return np.flatnonzero(found != np.append(codes_a.astype(np.int64) @ mixed, mixed.sum()))
