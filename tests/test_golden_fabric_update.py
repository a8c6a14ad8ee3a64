"""Gradients and the weights' update in float32: each operation in its place."""

import numpy as np

from cpt.model.golden.fabric import update

RNG = np.random.default_rng(2)


def test_micro_batches_add_up_in_order():
    parts = [np.array([value], np.float32) for value in (1e8, 3, -1e8, 3)]
    total = None
    for part in parts:
        total = update.accumulate(total, part)
    assert total[0] == ((np.float32(1e8) + np.float32(3)) - np.float32(1e8)) + np.float32(3)
    assert total[0] != update.accumulate(parts[2], update.accumulate(parts[0], parts[1] + parts[3]))[0]


def test_a_weights_gradient_is_the_rounded_product_times_the_rounded_unit():
    product = np.array([2**24 + 1, 2**47 - 1, -5, 0], np.int64)
    error_unit, input_unit = np.float32(1.1e-7), np.float32(0.017)
    want = [np.float32(np.float64(p)) * (error_unit * input_unit) for p in product]
    assert update.weight_gradient(product, error_unit, input_unit).tolist() == want


def test_the_update_rounds_after_every_operation():
    weight, velocity, gradient = (RNG.normal(size=50).astype(np.float32) for _ in range(3))
    lr, momentum, decay = np.float32(0.0371), np.float32(0.9), np.float32(1e-4)
    w, v = update.momentum_update(weight, velocity, gradient, lr, momentum, decay)
    for i in range(50):
        pull = np.float32(np.float32(decay * weight[i]) + gradient[i])
        speed = np.float32(np.float32(momentum * velocity[i]) + pull)
        assert v[i] == speed
        assert w[i] == np.float32(weight[i] - np.float32(lr * speed))
