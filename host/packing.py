"""Codes to bit planes and result bytes to integers, in the layouts of `cpt.hw.contract.layout`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ContractError, OperandLayout, ResultLayout, k_log2, result_bytes

_BLOCK_CODES = 1 << 18
"""Codes packed at a time, so that the scratch planes stay in the cache."""


class Product(NamedTuple):
    """A matrix product and the column sums that came with it."""

    values: NDArray[np.signedinteger]
    """``(m, n)``; int32 where the widest sum fits, else int64."""
    col_sums: NDArray[np.signedinteger] | None
    """``(n,)`` sums of B's codes over K, if the program asked for them."""


def pack_operand(
    codes: NDArray[np.integer],
    layout: OperandLayout,
    bits: int,
    out: NDArray[np.uint8],
    *,
    signed: bool = False,
) -> None:
    """Write ``codes`` as ``bits`` bit planes into ``out``; planes from ``bits`` up stay untouched.

    Args:
        codes: ``(layout.count, layout.k)`` integers, ``0 .. 2**bits - 1``, or with ``signed``
            ``-2**(bits-1) .. 2**(bits-1) - 1`` (stored in two's complement).
        layout: where the planes lie.
        bits: planes to write, 1..``layout.max_bits``.
        out: at least ``layout.nbytes`` bytes, contiguous; the operand starts at byte 0.
        signed: whether the codes are two's complement.

    Raises:
        ContractError: a shape, width or code is out of range.
    """
    codes = np.asarray(codes)
    _check_operand(codes, layout, bits, signed)
    planes = _operand_view(out, layout)  # (tiles, max_bits, ksteps, group_bytes)
    lanes, ksteps, word_bits = layout.lanes, layout.ksteps, layout.config.word_bits
    group_bits = 8 * layout.group_bytes
    tiles_per_block = max(1, _BLOCK_CODES // (ksteps * group_bits))
    for first in range(0, layout.tiles, tiles_per_block):
        tiles = min(tiles_per_block, layout.tiles - first)
        block = codes[first * lanes : (first + tiles) * lanes]
        whole = np.zeros((tiles * lanes, ksteps * word_bits), np.uint8)
        groups = np.zeros((tiles, ksteps, group_bits), np.uint8)
        words = groups[..., : lanes * word_bits].reshape(tiles, ksteps, lanes, word_bits)
        scratch = np.empty_like(groups)
        for low in range(0, bits, 8):
            whole[: len(block), : layout.k] = _byte_of(block, low)
            words[...] = whole.reshape(tiles, lanes, ksteps, word_bits).transpose(0, 2, 1, 3)
            for plane in range(low, min(bits, low + 8)):
                np.bitwise_and(groups, 1 << (plane - low), out=scratch)
                planes[first : first + tiles, plane] = np.packbits(scratch, axis=-1, bitorder="little")


def unpack_operand(
    packed: NDArray[np.uint8], layout: OperandLayout, bits: int, *, signed: bool = False
) -> NDArray[np.int32]:
    """The ``(layout.count, layout.k)`` codes whose ``bits`` planes `pack_operand` wrote."""
    _check_bits(layout, bits)
    planes = _operand_view(packed, layout)[:, :bits]
    word_bits = layout.config.word_bits
    ones = np.unpackbits(planes, axis=-1, count=layout.lanes * word_bits, bitorder="little")
    ones = ones.reshape(
        *planes.shape[:-1], layout.lanes, word_bits
    )  # (tiles, bits, ksteps, lanes, word_bits)
    weights = 1 << np.arange(bits, dtype=np.int32)
    if signed:
        weights[-1] = -weights[-1]
    codes = np.einsum("tpklw,p->tlkw", ones, weights, dtype=np.int32, casting="unsafe")
    return codes.reshape(layout.tiles * layout.lanes, -1)[: layout.count, : layout.k].copy()


def unpack_result(
    buffer: NDArray[np.uint8],
    layout: ResultLayout,
    bits_a: int,
    bits_b: int,
    *,
    signed: bool = False,
    col_sums: bool = False,
) -> Product:
    """Integers from the result tiles the accelerator wrote.

    Args:
        buffer: at least ``layout.nbytes`` bytes, contiguous; the product starts at byte 0.
        layout: where the tiles lie.
        bits_a, bits_b: the operands' precision slots when the program ran.
        signed: whether either slot was signed.
        col_sums: as given to the program that ran.

    Raises:
        ContractError: the buffer is too small or the result too wide.
    """
    config = layout.config
    depth = result_bytes(bits_a, bits_b, k_log2(layout.k))
    kind = _integer_kind(bits_a + bits_b + k_log2(layout.k) + (not signed))
    tiles = _flat(buffer, layout.nbytes).reshape(layout.col_tiles, layout.row_tiles, layout.tile_stride)
    row_bytes = depth * config.cols

    def rows_at(part: NDArray[np.uint8], row: int, count: int) -> NDArray[np.uint8]:
        """``(..., count, depth, cols)`` bytes from tile row ``row`` on."""
        window = part[..., row * row_bytes : (row + count) * row_bytes]
        return window.reshape(*part.shape[:-1], count, depth, config.cols)

    body = rows_at(tiles, 0, config.rows)  # (col tiles, row tiles, rows, depth, cols)
    grid = _assemble(body.transpose(1, 2, 0, 3, 4), kind, signed)  # (row tiles, rows, col tiles, cols)
    values = grid.reshape(layout.row_tiles * config.rows, -1)[: layout.m, : layout.n]

    by_col = None
    if col_sums:
        first = rows_at(tiles[:, 0], config.rows, 1)  # (col tiles, 1, depth, cols)
        by_col = _assemble(first, kind, signed).reshape(-1)[: layout.n]
    return Product(values, by_col)


def _byte_of(codes: NDArray[np.integer], low: int) -> NDArray[np.uint8]:
    """Bits ``low .. low+7`` of every code, C-contiguous."""
    if codes.dtype.itemsize == 1:
        return np.ascontiguousarray(codes).view(np.uint8)
    return (codes >> low if low else codes).astype(np.uint8)


def _assemble(planes: NDArray[np.uint8], kind: type, signed: bool) -> NDArray[np.signedinteger]:
    """Integers ``(..., cols)`` of dtype ``kind`` from byte planes ``(..., depth, cols)``.

    The bytes are placed at the top of the integer and shifted down, arithmetically when signed.
    """
    depth, width = planes.shape[-2], np.dtype(kind).itemsize
    values: NDArray[np.signedinteger] = np.zeros((*planes.shape[:-2], planes.shape[-1]), kind)
    octets = values.view(np.uint8).reshape(*values.shape, width)
    for index in range(depth):
        octets[..., width - depth + index] = planes[..., index, :]
    if depth < width:
        shifted = values if signed else values.view(np.dtype(f"u{width}"))
        shifted >>= shifted.dtype.type(8 * (width - depth))
    return values


def _integer_kind(bits: int) -> type:
    """The signed integer type that holds ``bits`` bits, sign included."""
    return np.int32 if bits <= 32 else np.int64


def _operand_view(packed: NDArray[np.uint8], layout: OperandLayout) -> NDArray[np.uint8]:
    flat = _flat(packed, layout.nbytes)
    return flat.reshape(layout.tiles, layout.max_bits, layout.ksteps, layout.group_bytes)


def _flat(buffer: NDArray[np.uint8], nbytes: int) -> NDArray[np.uint8]:
    """The first ``nbytes`` bytes of a buffer as a plain array sharing its memory."""
    plain = np.asarray(buffer)  # drops pynq's buffer subclass, whose views are slow to make
    if plain.dtype != np.uint8 or not plain.flags.c_contiguous:
        raise ContractError(f"buffer is {plain.dtype}, strides {plain.strides}; allowed: contiguous uint8")
    if plain.size < nbytes:
        raise ContractError(f"buffer has {plain.size} bytes; allowed: at least {nbytes}")
    return plain.reshape(-1)[:nbytes]


def _check_bits(layout: OperandLayout, bits: int) -> None:
    if not 1 <= bits <= layout.max_bits:
        raise ContractError(f"bits is {bits}; allowed: 1..{layout.max_bits}")


def _check_operand(codes: NDArray[np.integer], layout: OperandLayout, bits: int, signed: bool) -> None:
    _check_bits(layout, bits)
    if codes.shape != (layout.count, layout.k):
        raise ContractError(f"codes have shape {codes.shape}; allowed: {(layout.count, layout.k)}")
    if codes.dtype.kind not in "iu":
        raise ContractError(f"codes have type {codes.dtype}; allowed: integers")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    least, most = int(codes.min()), int(codes.max())
    if least < low or most > high:
        raise ContractError(
            f"codes span {least}..{most}; allowed at {bits} {'signed ' * signed}bits: {low}..{high}"
        )
