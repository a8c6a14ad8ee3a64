"""The order in which the array visits the plane pairs of a tile, and how many cycles that takes.

Planes ``i`` of A and ``j`` of B weigh ``2**(i+j)``, and count negatively if exactly one of them is the top
plane of a signed operand. Pairs of equal weight form an anti-diagonal. Diagonals come from the highest weight
down, and entering one doubles the accumulator. A unit can double and add, or subtract, but not double and
subtract: so a diagonal starts with a positive pair, and one that has none starts with a *bubble*, a cycle
that only doubles.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cpt.hw.contract.config import MAX_BITS, ArrayConfig
from cpt.hw.contract.layout import SUM_ROWS


@dataclass(frozen=True)
class Pair:
    """A plane pair, visited for every word along K, or a bubble; what its first step does.

    ``subtract`` holds for all of its steps, ``clear`` and ``double`` for the first alone.
    """

    plane_a: int
    """Of a bubble: the plane of the pair behind it."""
    plane_b: int
    clear: bool
    """The accumulator starts from zero."""
    double: bool
    """The accumulator counts twice."""
    count: bool
    """False for a bubble, which takes one cycle and adds nothing."""
    subtract: bool
    """The pair's count is subtracted."""


@lru_cache(maxsize=4 * MAX_BITS * MAX_BITS)
def plane_pairs(bits_a: int, bits_b: int, signed_a: bool, signed_b: bool) -> tuple[Pair, ...]:
    """The pairs of one tile in order, bubbles included.

    Within a diagonal planes of A rise. If the first pair is negative and not alone, it goes last.
    """
    found: list[Pair] = []
    for weight in range(bits_a + bits_b - 2, -1, -1):
        lowest, highest = max(0, weight - bits_b + 1), min(weight, bits_a - 1)
        planes = list(range(lowest, highest + 1))
        if signed_b and weight - lowest == bits_b - 1 and len(planes) > 1:
            planes.append(planes.pop(0))
        starts = True
        for plane_a in planes:
            plane_b = weight - plane_a
            subtract = (signed_a and plane_a == bits_a - 1) != (signed_b and plane_b == bits_b - 1)
            clear = not found
            if starts and subtract and not clear:
                found.append(Pair(plane_a, plane_b, False, True, False, False))
                starts = False
            found.append(Pair(plane_a, plane_b, clear, starts and not clear, True, subtract))
            starts = False
    return tuple(found)


def bubbles(bits_a: int, bits_b: int, signed_a: bool, signed_b: bool) -> int:
    """Cycles of a tile that only double: one if both are signed, more only if a signed one has 1 bit."""
    return sum(not pair.count for pair in plane_pairs(bits_a, bits_b, signed_a, signed_b))


def tile_cycles(bits_a: int, bits_b: int, signed_a: bool, signed_b: bool, ksteps: int) -> int:
    """Cycles the array is busy with one tile of ``ksteps`` words along K."""
    return bits_a * bits_b * ksteps + bubbles(bits_a, bits_b, signed_a, signed_b)


def tile_interval_cycles(config: ArrayConfig) -> int:
    """Cycles between the last steps of two tiles, at least: what the collector takes for a tile's rows.

    A row is written four cycles after its old sum is read, so a smaller tile than that waits too.
    """
    return max(config.rows + SUM_ROWS, 4)


@dataclass(frozen=True)
class Step:
    """One cycle of the array: a pair's word ``k``, and what the accumulators do with its count."""

    plane_a: int
    plane_b: int
    k: int
    clear: bool
    double: bool
    count: bool
    subtract: bool
    b_subtract: bool
    """The plane of B is subtracted from the column sums."""


def tile_steps(bits_a: int, bits_b: int, signed_a: bool, signed_b: bool, ksteps: int) -> Iterator[Step]:
    """Every cycle of one tile, in order."""
    for pair in plane_pairs(bits_a, bits_b, signed_a, signed_b):
        b_subtract = pair.count and signed_b and pair.plane_b == bits_b - 1
        for k in range(ksteps if pair.count else 1):
            yield Step(
                pair.plane_a,
                pair.plane_b,
                k,
                pair.clear and k == 0,
                pair.double and k == 0,
                pair.count,
                pair.subtract,
                b_subtract,
            )
