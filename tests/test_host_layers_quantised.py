"""Quantised layers on the accelerator: the golden functions bit for bit, and close to float arithmetic."""

import numpy as np
import pytest
import torch
from driven import fast_backend, opened

from cpt.host.engine import GemmEngine
from cpt.host.layers import InitialWeights, QuantConv2d, QuantLinear, StepContext
from cpt.host.layers.layer import Diverged
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT, PrecisionSlots
from cpt.hw.contract import ContractError
from cpt.model.architecture import Conv
from cpt.model.golden import conv_dw, conv_dx, conv_forward, quantise
from cpt.model.noise import noise_key, uniform

SHAPES = [
    # in, out, kernel, stride, padding, image
    pytest.param((5, 7, 3, 1, 1, 6), id="3x3"),
    pytest.param((5, 7, 3, 2, 1, 6), id="3x3 stride 2"),
    pytest.param((5, 7, 3, 2, 1, 5), id="3x3 stride 2, odd image"),
    pytest.param((9, 4, 1, 2, 0, 6), id="1x1 stride 2"),
    pytest.param((9, 4, 1, 1, 0, 5), id="1x1"),
    pytest.param((1, 16, 3, 1, 1, 8), id="first layer"),
]
TRAINING = StepContext(training=True, seed=5, step=6)
EVALUATION = StepContext(training=False)


@pytest.fixture
def engine():
    """An engine on the tiny array with room for 12 forward and 9 backward bits."""
    with opened(fast_backend(memory_bytes=1 << 24)) as accelerator:
        slots = PrecisionSlots({FORWARD_SLOT: 12, BACKWARD_SLOT: 9}, accelerator.set_slot)
        yield GemmEngine(accelerator, slots)


def convolution(engine, shape, fw, bw, seed=0):
    inputs, outputs, kernel, stride, padding, size = shape
    rng = np.random.default_rng(seed)
    layer = QuantConv2d(
        Conv("conv", inputs, outputs, kernel, stride, padding, size, size),
        index=3,
        initial=InitialWeights(seed),
    )
    layer.plan((2, size, size, inputs), engine)
    engine.slots.set(FORWARD_SLOT, fw)
    engine.slots.set(BACKWARD_SLOT, bw)
    x = (rng.standard_normal((2, size, size, inputs)) + 0.3).astype(np.float32)
    return layer, x, rng


