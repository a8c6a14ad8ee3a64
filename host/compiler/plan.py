"""A network laid out for the machine: its convolutions with all their places in memory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from cpt.host.compiler.memory import BATCH, STATIC, Memory, Piece, whole_pairs
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.config import MAX_BITS, TAPS
from cpt.hw.contract.passes import gradient_tiles
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.network import Block, Layer, Network

IMAGE_SLOT, ERROR_SLOT = 254, 255
"""Precision slots of images and of errors; the others are the layers'."""
MOST_CHANNELS = 128
"""Channels of a convolution: a quarter of those that coefficients are kept for."""
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
class Codes:
    """A tensor of codes in the memory of a micro-batch."""

    layout: CodesLayout
    piece: Piece
    slot: int
    unit: int
    """Local word of its unit."""


@dataclass(frozen=True)
class Spill:
    """A tensor of 16-bit words in the memory of a micro-batch."""

    picture: Picture
    piece: Piece


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
    record: Piece
    y: Spill
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
    x: Spill
    """The residual stream behind it."""

    @property
    def plans(self) -> tuple[ConvPlan, ...]:
        """All its convolutions."""
        return (*self.main, self.shortcut) if self.shortcut else self.main


class Layout:
    """Places of everything that a network needs, for micro-batches of ``images``.

    Parameters, gradients and velocities are three arrays of the same order, so that the update walks them
    from end to end. Raises `ContractError` for a network that the machine does not take.
    """

    def __init__(self, config: ArrayConfig, network: Network, images: int, unit: int) -> None:
        self.config, self.network, self.images = config, network, images
        self.group = config.group_channels
        self.memory = Memory()
        self._units = unit
        names = network.parameters
        sizes = {name: whole_pairs(value.size) for name, value in names.items()}
        self.parameter_words = sum(sizes.values())
        take = self.memory.take
        self.parameters, self.gradients, self.velocities = (
            take(STATIC, 4 * self.parameter_words) for _ in range(3)
        )
        ends = list(itertools.accumulate(sizes.values(), initial=0))
        self.offsets = dict(zip(sizes, ends, strict=False))
        self.buffers = {name: take(STATIC, 4 * value.size) for name, value in network.buffers.items()}
        self.numbers = take(STATIC, 4 * 4)
        """Learning rate; a word for each that the host sets."""
        self.image_channels = network.blocks[0].main[0].shape.in_channels
        self.normalisation = take(STATIC, 8 * self.image_channels)
        stem = network.blocks[0].main[0].shape
        source = Picture(config, stem.height, stem.width)
        self.image_codes = self._codes(source, stem.in_channels, IMAGE_SLOT)
        self.images_piece = Piece(2, 0, images * source.tiles * stem.in_channels * config.cols)
        self.blocks: list[BlockPlan] = []
        codes = self.image_codes
        for number, block in enumerate(network.blocks):
            codes = self._block(block, codes, number + 1 == len(network.blocks))
        self.kept = take(BATCH, 4 * 2048)
        """Local words that the forward pass leaves for the backward pass."""
        self.static_bytes = self.memory.sizes[STATIC]

    def parameter(self, name: str) -> Piece:
        """Words of a parameter."""
        return self.parameters.words(self.offsets[name], self.network.parameters[name].size)

    def beside(self, array: Piece, piece: Piece) -> Piece:
        """The words of ``array`` (gradients, velocities) that belong to a parameter's ``piece``."""
        return Piece(STATIC, array.offset + piece.offset - self.parameters.offset, piece.size)

    def groups(self, channels: int) -> int:
        """Groups of channels."""
        return -(-channels // self.group)

    def words(self, picture: Picture, channels: int) -> int:
        """Words of scratch that a tensor of a micro-batch takes."""
        return self.images * picture.tiles * self.groups(channels) * self.group

    def sum_words(self, conv: Conv) -> int:
        """Words of scratch that the 48-bit sums of a convolution's dW take in each of their banks."""
        tiles = len(gradient_tiles(conv.kernel**2, self.groups(conv.in_channels)))
        return tiles * self.groups(conv.out_channels) * self.group

    def _codes(self, picture: Picture, channels: int, slot: int, base: int = BATCH) -> Codes:
        layout = CodesLayout(picture, self.groups(channels) * self.group)
        self._units += 1
        return Codes(layout, self.memory.take(base, self.images * layout.image_stride), slot, self._units - 1)

    def _spill(self, picture: Picture, channels: int) -> Spill:
        size = self.words(picture, channels) * self.config.cols * 2
        return Spill(picture, self.memory.take(BATCH, size))

    def _block(self, block: Block, inputs: Codes, last: bool) -> Codes:
        main = tuple(self._conv(layer) for layer in block.main)
        shortcut = self._conv(block.shortcut) if block.shortcut else None
        inner = tuple(
            self._codes(plan.output, plan.conv.out_channels, after.slot)
            for plan, after in itertools.pairwise(main)
        )
        end = main[-1]
        behind = end.layer.index + (2 if block.shortcut else 1)
        output = None if last else self._codes(end.output, end.conv.out_channels, behind)
        x = self._spill(end.output, end.conv.out_channels)
        self.blocks.append(BlockPlan(block, main, shortcut, inputs, inner, output, x))
        return output or inputs

    def _conv(self, layer: Layer) -> ConvPlan:
        conv, config, take = layer.shape, self.config, self.memory.take
        if conv.kernel not in (1, 3) or conv.stride not in (1, 2):
            raise ContractError(
                f"{conv.name} has kernel {conv.kernel}, stride {conv.stride}; allowed: 1 or 3, 1 or 2"
            )
        if conv.out_channels % 2:
            raise ContractError(f"{conv.name} has {conv.out_channels} output channels; allowed: even numbers")
        for channels in (conv.in_channels, conv.out_channels):
            if channels > MOST_CHANNELS:
                raise ContractError(f"{conv.name} has {channels} channels; allowed: {MOST_CHANNELS}")
        if layer.index >= IMAGE_SLOT:
            raise ContractError(f"{conv.name} is convolution {layer.index}; allowed: {IMAGE_SLOT - 1}")
        source = Picture(config, conv.height, conv.width)
        output = Picture(config, conv.out_height, conv.out_width)
        inputs, outputs = self.groups(conv.in_channels), self.groups(conv.out_channels)
        names = {name: f"{layer.norm}.{name}" for name in ("gamma", "beta", "mean", "var", "range")}
        spare = take(STATIC, 8)
        return ConvPlan(
            layer,
            layer.index,
            source,
            output,
            self.parameter(f"{layer.convolution}.weight"),
            self.parameter(names["gamma"]),
            self.parameter(names["beta"]),
            self.buffers[names["mean"]],
            self.buffers[names["var"]],
            self.buffers.get(names["range"], spare),
            take(STATIC, outputs * self.tile_bytes(self.ksteps(conv.kernel, inputs))),
            take(STATIC, inputs * self.tile_bytes(self.ksteps(conv.kernel, outputs))),
            take(STATIC, 12 * conv.out_channels),
            take(STATIC, 12 * conv.in_channels),
            take(BATCH, 4 * len(RECORD) * conv.out_channels),
            self._spill(output, conv.out_channels),
            self._codes(output, conv.out_channels, ERROR_SLOT),
        )

    @staticmethod
    def ksteps(kernel: int, groups: int) -> int:
        """K steps of a plane."""
        return groups if kernel == 3 else -(-groups // TAPS)

    def tile_bytes(self, ksteps: int) -> int:
        """Bytes of a tile of weights, all planes kept."""
        return MAX_BITS * ksteps * self.config.group_bytes("a")
