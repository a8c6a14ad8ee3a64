"""Exact integer matrix product and the corrections that turn it into real values."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT32_EXACT = 2**24
"""float32 holds every integer up to here; sums of codes are exact while they stay below."""
FLOAT64_EXACT = 2**53
_SHORTEST_CHUNK = 128
"""Codes per chunk of K below which float64 beats several float32 products."""


def int_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact product of codes ``a`` (M, K) and ``b`` (N, K): int64 (M, N), ``out[m, n] = sum_k a*b``.

    Runs on the floating-point matrix product, in chunks of K so short that no sum can be inexact:
    float32 where a chunk is worth it, else float64. Raises `ValueError` if the K do not match.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"operands are {a.shape} and {b.shape}; allowed: (M, K) and (N, K)")
    k = a.shape[1]
    largest = max(_largest(a) * _largest(b), 1)
    single = FLOAT32_EXACT // largest >= min(k, _SHORTEST_CHUNK)
    chunk = (FLOAT32_EXACT if single else FLOAT64_EXACT) // largest
    dtype: type[np.floating[Any]] = np.float32 if single else np.float64
    out = np.zeros((a.shape[0], b.shape[0]), np.int64)
    for start in range(0, k, chunk):
        part = a[:, start : start + chunk].astype(dtype) @ b[:, start : start + chunk].astype(dtype).T
        np.add(out, part, out=out, casting="unsafe", dtype=np.int64)
    return out


def combine(
    product: np.ndarray,
    sum_a: np.ndarray,
    sum_b: np.ndarray,
    valid_k: np.ndarray | int,
    scale_a: np.ndarray,
    zero_a: np.ndarray,
    scale_b: np.ndarray,
    zero_b: np.ndarray,
) -> np.ndarray:
    """Real values of an integer product: float32 (M, N).

    ``sa*sb*P + sa*zb*sum(qa) + za*sb*sum(qb) + K*za*zb`` with each term and sum in float64, from left to
    right, and one rounding to float32 at the end. ``product`` (M, N); ``sum_a`` (M, 1) or, at borders,
    (M, N): A's codes summed over the K that count for column n; ``sum_b`` (N,); ``valid_k`` scalar or
    (N,): how many K count. ``scale_a``, ``zero_a``: scalar or (M,); ``scale_b``, ``zero_b``: scalar.
    """
    sa, za = (np.asarray(v, np.float64).reshape(-1, 1) for v in (scale_a, zero_a))
    sb, zb = np.float64(scale_b), np.float64(zero_b)
    total = product * (sa * sb)
    total += sum_a * (sa * zb)
    total += sum_b * (za * sb)
    total += valid_k * (za * zb)
    return total.astype(np.float32)


def _largest(codes: np.ndarray) -> int:
    """Largest magnitude among the codes."""
    return max(int(codes.max(initial=0)), -int(codes.min(initial=0)))
