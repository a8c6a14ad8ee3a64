"""What the compiler knows of a convolution, of a block and of the tensors between them."""

from __future__ import annotations

from dataclasses import dataclass

from cpt.host.compiler.memory import Piece
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.network import Block, Layer

MASK_SLOT, IMAGE_SLOT, ERROR_SLOT = 253, 254, 255
"""Precision slots of masks, images and errors; the others are the layers'."""
RECORD = (
    "unit",
    "mean",
    "inverse",
    "multiplier",
    "low",
    "high",
    "shift",
    "total",
    "above",
    "lowest",
    "highest",
)
"""Vectors that the forward pass keeps of a batch norm for the backward pass."""


@dataclass(frozen=True)
class Planes:
    """A tensor of integers in the memory of a micro-batch."""

    layout: CodesLayout
    piece: Piece
    slot: int

    def images(self, first: int, count: int) -> Piece:
        """Memory of ``count`` images from ``first`` on."""
        stride = self.layout.image_stride
        return Piece(self.piece.base, self.piece.offset + first * stride, count * stride)


@dataclass(frozen=True)
class Codes(Planes):
    """A tensor of codes."""

    unit: int
    """Local word of its unit."""


@dataclass(frozen=True)
class Subset:
    """Groups of a dW product that the sums and the buffers hold at once."""

    output: int
    outputs: int
    input: int
    inputs: int


@dataclass(frozen=True)
class ConvPlan:
    """One convolution with its batch norm."""

    layer: Layer
    slot: int
    source: Picture
    output: Picture
    weight: Piece
    """Parameters, float32; `gradient_of` and `velocity_of` lie as far into their arrays."""
    gamma: Piece
    beta: Piece
    mean: Piece
    variance: Piece
    range: Piece
    planes: Piece
    """Weights as operand A of the forward product, and of dX."""
    error_planes: Piece
    codes_of: Piece
    """zero, scale, sums of the forward product's rows; then of dX's."""
    error_codes_of: Piece
    ranges: Piece
    """Lowest and highest weight of each of the forward product's rows, 0 among them; then of dX's."""
    error_ranges: Piece
    record: Piece
    errors: Codes

    @property
    def conv(self) -> Conv:
        """Its shape."""
        return self.layer.shape


@dataclass(frozen=True)
class BlockPlan:
    """A block with its convolutions, and what lies behind it."""

    block: Block
    main: tuple[ConvPlan, ...]
    shortcut: ConvPlan | None
    inputs: Codes
    inner: tuple[Codes, ...]
    """Codes between its convolutions."""
    output: Codes | None
    """Codes behind it; None behind the last."""
    mask: Planes
    """Where the residual stream behind it is above 0: a bit each."""

    @property
    def plans(self) -> tuple[ConvPlan, ...]:
        """All its convolutions."""
        return (*self.main, self.shortcut) if self.shortcut else self.main