@pytest.mark.parametrize("bits", [(3, 8), (8, 8), (1, 2), (12, 9)], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_three_passes_equal_the_golden_functions_bit_for_bit(engine, shape, bits):
    fw, bw = bits
    layer, x, rng = convolution(engine, shape, fw, bw)
    y = layer.forward(x, TRAINING)
    grad = rng.standard_normal(y.shape).astype(np.float32)
    dx = layer.backward(grad, TRAINING)
    weight, geometry = layer.parameters["weight"], layer.geometry
    image = quantise(x, fw)
    error = quantise(grad, bw, noise=uniform(noise_key(5, 6, 3), grad.size))
    np.testing.assert_array_equal(y, conv_forward(image, quantise(weight.value, fw, axis=0), geometry))
    np.testing.assert_array_equal(dx, conv_dx(error, quantise(weight.value, fw, axis=3), geometry))
    np.testing.assert_array_equal(weight.grad, conv_dw(error, image, geometry))


@pytest.mark.parametrize("shape", SHAPES)
def test_at_many_bits_the_passes_come_close_to_float_convolution(engine, shape):
    """The only place where the golden functions' own geometry is held against another implementation."""
    layer, x, rng = convolution(engine, shape, 12, 9)
    _, _, _, stride, padding, _ = shape
    y = layer.forward(x, TRAINING)
    grad = rng.standard_normal(y.shape).astype(np.float32)
    dx = layer.backward(grad, TRAINING)
    t_x = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    t_w = torch.tensor(layer.parameters["weight"].value.transpose(0, 3, 1, 2), requires_grad=True)
    t_y = torch.nn.functional.conv2d(t_x, t_w, stride=stride, padding=padding)
    t_y.backward(torch.tensor(grad.transpose(0, 3, 1, 2)))
    for ours, theirs in ((y, t_y), (dx, t_x.grad), (layer.parameters["weight"].grad, t_w.grad)):
        expected = theirs.detach().numpy().transpose(0, 2, 3, 1)
        assert np.abs(ours - expected).max() < 0.02 * np.abs(expected).max()


def test_programs_are_built_once_and_shared_between_equal_shapes(engine):
    first, x, rng = convolution(engine, (4, 4, 3, 1, 1, 6), 3, 8)
    second, _, _ = convolution(engine, (4, 4, 3, 1, 1, 6), 3, 8, seed=1)
    programs = engine.programs()
    assert len(programs) == 3
    for fw in (3, 8, 5):
        engine.slots.set(FORWARD_SLOT, fw)
        y = second.forward(first.forward(x, TRAINING), TRAINING)
        first.backward(second.backward(rng.standard_normal(y.shape).astype(np.float32), TRAINING), TRAINING)
    assert engine.programs() == programs


def test_the_first_layer_runs_no_input_gradient(engine):
    rng = np.random.default_rng(0)
    layer = QuantConv2d(
        Conv("stem", 1, 4, 3, 1, 1, 6, 6), index=0, initial=InitialWeights(), needs_input_grad=False
    )
    layer.plan((2, 6, 6, 1), engine)
    engine.slots.set(FORWARD_SLOT, 4)
    engine.slots.set(BACKWARD_SLOT, 4)
    runs = []
    engine.listeners.append(runs.append)
    y = layer.forward(rng.standard_normal((2, 6, 6, 1)).astype(np.float32), TRAINING)
    assert layer.backward(y, TRAINING).size == 0
    assert [run.label for run in runs] == ["stem forward", "stem dW"]


def test_evaluation_quantises_with_the_running_range_at_the_bits_in_force(engine):
    layer, x, _ = convolution(engine, (3, 4, 3, 1, 1, 6), 4, 8)
    layer.forward(x, TRAINING)
    layer.forward(2 * x, TRAINING)
    weights = np.float32([0.9 * 0.1, 0.1]) / np.float32(0.19)
    low = weights @ np.float32([x.min(), 2 * x.min()])
    high = weights @ np.float32([x.max(), 2 * x.max()])
    engine.slots.set(FORWARD_SLOT, 7)
    y = layer.forward(x, EVALUATION)
    weight = quantise(layer.parameters["weight"].value, 7, axis=0)
    expected = conv_forward(quantise(x, 7, lo=low, hi=high), weight, layer.geometry)
    np.testing.assert_allclose(y, expected, atol=2e-2 * np.abs(expected).max())
    assert not np.allclose(y, conv_forward(quantise(x, 4), weight, layer.geometry), rtol=1e-3)


def test_another_image_in_the_batch_does_not_change_an_evaluation(engine):
    layer, x, _ = convolution(engine, (3, 4, 3, 1, 1, 6), 5, 8)
    layer.forward(x, TRAINING)
    alone = layer.forward(np.concatenate([x[:1], np.zeros_like(x[:1])]), EVALUATION)
    np.testing.assert_array_equal(alone[0], layer.forward(x, EVALUATION)[0])


def test_backward_needs_a_training_forward(engine):
    layer, x, _ = convolution(engine, (3, 4, 3, 1, 1, 6), 5, 8)
    y = layer.forward(x, TRAINING)
    layer.backward(y, TRAINING)
    with pytest.raises(RuntimeError, match="backward without a training forward"):
        layer.backward(y, TRAINING)


def test_stochastic_rounding_is_replayed_by_seed_and_step_and_differs_otherwise(engine):
    layer, x, rng = convolution(engine, (3, 4, 3, 1, 1, 6), 3, 2)
    grad = rng.standard_normal((2, 6, 6, 4)).astype(np.float32)

    def weight_grad(context):
        layer.forward(x, context)
        layer.backward(grad, context)
        return layer.parameters["weight"].grad

    first = weight_grad(TRAINING)
    np.testing.assert_array_equal(first, weight_grad(TRAINING))
    for other in (StepContext(True, 5, 7), StepContext(True, 6, 6)):
        assert not np.array_equal(first, weight_grad(other))


def test_values_that_are_not_finite_are_named_with_layer_and_step(engine):
    layer, x, _ = convolution(engine, (3, 4, 3, 1, 1, 6), 3, 8)
    y = layer.forward(x, TRAINING)
    y[0, 0, 0, 0] = np.nan
    with pytest.raises(Diverged, match="diverged at step 6: gradient of conv: range is nan"):
        layer.backward(y, TRAINING)
    x[0, 0, 0, 0] = np.inf
    with pytest.raises(Diverged, match=r"input of conv: range is .*inf; allowed: finite"):
        layer.forward(x, TRAINING)


def test_linear_layer_matches_float_arithmetic_at_many_bits(engine):
    rng = np.random.default_rng(0)
    layer = QuantLinear(20, 6, index=0, initial=InitialWeights())
    assert layer.plan((8, 20), engine) == (8, 6)
    engine.slots.set(FORWARD_SLOT, 12)
    engine.slots.set(BACKWARD_SLOT, 9)
    layer.parameters["bias"].value[:] = rng.standard_normal(6)
    weight = layer.product.parameters["weight"]
    flat = weight.value.reshape(6, 20)
    x = rng.standard_normal((8, 20)).astype(np.float32)
    y = layer.forward(x, TRAINING)
    np.testing.assert_allclose(y, x @ flat.T + layer.parameters["bias"].value, atol=0.02)
    grad = rng.standard_normal((8, 6)).astype(np.float32)
    np.testing.assert_allclose(layer.backward(grad, TRAINING), grad @ flat, atol=0.1)
    np.testing.assert_allclose(weight.grad.reshape(6, 20), grad.T @ x, atol=0.2)
    np.testing.assert_allclose(layer.parameters["bias"].grad, grad.sum(0), rtol=1e-6)


def test_bits_beyond_what_programs_were_built_for_are_refused(engine):
    with pytest.raises(ContractError, match=r"slot 1 is 10 bits; allowed: 1\.\.9"):
        engine.slots.set(BACKWARD_SLOT, 10)
    with pytest.raises(ContractError, match="slot is 7; allowed: 0, 1"):
        engine.slots.set(7, 4)


def test_a_shape_may_not_be_reserved_after_the_first_run(engine):
    layer, x, _ = convolution(engine, (3, 4, 3, 1, 1, 6), 5, 8)
    layer.forward(x, TRAINING)
    with pytest.raises(RuntimeError, match="reserved after the first run"):
        convolution(engine, (3, 5, 3, 1, 1, 6), 5, 8)
