"""Once a step: momentum update of all parameters, then codes and planes of all weights for both products."""

from __future__ import annotations

from cpt.host.compiler.emitter import Emitter
from cpt.host.compiler.memory import Piece
from cpt.host.compiler.plan import ConvPlan, Layout
from cpt.host.compiler.vectors import ZERO, Rows, Vector, Vectors, number, of_slot
from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import Op, SlotConstant
from cpt.model.golden.fabric.codes import WEIGHT_FLOOR

MOST = 2046
"""Elements of an instruction, and repetitions: even, as pieces of memory are."""
FLOAT_BITS = 26
"""Width that codes are cut at: none is wider."""


def update(layout: Layout, e: Emitter, v: Vectors, chunk: Vector, momentum: float, decay: float) -> None:
    """``v = momentum*v + (G + decay*w)``, ``w -= rate*v``, gradients to 0: `update.momentum_update`.

    ``chunk``: local words for pieces of the arrays. The learning rate is the first of the host's numbers.
    """
    rate = e.load(layout.numbers).at(0, 1)
    size = chunk.count // 3 // MOST * MOST
    for start in range(0, layout.parameter_words, size):
        count = min(size, layout.parameter_words - start)
        whole = count - count % MOST
        parts = [(0, whole)] if whole else []
        parts += [(whole, count - whole)] if count > whole else []
        arrays = (layout.parameters, layout.velocities, layout.gradients)
        places = [chunk.at(number_ * size, count) for number_ in range(3)]
        for array, place in zip(arrays, places, strict=True):
            e.load(array.words(start, count), place)
        for first, length in parts:
            n = min(length, MOST)
            weight, velocity, gradient = (Rows(place.at(first, length), 1, n) for place in places)
            reps = length // n
            v.rows(Op.MULTIPLY_ADD, gradient, weight, Rows(number(decay)), gradient, n=n, reps=reps)
            v.rows(Op.MULTIPLY_ADD, velocity, velocity, Rows(number(momentum)), gradient, n=n, reps=reps)
            v.rows(Op.MULTIPLY, gradient, velocity, Rows(rate), n=n, reps=reps)
            v.rows(Op.SUBTRACT, weight, weight, gradient, n=n, reps=reps)
            v.rows(Op.COPY, gradient, Rows(ZERO), n=n, reps=reps)
        for array, place in zip(arrays, places, strict=True):
            e.store(place, array.words(start, count))
    v.release()


def prepare(layout: Layout, e: Emitter, v: Vectors, chunk: Vector) -> None:
    """Codes and planes of all weights: `step.prepare`."""
    for block in layout.blocks:
        for plan in block.plans:
            _rows(layout, e, v, chunk, plan, forward=True)
            if plan.layer.index:
                _rows(layout, e, v, chunk, plan, forward=False)


def _rows(layout: Layout, e: Emitter, v: Vectors, chunk: Vector, plan: ConvPlan, *, forward: bool) -> None:
    """Codes and planes of a product's rows, a tile of them at a time.

    Forward, by output channel: a row is ``taps * channels`` words that touch. dX, by input channel: words of
    a row are a tile's rows apart, as they come from memory.
    """
    conv, group, taps = plan.conv, layout.group, plan.conv.kernel**2
    count, channels = (
        (conv.out_channels, conv.in_channels) if forward else (conv.in_channels, conv.out_channels)
    )
    record, planes = (plan.codes_of, plan.planes) if forward else (plan.error_codes_of, plan.error_planes)
    length = taps * channels
    if min(group, count) * length > chunk.count:
        raise ContractError(
            f"a tile of {conv.name}'s weights has {min(group, count) * length} words; "
            f"allowed: {chunk.count} of local memory"
        )
    for tile in range(layout.groups(count)):
        first = tile * group
        rows = min(group, count - first)
        held = chunk.at(0, rows * length)
        if forward:
            e.load(plan.weight.words(first * length, rows * length), held)
        else:
            part = plan.weight.words(first, plan.weight.size // 4 - first)
            e.load_runs(part, held, words=rows, runs=length, stride=count)
        _codes(e, v, plan, record, count, first, held, rows, length, by_row=forward)
        e.pack(
            held,
            planes,
            tile,
            plan.slot,
            rows=rows,
            channels=channels,
            ksteps=layout.ksteps(conv.kernel, layout.groups(channels)),
            row_stride=length if forward else 1,
            tap_stride=(channels if forward else rows) if taps > 1 else 0,
            channel_stride=1 if forward else -taps * rows,
        )
        v.release()


def _codes(
    e: Emitter,
    v: Vectors,
    plan: ConvPlan,
    record: Piece,
    all_rows: int,
    first: int,
    held: Vector,
    rows: int,
    length: int,
    *,
    by_row: bool,
) -> None:
    """Floats of ``rows`` rows to codes in place, and their zero, scale and sums: `codes.weight_codes`.

    ``by_row``: words of a row touch; else words of the same place in all rows do.
    """
    n, reps = (length, rows) if by_row else (rows, length)
    words = Rows(held, 1, n)

    def each(vector: Vector) -> Rows:
        return Rows(vector, 0, 1) if by_row else Rows(vector, 1, 0)

    low, high = v.copy(ZERO, count=rows), v.copy(ZERO, count=rows)
    v.rows(Op.MINIMUM, each(low), each(low), words, n=n, reps=reps)
    v.rows(Op.MAXIMUM, each(high), each(high), words, n=n, reps=reps)
    width = v.multiply(v.subtract(high, low), of_slot(plan.slot, SlotConstant.TOP_SHARE))
    step = v.maximum(width, number(float(WEIGHT_FLOOR)))
    inverse = v.reciprocal(step)
    v.rows(Op.SUBTRACT, words, words, each(low), n=n, reps=reps)
    v.rows(Op.MULTIPLY, words, words, each(inverse), n=n, reps=reps)
    v.rows(Op.MINIMUM, words, words, Rows(of_slot(plan.slot, SlotConstant.TOP)), n=n, reps=reps)
    none = v.copy(ZERO)
    v.rows(Op.TO_FIXED, words, words, Rows(none), n=n, reps=reps, constant=FLOAT_BITS)
    zero = v.to_fixed(v.multiply(low, inverse), of_slot(plan.slot, SlotConstant.FRACTION_BITS), FLOAT_BITS)
    sums = v.copy(ZERO, count=rows)
    v.rows(Op.SUM_MAGNITUDES, each(sums), words, each(zero), each(sums), n=n, reps=reps, constant=plan.slot)
    for number_, vector in enumerate((zero, step, sums)):
        e.store(vector, record.words(number_ * all_rows + first, rows))
