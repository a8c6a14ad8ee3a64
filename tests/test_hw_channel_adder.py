"""The adder leaves the bits of `float_unit.add`, streamed, a sum a cycle."""

import numpy as np
from channel_numbers import pairs, streamed, words

from cpt.hw.channel.adder import Adder
from cpt.model.golden.fabric import float_unit as fl


def test_sums_and_differences_are_rounded_once():
    rng = np.random.default_rng(1)
    a, b = pairs(rng, 2400)
    subtract = rng.integers(0, 2, len(a))
    with np.errstate(over="ignore"):
        over = ~np.isfinite(np.where(subtract, a - b, a + b))
    first, second = np.where(over, 0, a), np.where(over, 0, b)
    expected = fl.add(first, np.where(subtract, -second, second))
    inputs = {"a": words(a), "b": words(b), "subtract": subtract}
    found = np.array(streamed(Adder(), inputs, ("result", "overflow")))
    assert found[:, 1].tolist() == over.astype(int).tolist()
    wrong = np.flatnonzero((found[:, 0] != words(expected)) & ~over)
    assert not wrong.size, [(a[i], b[i], subtract[i], expected[i]) for i in wrong[:5]]
