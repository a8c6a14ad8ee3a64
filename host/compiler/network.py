"""The programs of a network: update, forward, backward, evaluation, each a list of instructions.

They follow `cpt.model.golden.fabric.step` pass by pass and never know a precision: bits come from slots.
"""

from __future__ import annotations

from dataclasses import dataclass

from cpt.host.compiler import channel as floats
from cpt.host.compiler.builder import Builder
from cpt.host.compiler.emitter import Emitter
from cpt.host.compiler.memory import BASES, GRADIENT, LOGITS, Piece, Scratch, Tensor
from cpt.host.compiler.plan import ERROR_SLOT, IMAGE_SLOT, RECORD, BlockPlan, Codes, ConvPlan, Layout
from cpt.host.compiler.update import prepare, update
from cpt.host.compiler.vectors import (
    ZERO,
    Rows,
    Vector,
    Vectors,
    coefficient,
    integer,
    number,
    of_slot,
    statistic,
)
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import Apply, Coefficient, Drain, Op, SlotConstant, Space, Statistic, gradient_tiles
from cpt.model.golden.fabric.apply import LEAST_NOISE_SHIFT
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.float_unit import fraction
from cpt.model.golden.fabric.network import IMAGES, Network

UNITS, FEATURES, KEPT, TEMPORARY, CHUNK, END = 0, 512, 1536, 2816, 7168, 16384
"""Local words: units of codes; features and gradients of the classifier's inputs; vectors between
convolutions; temporary vectors; pieces of parameters."""
SCALARS = KEPT + 1024
QUARTER = 128
"""Channels of coefficients and statistics that a convolution uses at a time."""
SIDE, STREAM = 2 * QUARTER, 3 * QUARTER
"""Where the shortcut's, and the residual stream's, lie."""
Y, X, OTHER, SHORTCUT, MASK = range(5)
"""Tensors of scratch."""


@dataclass(frozen=True)
class Programs:
    """What a network runs: words of each list, and the bytes behind each base register."""

    update: bytes
    prepare: bytes
    """Codes of all weights; before the first micro-batch of a step."""
    forward: bytes
    backward: bytes
    evaluate: bytes
    """Logits by the running statistics."""
    layout: Layout
    sizes: dict[str, int]


@dataclass
class Stream:
    """The residual stream between two blocks."""

    tensor: Tensor
    exponent: Vector
    highest: Vector


@dataclass
class Gradient:
    """The gradient behind a convolution: its tensor, unit per channel, and where its statistics lie."""

    tensor: Tensor
    unit: Vector
    channel: int


