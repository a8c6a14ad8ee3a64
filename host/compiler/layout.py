"""A network laid out for the machine: its convolutions with all their places in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from cpt.host.compiler.choice import WIDEST, Product, Way, of_product
from cpt.host.compiler.lifetimes import Names
from cpt.host.compiler.memory import BATCH, IN_WORDS, STATIC, Memory, Piece, whole_pairs
from cpt.host.compiler.parts import OF_BACKWARD, OF_FORWARD, Division, Part, Scratch
from cpt.host.compiler.plan import (
    ERROR_SLOT,
    IMAGE_SLOT,
    MASK_SLOT,
    RECORD,
    BlockPlan,
    Codes,
    ConvPlan,
    Planes,
)
from cpt.host.compiler.subsets import Subsets
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.config import MAX_BITS, MOST_GROUPS, TAPS
from cpt.hw.contract.passes import MASK_BITS
from cpt.hw.contract.step import SCRATCH_BANKS, SUM_WORDS
from cpt.hw.contract.tiles import CodesLayout, Picture, PixelLayout, WindowLayout
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.network import Block, Layer, Network

SUMS_SHARE = 3
"""The sums of dW take at most one of so many parts of a bank, if they can."""


class Layout:
    """Places of everything that a network needs, for micro-batches of ``images`` and codes of at most
    ``widest`` bits.

    ``usual``: bits by which it is chosen where y comes from again, if fewer; ``shared``: names of
    another layout, with whose lists its own can become one.

    Parameters, gradients and velocities are three arrays of the same order, so that the update walks them
    from end to end. Raises `ContractError` for a network that the machine does not take.
    """

    def __init__(
        self,
        config: ArrayConfig,
        network: Network,
        images: int,
        scratch_words: int,
        way: Way | None = None,
        widest: int = WIDEST,
        usual: int | None = None,
        shared: Names | None = None,
    ) -> None:
        self.config, self.network, self.images, self.widest = config, network, images, widest
        self.group = config.group_channels
        self.dw = Subsets(config, widest)
        self.memory, self.names = Memory(), shared or Names()
        self.unit_words = 0
        """Local words for the units of codes."""
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
        self.unit_words = whole_pairs(self.unit_words)
        self.kept = take(BATCH, 4 * self.unit_words)
        """Units that the forward pass leaves for the backward pass."""
        self.features = take(BATCH, 4 * images * self.blocks[-1].main[-1].conv.out_channels)
        """Inputs of the classifier, likewise."""
        self._most = self._most_groups()
        for plan in self.plans:
            self._check_windows(plan)
        self._scratch(scratch_words)
        bits = usual or widest
        self.homes = {plan.layer.index: self._home(plan, way, bits) for plan in self.plans}
        """Where y of a convolution waits in memory; None: it is made again."""
        self.errors_again = {
            plan.layer.index: self._way(
                (plan.source, plan.conv.in_channels),
                self.weight_ksteps(plan.conv, plan.conv.out_channels),
                way,
                widest,
            )
            is Way.RECOMPUTE
            for plan in self.plans
            if plan.layer.index
        }
        """Whether the gradient behind the ReLU before a convolution is made twice where it comes in parts."""
        self.most_end_groups = max(self.groups(block.main[-1].conv.out_channels) for block in self.blocks)
        """Groups of channels of a block's end."""
        self.identity = take(STATIC, self.identity_planes().size)
        self.static_bytes = self.memory.sizes[STATIC]

    @property
    def made_again(self) -> list[int]:
        """Convolutions whose y the array makes again."""
        return [index for index, home in self.homes.items() if home is None]

    def _most_groups(self) -> dict[tuple[int, int, int], int]:
        """Groups of results by the results' shape: those whose weights half of the A buffer holds, of a
        depth-wise layer those whose windows the fetch holds too."""
        most: dict[tuple[int, int, int], int] = {}
        half = self.config.half_words("a")
        for plan in self.plans:
            conv = plan.conv
            products = [(plan.output, conv.out_channels, conv.in_channels)]
            if plan.layer.index:
                products.append((plan.source, conv.in_channels, conv.out_channels))
            for (picture, channels, inputs), windows in zip(products, self._windows(plan), strict=True):
                ksteps = self.weight_ksteps(conv, inputs)
                if ksteps * self.widest > half:
                    raise ContractError(
                        f"{conv.name} takes {ksteps} K steps of {self.widest} planes; "
                        f"allowed: {half // self.widest}, half of the A buffer"
                    )
                key = (picture.height, picture.width, self.groups(channels))
                most[key] = min(most.get(key, MOST_GROUPS), half // (ksteps * self.widest))
                if plan.layer.depthwise:
                    most[key] = min(most[key], windows.most_words // windows.slot_words(self.widest))
        for end in (block.main[-1] for block in self.blocks):  # its mask, times an identity
            groups = self.groups(end.conv.out_channels)
            key = (end.output.height, end.output.width, groups)
            most[key] = min(most[key], half // (self.ksteps(1, groups) * MASK_BITS))
        return most

    def _scratch(self, words: int) -> None:
        """Banks, and memory behind each for tensors that have no room in them."""
        whole = SCRATCH_BANKS * IN_WORDS
        if words % whole:
            raise ContractError(f"scratch has {words} words; allowed: multiples of {whole}")
        self.subsets = {
            plan.layer.index: self.dw.of(plan, words // SCRATCH_BANKS // SUMS_SHARE) for plan in self.plans
        }
        sums = max(
            self.dw.sum_words(plan, part) for plan in self.plans for part in self.subsets[plan.layer.index]
        )
        self._sums_of: dict[tuple[Picture, int], int] = {}
        """Sums of dW of convolutions that have outputs or inputs of a shape, at most."""
        for plan in self.plans:
            held = max(self.dw.sum_words(plan, part) for part in self.subsets[plan.layer.index])
            for shape in (
                (plan.output, self.groups(plan.conv.out_channels)),
                (plan.source, self.groups(plan.conv.in_channels)),
            ):
                self._sums_of[shape] = max(self._sums_of.get(shape, 0), held)
        self.forward = Scratch(self.config, words, OF_FORWARD)
        self.backward = Scratch(self.config, words, OF_BACKWARD, self._mixed())
        """Scratch as each pass divides it."""
        if SUM_WORDS * sums > words:
            raise ContractError(f"sums of dW take {SUM_WORDS * sums} words of scratch; allowed: {words}")
        shapes = {
            (picture, channels)
            for plan in self.plans
            for picture, channels in (
                (plan.output, plan.conv.out_channels),
                (plan.source, plan.conv.in_channels),
            )[: 2 if plan.layer.index else 1]
        }
        width = 2 * self.config.cols
        both = (self.forward, self.backward)
        spilled = [
            self.words(*shape) * width
            for shape in shapes
            if any(self.spilled(scratch, *shape) for scratch in both)
        ]
        size = max(spilled, default=0)
        self.covered = self.memory.take(STATIC, SUM_WORDS * sums * width)
        """Where words wait that sums of dW take the place of."""
        self.behind = [self.memory.take(BATCH, size) for _ in range(self.backward.places)]

    def _mixed(self) -> bool:
        """Whether a block's end waits while convolutions inside have other shapes: inverted residuals."""

        def shape(plan: ConvPlan) -> tuple[int, int, int]:
            return plan.conv.out_height, plan.conv.out_width, plan.conv.out_channels

        return any(
            shape(plan) != shape(block.main[-1])
            for block in self.blocks
            if block.shortcut or block.block.identity
            for plan in block.main
        )

    def _windows(self, plan: ConvPlan) -> list[WindowLayout]:
        """Windows of the forward pass and of dX, of a depth-wise layer those of a group."""
        conv, source = plan.conv, plan.source
        inputs, outputs = (self.group,) * 2 if plan.layer.depthwise else (conv.in_channels, conv.out_channels)
        windows = [WindowLayout(source, inputs, conv.kernel, conv.stride)]
        if plan.layer.index:
            spread = (source.height, source.width) if conv.stride == 2 else ()
            windows.append(WindowLayout(plan.output, outputs, conv.kernel, 1, spread))
        return windows

    def _check_windows(self, plan: ConvPlan) -> None:
        """Raise `ContractError` unless the fetch can make the windows of all passes, and holds what it needs
        at once."""
        conv, source = plan.conv, plan.source
        for layout, which in zip(self._windows(plan), ("", "dX of "), strict=False):
            try:
                layout.require_room(self.widest)
            except ContractError as error:
                raise ContractError(f"{which}{conv.name}: {error}") from None
        try:
            PixelLayout(source, conv.stride, conv.out_height)
        except ContractError as error:
            raise ContractError(f"dW of {conv.name}: {error}") from None

    @property
    def plans(self) -> list[ConvPlan]:
        """All convolutions."""
        return [plan for block in self.blocks for plan in block.plans]

    def most_groups(self, picture: Picture, channels: int) -> int:
        """Groups of a product's results at a time: those whose weights the A buffer holds."""
        return self._most.get((picture.height, picture.width, self.groups(channels)), MOST_GROUPS)

    def spilled(self, scratch: Scratch, picture: Picture, channels: int) -> bool:
        """Whether some tensors of a shape go through scratch in parts."""
        return not all(self.division(scratch, picture, channels).whole)

    def division(self, scratch: Scratch, picture: Picture, channels: int) -> Division:
        """Where tensors of a shape lie in scratch."""
        groups = self.groups(channels)
        by_groups = self.most_groups(picture, channels) < groups
        image = 0 if by_groups else picture.tiles * groups * self.group
        return scratch.division(self.words(picture, channels), image, self._sums_of.get((picture, groups), 0))

    def parts(
        self, scratch: Scratch, picture: Picture, channels: int, most_groups: int = MOST_GROUPS
    ) -> list[Part]:
        """A tensor's parts on their way through scratch, in order."""
        groups, division = self.groups(channels), self.division(scratch, picture, channels)
        if all(division.whole):
            return [Part(0, self.images, 0, groups, 0)]
        return list(scratch.parts(division, picture, self.images, groups, most_groups))

    def parameter(self, name: str) -> Piece:
        """Words of a parameter."""
        return self.parameters.words(self.offsets[name], self.network.parameters[name].size)

    def ranges(self) -> Iterator[tuple[Piece, np.ndarray]]:
        """Lowest and highest weights of all rows as the update leaves them, for where they lie."""
        for plan in self.plans:
            weights = self.network.parameters[f"{plan.layer.convolution}.weight"]
            outputs, inputs = (0, 1, 2), (1, 2, 3)
            """All axes of an input channel, and of an output channel."""
            ways = [(plan.ranges, inputs), (plan.error_ranges, outputs)][: 2 if plan.layer.index else 1]
            for piece, axes in [] if plan.layer.depthwise else ways:
                yield piece, np.concatenate([weights.min(axes, initial=0), weights.max(axes, initial=0)])

    def beside(self, array: Piece, piece: Piece) -> Piece:
        """The words of ``array`` (gradients, velocities) that belong to a parameter's ``piece``."""
        return Piece(STATIC, array.offset + piece.offset - self.parameters.offset, piece.size)

    def groups(self, channels: int) -> int:
        """Groups of channels."""
        return -(-channels // self.group)

    def words(self, picture: Picture, channels: int) -> int:
        """Words of scratch that a tensor of a micro-batch takes."""
        return self.images * picture.tiles * self.groups(channels) * self.group

    def _codes(self, picture: Picture, channels: int, slot: int, base: int = BATCH) -> Codes:
        layout = CodesLayout(picture, self.groups(channels) * self.group)
        self.unit_words += 1
        place = self.memory.take(base, self.images * layout.image_stride)
        return Codes(layout, place, slot, self.unit_words - 1)

    def _home(self, plan: ConvPlan, forced: Way | None, bits: int) -> Piece | None:
        """Memory for y where it does not come again from the array."""
        conv, picture = plan.conv, plan.output
        ksteps = self.weight_ksteps(conv, conv.in_channels)
        way = self._way((picture, conv.out_channels), ksteps, forced, bits)
        if way is Way.RECOMPUTE:
            return None
        return self.memory.take(BATCH, self.words(picture, conv.out_channels) * self.config.cols * 2)

    def _way(self, shape: tuple[Picture, int], ksteps: int, forced: Way | None, bits: int) -> Way:
        """How results of ``shape`` of a product of codes of so many bits are at hand again."""
        picture, channels = shape
        product = Product(self.config, self.images * picture.tiles, self.groups(channels), ksteps, bits)
        in_parts = any(self.spilled(scratch, *shape) for scratch in (self.forward, self.backward))
        if self.most_groups(*shape) < product.groups:  # its weights come in parts too
            return Way.SPILL
        return of_product(product, in_parts=in_parts, forced=forced)

    def identity_planes(self) -> np.ndarray:
        """Operand A of a product that leaves codes as they are: uint8, for the widest mask.

        A 1 x 1 kernel in tiles of rows, of one plane each.
        """
        group, groups = self.group, self.most_end_groups
        ksteps = self.ksteps(1, groups)
        planes = np.zeros((groups, ksteps, group, TAPS, group), np.uint8)
        for tile in range(groups):
            kstep, tap = divmod(tile, TAPS)
            planes[tile, kstep, :, tap] = np.eye(group, dtype=np.uint8)
        packed = np.packbits(planes.reshape(groups * ksteps, -1), axis=-1, bitorder="little")
        missing = self.config.group_bytes("a") - packed.shape[-1]
        return np.pad(packed, ((0, 0), (0, missing))).ravel()

    def _block(self, block: Block, inputs: Codes, last: bool) -> Codes:
        main = tuple(self._conv(layer) for layer in block.main)
        shortcut = self._conv(block.shortcut) if block.shortcut else None
        inner = tuple(
            self._codes(plan.output, plan.conv.out_channels, after.slot)
            for plan, after in itertools.pairwise(main)
        )
        end = main[-1]
        behind = end.layer.index + (2 if block.shortcut else 1)
        slot = IMAGE_SLOT if block.linear else behind
        output = None if last else self._codes(end.output, end.conv.out_channels, slot)
        bits = CodesLayout(end.output, self.groups(end.conv.out_channels) * self.group, MASK_BITS)
        mask = Planes(bits, self.memory.take(BATCH, self.images * bits.image_stride), MASK_SLOT)
        self.blocks.append(BlockPlan(block, main, shortcut, inputs, inner, output, mask))
        return output or inputs

    def _conv(self, layer: Layer) -> ConvPlan:
        conv, config, take = layer.shape, self.config, self.memory.take
        if conv.kernel not in (1, 3) or conv.stride not in (1, 2):
            raise ContractError(
                f"{conv.name} has kernel {conv.kernel}, stride {conv.stride}; allowed: 1 or 3, 1 or 2"
            )
        if layer.depthwise and conv.kernel != 3:
            raise ContractError(f"{conv.name} is depth-wise with kernel {conv.kernel}; allowed: 3")
        if conv.out_channels % 2:
            raise ContractError(f"{conv.name} has {conv.out_channels} output channels; allowed: even numbers")
        most = min(config.channels, MOST_GROUPS * self.group)
        for channels in (conv.in_channels, conv.out_channels):
            if channels > most:
                raise ContractError(f"{conv.name} has {channels} channels; allowed: {most}")
        if layer.index >= MASK_SLOT:
            raise ContractError(f"{conv.name} is convolution {layer.index}; allowed: {MASK_SLOT - 1}")
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
            take(STATIC, outputs * self.tile_bytes(self.weight_ksteps(conv, conv.in_channels))),
            take(STATIC, inputs * self.tile_bytes(self.weight_ksteps(conv, conv.out_channels))),
            take(STATIC, 12 * conv.out_channels),
            take(STATIC, 12 * conv.in_channels),
            take(STATIC, 8 * conv.out_channels),
            take(STATIC, 8 * conv.in_channels),
            take(BATCH, 4 * len(RECORD) * conv.out_channels),
            self._codes(output, conv.out_channels, ERROR_SLOT),
        )

    @staticmethod
    def ksteps(kernel: int, groups: int) -> int:
        """K steps of a plane."""
        return groups if kernel == 3 else -(-groups // TAPS)

    def weight_ksteps(self, conv: Conv, inputs: int) -> int:
        """K steps of a plane of weights against ``inputs`` channels; of a depth-wise layer one."""
        return 1 if conv.groups > 1 else self.ksteps(conv.kernel, self.groups(inputs))

    def tile_bytes(self, ksteps: int) -> int:
        """Bytes of a tile of weights, all planes kept."""
        return MAX_BITS * ksteps * self.config.group_bytes("a")
