"""Forward and backward of one micro-batch on the fabric, and evaluation: the order of passes.

Each line is an operation of the machine; what it computes stands in its own function. Integers per pixel are
(pixels, channels), codes (N, H, W, C).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cpt.model.golden.conv import error_columns
from cpt.model.golden.fabric import apply, channel, classifier, codes, drain, pool, product, update
from cpt.model.golden.fabric import float_unit as fl
from cpt.model.golden.fabric.checks import FabricOverflow
from cpt.model.golden.fabric.hash import error_key, noise_bytes
from cpt.model.golden.fabric.network import IMAGES, Block, Layer, Network

Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Weights:
    """Codes of a convolution's weights for both products."""

    forward: codes.WeightCodes
    error: codes.WeightCodes | None
    """None where there is no dX."""


@dataclass
class Convolved:
    """What the forward pass of a convolution leaves for the backward pass."""

    layer: Layer
    columns: np.ndarray
    """Codes of the input's windows (pixels, taps*C), and their unit."""
    unit: np.ndarray
    y: np.ndarray
    statistics: drain.ForwardStatistics
    norm: channel.Norm
    relu: apply.Affine | None = None
    """Coefficients of F2, where it follows: they also give its mask."""


@dataclass
class BlockTape:
    """What the forward pass of a block leaves."""

    block: Block
    main: list[Convolved]
    shortcut: Convolved | None
    x: np.ndarray
    """The residual stream behind the block, int16 (pixels, C); behind a linear end `apply.MIDDLE` more."""


@dataclass
class Tape:
    """What the forward pass of a micro-batch leaves."""

    batch: int
    blocks: list[BlockTape] = field(default_factory=list)
    features: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True)
class Stream:
    """The residual stream and its codes, between two blocks."""

    x: np.ndarray | None
    exponent: int
    highest: np.ndarray
    """Of each channel, less ``middle``, int64."""
    lowest: np.ndarray
    codes: np.ndarray
    unit: np.ndarray
    largest: int
    """Highest magnitude of the codes."""
    middle: int = 0
    """What stands for 0 in ``x``."""


@dataclass(frozen=True)
class Pass:
    """Bits and kind of a forward pass; ``rate`` moves running averages, None evaluates with them."""

    bits: int
    rate: np.float32 | None = None

    @property
    def training(self) -> bool:
        """Whether statistics are the micro-batch's."""
        return self.rate is not None


def prepare(network: Network, bits: int, training: bool = True) -> dict[str, Weights]:
    """Codes of all weights, by convolution: once a step, before its first micro-batch."""
    found = {}
    for layer in network.layers:
        weight, whole = network.parameters[f"{layer.convolution}.weight"], layer.depthwise
        forward, error = codes.weight_codes(codes.forward_rows(weight), bits, whole), None
        if training and layer.index:
            error = forward if whole else codes.weight_codes(codes.error_rows(weight), bits)
        found[layer.convolution] = Weights(forward, error)
    return found


# ------------------------------------------------------------------------------------------------ forward


def forward(
    network: Network, weights: Mapping[str, Weights], images: np.ndarray, how: Pass
) -> tuple[np.ndarray, Tape]:
    """Logits (N, classes), float32, of byte images (N, H, W, C), and what `backward` needs."""
    tape = Tape(len(images))
    stream = image_codes(network, images, how)
    for block in network.blocks:
        stream, left = block_forward(network, weights, block, stream, how)
        tape.blocks.append(left)
    x = as_images(stream.x, network.blocks[-1].main[-1], tape.batch)
    sums = pool.pool_sums(x)
    tape.features = classifier.features(sums, stream.exponent, x.shape[1] * x.shape[2])
    parameters = network.parameters
    found = classifier.logits(tape.features, parameters["classifier.weight"], parameters["classifier.bias"])
    return found, tape


