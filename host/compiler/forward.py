"""The forward pass of a micro-batch, in training or in evaluation: `cpt.model.golden.fabric.step.forward`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from cpt.host.compiler import channel as floats
from cpt.host.compiler.choice import REGIONS
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import LOGITS, Piece
from cpt.host.compiler.moves import Tensor
from cpt.host.compiler.ordering import weights_ahead
from cpt.host.compiler.plan import IMAGE_SLOT, RECORD, BlockPlan, Codes, ConvPlan
from cpt.host.compiler.vectors import ZERO, Rows, Vector, coefficient, integer, number, statistic
from cpt.host.compiler.work import Work
from cpt.hw.contract.floats import Coefficient, Op, Statistic
from cpt.hw.contract.passes import Apply, Drain
from cpt.model.golden.fabric.apply import MIDDLE
from cpt.model.golden.fabric.float_unit import fraction
from cpt.model.golden.fabric.network import IMAGES

Y, X, OTHER_Y = range(3)
"""Places of scratch: y; the residual stream, and y of a shortcut, which its successor takes the place of; y
of the next convolution, where all of them have a bank."""


@dataclass
class Stream:
    """The residual stream between two blocks."""

    tensor: Tensor
    exponent: Vector
    highest: Vector
    """Integers of each channel, less ``middle``."""
    lowest: Vector | None
    middle: int
    """What stands for 0: `cpt.model.golden.fabric.apply.MIDDLE` behind a linear end."""


@dataclass
class Made:
    """What the forward product of a convolution and its batch norm leave."""

    norm: floats.Norm
    highest: Vector
    lowest: Vector | None
    """Smallest output, where it is asked for."""
    y: Tensor
    first: int
    """Place of its channels."""


class Forward(Work):
    """Emits the forward pass; ``training``: by the micro-batch's statistics, else by running ones."""

    def __init__(self, layout: Layout, rate: float, *, training: bool) -> None:
        super().__init__(layout, rate, layout.forward, most_turn=1)
        self.training = training
        self._later: list[Callable[[], None]] = []

    def emit(self) -> Recorder:
        """The list."""
        self._images()
        stream: Stream | None = None
        for block in self.layout.blocks:
            stream = self._block(block, stream)
        assert stream
        self._classify(stream)
        if self.training:
            self.moves.store(self._units(), self.layout.kept)
        return replace(self.recorder, held=weights_ahead(self.recorder.held))

    def _images(self) -> None:
        """Bytes to codes: `step.image_codes`."""
        layout, v = self.layout, self.v
        codes, count = layout.image_codes, layout.image_channels
        tensor, picture = Tensor(Y), codes.layout.picture
        first = self._region(count)
        self._clear(first, count)
        self.moves.images(picture, count)
        both = self.moves.load(layout.normalisation)
        factor, offset = both.at(0, count), both.at(count, count)
        if self.training:
            self.lanes.apply(
                Apply.COUNT, picture, count, first, tensor, second=tensor, counts=True, images=True
            )
            statistics = floats.forward_statistics(first, count, 1)
            unit, largest = floats.image_unit(v, statistics, factor, offset, IMAGE_SLOT, to=self._unit(codes))
            self._observe(layout.buffers[IMAGES], largest)
        else:
            expected = self._expected(layout.buffers[IMAGES])
            unit = floats.image_unit_of(v, expected, factor, IMAGE_SLOT, to=self._unit(codes))
        floats.inner_coefficients(v, first, factor, None, offset, unit)
        self.lanes.apply(Apply.IMAGE, picture, count, first, tensor, codes=codes, images=True)

    def _observe(self, piece: Piece, highest: Vector) -> None:
        """Move a running range and its weight: `Network.observe`."""
        v = self.v
        held = self.moves.load(piece)
        rate = number(self.rate)
        floats.running(v, held.at(0, 1), highest, rate)
        one = v.copy(number(1.0))
        floats.running(v, held.at(1, 1), one, rate)
        self.moves.store(held, piece)

    def _expected(self, piece: Piece) -> Vector:
        """A running range: `Network.expected`."""
        held = self.moves.load(piece)
        return self.v.multiply(held.at(0, 1), self.v.reciprocal(held.at(1, 1)))

    def _block(self, block: BlockPlan, stream: Stream | None) -> Stream:
        v, linear = self.v, block.block.linear
        middle = MIDDLE if linear else 0
        side: floats.Side | None = None
        joins: Tensor | None = None
        if block.shortcut:
            made = self._convolve(block.shortcut, block.inputs, X, lowest=linear)
            joins, norm = made.y, made.norm
            self._spill(block.shortcut, joins)  # what is behind the block takes its place
            side = floats.Side(norm.factor, norm.mean, norm.beta, made.highest, made.lowest)
        here, end = block.inputs, block.main[-1]
        for index, plan in enumerate(block.main):
            place = self._y_place(plan.output, plan.conv.out_channels, Y, OTHER_Y)
            made = self._convolve(plan, here, place, lowest=linear and plan is end)
            if index + 1 < len(block.main):
                here = block.inner[index]
                self._inner(plan, here, made)
        norm, y = made.norm, made.y
        count = end.conv.out_channels
        if block.shortcut and joins and not self.moves.whole(joins, end.output, count):
            joins = self._again(block.shortcut, block.inputs, X)
        first = self._region(count)
        self._clear(first, count)
        if block.block.identity:
            assert stream
            joins = stream.tensor
            side = floats.stream_side(v, stream.exponent, stream.highest, stream.lowest, stream.middle)
        expected = None if self.training else self._expected(end.range)
        if expected is not None:
            bound = v.scale(expected, integer(2 if linear else 1))
        elif made.lowest is not None:
            bound = floats.linear_bound(v, made.highest, made.lowest, side)
        else:
            bound = floats.block_bound(v, made.highest, side)
        exponent = floats.block_unit(v, bound, norm, side)
        floats.block_coefficients(v, first, norm, side, exponent, middle)
        target = Tensor(X)
        if joins is None:
            v.copy(
                ZERO, to=coefficient(Coefficient.SECOND, first, self._held(count)), count=self._held(count)
            )
            # Whatever lies there counts 0 times, and in another bank than y, which would be read twice.
            joins = target if self.moves.whole(target, end.output, count) else y
        self.lanes.apply(
            Apply.BLOCK,
            end.output,
            count,
            first,
            y,
            second=joins,
            out=target,
            codes=block.mask,
            counts=True,
        )
        largest, below = statistic(Statistic.HIGHEST, first, count), None
        of_stream = v.copy(largest)
        if linear:
            of_stream = v.int_subtract(of_stream, integer(middle))
        if linear and self.training:
            self.lanes.apply(Apply.COUNT, end.output, count, first, target, second=target, counts=True)
            below = v.int_subtract(statistic(Statistic.LOWEST, first, count), integer(middle))
            largest = floats.largest_magnitude(v, below, of_stream)
        if expected is None:
            real = v.scale(v.from_integer(self._highest_integer(largest)), exponent)
            self._later.append(partial(self._observe, end.range, real))
        else:
            real = expected
        if block.output:
            unit_of = floats.linear_unit if linear else floats.stream_unit
            unit = unit_of(v, real, block.output.slot, to=self._unit(block.output))
            if linear:
                floats.linear_coefficients(v, first, count, unit, exponent)
            else:
                floats.code_coefficients(v, first, unit, exponent)
            kind = Apply.IMAGE if linear else Apply.CODE
            self.lanes.apply(kind, end.output, count, first, target, codes=block.output)
        self._catch_up()
        self._spill(end, y, block.output)
        return Stream(target, exponent, of_stream, below, middle)

    def _highest_integer(self, values: Vector) -> Vector:
        v = self.v
        held = v.copy(ZERO)
        return v.emit(Op.INT_MAXIMUM, held, values, to=held)

    def _convolve(self, plan: ConvPlan, inputs: Codes, place: int, *, lowest: bool) -> Made:
        """Product, F1, batch norm and its record: `step.convolution_forward`.

        ``lowest``: the smallest output is wanted as well, in training.
        """
        layout, v = self.layout, self.v
        count = plan.conv.out_channels
        first = self._region(count)
        scale, sums = self._drain_coefficients(plan.codes_of, count, first)
        shift = self._shift(plan, inputs, sums, first)
        out = self._y(plan, inputs, place, first)
        product = self.products.forward(plan, inputs)
        self.lanes.drain(Drain.FORWARD, plan.slot, product, plan.output, count, first, out)
        unit = floats.forward_unit(v, scale, v.copy(shift), self._unit(inputs), plan.slot)
        gamma, beta = self.moves.load(plan.gamma), self.moves.load(plan.beta)
        pixels = layout.images * plan.conv.out_height * plan.conv.out_width
        statistics = floats.forward_statistics(first, count, pixels)
        if self.training:
            norm, mean, variance = floats.batch_norm(v, statistics, unit, gamma, beta)
            self._later.append(partial(self._averages, plan, mean, variance))
            self._later.append(partial(self._keep, plan, norm, statistics))
            if REGIONS * self._held(count) > layout.config.channels:
                self._catch_up()
        else:
            averages = self.moves.load(plan.mean), self.moves.load(plan.variance)
            norm = floats.running_norm(v, *averages, unit, gamma, beta)
        highest = floats.highest_output(v, norm, statistics)
        below = floats.lowest_output(v, norm, statistics) if lowest and self.training else None
        return Made(norm, highest, below, out, first)

    def _catch_up(self) -> None:
        """What nothing waits for: behind the codes that the next product does."""
        for work in self._later:
            work()
        self._later.clear()

    def _averages(self, plan: ConvPlan, mean: Vector, variance: Vector) -> None:
        """Move a batch norm's running averages."""
        for piece, new in ((plan.mean, mean), (plan.variance, variance)):
            old = self.moves.load(piece)
            floats.running(self.v, old, new, number(self.rate))
            self.moves.store(old, piece)

    def _keep(self, plan: ConvPlan, norm: floats.Norm, statistics: floats.Forward) -> None:
        """The record of a batch norm for the backward pass."""
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
            self.moves.store(held, plan.record.words(RECORD.index(name) * count, count))

    def _inner(self, plan: ConvPlan, codes: Codes, made: Made) -> None:
        """F2 between convolutions of a block: `step.inner_unit`, `apply.inner_apply`."""
        v, count, norm, first = self.v, plan.conv.out_channels, made.norm, made.first
        if self.training:
            top = v.highest(made.highest, least=0.0)
            self._later.append(partial(self._observe, plan.range, top))
        else:
            top = self._expected(plan.range)
        unit = floats.inner_unit(v, norm.factor, top, codes.slot, to=self._unit(codes))
        floats.inner_coefficients(v, first, norm.factor, norm.mean, norm.beta, unit)
        self.lanes.apply(Apply.INNER, plan.output, count, first, made.y, codes=codes)
        if self.training:
            self._later.append(partial(self._keep_coefficients, plan, first))
        self._catch_up()
        self._spill(plan, made.y, codes)

    def _keep_coefficients(self, plan: ConvPlan, first: int) -> None:
        """F2's, for the backward pass."""
        count = plan.conv.out_channels
        kept = (
            ("multiplier", Coefficient.MULTIPLIER, 0),
            ("low", Coefficient.ADDEND, 0),
            ("high", Coefficient.ADDEND, 32),
            ("shift", Coefficient.TOTAL_SHIFT, 0),
        )
        for name, field, shift in kept:
            held = self.v.copy(coefficient(field, first, count), shift=shift)
            self.moves.store(held, plan.record.words(RECORD.index(name) * count, count))

    def _spill(self, plan: ConvPlan, y: Tensor, codes: Codes | None = None) -> None:
        """y of a convolution to memory, where the backward pass wants it: once its ``codes`` are there, which
        the next product waits for, if the next y has another place."""
        shape = plan.output, plan.conv.out_channels
        behind = codes.piece if codes and self._has_place(OTHER_Y, *shape) else None
        if self.training:
            self.moves.spill(y, *shape, behind=behind)

    def _classify(self, stream: Stream) -> None:
        """Pooling and the classifier: `classifier.features`, `classifier.logits`.

        Some classes and some inputs at a time.
        """
        layout, v, images = self.layout, self.v, self.layout.images
        all_classes, all_inputs = self._classifier_pieces()
        matrix, at_once = layout.parameter("classifier.weight"), len(all_inputs) == 1
        for some in [range(images)] if at_once else self._feature_pieces():
            features = self._features(stream, some)
            if self.training or not at_once:
                place = layout.features.words(some.start * self._features_count(), features.count)
                self.moves.store(features, place)
        for classes in all_classes:
            count, logits = len(classes), v.new(images * len(classes))
            for inputs in all_inputs:
                rows = matrix.words(classes.start * self._features_count(), count * self._features_count())
                weight = self.moves.load_columns(rows, inputs, count)
                if not inputs.start:
                    bias = self.moves.load(layout.parameter("classifier.bias").words(classes.start, count))
                    v.rows(Op.COPY, Rows(logits, 1, count), Rows(bias, 1, 0), n=count, reps=images)
                if not at_once:
                    features = self.moves.load_columns(layout.features, inputs, images)
                self._add_inputs(logits, features, weight)
            whole = Piece(LOGITS, 0, 4 * images * all_classes[-1].stop)
            self.moves.store_columns(logits, whole, classes, images)

    def _features(self, stream: Stream, some: range) -> Vector:
        """Features of ``some`` images."""
        layout, v, inputs = self.layout, self.v, self._features_count()
        end = layout.blocks[-1].main[-1]
        pixels = end.conv.out_height * end.conv.out_width
        features = v.new(len(some) * inputs)
        self.lanes.apply(Apply.POOL, end.output, inputs, 0, stream.tensor, local=features, only=some)
        share = v.scale(v.copy(number(float(fraction(pixels)))), stream.exponent)
        rows = Rows(features, 1, inputs)
        v.rows(Op.FROM_INTEGER, rows, rows, Rows(integer(1)), n=inputs, reps=len(some))
        v.rows(Op.MULTIPLY, rows, rows, Rows(share), n=inputs, reps=len(some))
        return features

    def _add_inputs(self, logits: Vector, features: Vector, weight: Vector) -> None:
        """Add what some inputs give to ``logits``.

        Chains of all images and classes, an input after the other: their terms do not meet.
        """
        v, images = self.v, self.layout.images
        classes, inputs = logits.count // images, features.count // images
        by_input = v.new(classes * inputs)
        for k in range(classes):
            to, row = Rows(by_input.at(k, 1), 0, classes), Rows(weight.at(k * inputs, inputs), 0, 1)
            v.rows(Op.COPY, to, row, n=1, reps=inputs)
        for j in range(inputs):
            x, w = features.at(j, 1), by_input.at(j * classes, classes)
            to = Rows(logits, 1, classes)
            v.rows(Op.MULTIPLY_ADD, to, Rows(x, 0, inputs), Rows(w, 1, 0), to, n=classes, reps=images)
