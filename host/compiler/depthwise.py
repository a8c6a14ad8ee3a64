"""Depth-wise layers: weights as words of whole groups, gradients from the diagonals of products.

The array multiplies `g` channels with `g` at once, so a tile of rows takes one K step, its own group's, and
its words hold weights between all channels of the group: those between different ones are the code of 0
(`cpt.model.golden.fabric.codes.weight_codes`, whole), and of the products of dW they are left out.
"""

from __future__ import annotations

from cpt.host.compiler.layout import Layout
from cpt.host.compiler.moves import Moves
from cpt.host.compiler.parts import Sums
from cpt.host.compiler.plan import ConvPlan, Subset
from cpt.host.compiler.vectors import CODE_BITS, ZERO, Rows, Vector, Vectors, integer, number, of_slot
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.floats import Op, SlotConstant, Space
from cpt.hw.contract.passes import gradient_tiles
from cpt.model.golden.fabric.codes import WEIGHT_FLOOR


def codes_and_planes(layout: Layout, moves: Moves, v: Vectors, plan: ConvPlan) -> None:
    """Codes of a layer's rows, the same for both products, and their planes; a tile of rows at a time."""
    for tile in range(layout.groups(plan.conv.out_channels)):
        first = tile * layout.group
        rows = min(layout.group, plan.conv.out_channels - first)
        held = moves.load(plan.weight.words(first * TAPS, rows * TAPS))
        middle, record = _codes(v, plan.slot, held, rows)
        for codes_of in (plan.codes_of, plan.error_codes_of) if plan.layer.index else (plan.codes_of,):
            for number_, vector in enumerate(record):
                moves.store(vector, codes_of.words(number_ * plan.conv.out_channels + first, rows))
        _planes(layout, moves, v, plan, tile, held, middle, rows)


def _codes(v: Vectors, slot: int, held: Vector, rows: int) -> tuple[Vector, tuple[Vector, Vector, Vector]]:
    """``held`` as codes, in place; the code of 0 of each row; its zero, step and sum of magnitudes."""
    words = Rows(held, 1, TAPS)
    low, high = (v.copy(ZERO, count=rows) for _ in range(2))
    for op, extreme in ((Op.MINIMUM, low), (Op.MAXIMUM, high)):
        v.rows(op, Rows(extreme, 0, 1), Rows(extreme, 0, 1), words, n=TAPS, reps=rows)
    width = v.multiply(v.subtract(high, low), of_slot(slot, SlotConstant.TOP_SHARE))
    step = v.maximum(width, number(float(WEIGHT_FLOOR)))
    inverse = v.reciprocal(step)
    nothing = v.copy(ZERO)
    below = v.emit(Op.TO_FIXED, v.multiply(low, inverse), nothing, constant=CODE_BITS)
    low = v.multiply(v.from_integer(below), step)
    zero = v.to_fixed(v.multiply(low, inverse), of_slot(slot, SlotConstant.FRACTION_BITS), CODE_BITS)
    for op, by in (
        (Op.SUBTRACT, Rows(low, 0, 1)),
        (Op.MULTIPLY, Rows(inverse, 0, 1)),
        (Op.MAXIMUM, Rows(ZERO)),
        (Op.MINIMUM, Rows(of_slot(slot, SlotConstant.TOP))),
    ):
        v.rows(op, words, words, by, n=TAPS, reps=rows)
    v.rows(Op.TO_FIXED, words, words, Rows(nothing), n=TAPS, reps=rows, constant=CODE_BITS)
    sums = v.copy(ZERO, count=rows)
    each = Rows(sums, 0, 1)
    v.rows(Op.SUM_MAGNITUDES, each, words, Rows(zero, 0, 1), each, n=TAPS, reps=rows, constant=slot)
    return v.int_subtract(ZERO, below), (zero, step, sums)


def _planes(
    layout: Layout,
    moves: Moves,
    v: Vectors,
    plan: ConvPlan,
    tile: int,
    held: Vector,
    middle: Vector,
    rows: int,
) -> None:
    """Words of a tile: the rows' codes on the diagonal, the code of 0 beside it."""
    row = rows * TAPS
    whole = v.new(rows * row)
    v.rows(Op.COPY, Rows(whole, 1, row), Rows(middle, 0, 1), n=row, reps=rows)
    v.rows(Op.COPY, Rows(whole, 1, row + TAPS), Rows(held, 1, TAPS), n=TAPS, reps=rows)
    for planes, stride in ((plan.planes, TAPS), (plan.error_planes, -TAPS))[: 2 if plan.layer.index else 1]:
        moves.pack(
            whole,
            planes,
            tile,
            plan.slot,
            rows=rows,
            channels=rows,
            kstep=0,
            ksteps=1,
            all_ksteps=1,
            row_stride=row,
            tap_stride=1,
            channel_stride=stride,
        )


def gradient(layout: Layout, v: Vectors, plan: ConvPlan, subset: Subset, sums: Sums) -> tuple[Vector, int]:
    """dW of a group, float32 [channel][tap], from its sums' diagonals; and the group's first channel."""
    group, first = layout.group, subset.output * layout.group
    rows = min(group, plan.conv.out_channels - first)
    found, block = v.new(rows * TAPS), v.new(TAPS * rows * rows)
    columns = gradient_tiles(TAPS, 1)
    for column, places in enumerate(columns):
        for half, place in enumerate(places):
            if place is None:
                continue
            tap, word = place[0], sums.word + column
            of_tap = block.at(tap * rows * rows, rows * rows)
            held = Rows(Vector(Space.SUMS, 2 * word + half, rows), 1, 2 * len(columns))
            v.rows(Op.FROM_INTEGER, Rows(of_tap, 1, rows), held, Rows(integer(1)), n=rows, reps=rows)
            to, diagonal = Rows(found.at(tap, found.count - tap), 0, TAPS), Rows(of_tap, 0, rows + 1)
            v.rows(Op.COPY, to, diagonal, n=1, reps=rows)
    return found, first
