"""Bit planes to codes: the 8 x 8 bit transposition that every operand goes through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PLANES = 8
_SWAPS = tuple(
    (np.uint64(shift), np.uint64(mask))
    for shift, mask in ((4, 0x0F0F_0F0F_0F0F_0F0F), (2, 0x3333_3333_3333_3333), (1, 0x5555_5555_5555_5555))
)


def _codes_of_bytes(planes: list[NDArray[np.uint8]], sign_extend: bool) -> list[NDArray[np.uint64]]:
    """Transpose up to 8 bit planes (flat, a multiple of 8 bytes) into 8 arrays of one-byte codes.

    Byte ``i`` of result ``q`` is the code whose plane bits are bit ``q`` of byte ``i`` of every plane.
    With ``sign_extend`` the top plane fills the planes above it, which makes the bytes two's complement.
    """
    words = [plane.reshape(-1).view(np.uint64).copy() for plane in planes]
    while len(words) < _PLANES:
        words.append(words[-1].copy() if sign_extend else np.zeros_like(words[0]))
    swapped = np.empty_like(words[0])
    for shift, mask in _SWAPS:
        for low in range(_PLANES):
            if low & int(shift):
                continue
            a, b = words[low], words[low + int(shift)]
            np.right_shift(a, shift, out=swapped)
            swapped ^= b
            swapped &= mask
            b ^= swapped
            np.left_shift(swapped, shift, out=swapped)
            a ^= swapped
    return words


def codes_from_planes(
    planes: NDArray[np.uint8], signed: bool, dtype: type[np.floating], extra: NDArray[np.uint8] | None = None
) -> NDArray[np.floating]:
    """Codes ``(lanes, 8 * lane_bytes)`` of bit planes ``(bits, lanes, lane_bytes)``.

    Lanes keep their order. Codes along K come in a fixed *permuted* order that depends on ``lane_bytes``
    alone: a product of two operands permuted alike is the product, and nothing has to be put in order.
    ``extra`` ``(lane_bytes,)``: bits of one more lane, behind the others, whose codes are 0 and 1.
    """
    bits, lanes, lane_bytes = planes.shape
    codes = np.empty((lanes + (extra is not None), _PLANES, lane_bytes), dtype)
    if extra is not None:
        codes[lanes] = np.unpackbits(extra[:, None], axis=1, bitorder="little").T
    body = codes[:lanes]
    size = lanes * lane_bytes
    flat = planes.reshape(bits, size)
    if size % 8:
        flat = np.pad(flat, ((0, 0), (0, -size % 8)))
    low = _codes_of_bytes(list(flat[:_PLANES]), signed and bits <= _PLANES)
    low_type = np.int8 if signed and bits <= _PLANES else np.uint8
    for index, word in enumerate(low):
        body[:, index] = word.view(low_type)[:size].reshape(lanes, lane_bytes)
    if bits > _PLANES:
        high = _codes_of_bytes(list(flat[_PLANES:]), signed)
        high_type = np.int8 if signed else np.uint8
        for index, word in enumerate(high):
            body[:, index] += word.view(high_type)[:size].reshape(lanes, lane_bytes).astype(dtype) * 256
    return codes.reshape(len(codes), _PLANES * lane_bytes)