def image_codes(network: Network, images: np.ndarray, how: Pass) -> Stream:
    """Codes of byte images."""
    factor, offset, bits = network.factor, network.offset, codes.image_bits(how.bits)
    rows = images.reshape(-1, images.shape[-1]).astype(np.int64)
    if how.rate is not None:
        unit, largest = channel.image_unit(rows.min(0), rows.max(0), factor, offset, bits)
        network.observe(IMAGES, largest, how.rate)
    else:
        unit = channel.image_unit_of(network.expected(IMAGES), factor, bits)
    found = apply.image_apply(images, channel.image_coefficients(factor, offset, unit), bits)
    return Stream(None, 0, rows.max(0), rows.min(0), found, unit, codes.largest_error(bits))


def block_forward(
    network: Network,
    weights: Mapping[str, Weights],
    block: Block,
    stream: Stream,
    how: Pass,
) -> tuple[Stream, BlockTape]:
    """A block: F1 and F2 of its convolutions in turn, F1 of the last and of the shortcut, F3, second look."""
    batch, largest = len(stream.codes), stream.largest
    shortcut = None
    if block.shortcut:
        shortcut = convolution_forward(
            network, weights, block.shortcut, stream.codes, stream.unit, largest, how
        )
    here, unit = stream.codes, stream.unit
    main = []
    for number, layer in enumerate(block.main):
        found = convolution_forward(network, weights, layer, here, unit, largest, how)
        main.append(found)
        largest = codes.largest_activation(how.bits)
        if number + 1 < len(block.main):
            unit = inner_unit(network, found, how)
            found.relu = channel.inner_coefficients(found.norm, unit)
            here = as_images(apply.inner_apply(found.y, found.relu, how.bits), layer, batch)
    after = block_end(network, block, stream, main[-1], shortcut, how)
    assert after.x is not None
    return after, BlockTape(block, main, shortcut, after.x)


def convolution_forward(
    network: Network,
    weights: Mapping[str, Weights],
    layer: Layer,
    inputs: np.ndarray,
    unit: np.ndarray,
    largest: int,
    how: Pass,
) -> Convolved:
    """Product, F1, batch norm's coefficients. ``largest``: code of the inputs."""
    coded = weights[layer.convolution].forward
    columns = product.windows(inputs, layer.geometry(len(inputs)))
    shift = coded.shifts(largest)
    multiplied = (product.depthwise_product if layer.depthwise else product.forward_product)(columns, coded)
    y, statistics = drain.forward_drain(multiplied, coded, shift)
    y_unit = channel.forward_unit(coded, shift, unit)
    gamma, beta = (network.parameters[f"{layer.norm}.{name}"] for name in ("gamma", "beta"))
    mean, var = f"{layer.norm}.mean", f"{layer.norm}.var"
    buffers = network.buffers
    if how.rate is None:
        norm = channel.running_norm(buffers[mean], buffers[var], y_unit, gamma, beta)
    else:
        norm, new_mean, new_var = channel.batch_norm(statistics, y_unit, gamma, beta)
        buffers[mean] = channel.running(buffers[mean], new_mean, how.rate)
        buffers[var] = channel.running(buffers[var], new_var, how.rate)
    return Convolved(layer, columns, unit, y, statistics, norm)


def inner_unit(network: Network, found: Convolved, how: Pass) -> np.ndarray:
    """Unit of the codes behind an inner ReLU."""
    name = f"{found.layer.norm}.range"
    if how.rate is None:
        highest = network.expected(name)
    else:
        highest = np.maximum(np.max(channel.highest_output(found.norm, found.statistics)), np.float32(0))
        network.observe(name, highest, how.rate)
    return channel.inner_unit(found.norm, highest, how.bits)


