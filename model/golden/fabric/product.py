"""What the matrix unit hands to the drains: exact products of codes, and the column sums of the B operand.

Images are (N, H, W, C); pixels are rows, image by image, line by line. Padding is code 0 and counts nowhere,
so a column sum is that of the codes which the product uses, borders and the phases of a stride included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpt.model.golden.conv import ConvGeometry, error_columns, im2col
from cpt.model.golden.fabric.checks import OPERAND_BITS, PRODUCT_BITS, fits
from cpt.model.golden.fabric.codes import WeightCodes
from cpt.model.golden.gemm import int_matmul


@dataclass(frozen=True)
class Product:
    """A product that waits to be drained."""

    values: np.ndarray
    """int64 (pixels, rows of weights), 48 bits: sums of code times code."""
    sums: np.ndarray
    """int64 (pixels,), 25 bits signed: the column's codes added up; (pixels, channels) of depth-wise ones."""


def forward_product(columns: np.ndarray, weights: WeightCodes) -> Product:
    """Windows ``columns`` (pixels, taps*C) of an input (`im2col`) times weights by output channel."""
    values = int_matmul(columns, weights.codes)
    return Product(
        fits("product", values, PRODUCT_BITS),
        fits("column sum", columns.sum(1, dtype=np.int64), OPERAND_BITS),
    )


def error_product(errors: np.ndarray, weights: WeightCodes, geometry: ConvGeometry) -> Product:
    """dX: error codes (N, OH, OW, O) times weights by input channel (`codes.error_rows`).

    No zeros between errors exist in the machine: a pixel's sums run over the taps that reach an output pixel.
    """
    return forward_product(error_columns(errors, geometry), weights)


def depthwise_product(columns: np.ndarray, weights: WeightCodes) -> Product:
    """Windows (pixels, taps*C) of a depth-wise layer, forward or dX, times weights (C, taps).

    A channel's sums are its own alone: weights have a whole zero (`weight_codes`), so that the products and
    the sums that the array adds for the other channels of a group cancel each other in R.
    """
    split = columns.reshape(len(columns), -1, len(weights.codes)).astype(np.int64)
    values = (split * weights.codes.T).sum(1)
    return Product(fits("product", values, PRODUCT_BITS), fits("column sum", split.sum(1), OPERAND_BITS))


def depthwise_weight_product(errors: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """dW of a depth-wise layer: int64 (C, taps), 48 bits; arguments as of `weight_product`."""
    rows = errors.reshape(len(columns), 1, -1).astype(np.int64)
    split = columns.reshape(len(columns), -1, rows.shape[-1])
    return fits("dW", (rows * split).sum(0).T, PRODUCT_BITS)


def weight_product(errors: np.ndarray, columns: np.ndarray, piece: int = 0) -> np.ndarray:
    """dW: int64 (O, taps*C), 48 bits, from error codes (N, OH, OW, O) and the input's windows ``columns``.

    K are the pixels. A buffer may hold fewer: ``piece`` pixels at a time, whose results add up as 48-bit
    integers, so that pieces never change a bit. No correction: errors and activations have zero 0.
    """
    rows = np.ascontiguousarray(errors.reshape(-1, errors.shape[-1]).T)
    by_input = np.ascontiguousarray(columns.T)
    pixels = rows.shape[1]
    total = np.zeros((rows.shape[0], by_input.shape[0]), np.int64)
    for start in range(0, pixels, piece or pixels):
        end = start + (piece or pixels)
        total = fits("dW", total + int_matmul(rows[:, start:end], by_input[:, start:end]), PRODUCT_BITS)
    return total


def windows(codes: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """Input windows by output pixel, (pixels, taps*C): what forward and dW read."""
    return im2col(codes, geometry)
