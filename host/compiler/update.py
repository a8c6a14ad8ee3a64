"""Once a step: momentum update of all parameters, then codes and planes of all weights for both products."""

from __future__ import annotations

from cpt.host.compiler.emitter import Emitter
from cpt.host.compiler.memory import Piece
from cpt.host.compiler.plan import ConvPlan, Layout
from cpt.host.compiler.vectors import ZERO, Rows, Vector, Vectors, number, of_slot
from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import Op, SlotConstant
from cpt.model.golden.fabric.codes import WEIGHT_FLOOR

MOST = 2047
"""Elements of an instruction, and repetitions."""
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
            _forward_rows(layout, e, v, chunk, plan)
            if plan.layer.index:
                _error_rows(layout, e, v, chunk, plan)


def _forward_rows(layout: Layout, e: Emitter, v: Vectors, chunk: Vector, plan: ConvPlan) -> None:
    """Rows by output channel, a tile of them at a time; a row is ``taps * channels`` words that touch."""
    conv, group, taps = plan.conv, layout.group, plan.conv.kernel**2
    length = taps * conv.in_channels
    _require(chunk, min(group, conv.out_channels) * length, plan)
    ksteps = layout.ksteps(conv.kernel, layout.groups(conv.in_channels))
    for tile in range(layout.groups(conv.out_channels)):
        rows = min(group, conv.out_channels - tile * group)
        held = chunk.at(0, rows * length)
        e.load(plan.weight.words(tile * group * length, rows * length), held)
        _codes(e, v, plan, plan.codes_of, conv.out_channels, tile * group, held, rows, length, by_row=True)
        e.pack(
            held,
            plan.planes,
            tile,
            plan.slot,
            rows=rows,
            channels=conv.in_channels,
            ksteps=ksteps,
            row_stride=length,
            tap_stride=conv.in_channels if taps > 1 else 0,
            channel_stride=1,
        )
        v.release()


def _error_rows(layout: Layout, e: Emitter, v: Vectors, chunk: Vector, plan: ConvPlan) -> None:
    """Rows by input channel, a tile of them at a time; words of a row are a tile's channels apart."""
    conv, group, taps = plan.conv, layout.group, plan.conv.kernel**2
    length = taps * conv.out_channels
    _require(chunk, min(group, conv.in_channels) * length, plan)
    ksteps = layout.ksteps(conv.kernel, layout.groups(conv.out_channels))
    for tile in range(layout.groups(conv.in_channels)):
        rows = min(group, conv.in_channels - tile * group)
        held = chunk.at(0, rows * length)
        weight = plan.weight
        part = Piece(weight.base, weight.offset + 4 * tile * group, weight.size - 4 * tile * group)
        e.load_runs(part, held, words=rows, runs=length, stride=conv.in_channels)
        _codes(
            e, v, plan, plan.error_codes_of, conv.in_channels, tile * group, held, rows, length, by_row=False
        )
        e.pack(
            held,
            plan.error_planes,
            tile,
            plan.slot,
            rows=rows,
            channels=conv.out_channels,
            ksteps=ksteps,
            row_stride=1,
            tap_stride=rows if taps > 1 else 0,
            channel_stride=-taps * rows,
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


def _require(chunk: Vector, words: int, plan: ConvPlan) -> None:
    if words > chunk.count:
        raise ContractError(
            f"a tile of {plan.conv.name}'s weights has {words} words; allowed: {chunk.count} of local memory"
        )
