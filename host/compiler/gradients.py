"""Gradients of weights: products into 48-bit sums, sums onto the gradient in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from cpt.host.compiler import depthwise
from cpt.host.compiler.builder import Region
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.memory import PAIR, Piece
from cpt.host.compiler.moves import Moves, Tensor
from cpt.host.compiler.parts import Scratch, Sums
from cpt.host.compiler.plan import Codes, ConvPlan, Subset
from cpt.host.compiler.products import Products
from cpt.host.compiler.vectors import ZERO, Rows, Vector, Vectors, integer
from cpt.host.compiler.work import CHUNK
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.passes import GradientSlot, gradient_slots
from cpt.hw.contract.step import Code

STREAM = 2
"""Place of scratch in which the gradient of the residual stream lives."""


class WeightGradients:
    """Gradients of parameters onto those in memory, in their place in a step's ``first`` micro-batch.

    dW of one convolution after the other.

    Sums that have room beside all tensors wait: `add` leaves the last ones to `finish`, so that the float
    engine takes them when the next passes of the lanes have their coefficients and work on.
    """

    def __init__(
        self,
        layout: Layout,
        v: Vectors,
        moves: Moves,
        products: Products,
        scratch: Scratch,
        *,
        first: bool = False,
    ) -> None:
        self.layout, self.v, self.moves, self.first = layout, v, moves, first
        self.products, self.scratch = products, scratch
        self._waiting: Callable[[], None] | None = None
        self._last: Sums | None = None
        """Where the last sums lie."""
        moves.claims = self._claimed

    def beside(self, plan: ConvPlan, end: ConvPlan) -> bool:
        """Whether sums have room beside gradients of a convolution's input and behind its block's ``end``."""
        return all(self._gaps(plan, subset, end) for subset in self.layout.subsets[plan.layer.index])

    def _gaps(self, plan: ConvPlan, subset: Subset, end: ConvPlan) -> list[Sums]:
        """Places beside those gradients."""
        shapes = ((plan.source, plan.conv.in_channels), (end.output, end.conv.out_channels))
        taken = [region for shape in shapes for region in self.layout.division(self.scratch, *shape).taken]
        return self.scratch.gaps(taken, self.layout.dw.sum_words(plan, subset))

    def _place(self, gaps: Sequence[Sums]) -> Sums | None:
        """The first of some places for sums, if it can be one beside the last ones."""
        free = [each for each in gaps if not self._last or not each.region.meets(self._last.region)]
        return next(iter([*free, *gaps]), None)

    def _claimed(self, region: Region) -> None:
        """Somebody wants words of scratch, where sums may wait."""
        if self._waiting and self._last and self._last.region.meets(region):
            self.finish()

    def finish(self) -> None:
        """Add the sums that wait to the gradient in memory."""
        waiting, self._waiting = self._waiting, None
        if waiting:
            waiting()

    def add(
        self, plan: ConvPlan, inputs: Codes, scale: Vector, end: ConvPlan, wanted: Sequence[Region] = ()
    ) -> None:
        """dW: the sums to float32, times ``scale`` (both units), onto the gradient in memory.

        ``end``: the convolution that the gradient which lives on is behind; ``wanted``: what else of scratch.
        """
        layout, picture, channels = self.layout, end.output, end.conv.out_channels
        g, live = Tensor(STREAM), list(wanted)
        if self.moves.whole(g, picture, channels):
            live.append(self.moves.used(g, picture, channels, self.moves.all_of(channels)))
        beside = self.beside(plan, end)
        for subset in layout.subsets[plan.layer.index]:
            words = layout.dw.sum_words(plan, subset)
            gaps = self._gaps(plan, subset, end) if beside else self.scratch.gaps(live, words)
            sums = self._place(gaps) or self.scratch.first_sums(words)
            if self._last and self._last.region.meets(sums.region):
                self.finish()
            covered = any(sums.region.meets(region) for region in live)
            if covered:
                self.moves.words(Code.STORE, sums.region, layout.covered)
            self.products.gradient(plan, inputs, subset, sums)
            self.finish()  # the array works meanwhile
            self._waiting, self._last = partial(self._sums, plan, subset, scale, sums, covered), sums

    def _sums(self, plan: ConvPlan, subset: Subset, scale: Vector, sums: Sums, covered: bool) -> None:
        """Sums onto the gradient, and what they ``covered`` back."""
        self.v.sums = (sums.region,)
        if plan.layer.depthwise:
            values, first = depthwise.gradient(self.layout, self.v, plan, subset, sums)
            at = plan.weight.words(first * TAPS, values.count)
            self._scaled(values, scale, self.layout.beside(self.layout.gradients, at))
        else:
            for slot in gradient_slots(plan.conv.kernel**2, subset.inputs):
                part = sums.of(slot, subset.outputs * self.layout.group)
                for tile in range(subset.outputs):
                    self._tile(plan, subset, slot, tile, scale, part)
        if covered:
            self.moves.words(Code.BRING, sums.region, self.layout.covered)

    def _tile(
        self, plan: ConvPlan, subset: Subset, slot: GradientSlot, tile: int, scale: Vector, sums: Sums
    ) -> None:
        """Sums of a tile of output channels with a slot of inputs, as many rows at a time as local memory
        holds."""
        v, layout, conv = self.v, self.layout, plan.conv
        taps, group, channels = conv.kernel**2, layout.group, conv.in_channels
        first, begin = (subset.input + slot.first) * group, (subset.output + tile) * group
        width = min(slot.groups * group, channels - first)
        row = taps * width
        # Of one group alone a column has two taps; where those are odd, the last one's other half comes too.
        alone = subset.inputs == 1
        held_row = 2 * slot.columns * width if alone else row
        rows = min(group, conv.out_channels - begin)
        most = max(1, min(rows, CHUNK // (row + held_row)))
        most -= most % PAIR * (row % PAIR)
        piece = layout.beside(layout.gradients, plan.weight)
        for start in range(0, rows, most):
            part = min(most, rows - start)
            held = self._new(part * row)
            at = (begin + start) * taps * channels + first
            memory = piece.words(at, piece.size // 4 - at)
            shape = {"words": part * row, "runs": 1, "stride": part * row}
            if width < channels:
                shape = {"words": width, "runs": part * taps, "stride": channels}
            if not self.first:
                self.moves.load_runs(memory, held, **shape)
            floats = v.new(part * held_row)
            half = 2 * (sums.word + (tile * group + start) * slot.columns)
            # Both halves of a column touch here too: of one group, or of two whole ones.
            touch = alone or width == 2 * group
            length = min(group, width) if touch else width
            for at_channel in range(0, length, group):
                lanes = min(group, length - at_channel)
                walk = Rows(Vector(Space.SUMS, half + at_channel // group, lanes), 1, 1 if touch else 2)
                to = Rows(floats.at(at_channel, lanes), 1, length)
                v.rows(Op.FROM_INTEGER, to, walk, Rows(integer(1)), n=lanes, reps=floats.count // length)
            step = _divisor(part * row, layout.config.float_lanes) if held_row == row else row
            total, values = Rows(held, 1, step), Rows(floats, 1, step * held_row // row)
            self._onto(total, values, scale, step, part * row // step)
            self.moves.store_runs(held, memory, **shape)

    def _scaled(self, values: Vector, scale: Vector, piece: Piece) -> None:
        """Add ``values``, ``scale`` times, to a gradient in memory."""
        count = values.count
        held = self._new(count) if self.first else self.moves.load(piece)
        step = _divisor(count, self.layout.config.float_lanes)
        self._onto(Rows(held, 1, step), Rows(values, 1, step), scale, step, count // step)
        self.moves.store(held, piece)

    def _onto(self, total: Rows, values: Rows, scale: Vector, n: int, reps: int) -> None:
        """``values``, ``scale`` times, onto a ``total``, or in its place: the same, as it would be 0."""
        if self.first:
            self.v.rows(Op.MULTIPLY, total, values, Rows(scale), n=n, reps=reps)
        else:
            self.v.rows(Op.MULTIPLY_ADD, total, values, Rows(scale), total, n=n, reps=reps)

    def accumulate(self, values: Vector, piece: Piece, columns: range | None = None, rows: int = 1) -> None:
        """Add to a gradient in memory, or to ``columns`` of its ``rows``: `update.accumulate`; the first
        micro-batch's are in their place."""
        count = values.count
        columns = columns or range(count)
        held = self._new(count) if self.first else self.moves.load_columns(piece, columns, rows)
        step = _divisor(count, self.layout.config.float_lanes)
        total = Rows(held, 1, step)
        added = Rows(values, 1, step)
        if self.first:
            self.v.rows(Op.COPY, total, added, n=step, reps=count // step)
        else:
            self.v.rows(Op.ADD, total, total, added, n=step, reps=count // step)
        self.moves.store_columns(held, piece, columns, rows)

    def _new(self, count: int) -> Vector:
        """A vector of ``count`` words; the one behind odd ones, which goes to memory with them, is 0."""
        v = self.v
        return v.copy(ZERO, count=count + 1).at(0, count) if count % PAIR else v.new(count)


def _divisor(count: int, lanes: int) -> int:
    """Largest number of elements of an instruction that goes into ``count`` without a rest, lanes counted."""
    steps = [step for step in range(1, min(count, 2047) + 1) if count % step == 0]
    return max(steps, key=lambda step: step if step % lanes else step * lanes)
