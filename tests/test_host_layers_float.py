"""The float parts of the host's layers against torch: batch norm, ReLU, pooling, classifier, loss, SGD."""

import numpy as np
import pytest
import torch

from cpt.host.layers import (
    BatchNorm,
    FloatLinear,
    GlobalAveragePool,
    InitialWeights,
    Parameter,
    ReLU,
    StepContext,
)
from cpt.host.optimiser import Sgd, learning_rate
from cpt.hw.contract import ContractError
from cpt.model.loss import correct, softmax_cross_entropy

TRAINING = StepContext(training=True)
EVALUATION = StepContext(training=False)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels_last(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def channels_first(array, **options):
    return torch.tensor(np.ascontiguousarray(array.transpose(0, 3, 1, 2)), **options)


def test_batch_norm_trains_like_torch():
    ours, theirs = BatchNorm(5), torch.nn.BatchNorm2d(5)
    ours.parameters["gamma"].value[:] = random(5, seed=1)
    ours.parameters["beta"].value[:] = random(5, seed=2)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.parameters["gamma"].value))
        theirs.bias.copy_(torch.tensor(ours.parameters["beta"].value))
    for step in range(3):
        x, grad = 3 * random(4, 6, 6, 5, seed=10 + step) + 2, random(4, 6, 6, 5, seed=20 + step)
        t_x = channels_first(x, requires_grad=True)
        theirs.weight.grad = theirs.bias.grad = None
        t_y = theirs(t_x)
        t_y.backward(channels_first(grad))
        np.testing.assert_allclose(ours.forward(x, TRAINING), channels_last(t_y), atol=2e-5)
        np.testing.assert_allclose(ours.backward(grad, TRAINING), channels_last(t_x.grad), atol=2e-5)
        for name, expected in (("gamma", theirs.weight.grad), ("beta", theirs.bias.grad)):
            np.testing.assert_allclose(ours.parameters[name].grad, expected.numpy(), rtol=1e-4)
    np.testing.assert_allclose(ours.buffers["mean"], theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.buffers["var"], theirs.running_var.numpy(), rtol=1e-5)
    theirs.eval()
    x = random(2, 6, 6, 5, seed=30)
    np.testing.assert_allclose(
        ours.forward(x, EVALUATION), channels_last(theirs(channels_first(x))), atol=2e-5
    )


def test_batch_norm_of_a_constant_channel_is_finite():
    layer = BatchNorm(2)
    y = layer.forward(np.full((3, 2, 2, 2), 7, np.float32), TRAINING)
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(layer.backward(random(3, 2, 2, 2), TRAINING)).all()


def test_relu_passes_gradients_of_positive_inputs_only():
    layer = ReLU()
    x = np.float32([[-1, 0, 2]])
    np.testing.assert_array_equal(layer.forward(x, TRAINING), [[0, 0, 2]])
    np.testing.assert_array_equal(layer.backward(np.float32([[5, 6, 7]]), TRAINING), [[0, 0, 7]])


def test_average_pooling_and_its_gradient():
    layer = GlobalAveragePool()
    x = random(2, 3, 4, 5)
    np.testing.assert_allclose(layer.forward(x, TRAINING), x.mean((1, 2)), atol=1e-6)
    grad = random(2, 5, seed=1)
    np.testing.assert_allclose(
        layer.backward(grad, TRAINING), np.tile(grad[:, None, None] / 12, (1, 3, 4, 1)), atol=1e-7
    )


def test_classifier_and_loss_match_torch():
    layer = FloatLinear(6, 4, InitialWeights())
    x, labels = random(8, 6), np.arange(8) % 4
    logits = layer.forward(x, TRAINING)
    loss, grad = softmax_cross_entropy(logits, labels)
    d_x = layer.backward(grad, TRAINING)
    t_x = torch.tensor(x, requires_grad=True)
    weight, bias = (
        torch.tensor(layer.parameters[name].value, requires_grad=True) for name in ("weight", "bias")
    )
    t_loss = torch.nn.functional.cross_entropy(t_x @ weight.T + bias, torch.tensor(labels))
    t_loss.backward()
    assert loss == pytest.approx(t_loss.item(), rel=1e-6)
    np.testing.assert_allclose(d_x, t_x.grad.numpy(), atol=1e-6)
    np.testing.assert_allclose(layer.parameters["weight"].grad, weight.grad.numpy(), atol=1e-6)
    np.testing.assert_allclose(layer.parameters["bias"].grad, bias.grad.numpy(), atol=1e-6)


def test_loss_of_huge_logits_stays_finite():
    loss, grad = softmax_cross_entropy(np.float32([[1e4, 0], [0, 1e4]]), np.array([0, 0]))
    assert loss == pytest.approx(5e3)
    assert np.isfinite(grad).all()


def test_correct_counts_hits():
    assert correct(np.float32([[1, 2], [3, 0], [0, 1]]), np.array([1, 1, 1])) == 2


def test_sgd_matches_torch():
    start = random(3, 4)
    parameter, theirs = Parameter(start.copy()), torch.tensor(start.copy(), requires_grad=True)
    ours = Sgd({"w": parameter}, momentum=0.9, weight_decay=1e-2)
    torch_sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=1e-2)
    for step in range(4):
        parameter.grad = random(3, 4, seed=step)
        theirs.grad = torch.tensor(parameter.grad.copy())
        ours.step(0.1)
        torch_sgd.step()
    np.testing.assert_allclose(parameter.value, theirs.detach().numpy(), atol=1e-6)


def test_sgd_refuses_a_parameter_without_gradient():
    with pytest.raises(RuntimeError, match="lost has no gradient"):
        Sgd({"lost": Parameter(random(2))}, momentum=0, weight_decay=0).step(0.1)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", (1, 1, 1, 1)),
        ("step", (1, 0.1, 0.01, 0.01)),
        ("cosine", (1, 0.5, 0.14645, 0.0)),
    ],
)
def test_learning_rate_follows_its_schedule(schedule, expected):
    found = [learning_rate(schedule, 1.0, done) for done in (0.0, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unknown_learning_rate_schedule_is_named():
    with pytest.raises(ContractError, match="lr-schedule is 'linear'; allowed: step, cosine, constant"):
        learning_rate("linear", 0.1, 0)
