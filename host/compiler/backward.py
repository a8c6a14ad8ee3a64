"""The backward pass of a micro-batch: `cpt.model.golden.fabric.step.backward`."""

from __future__ import annotations

from dataclasses import dataclass

from cpt.host.compiler import channel as floats
from cpt.host.compiler.memory import GRADIENT, PAIR, Piece, Tensor
from cpt.host.compiler.plan import ERROR_SLOT, RECORD, BlockPlan, Codes, ConvPlan
from cpt.host.compiler.vectors import ZERO, Rows, Vector, coefficient, integer, number, of_slot, statistic
from cpt.host.compiler.work import (
    CHUNK,
    END,
    FEATURES,
    KEPT,
    MASK,
    OTHER,
    QUARTER,
    SCALARS,
    SHORTCUT,
    SIDE,
    UNITS,
    Work,
    X,
    Y,
)
from cpt.hw.contract.floats import Coefficient, Op, SlotConstant, Space, Statistic
from cpt.hw.contract.passes import Apply, Drain, gradient_tiles
from cpt.model.golden.fabric.float_unit import fraction


@dataclass
class Gradient:
    """The gradient behind a convolution: its tensor, unit per channel, and where its statistics lie."""

    tensor: Tensor
    unit: Vector
    channel: int


class Backward(Work):
    """Emits the backward pass."""

    def emit(self) -> bytes:
        """The list."""
        layout, v = self.layout, self.v
        self.e.load(layout.kept.words(0, KEPT - UNITS), Vector(Space.LOCAL, UNITS, KEPT - UNITS))
        end = layout.blocks[-1].main[-1]
        gradient = self._classifier_gradient(end)
        for place in range(len(layout.blocks) - 1, -1, -1):
            before = layout.blocks[place - 1] if place else None
            gradient = self._block_errors(layout.blocks[place], before, gradient)
        v.release()
        return self.builder.program

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
            most = max(1, min(rows, (END - CHUNK) // (2 * row)) // PAIR * PAIR)
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


def _divisor(count: int) -> int:
    """Largest number of elements of an instruction that goes into ``count`` without a rest."""
    return max(step for step in range(1, min(count, 2047) + 1) if count % step == 0)
