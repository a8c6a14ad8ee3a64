"""Integer reference of the method, numpy only: what torch, host, simulators and RTL are tested against."""

from cpt.model.golden.conv import (
    ConvGeometry,
    conv_dw,
    conv_dx,
    conv_forward,
    error_columns,
    im2col,
    valid_error_taps,
    valid_taps,
)
from cpt.model.golden.gemm import combine, int_matmul
from cpt.model.golden.quantise import (
    MAX_BITS,
    REFERENCE_FLOOR,
    SAFE_FLOOR,
    Quantised,
    dequantise,
    quantise,
    value_range,
)

__all__ = [
    "MAX_BITS",
    "REFERENCE_FLOOR",
    "SAFE_FLOOR",
    "ConvGeometry",
    "Quantised",
    "combine",
    "conv_dw",
    "conv_dx",
    "conv_forward",
    "dequantise",
    "error_columns",
    "im2col",
    "int_matmul",
    "quantise",
    "valid_error_taps",
    "valid_taps",
    "value_range",
]
