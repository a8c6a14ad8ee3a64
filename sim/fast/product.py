"""Exact integer products of code matrices through floating-point BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpt.sim.registers import Precision

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
_CHUNK_CODES = 64
"""Shortest stretch of K worth a call in float32."""


def product_dtype(a: Precision, b: Precision) -> type[np.floating]:
    """float32 where stretches of K of useful length add up exactly in it, else float64."""
    return np.float32 if a.magnitude * b.magnitude * _CHUNK_CODES <= FLOAT32_EXACT else np.float64


def exact_product(a: NDArray[np.floating], b: NDArray[np.floating], code_product: int) -> NDArray[np.generic]:
    """``a @ b.T`` of integer-valued ``(m, k)`` and ``(n, k)``, exactly, as float32, float64 or int64.

    ``code_product`` bounds the absolute value of one product of codes. Every stretch of K whose sum is at
    most 2**24 (float32 operands) or 2**53 (float64) goes to BLAS in one call, where no order of
    additions can round; stretches are added in float64, or in int64 beyond 2**53.
    """
    k = a.shape[1]
    limit = FLOAT32_EXACT if a.dtype == np.float32 else FLOAT64_EXACT
    chunk = max(1, limit // code_product)
    if k <= chunk:
        return a @ b.T
    wide = np.float64 if k * code_product <= FLOAT64_EXACT else np.int64
    total: NDArray[Any] = (a[:, :chunk] @ b[:, :chunk].T).astype(wide)
    for start in range(chunk, k, chunk):
        part = a[:, start : start + chunk] @ b[:, start : start + chunk].T
        total += part.astype(wide)
    return total