def block_end(
    network: Network, block: Block, stream: Stream, last: Convolved, shortcut: Convolved | None, how: Pass
) -> Stream:
    """F3 and the second look."""
    side, joins = None, None
    if shortcut is not None:
        side, joins = channel.shortcut_side(shortcut.norm, shortcut.statistics), shortcut.y
    elif block.identity:
        side = channel.stream_side(stream.exponent, stream.highest, stream.lowest, stream.middle)
        joins = stream.x
    name, middle = f"{last.layer.norm}.range", apply.MIDDLE if block.linear else 0
    if not how.training:
        bound = fl.scale(network.expected(name), 2 if block.linear else 1)
    elif block.linear:
        ends = [of(last.norm, last.statistics) for of in (channel.highest_output, channel.lowest_output)]
        bound = channel.linear_bound(ends[0], ends[1], side)
    else:
        bound = channel.block_bound(channel.highest_output(last.norm, last.statistics), side)
    exponent = channel.block_unit(bound, last.norm, side)
    coefficients = channel.block_coefficients(last.norm, side, exponent, middle)
    x, highest, cut = apply.block_apply(last.y, coefficients, joins)
    if cut and how.training:
        raise FabricOverflow(f"stream behind {block.name} saturates {cut} times; allowed: 0")
    lowest = x.min(0).astype(np.int64) if block.linear else np.zeros_like(highest)
    highest, lowest = highest - middle, lowest - middle
    if how.rate is not None:
        top = fl.scale(fl.from_integer(np.max(np.maximum(highest, -lowest))), exponent)
        network.observe(name, top, how.rate)
    else:
        top = network.expected(name)
    if block.linear:
        bits = codes.image_bits(how.bits)
        unit, largest = channel.linear_unit(top, bits), codes.largest_error(bits)
        found = apply.linear_apply(x, channel.linear_coefficients(unit, exponent, x.shape[1]), bits)
    else:
        unit, largest = channel.stream_unit(top, how.bits), codes.largest_activation(how.bits)
        found = apply.code_apply(x, *channel.code_coefficients(unit, exponent), how.bits)
    coded = as_images(found, last.layer, len(stream.codes))
    return Stream(x, exponent, highest, lowest, coded, unit, largest, middle)


# ----------------------------------------------------------------------------------------------- backward


@dataclass(frozen=True)
class Errors:
    """Gradient behind a convolution's batch norm, before its codes."""

    d: np.ndarray
    """int16 (pixels, C), its statistics beside y, and its unit per channel."""
    statistics: drain.ErrorStatistics
    unit: np.ndarray


@dataclass(frozen=True)
class Noise:
    """What keys the noise of a micro-batch."""

    seed: int
    step: int
    micro_batch: int


def backward(
    network: Network,
    weights: Mapping[str, Weights],
    tape: Tape,
    gradient: np.ndarray,
    bits: int,
    noise: Noise,
) -> Gradients:
    """Gradients of all parameters for one micro-batch, from that of the logits (N, classes).

    ``bits``: of errors.
    """
    work = _Backward(network, weights, tape, bits, noise)
    work.run(gradient)
    return work.gradients


