"""The host's check of products: right ones pass, whatever a flipped bit makes wrong is seen."""

import numpy as np
import pytest
from driven import fast_backend, opened
from wrong_products import RAISED, RIGHT, SEEN, UNSEEN, outcomes

from cpt.host.engine import GemmEngine, GemmShape
from cpt.host.errors import DeviceError
from cpt.host.precision import PrecisionSlots
from cpt.host.product_check import weights, wrong_rows
from cpt.hw.contract import ContractError
from cpt.sim.fast import FastBackend


def test_right_products_pass_and_one_wrong_value_is_always_seen():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 1 << 16, (5, 40)), rng.integers(0, 1 << 16, (7, 40))
    values, sums = a @ b.T, b.sum(axis=1)
    assert not wrong_rows(a, b, values, sums).size
    for bit in range(48):
        wrong = values.copy()
        wrong[3, bit % 7] ^= 1 << bit
        assert wrong_rows(a, b, wrong, sums).tolist() == [3]
        assert wrong_rows(a, b, values, sums ^ np.where(np.arange(7) == 2, 1 << bit, 0)).tolist() == [5]
    assert (weights(1000) % 2 == 1).all()


def test_every_flipped_data_bit_that_changes_a_product_is_seen():
    found = outcomes(40, 5)
    assert found[UNSEEN] == 0
    assert found[SEEN] > 10
    assert found[SEEN] + found[RIGHT] + found[RAISED] == 40


class Faulty(FastBackend):
    """Flips a bit of every third byte of what the machine has written when a program ends."""

    broken = False

    def read_register(self, offset):
        before = self.memory.copy() if self.broken else None
        value = super().read_register(offset)
        if before is not None:
            changed = np.flatnonzero(before != self.memory)
            self.memory[changed[::3]] ^= 1
        return value


def test_the_engine_checks_one_product_in_so_many():
    machine = fast_backend(kind=Faulty)
    with opened(machine) as accelerator:
        slots = PrecisionSlots({0: 8}, accelerator.set_slot)
        slots.set(0, 4)
        engine = GemmEngine(accelerator, slots, check_every=2)
        shape = GemmShape(5, 9, 50, 0, 0)
        engine.reserve(shape)
        rng = np.random.default_rng(1)
        a, b = rng.integers(0, 16, (5, 50)), rng.integers(0, 16, (9, 50))
        for _ in range(2):
            np.testing.assert_array_equal(engine.run(shape, a, b, "right").values, a @ b.T)
        machine.broken = True
        wrong = engine.run(shape, a[::-1], b, "not drawn").values
        assert (wrong != a[::-1] @ b.T).any()
        with pytest.raises(DeviceError, match=r"product 5x9x50/s0s0 \(drawn\) is wrong in \d of 6 rows"):
            engine.run(shape, a, b, "drawn")
        with pytest.raises(ContractError, match="check_every is -1; allowed: 0"):
            GemmEngine(accelerator, slots, check_every=-1)
