"""The order of plane pairs: right for every width and sign, and as long as the machine's forecasts say."""

import random
from itertools import product

import pytest

from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.order import bubbles, plane_pairs, tile_cycles, tile_steps

WIDTHS = range(1, MAX_BITS + 1)
SIGNS = list(product((False, True), repeat=2))
CODES = 20


def random_codes(rng, bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return [rng.randint(low, low + (1 << bits) - 1) for _ in range(CODES)]


def accumulated(steps, counts):
    """What a unit holds after ``steps``; doubling and subtracting at once is beyond it."""
    total = None
    for step, count in zip(steps, counts, strict=True):
        assert not (step.double and step.subtract)
        assert not (step.clear and step.double)
        assert step.clear == (total is None)
        base = 0 if step.clear else total << step.double
        total = base + (-count if step.subtract else count) * step.count
    return total


@pytest.mark.parametrize(("signed_a", "signed_b"), SIGNS)
def test_the_steps_of_every_width_and_sign_give_the_integer_product(signed_a, signed_b):
    rng = random.Random(2 * signed_a + signed_b)
    for bits_a, bits_b in product(WIDTHS, WIDTHS):
        a, b = random_codes(rng, bits_a, signed_a), random_codes(rng, bits_b, signed_b)
        steps = list(tile_steps(bits_a, bits_b, signed_a, signed_b, 2))
        half = CODES // 2
        counts = [
            sum(
                x >> step.plane_a & y >> step.plane_b & 1
                for x, y in list(zip(a, b, strict=True))[step.k * half : (step.k + 1) * half]
            )
            for step in steps
        ]
        want = sum(x * y for x, y in zip(a, b, strict=True))
        assert accumulated(steps, counts) == want, (bits_a, bits_b)
        assert len(steps) == tile_cycles(bits_a, bits_b, signed_a, signed_b, 2)


@pytest.mark.parametrize(("signed_a", "signed_b"), SIGNS)
def test_the_column_sums_of_every_width_and_sign_are_right_too(signed_a, signed_b):
    rng = random.Random(4)
    for bits_a, bits_b in product(WIDTHS, WIDTHS):
        b = random_codes(rng, bits_b, signed_b)
        total = 0
        for step in tile_steps(bits_a, bits_b, signed_a, signed_b, 1):
            count = sum(y >> step.plane_b & 1 for y in b) if step.plane_a == 0 and step.count else 0
            # Where the top plane of B is subtracted nothing was added before, so nothing has to double.
            total = 0 if step.clear else total << (step.double and not step.b_subtract)
            total += -count if step.b_subtract else count
        assert total == sum(b), (bits_a, bits_b)


def test_every_pair_is_visited_once_and_weights_never_rise():
    for bits_a, bits_b, (signed_a, signed_b) in product(WIDTHS, WIDTHS, SIGNS):
        pairs = [p for p in plane_pairs(bits_a, bits_b, signed_a, signed_b) if p.count]
        assert sorted((p.plane_a, p.plane_b) for p in pairs) == list(product(range(bits_a), range(bits_b)))
        weights = [p.plane_a + p.plane_b for p in pairs]
        assert weights == sorted(weights, reverse=True)


def test_only_signed_operands_cost_bubbles_and_two_wide_ones_a_single_one():
    for bits_a, bits_b in product(WIDTHS, WIDTHS):
        assert bubbles(bits_a, bits_b, False, False) == 0
        assert bubbles(bits_a, bits_b, True, False) == (bits_b - 1 if bits_a == 1 else 0)
        assert bubbles(bits_a, bits_b, False, True) == (bits_a - 1 if bits_b == 1 else 0)
        if bits_a > 1 and bits_b > 1:
            assert bubbles(bits_a, bits_b, True, True) == 1
