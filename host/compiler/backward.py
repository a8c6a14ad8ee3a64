"""The backward pass of a micro-batch: `cpt.model.golden.fabric.step.backward`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from cpt.host.compiler import channel as floats
from cpt.host.compiler.builder import Region
from cpt.host.compiler.choice import REGIONS
from cpt.host.compiler.gradients import WeightGradients
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import GRADIENT, Piece
from cpt.host.compiler.moves import Tensor
from cpt.host.compiler.ordering import weights_ahead
from cpt.host.compiler.plan import ERROR_SLOT, MASK_SLOT, RECORD, BlockPlan, Codes, ConvPlan
from cpt.host.compiler.vectors import LANE_BITS, ZERO, Rows, Vector, coefficient, integer, number, of_slot
from cpt.host.compiler.work import Work, pieces
from cpt.hw.contract.floats import Coefficient, Op, SlotConstant, Space
from cpt.hw.contract.passes import MASK_BITS, Apply, Drain
from cpt.model.golden.fabric.float_unit import fraction

D, Y, G, OTHER_Y = range(4)
"""Places of scratch: the gradient inside a block, and the mask at its end; y; the gradient of the residual
stream, and what joins it, which its successor takes the place of; y of the convolution before, where all of
them have a bank."""

CHANNELS_AT_ONCE = 512
"""At most, whose errors' coefficients are worked out: so that their vectors have room."""
Record = dict[str, Vector]
"""What the forward pass kept of some channels."""

MASK_SHIFT = LANE_BITS + 1 - MASK_BITS
"""Of a drain that leaves a mask's bits as they are: 17 - b."""


@dataclass
class Gradient:
    """The gradient behind a convolution: its tensor, unit per channel, and where its statistics lie."""

    tensor: Tensor
    unit: Vector
    channel: int
    y: Tensor
    """Of the convolution that it is behind, beside which its statistics are."""
    largest: Vector
    """Largest magnitude of each channel, an integer."""