class Compiler:
    """Compiles one network for one machine."""

    def __init__(
        self,
        config: ArrayConfig,
        network: Network,
        images: int,
        micro_batches: int,
        scratch_words: int,
        momentum: float = 0.9,
        decay: float = 1e-4,
    ) -> None:
        self.momentum, self.decay = momentum, decay
        self.network = network
        self.layout = Layout(config, network, images, UNITS + 16)
        words = [
            self.layout.words(picture, channels)
            for block in self.layout.blocks
            for plan in (*block.main, *((block.shortcut,) if block.shortcut else ()))
            for picture, channels in (
                (plan.output, plan.conv.out_channels),
                (plan.source, plan.conv.in_channels),
            )
        ]
        self.scratch = Scratch(config, scratch_words, 5, max(words), self._sum_words())
        self.rate = float(running_rate(micro_batches))
        self._begin()

    def _sum_words(self) -> int:
        """Words of scratch that the sums of the largest dW take in each bank."""
        layout, most = self.layout, 0
        for block in layout.blocks:
            for plan in (*block.main, *((block.shortcut,) if block.shortcut else ())):
                conv = plan.conv
                tiles = len(gradient_tiles(conv.kernel**2, layout.groups(conv.in_channels)))
                most = max(most, tiles * layout.groups(conv.out_channels) * layout.group)
        return most

    def _begin(self) -> None:
        self.training = True
        self.builder = Builder(self.layout.config)
        self.v = Vectors(self.builder, TEMPORARY, CHUNK)
        self.e = Emitter(self.layout, self.scratch, self.builder, self.v)
        self._turn = 0

    def programs(self) -> Programs:
        """All lists."""
        lists = {}
        for emit in (self._update, self._prepare, self._forward, self._backward, self._evaluate):
            self._begin()
            emit()
            lists[emit.__name__.strip("_")] = self.builder.program
        sizes = {BASES[base]: size for base, size in self.layout.memory.sizes.items()}
        return Programs(**lists, layout=self.layout, sizes=sizes)

    def _update(self) -> None:
        chunk = Vector(Space.LOCAL, CHUNK, END - CHUNK)
        update(self.layout, self.e, self.v, chunk, self.momentum, self.decay)

    def _prepare(self) -> None:
        prepare(self.layout, self.e, self.v, Vector(Space.LOCAL, CHUNK, END - CHUNK))

    # ---------------------------------------------------------------------------------- forward

    def _evaluate(self) -> None:
        self.training = False
        self._logits()

    def _forward(self) -> None:
        self._logits()
        kept = self.layout.kept.words(0, KEPT - UNITS)
        self.e.store(Vector(Space.LOCAL, UNITS, KEPT - UNITS), kept)

    def _logits(self) -> None:
        """`step.forward`: by the micro-batch's statistics in training, else by running ones."""
        layout = self.layout
        self._images()
        stream: Stream | None = None
        for place, block in enumerate(layout.blocks):
            stream = self._block(block, stream, place)
        assert stream
        self._classify(stream)

    def _unit(self, codes: Codes) -> Vector:
        return Vector(Space.LOCAL, codes.unit, 1)

    def _region(self) -> int:
        """A quarter of the channels, the other one than the last."""
        self._turn ^= 1
        return self._turn * QUARTER

    def _images(self) -> None:
        """Bytes to codes: `step.image_codes`."""
        layout, v = self.layout, self.v
        codes, count = layout.image_codes, layout.image_channels
        tensor, picture = self.scratch.tensors[Y], codes.layout.picture
        first = self._region()
        self._clear(first, count)
        self.e.images(tensor, picture, count)
        both = self.e.load(layout.normalisation)
        factor, offset = both.at(0, count), both.at(count, count)
        if self.training:
            self.e.apply(Apply.COUNT, picture, count, first, tensor, second=tensor, counts=True)
            statistics = floats.forward_statistics(first, count, 1)
            unit, largest = floats.image_unit(v, statistics, factor, offset, IMAGE_SLOT)
            self._observe(layout.buffers[IMAGES], largest)
        else:
            unit = floats.image_unit_of(v, self._expected(layout.buffers[IMAGES]), factor, IMAGE_SLOT)
        v.copy(unit, to=self._unit(codes))
        floats.inner_coefficients(v, first, factor, None, offset, unit)
        self.e.apply(Apply.IMAGE, picture, count, first, tensor, codes=codes)
        v.release()

    def _observe(self, piece: Piece, highest: Vector) -> None:
        """Move a running range and its weight: `Network.observe`."""
        v = self.v
        held = self.e.load(piece)
        rate = number(self.rate)
        floats.running(v, held.at(0, 1), highest, rate)
        one = v.copy(number(1.0))
        floats.running(v, held.at(1, 1), one, rate)
        self.e.store(held, piece)

    def _expected(self, piece: Piece) -> Vector:
        """A running range: `Network.expected`."""
        held = self.e.load(piece)
        return self.v.multiply(held.at(0, 1), self.v.reciprocal(held.at(1, 1)))

    def _block(self, block: BlockPlan, stream: Stream | None, place: int) -> Stream:
        v = self.v
        side: floats.Side | None = None
        joins: Tensor | None = None
        y = self.scratch.tensors[Y]
        if block.shortcut:
            joins = self.scratch.tensors[SHORTCUT]
            norm, highest = self._convolve(block.shortcut, block.inputs, joins, SIDE, KEPT)
            side = floats.Side(norm.factor, norm.mean, norm.beta, highest)
        here = block.inputs
        for index, plan in enumerate(block.main):
            first = self._region()
            norm, highest = self._convolve(plan, here, y, first)
            if index + 1 < len(block.main):
                here = block.inner[index]
                self._inner(plan, here, norm, highest, first)
        end = block.main[-1]
        count = end.conv.out_channels
        if block.block.identity:
            assert stream
            joins = stream.tensor
            side = floats.stream_side(v, stream.exponent, stream.highest)
        expected = None if self.training else self._expected(end.range)
        bound = floats.block_bound(v, highest, side) if expected is None else v.scale(expected, integer(1))
        exponent = floats.block_unit(v, bound, norm, side)
        floats.block_coefficients(v, first, norm, side, exponent)
        target = self.scratch.tensors[OTHER if stream and stream.tensor is self.scratch.tensors[X] else X]
        if joins is None:
            v.copy(
                ZERO, to=coefficient(Coefficient.SECOND, first, self._held(count)), count=self._held(count)
            )
            joins = y
        self.e.apply(Apply.BLOCK, end.output, count, first, y, second=joins, out=target, counts=True)
        if self.training:
            self.e.spill(target, block.x, count)
        kept = KEPT + QUARTER * (6 + place % 2)
        of_stream = v.copy(statistic(Statistic.HIGHEST, first, count), to=Vector(Space.LOCAL, kept, count))
        scalar = v.copy(exponent, to=Vector(Space.LOCAL, SCALARS + place % 2, 1))
        if expected is None:
            real = v.scale(v.from_integer(self._highest_integer(of_stream)), exponent)
            self._observe(end.range, real)
        else:
            real = expected
        if block.output:
            unit = floats.stream_unit(v, real, block.output.slot)
            v.copy(unit, to=self._unit(block.output))
            floats.code_coefficients(v, first, count, unit, exponent)
            self.e.apply(Apply.CODE, end.output, count, first, target, codes=block.output)
        v.release()
        return Stream(target, scalar, of_stream)

    def _held(self, channels: int) -> int:
        """Channels in whole groups."""
        return self.layout.groups(channels) * self.layout.group

    def _highest_integer(self, values: Vector) -> Vector:
        v = self.v
        held = v.copy(ZERO)
        return v.emit(Op.INT_MAXIMUM, held, values, to=held)

    def _convolve(
        self, plan: ConvPlan, inputs: Codes, out: Tensor, first: int, kept: int = 0
    ) -> tuple[floats.Norm, Vector]:
        """Product, F1, batch norm and its record: `step.convolve`; norm and highest output.

        ``kept``: local words that they stay in beyond the next `Vectors.release`.
        """
        layout, v = self.layout, self.v
        count = plan.conv.out_channels
        scale, sums = self._drain_coefficients(plan.codes_of, count, first)
        shift = v.drain_shift(
            sums, _largest_code(inputs.slot), to=coefficient(Coefficient.SHIFT, first, count)
        )
        self.e.forward(plan, inputs)
        self.e.drain(Drain.FORWARD, plan, plan.output, count, first, out)
        if self.training:
            self.e.spill(out, plan.y, count)
        unit = floats.forward_unit(v, scale, v.copy(shift), self._unit(inputs), plan.slot)
        gamma, beta = self.e.load(plan.gamma), self.e.load(plan.beta)
        pixels = layout.images * plan.conv.out_height * plan.conv.out_width
        statistics = floats.forward_statistics(first, count, pixels)
        if self.training:
            norm, mean, variance = floats.batch_norm(v, statistics, unit, gamma, beta)
            for piece, new in ((plan.mean, mean), (plan.variance, variance)):
                old = self.e.load(piece)
                floats.running(v, old, new, number(self.rate))
                self.e.store(old, piece)
            self._keep(plan, norm, statistics)
        else:
            averages = self.e.load(plan.mean), self.e.load(plan.variance)
            norm = floats.running_norm(v, *averages, unit, gamma, beta)
        highest = floats.highest_output(v, norm, statistics)
        if kept:
            vectors = [
                v.copy(value, to=Vector(Space.LOCAL, kept + QUARTER * place, count))
                for place, value in enumerate((norm.factor, norm.mean, norm.beta, highest))
            ]
            norm = floats.Norm(unit, vectors[1], norm.inverse, vectors[0], vectors[2])
            highest = vectors[3]
        return norm, highest

    def _drain_coefficients(self, codes_of: Piece, count: int, first: int) -> tuple[Vector, Vector]:
        """Zeros of weights to the coefficients; their scale and sums."""
        v = self.v
        self._clear(first, count)
        record = self.e.load(codes_of)
        zero, scale, sums = (record.at(part * count, count) for part in range(3))
        v.copy(zero, to=coefficient(Coefficient.ZERO, first, count))
        return scale, sums

    def _clear(self, first: int, count: int) -> None:
        """Coefficients of the channels that a last group lacks: all that they make is 0."""
        beyond = self._held(count) - count
        for field in Coefficient if beyond else ():
            value = integer(LEAST_NOISE_SHIFT) if field is Coefficient.TOTAL_SHIFT else ZERO
            self.v.copy(value, to=coefficient(field, first + count, beyond), count=beyond)

    def _keep(self, plan: ConvPlan, norm: floats.Norm, statistics: floats.Forward) -> None:
        """The record of a batch norm for the backward pass; F2's coefficients follow in `_inner`."""
        v, count = self.v, plan.conv.out_channels
        parts = {
            "unit": (norm.unit, 0),
            "mean": (norm.mean, 0),
            "inverse": (norm.inverse, 0),
            "total": (statistics.total, 0),
            "above": (statistics.total, 32),
            "lowest": (statistics.lowest, 0),
            "highest": (statistics.highest, 0),
        }
        for name, (vector, shift) in parts.items():
            held = v.copy(vector, shift=shift)
            self.e.store(held, plan.record.words(RECORD.index(name) * count, count))

    def _inner(self, plan: ConvPlan, codes: Codes, norm: floats.Norm, highest: Vector, first: int) -> None:
        """F2 between convolutions of a block: `step.inner_unit`, `apply.inner_apply`."""
        v, count = self.v, plan.conv.out_channels
        if self.training:
            top = v.maximum(v.highest(highest), ZERO)
            self._observe(plan.range, top)
        else:
            top = self._expected(plan.range)
        unit = floats.inner_unit(v, norm.factor, top, codes.slot)
        v.copy(unit, to=self._unit(codes))
        floats.inner_coefficients(v, first, norm.factor, norm.mean, norm.beta, unit)
        kept = (
            ("multiplier", Coefficient.MULTIPLIER, 0),
            ("low", Coefficient.ADDEND, 0),
            ("high", Coefficient.ADDEND, 32),
            ("shift", Coefficient.TOTAL_SHIFT, 0),
        )
        for name, field, shift in kept if self.training else ():
            held = v.copy(coefficient(field, first, count), shift=shift)
            self.e.store(held, plan.record.words(RECORD.index(name) * count, count))
        self.e.apply(Apply.INNER, plan.output, count, first, self.scratch.tensors[Y], codes=codes)
        v.release()

    def _classify(self, stream: Stream) -> None:
        """Pooling and the classifier: `classifier.features`, `classifier.logits`."""
        layout, v = self.layout, self.v
        end = layout.blocks[-1].main[-1]
        inputs, images = end.conv.out_channels, layout.images
        pixels = end.conv.out_height * end.conv.out_width
        features = Vector(Space.LOCAL, FEATURES, images * inputs)
        self.e.apply(Apply.POOL, end.output, inputs, STREAM, stream.tensor, local=features)
        share = v.scale(v.copy(number(float(fraction(pixels)))), stream.exponent)
        v.rows(
            Op.FROM_INTEGER,
            Rows(features, 1, inputs),
            Rows(features, 1, inputs),
            Rows(integer(1)),
            n=inputs,
            reps=images,
        )
        v.rows(
            Op.MULTIPLY,
            Rows(features, 1, inputs),
            Rows(features, 1, inputs),
            Rows(share),
            n=inputs,
            reps=images,
        )
        weight = self.e.load(layout.parameter("classifier.weight"))
        bias = self.e.load(layout.parameter("classifier.bias"))
        classes = bias.count
        logits = v.new(images * classes)
        v.rows(Op.COPY, Rows(logits, 1, classes), Rows(bias, 1, 0), n=classes, reps=images)
        for image in range(images):
            for k in range(classes):
                to = logits.at(image * classes + k, 1)
                x, w = features.at(image * inputs, inputs), weight.at(k * inputs, inputs)
                v.rows(Op.MULTIPLY_ADD, Rows(to), Rows(x, 0, 1), Rows(w, 0, 1), Rows(to), n=1, reps=inputs)
        self.e.store(logits, Piece(LOGITS, 0, 4 * images * classes))
        v.release()

    # --------------------------------------------------------------------------------- backward

    def _backward(self) -> None:
        layout, v = self.layout, self.v
        self.e.load(layout.kept.words(0, KEPT - UNITS), Vector(Space.LOCAL, UNITS, KEPT - UNITS))
        end = layout.blocks[-1].main[-1]
        gradient = self._classifier_gradient(end)
        for place in range(len(layout.blocks) - 1, -1, -1):
            before = layout.blocks[place - 1] if place else None
            gradient = self._block_errors(layout.blocks[place], before, gradient)
        v.release()

    def _classifier_gradient(self, end: ConvPlan) -> Gradient:
        """`step._Backward.run` up to the last block: gradient of the residual stream behind it."""
        layout, v = self.layout, self.v
        inputs, images = end.conv.out_channels, layout.images
        features = Vector(Space.LOCAL, FEATURES, images * inputs)
        weight_piece, bias_piece = (layout.parameter(f"classifier.{name}") for name in ("weight", "bias"))
        weight = self.e.load(weight_piece)
        classes = bias_piece.size // 4
        gradient = self.e.load(Piece(GRADIENT, 0, 4 * images * classes))
        d_weight, d_bias = v.new(classes * inputs), v.new(classes)
        v.rows(Op.COPY, Rows(d_weight, 1, inputs), Rows(ZERO), n=inputs, reps=classes)
        v.copy(ZERO, to=d_bias, count=classes)
        for image in range(images):
            of_image = gradient.at(image * classes, classes)
            rows = Rows(d_weight, 1, inputs)
            x = features.at(image * inputs, inputs)
            v.rows(Op.MULTIPLY_ADD, rows, Rows(of_image, 0, 1), Rows(x, 1, 0), rows, n=inputs, reps=classes)
            v.add(d_bias, of_image, to=d_bias)
        self._accumulate(d_weight, layout.beside(layout.gradients, weight_piece))
        self._accumulate(d_bias, layout.beside(layout.gradients, bias_piece))
        pixels = end.conv.out_height * end.conv.out_width
        each = v.new(images * inputs)
        v.rows(Op.COPY, Rows(each, 1, inputs), Rows(ZERO), n=inputs, reps=images)
        for k in range(classes):
            row = weight.at(k * inputs, inputs)
            to = Rows(each, 1, inputs)
            column = Vector(Space.LOCAL, gradient.address + k, images * classes - k)
            v.rows(Op.MULTIPLY_ADD, to, Rows(column, 0, classes), Rows(row, 1, 0), to, n=inputs, reps=images)
        rows = Rows(each, 1, inputs)
        v.rows(Op.MULTIPLY, rows, rows, Rows(number(float(fraction(pixels)))), n=inputs, reps=images)
        largest = v.new(inputs)
        v.copy(ZERO, to=largest, count=inputs)
        v.rows(Op.LARGEST, Rows(largest, 1, 0), Rows(largest, 1, 0), rows, n=inputs, reps=images)
        exponent = v.int_maximum(v.power(largest), integer(-100))
        down = v.int_subtract(ZERO, exponent)
        v.rows(Op.TO_FIXED, rows, rows, Rows(down, 1, 0), n=inputs, reps=images, constant=16)
        unit = v.scale(v.copy(number(1.0), count=inputs), exponent, to=self._kept_unit(0, inputs))
        y, mask, g = (self.scratch.tensors[index] for index in (Y, MASK, X))
        last = layout.blocks[-1]
        self.e.fill(y, last.main[-1].y, inputs)
        self.e.fill(mask, last.x, inputs)
        first = self._region()
        self.e.apply(Apply.UNPOOL, end.output, inputs, first, y, second=mask, out=g, local=each, counts=True)
        v.release()
        return Gradient(g, unit, first)

    def _kept_unit(self, which: int, count: int) -> Vector:
        return Vector(Space.LOCAL, KEPT + which * QUARTER, count)

    def _accumulate(self, values: Vector, piece: Piece) -> None:
        """Add to a gradient in memory: `update.accumulate`; the first micro-batch adds to 0."""
        held = self.e.load(piece)
        count = values.count
        step = _divisor(count)
        rows = Rows(held, 1, step)
        self.v.rows(Op.ADD, rows, rows, Rows(values, 1, step), n=step, reps=count // step)
        self.e.store(held, piece)

    def _block_errors(self, block: BlockPlan, before: BlockPlan | None, behind: Gradient) -> Gradient:
        """`step._Backward.block`: errors of a block's convolutions, the gradient behind the one before."""
        v, tensors = self.v, self.scratch.tensors
        whole = behind
        y, mask = tensors[Y], tensors[MASK]
        here = behind
        for index in range(len(block.main) - 1, 0, -1):
            plan, previous = block.main[index], block.main[index - 1]
            unit = self._error_codes(plan, here, y)
            self._weight_gradient(plan, block.inner[index - 1], unit)
            here = self._inner_errors(plan, previous, unit, tensors[SHORTCUT], y)
        first_plan = block.main[0]
        unit = self._error_codes(first_plan, here, y)
        self._weight_gradient(first_plan, block.inputs, unit)
        self._keep_scalar(unit, 0)
        v.release()
        joins: Gradient | None = whole if block.block.identity else None
        if block.shortcut:
            joins = self._shortcut_errors(block, whole, before is not None)
        if before is None:
            return behind
        return self._block_gradient(first_plan, before, joins, y, mask)

    def _keep_scalar(self, unit: Vector, which: int) -> None:
        self.v.copy(unit, to=Vector(Space.LOCAL, SCALARS + which, 1))

    def _load_record(self, plan: ConvPlan, names: tuple[str, ...]) -> dict[str, Vector]:
        count = plan.conv.out_channels
        return {name: self.e.load(plan.record.words(RECORD.index(name) * count, count)) for name in names}

    def _error_codes(self, plan: ConvPlan, gradient: Gradient, y: Tensor) -> Vector:
        """B2: error codes of a convolution and their unit; y is in scratch already."""
        v, count = self.v, plan.conv.out_channels
        record = self._load_record(plan, ("unit", "mean", "inverse", "total", "above", "lowest", "highest"))
        total = statistic(Statistic.TOTAL, SIDE, count)
        v.join(record["total"], record["above"], to=total)
        pixels = self.layout.images * plan.conv.out_height * plan.conv.out_width
        forward = floats.Forward(pixels, total, total, record["lowest"], record["highest"])
        norm = floats.Norm(record["unit"], record["mean"], record["inverse"], ZERO, ZERO)
        errors = floats.error_statistics(gradient.channel, count)
        gamma = self.e.load(plan.gamma)
        first = gradient.channel
        self._clear(first, count)
        unit, d_gamma, d_beta = floats.error_coefficients(
            v, first, norm, forward, errors, gradient.unit, gamma, ERROR_SLOT
        )
        layout = self.layout
        self._accumulate(d_gamma, layout.beside(layout.gradients, plan.gamma))
        self._accumulate(d_beta, layout.beside(layout.gradients, plan.beta))
        v.copy(unit, to=Vector(Space.LOCAL, plan.errors.unit, 1))
        self.e.apply(
            Apply.ERROR,
            plan.output,
            count,
            first,
            gradient.tensor,
            second=y,
            codes=plan.errors,
            layer=plan.layer.index,
        )
        v.release()
        return Vector(Space.LOCAL, plan.errors.unit, 1)

    def _weight_gradient(self, plan: ConvPlan, inputs: Codes, unit: Vector) -> None:
        """dW: the sums to float32, times both units, onto the gradient in memory."""
        v, layout, conv = self.v, self.layout, plan.conv
        self.e.gradient(plan, inputs)
        taps, group, channels = conv.kernel**2, layout.group, conv.in_channels
        tiles = gradient_tiles(taps, layout.groups(channels))
        row = taps * channels
        scale = v.multiply(unit, self._unit(inputs))
        piece = layout.beside(layout.gradients, plan.weight)
        for tile in range(layout.groups(conv.out_channels)):
            rows = min(group, conv.out_channels - tile * group)
            most = max(1, min(rows, (END - CHUNK) // (2 * row)))
            for start in range(0, rows, most):
                part = min(most, rows - start)
                chunk = Vector(Space.LOCAL, CHUNK, part * row)
                for column, places in enumerate(tiles):
                    for half, place in enumerate(places):
                        if place is None:
                            continue
                        tap, of_group = place
                        width = min(group, channels - of_group * group)
                        word = self.scratch.sums + (tile * len(tiles) + column) * group + start
                        sums = Vector(Space.SUMS, 2 * word + half, width)
                        to = chunk.at(tap * channels + of_group * group, width)
                        v.rows(
                            Op.FROM_INTEGER,
                            Rows(to, 1, row),
                            Rows(sums, 1, 2),
                            Rows(integer(1)),
                            n=width,
                            reps=part,
                        )
                step = _divisor(part * row)
                all_rows = Rows(chunk, 1, step)
                v.rows(Op.MULTIPLY, all_rows, all_rows, Rows(scale), n=step, reps=part * row // step)
                held = self.e.load(
                    piece.words((tile * group + start) * row, part * row),
                    Vector(Space.LOCAL, CHUNK + part * row, part * row),
                )
                total = Rows(held, 1, step)
                v.rows(Op.ADD, total, total, all_rows, n=step, reps=part * row // step)
                self.e.store(held, piece.words((tile * group + start) * row, part * row))
        v.release()

    def _inner_errors(
        self, plan: ConvPlan, previous: ConvPlan, unit: Vector, out: Tensor, y: Tensor
    ) -> Gradient:
        """B1: dX of a convolution inside a block, masked by the ReLU before it."""
        v, count = self.v, plan.conv.in_channels
        first = self._region()
        self.e.fill(y, previous.y, count)
        scale, sums = self._drain_coefficients(plan.error_codes_of, count, first)
        shift = v.drain_shift(
            sums,
            of_slot(ERROR_SLOT, SlotConstant.LARGEST),
            to=coefficient(Coefficient.SHIFT, first, count),
        )
        record = self._load_record(previous, ("multiplier", "low", "high", "shift"))
        v.copy(record["multiplier"], to=coefficient(Coefficient.MULTIPLIER, first, count))
        v.join(record["low"], record["high"], to=coefficient(Coefficient.ADDEND, first, count))
        v.copy(record["shift"], to=coefficient(Coefficient.TOTAL_SHIFT, first, count))
        self.e.errors(plan)
        self.e.drain(Drain.INNER_ERROR, plan, plan.source, count, first, out, y=y)
        found = floats.forward_unit(v, scale, v.copy(shift), unit, plan.slot)
        kept = v.copy(found, to=self._kept_unit(1, count))
        v.release()
        return Gradient(out, kept, first)

    def _shortcut_errors(self, block: BlockPlan, whole: Gradient, needed: bool) -> Gradient | None:
        """The shortcut's share: `step._Backward.shortcut`."""
        assert block.shortcut
        plan, v, tensors = block.shortcut, self.v, self.scratch.tensors
        count, y = plan.conv.out_channels, tensors[Y]
        self.e.fill(y, plan.y, count)
        first = self._region()
        self.e.apply(Apply.COUNT, plan.output, count, first, whole.tensor, second=y, counts=True)
        unit = self._error_codes(plan, Gradient(whole.tensor, whole.unit, first), y)
        self._weight_gradient(plan, block.inputs, unit)
        if not needed:
            return None
        inputs = plan.conv.in_channels
        first = self._region()
        scale, sums = self._drain_coefficients(plan.error_codes_of, inputs, first)
        shift = v.drain_shift(
            sums,
            of_slot(ERROR_SLOT, SlotConstant.LARGEST),
            to=coefficient(Coefficient.SHIFT, first, inputs),
        )
        self.e.errors(plan)
        out = tensors[SHORTCUT]
        self.e.drain(Drain.SHORTCUT_ERROR, plan, plan.source, inputs, first, out)
        found = floats.forward_unit(v, scale, v.copy(shift), unit, plan.slot)
        kept = v.copy(found, to=self._kept_unit(2, inputs))
        v.release()
        return Gradient(out, kept, first)

    def _block_gradient(
        self, plan: ConvPlan, before: BlockPlan, joins: Gradient | None, y: Tensor, mask: Tensor
    ) -> Gradient:
        """B3: the gradient of a block's input, which is that behind the block before."""
        v, count = self.v, plan.conv.in_channels
        assert joins
        first = self._region()
        if first == joins.channel:
            first = self._region()
        end = before.main[-1]
        self.e.fill(y, end.y, count)
        self.e.fill(mask, before.x, count)
        scale, sums = self._drain_coefficients(plan.error_codes_of, count, first)
        of_stream = floats.error_statistics(joins.channel, count)
        largest = floats.largest_magnitude(v, of_stream.lowest, of_stream.highest)
        unit = Vector(Space.LOCAL, plan.errors.unit, 1)
        found = floats.block_error_coefficients(
            v, first, scale, sums, plan.slot, ERROR_SLOT, unit, largest, joins.unit
        )
        self.e.errors(plan)
        out = self.scratch.tensors[OTHER if joins.tensor is self.scratch.tensors[X] else X]
        self.e.drain(
            Drain.BLOCK_ERROR, plan, plan.source, count, first, out, y=y, stream=joins.tensor, mask=mask
        )
        kept = v.copy(found, to=self._kept_unit(3 + (out is self.scratch.tensors[X]), count))
        v.release()
        return Gradient(out, kept, first)


def _largest_code(slot: int) -> Vector:
    """Largest magnitude of the codes of a slot's inputs."""
    return of_slot(slot, SlotConstant.LARGEST if slot == IMAGE_SLOT else SlotConstant.TOP)


def _divisor(count: int) -> int:
    """Largest number of elements of an instruction that goes into ``count`` without a rest."""
    return max(step for step in range(1, min(count, 2047) + 1) if count % step == 0)