class _Backward:
    """The backward pass of one micro-batch."""

    def __init__(
        self, network: Network, weights: Mapping[str, Weights], tape: Tape, bits: int, noise: Noise
    ) -> None:
        self.network, self.weights, self.tape, self.bits, self.noise = network, weights, tape, bits, noise
        self.gradients: Gradients = {}

    def run(self, gradient: np.ndarray) -> None:
        """Classifier, pooling, then the blocks from the last to the first."""
        tape = self.tape
        last = tape.blocks[-1]
        weight = self.network.parameters["classifier.weight"]
        d_weight, d_bias = classifier.weight_gradients(tape.features, gradient)
        self.gradients["classifier.weight"], self.gradients["classifier.bias"] = d_weight, d_bias
        x = as_images(last.x, last.main[-1].layer, tape.batch)
        each, unit = channel.pool_gradient_codes(
            classifier.input_gradient(gradient, weight), x.shape[1] * x.shape[2]
        )
        g = pool.pool_gradient(each, x > 0).reshape(last.x.shape)
        errors = Errors(g, drain.error_statistics(g, last.main[-1].y), unit)
        for number in range(len(tape.blocks) - 1, -1, -1):
            before = tape.blocks[number - 1] if number else None
            errors = self.block(tape.blocks[number], before, errors)

    def block(self, tape: BlockTape, before: BlockTape | None, errors: Errors) -> Errors:
        """One block; returns the errors of the block ``before``."""
        behind = errors
        for number in range(len(tape.main) - 1, 0, -1):
            e, unit = self.convolution(tape.main[number], behind)
            behind = self.behind_relu(tape.main[number], tape.main[number - 1], e, unit)
        e, unit = self.convolution(tape.main[0], behind)
        joins = errors if tape.block.identity else None
        if tape.shortcut is not None:
            joins = self.shortcut(tape.shortcut, errors, before is not None)
        if before is None:
            return errors
        layer = tape.main[0].layer
        coded = self.error_weights(layer)
        coefficients, g_unit = channel.block_error_coefficients(
            coded, self.bits, unit, joins.statistics if joins else None, joins.unit if joins else None
        )
        g, statistics = drain.block_error_drain(
            self.error_product(layer, e, coded),
            coded,
            coefficients,
            joins.d if joins else None,
            before.x > 0,
            before.main[-1].y,
        )
        return Errors(g, statistics, g_unit)

    def convolution(self, tape: Convolved, errors: Errors) -> tuple[np.ndarray, np.ndarray]:
        """B2 and dW: error codes (N, H, W, C) and their unit."""
        layer = tape.layer
        gamma = self.network.parameters[f"{layer.norm}.gamma"]
        found = channel.error_coefficients(
            tape.norm, tape.statistics, errors.statistics, errors.unit, gamma, self.bits
        )
        shape = (self.tape.batch, layer.shape.out_height, layer.shape.out_width, layer.shape.out_channels)
        key = error_key(self.noise.seed, self.noise.step, layer.index, self.noise.micro_batch)
        noise = noise_bytes(key, shape).reshape(errors.d.shape)
        e = apply.error_apply(errors.d, tape.y, found.coefficients, noise, self.bits).reshape(shape)
        self.gradients[f"{layer.norm}.gamma"] = found.d_gamma
        self.gradients[f"{layer.norm}.beta"] = found.d_beta
        name = f"{layer.convolution}.weight"
        products = product.depthwise_weight_product if layer.depthwise else product.weight_product
        dw = update.weight_gradient(products(e, tape.columns), found.unit, tape.unit)
        self.gradients[name] = dw.reshape(self.network.parameters[name].shape)
        return e, found.unit

    def behind_relu(self, tape: Convolved, before: Convolved, e: np.ndarray, unit: np.ndarray) -> Errors:
        """dX and B1, masked by the ReLU behind the convolution ``before``."""
        assert before.relu is not None
        mask = apply.relu_mask(before.y, before.relu)
        return self.drained(tape.layer, e, unit, mask, before.y)

    def shortcut(self, tape: Convolved, errors: Errors, needed: bool) -> Errors | None:
        """The shortcut's share of the gradient of its block's input, where it is ``needed``."""
        statistics = drain.error_statistics(errors.d, tape.y)
        e, unit = self.convolution(tape, Errors(errors.d, statistics, errors.unit))
        return self.drained(tape.layer, e, unit) if needed else None

    def drained(
        self,
        layer: Layer,
        e: np.ndarray,
        unit: np.ndarray,
        mask: np.ndarray | None = None,
        y: np.ndarray | None = None,
    ) -> Errors:
        """dX and B1."""
        coded = self.error_weights(layer)
        shift = coded.shifts(codes.largest_error(self.bits))
        found = self.error_product(layer, e, coded)
        d, statistics = drain.inner_error_drain(found, coded, shift, mask, y)
        return Errors(d, statistics, channel.forward_unit(coded, shift, unit))

    def error_product(self, layer: Layer, e: np.ndarray, coded: codes.WeightCodes) -> product.Product:
        """The product of dX."""
        geometry = layer.geometry(self.tape.batch)
        if layer.depthwise:
            return product.depthwise_product(error_columns(e, geometry), coded)
        return product.error_product(e, coded, geometry)

    def error_weights(self, layer: Layer) -> codes.WeightCodes:
        """Weights of dX."""
        coded = self.weights[layer.convolution].error
        assert coded is not None
        return coded


def as_images(rows: np.ndarray | None, layer: Layer, batch: int) -> np.ndarray:
    """(pixels, channels) behind ``layer`` as (N, H, W, C)."""
    assert rows is not None
    return rows.reshape(batch, layer.shape.out_height, layer.shape.out_width, -1)