class Backward(Work):
    """Emits the backward pass; ``first``: of a step's first micro-batch."""

    def __init__(self, layout: Layout, rate: float, *, first: bool) -> None:
        super().__init__(layout, rate, layout.backward)
        self.gradients = WeightGradients(layout, self.v, self.moves, self.products, self.scratch, first=first)

    def emit(self) -> Recorder:
        """The list."""
        layout = self.layout
        self.moves.load(layout.kept, self._units())
        gradient = self._classifier_gradient(layout.blocks[-1])
        for place in range(len(layout.blocks) - 1, -1, -1):
            before = layout.blocks[place - 1] if place else None
            gradient = self._block_errors(layout.blocks[place], before, gradient)
        self.gradients.finish()
        return replace(self.recorder, held=weights_ahead(self.recorder.held))

    def _classifier_gradient(self, last: BlockPlan) -> Gradient:
        """`step._Backward.run` up to the last block: gradient of the residual stream behind it."""
        layout, v, end = self.layout, self.v, last.main[-1]
        count, images = end.conv.out_channels, layout.images
        all_classes, all_inputs = self._classifier_pieces()
        unit, each, together = v.new(count), None, range(images)
        for inputs in all_inputs:
            some = self._features_gradient(all_classes, inputs, unit)
            if len(all_inputs) > 1:  # in the place of the features
                self.moves.store_columns(some, layout.features, inputs, images)
            else:
                each = some
        y, mask, g = self._end(last), self._mask(last), Tensor(G)
        region = self._region(count)
        for some_images in [together] if each else self._feature_pieces():
            held = each or self.moves.load(
                layout.features.words(some_images.start * count, len(some_images) * count)
            )
            self.lanes.apply(
                Apply.UNPOOL,
                end.output,
                count,
                region,
                y,
                second=mask,
                out=g,
                local=held,
                counts=True,
                only=some_images,
            )
        return self._gradient(g, unit, region, count, y)

    def _features_gradient(self, all_classes: list[range], inputs: range, unit: Vector) -> Vector:
        """The gradient of some features of all images, 16-bit integers; their units go among those of all."""
        layout, v, end = self.layout, self.v, self.layout.blocks[-1].main[-1]
        count, images = len(inputs), layout.images
        features = self.moves.load_columns(layout.features, inputs, images)
        each = v.new(images * count)
        rows = Rows(each, 1, count)
        v.rows(Op.COPY, rows, Rows(ZERO), n=count, reps=images)
        for classes in all_classes:
            self._class_gradients(classes, inputs, features, each)
        pixels = end.conv.out_height * end.conv.out_width
        v.rows(Op.MULTIPLY, rows, rows, Rows(number(float(fraction(pixels)))), n=count, reps=images)
        largest = v.copy(ZERO, count=count)
        v.rows(Op.LARGEST, Rows(largest, 1, 0), Rows(largest, 1, 0), rows, n=count, reps=images)
        exponent = v.int_maximum(v.power(largest), integer(-100))
        down = v.int_subtract(ZERO, exponent)
        v.rows(Op.TO_FIXED, rows, rows, Rows(down, 1, 0), n=count, reps=images, constant=16)
        v.scale(v.copy(number(1.0), count=count), exponent, to=unit.at(inputs.start, count))
        return each

    def _class_gradients(self, classes: range, inputs: range, features: Vector, each: Vector) -> None:
        """Some classes' weight and bias gradients for some inputs, and their share of ``each`` image's
        inputs."""
        layout, v, images = self.layout, self.v, self.layout.images
        count, width, all_inputs = len(classes), len(inputs), self._features_count()
        weights = layout.parameter("classifier.weight").words(classes.start * all_inputs, count * all_inputs)
        biases = layout.parameter("classifier.bias").words(classes.start, count)
        weight = self.moves.load_columns(weights, inputs, count)
        whole = Piece(GRADIENT, 0, images * layout.parameter("classifier.bias").size)
        gradient = self.moves.load_columns(whole, classes, images)
        for k in range(count):  # the weights' words are free behind it
            row, to = weight.at(k * width, width), Rows(each, 1, width)
            column = gradient.at(k, images * count - k)
            v.rows(Op.MULTIPLY_ADD, to, Rows(column, 0, count), Rows(row, 1, 0), to, n=width, reps=images)
        d_weight, d_bias = v.new(count * width), v.copy(ZERO, count=count)
        v.rows(Op.COPY, Rows(d_weight, 1, width), Rows(ZERO), n=width, reps=count)
        for image in range(images):
            of_image = gradient.at(image * count, count)
            rows = Rows(d_weight, 1, width)
            x = features.at(image * width, width)
            v.rows(Op.MULTIPLY_ADD, rows, Rows(of_image, 0, 1), Rows(x, 1, 0), rows, n=width, reps=count)
            v.add(d_bias, of_image, to=d_bias)
        self.gradients.accumulate(d_weight, layout.beside(layout.gradients, weights), inputs, count)
        if not inputs.start:
            self.gradients.accumulate(d_bias, layout.beside(layout.gradients, biases))

    def _gradient(self, tensor: Tensor, unit: Vector, channel: int, count: int, y: Tensor) -> Gradient:
        """A gradient whose statistics lie from ``channel`` on."""
        found = floats.error_statistics(channel, count)
        largest = floats.largest_magnitude(self.v, found.lowest, found.highest)
        return Gradient(tensor, unit, channel, y, largest)

    def _filled(self, plan: ConvPlan, inputs: Codes) -> Tensor:
        """y of a convolution, in scratch where it has room; beside the last one, where a fourth place has."""
        shape = plan.output, plan.conv.out_channels
        y = self._again(plan, inputs, self._y_place(*shape, Y, OTHER_Y))
        self.moves.fill(y, *shape)
        return y

    def _early(self, plan: ConvPlan, inputs: Codes, behind: ConvPlan) -> Tensor | None:
        """y of a convolution before ``behind`` has its errors, if it has a place beside that one's y.

        So the array works while the lanes make those errors.
        """
        shapes = [(each.output, each.conv.out_channels) for each in (plan, behind)]
        several = all(self._has_place(OTHER_Y, *shape) for shape in shapes)
        free = several and self._free_places(*shapes[0], (Y, OTHER_Y))
        return self._filled(plan, inputs) if free else None

    def _end(self, block: BlockPlan) -> Tensor:
        """y of a block's last convolution, likewise."""
        return self._filled(*_last(block))

    def _mask(self, block: BlockPlan) -> Tensor:
        """A block's mask as numbers of scratch, where they have room; else their parts."""
        end = block.main[-1]
        picture, count, v = end.output, end.conv.out_channels, self.v
        first, held = self._region(count), self._held(count)
        v.copy(ZERO, to=coefficient(Coefficient.ZERO, first, held), count=held)
        v.copy(integer(MASK_SHIFT), to=coefficient(Coefficient.SHIFT, first, held), count=held)
        product = self.products.mask(block.mask)
        mask = Tensor(D, make=partial(self.lanes.again, MASK_SLOT, product, picture, count, first, D))
        if not self.moves.whole(mask, picture, count) and REGIONS * held > self.layout.config.channels:
            most = self.layout.most_groups(picture, count)
            for part in self.layout.parts(self.scratch, picture, count, most):
                self.moves.bring(mask, picture, count, part)
                self.moves.take(Tensor(D), picture, count, part)
            return Tensor(D)
        self.moves.fill(mask, picture, count)
        return mask

    def _block_errors(self, block: BlockPlan, before: BlockPlan | None, behind: Gradient) -> Gradient:
        """`step._Backward.block`: errors of a block's convolutions, the gradient behind the one before.

        Where sums have room beside all else, dW comes behind dX: the array makes it while batch norm's
        coefficients of the next errors are worked out.
        """
        here, end = behind, block.main[-1]
        for index in range(len(block.main) - 1, 0, -1):
            plan, previous = block.main[index], block.main[index - 1]
            before_it = block.inner[index - 2] if index > 1 else block.inputs
            record = self._error_record(plan)
            y = self._early(previous, before_it, plan)
            unit = self._error_codes(plan, here, record)
            wanted = self._wanted(y, previous)
            product = partial(self._weight_gradient, plan, block.inner[index - 1], unit, end, wanted)
            late = self.gradients.beside(plan, end)
            if not late:
                product()
            here = self._inner_errors(plan, previous, before_it, unit, y)
            if late:
                product()
        plan = block.main[0]
        record = self._error_record(plan)
        y = self._early(*_last(before), plan) if before and not block.shortcut else None
        wanted = self._wanted(y, before.main[-1]) if before else []
        unit = self._error_codes(plan, here, record)
        product = partial(self._weight_gradient, plan, block.inputs, unit, end, wanted)
        late = before is not None and not block.shortcut and self.gradients.beside(plan, end)
        if not late:
            product()
        joins: Gradient | None = behind if block.block.identity else None
        if block.shortcut:
            joins = self._shortcut_errors(block, behind, before is not None)
        if before is None:
            return behind
        behind = self._block_gradient(plan, before, joins, y)
        if late:
            product()
        return behind

    def _load_record(self, plan: ConvPlan, names: tuple[str, ...], channels: range) -> dict[str, Vector]:
        count = plan.conv.out_channels
        pieces = {name: plan.record.words(RECORD.index(name) * count, count) for name in names}
        return {name: self.moves.load_columns(piece, channels, 1) for name, piece in pieces.items()}

    def _error_record(self, plan: ConvPlan) -> Record | None:
        """What error codes of a convolution want from memory: little, and so ahead of y.

        Of many channels None: theirs comes piece by piece.
        """
        pieces = self._channel_pieces(plan)
        return self._record_of(plan, pieces[0]) if len(pieces) == 1 else None

    def _record_of(self, plan: ConvPlan, channels: range) -> Record:
        """Of some channels."""
        names = ("unit", "mean", "inverse", "total", "above", "lowest", "highest")
        record = self._load_record(plan, names, channels)
        return {**record, "gamma": self.moves.load_columns(plan.gamma, channels, 1)}

    def _channel_pieces(self, plan: ConvPlan) -> list[range]:
        """Channels whose errors' coefficients are worked out at once, about as many each time."""
        count, group = plan.conv.out_channels, self.layout.group
        times = -(-count // CHANNELS_AT_ONCE)
        return pieces(count, -(-count // times // group) * group)

    def _error_codes(self, plan: ConvPlan, gradient: Gradient, record: Record | None) -> Vector:
        """B2: error codes of a convolution and their unit; y is in scratch already, where it has room."""
        v, count = self.v, plan.conv.out_channels
        first, terms = self._region(count), list[floats.ErrorTerms]()
        unit, all_channels = Vector(Space.LOCAL, plan.errors.unit, 1), self._channel_pieces(plan)
        for channels in all_channels:
            if terms:
                self._accumulate_norm(plan, all_channels[len(terms) - 1], terms[-1])
            kept = record or self._record_of(plan, channels)
            terms.append(self._error_terms(plan, gradient, kept, first, channels))
        inverse = v.reciprocal(floats.error_unit(v, terms, ERROR_SLOT, to=unit))
        for channels, each in zip(all_channels, terms, strict=True):
            floats.error_coefficients(v, first + channels.start, each, inverse)
        self._accumulate_norm(plan, all_channels[-1], terms[-1])
        self.lanes.apply(
            Apply.ERROR,
            plan.output,
            count,
            first,
            gradient.tensor,
            second=gradient.y,
            codes=plan.errors,
            layer=plan.layer.index,
        )
        return unit

    def _error_terms(
        self, plan: ConvPlan, gradient: Gradient, record: Record, first: int, channels: range
    ) -> floats.ErrorTerms:
        """What coefficients of some channels' errors are made of; ``first``: channel from which they are."""
        v, at, count = self.v, first + channels.start, len(channels)
        total = coefficient(Coefficient.ADDEND, at, count)  # wide enough, and free until the last step
        v.join(record["total"], record["above"], to=total)
        pixels = self.layout.images * plan.conv.out_height * plan.conv.out_width
        forward = floats.Forward(pixels, total, total, record["lowest"], record["highest"])
        norm = floats.Norm(record["unit"], record["mean"], record["inverse"], ZERO, ZERO)
        errors = floats.error_statistics(gradient.channel + channels.start, count)
        if channels.stop == plan.conv.out_channels:
            self._clear(first, channels.stop)
        unit = gradient.unit.at(channels.start, count)
        return floats.error_terms(v, norm, forward, errors, unit, record["gamma"])

    def _accumulate_norm(self, plan: ConvPlan, channels: range, terms: floats.ErrorTerms) -> None:
        """Some channels' d gamma and d beta onto the gradient in memory."""
        layout = self.layout
        for values, parameter in ((terms.d_gamma, plan.gamma), (terms.d_beta, plan.beta)):
            self.gradients.accumulate(values, layout.beside(layout.gradients, parameter), channels)

    def _wanted(self, y: Tensor | None, plan: ConvPlan) -> list[Region]:
        """Words of scratch in which y of a convolution waits, if it was made early."""
        count = plan.conv.out_channels
        return [self.moves.used(y, plan.output, count, self.moves.all_of(count))] if y else []

    def _weight_gradient(
        self, plan: ConvPlan, inputs: Codes, unit: Vector, end: ConvPlan, wanted: Sequence[Region] = ()
    ) -> None:
        """dW of a convolution; what is ``wanted`` of scratch stays."""
        scale = self.v.multiply(unit, self._unit(inputs))
        self.gradients.add(plan, inputs, scale, end, wanted)

    def _dx_shift(self, plan: ConvPlan, count: int, first: int) -> tuple[Vector, Vector]:
        """Coefficients of a drained dX: the weights' scale, and the shift."""
        scale, sums = self._drain_coefficients(plan.error_codes_of, count, first)
        top = of_slot(ERROR_SLOT, SlotConstant.LARGEST)
        return scale, self.v.drain_shift(sums, top, to=coefficient(Coefficient.SHIFT, first, count))

    def _inner_errors(
        self, plan: ConvPlan, previous: ConvPlan, inputs: Codes, unit: Vector, y: Tensor | None
    ) -> Gradient:
        """B1: dX of a convolution inside a block, masked by the ReLU behind ``previous`` of ``inputs``.

        ``y``: of ``previous``, if it is in scratch already.
        """
        v, count = self.v, plan.conv.in_channels
        y, out = y or self._filled(previous, inputs), Tensor(D)
        first = self._region(count)
        product = self.products.errors(plan)
        if self.layout.errors_again[plan.layer.index]:
            again = partial(self.lanes.again, plan.slot, product, plan.source, count, first, D, y=y)
            out = Tensor(D, make=again, needs=(y,))
        scale, shift = self._dx_shift(plan, count, first)
        record = self._load_record(previous, ("multiplier", "low", "high", "shift"), range(count))
        v.copy(record["multiplier"], to=coefficient(Coefficient.MULTIPLIER, first, count))
        v.join(record["low"], record["high"], to=coefficient(Coefficient.ADDEND, first, count))
        v.copy(record["shift"], to=coefficient(Coefficient.TOTAL_SHIFT, first, count))
        self.lanes.drain(Drain.INNER_ERROR, plan.slot, product, plan.source, count, first, out, y=y)
        self.gradients.finish()
        found = floats.forward_unit(v, scale, v.copy(shift), unit, plan.slot)
        return self._gradient(out, found, first, count, y)

    def _shortcut_errors(self, block: BlockPlan, whole: Gradient, needed: bool) -> Gradient | None:
        """The shortcut's share: `step._Backward.shortcut`."""
        assert block.shortcut
        plan, v = block.shortcut, self.v
        record = self._error_record(plan)
        count, y = plan.conv.out_channels, self._filled(plan, block.inputs)
        first = self._region(count)
        self.lanes.apply(Apply.COUNT, plan.output, count, first, whole.tensor, second=y, counts=True)
        unit = self._error_codes(plan, self._gradient(whole.tensor, whole.unit, first, count, y), record)
        self._weight_gradient(plan, block.inputs, unit, block.main[-1])
        if not needed:
            return None
        inputs = plan.conv.in_channels
        first, out = self._region(inputs), Tensor(G)
        scale, shift = self._dx_shift(plan, inputs, first)
        product = self.products.errors(plan)
        self.lanes.drain(Drain.SHORTCUT_ERROR, plan.slot, product, plan.source, inputs, first, out)
        self.gradients.finish()
        found = floats.forward_unit(v, scale, v.copy(shift), unit, plan.slot)
        return self._gradient(out, found, first, inputs, y)

    def _block_gradient(
        self, plan: ConvPlan, before: BlockPlan, joins: Gradient | None, y: Tensor | None
    ) -> Gradient:
        """B3: the gradient of a block's input, which is that behind the block before.

        ``y``: of that one's end, if it is in scratch already. Where nothing ``joins``, y stands for it, and
        is multiplied with 0.
        """
        v, count = self.v, plan.conv.in_channels
        y, mask, out = y or self._end(before), self._mask(before), Tensor(G)
        first = self._region(count)
        if not joins:
            joins = Gradient(y, v.copy(number(1.0), count=count), first, y, v.copy(ZERO, count=count))
        scale, sums = self._drain_coefficients(plan.error_codes_of, count, first)
        unit = Vector(Space.LOCAL, plan.errors.unit, 1)
        found = floats.block_error_coefficients(
            v, first, scale, sums, plan.slot, ERROR_SLOT, unit, joins.largest, joins.unit
        )
        product = self.products.errors(plan)
        self.lanes.drain(
            Drain.BLOCK_ERROR,
            plan.slot,
            product,
            plan.source,
            count,
            first,
            out,
            y=y,
            stream=joins.tensor,
            mask=mask,
        )
        self.gradients.finish()
        return self._gradient(out, found, first, count, y)


def _last(block: BlockPlan) -> tuple[ConvPlan, Codes]:
    """A block's last convolution and what it takes."""
    return block.main[-1], block.inner[-1] if block.inner else block.inputs
