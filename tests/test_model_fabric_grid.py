"""The torch library's ``fabric`` quantiser: the codes of the golden step on the fabric, to the bit."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch_runs import LANGUAGE, LSTM, PICTURES, SMALL, images, language, pictures

from cpt.model import QuantConfig, precisions, quantize_
from cpt.model.fabric_grid import (
    error_codes,
    fake_weights,
    input_codes,
    noise_like,
    signed_levels,
    symmetric,
    weight_codes,
)
from cpt.model.functional import Noise, Range, noise_key, tensor_range
from cpt.model.golden.fabric import apply, codes
from cpt.model.golden.fabric.channel import ERROR_FLOOR, running_rate
from cpt.model.golden.fabric.hash import error_key, noise_bytes
from cpt.model.layers import QuantConv2d
from cpt.model.quantisers import Fabric
from cpt.model.ranges import share_of_part
from cpt.model.training import TorchTrainer

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scalar(value):
    return torch.tensor(value)


@pytest.mark.parametrize("bits", range(2, 17))
def test_weights_are_those_of_the_golden_codes_by_either_channel(bits):
    w = random(6, 4, 3, 3, seed=bits)
    w[1] += 4  # a row that does not hold 0
    w[2], w[3] = 0, -1.5
    by_taps = w.permute(0, 2, 3, 1).contiguous().numpy()
    for axis, rows in ((0, codes.forward_rows(by_taps)), (1, codes.error_rows(by_taps))):
        want = codes.weight_codes(rows, bits)
        q, zero, step = weight_codes(w, scalar(bits), (axis,))
        order = (0, 2, 3, 1) if axis == 0 else (1, 2, 3, 0)
        np.testing.assert_array_equal(q.permute(order).reshape(rows.shape).numpy(), want.codes)
        np.testing.assert_array_equal(zero.flatten().numpy(), want.zero)
        np.testing.assert_array_equal(step.flatten().numpy(), want.scale)
        real = want.scale[:, None] * (
            want.codes + want.zero[:, None] / np.float32(2**want.fraction_bits)
        ).astype(np.float32)
        fake = fake_weights(w, scalar(bits), (axis,)).permute(order).reshape(rows.shape)
        np.testing.assert_array_equal(fake.numpy(), real.astype(np.float32))


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_of_depth_wise_layers_have_a_whole_zero_as_the_golden_ones(bits):
    w = random(12, 1, 3, 3, seed=bits)
    w[2], w[3], w[4] = 0, -1.5, w[4] + 5
    rows = w.reshape(12, 9).numpy()
    want = codes.weight_codes(rows, bits, whole=True)
    q, zero, step = weight_codes(w, scalar(bits), (0,), whole=True)
    np.testing.assert_array_equal(q.reshape(rows.shape).numpy(), want.codes)
    np.testing.assert_array_equal(zero.flatten().numpy(), want.zero)
    np.testing.assert_array_equal(step.flatten().numpy(), want.scale)


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 12])
def test_errors_are_rounded_as_the_golden_apply_does(bits):
    """Whose fixed-point affine and the float here have the same value to round where the unit is 1."""
    top, places = 2 ** (bits - 1) - 1, 4
    rng = np.random.default_rng(bits)
    d = rng.integers(-top << places, (top << places) + 1, (2, 5, 6, 3)).astype(np.int16)
    d[0, 0, 0, 0] = top << places
    key = error_key(1, 2, 3, 4)
    shift = np.full(3, 20)
    coefficients = apply.Affine(1 << (shift - places), 1 << (shift - 9), shift, np.zeros(3, np.int64))
    want = apply.error_apply(d, np.zeros_like(d), coefficients, noise_bytes(key, d.shape), bits)
    grad = torch.from_numpy(d.astype(np.float32) * np.float32(2.0**-places)).permute(0, 3, 1, 2)
    q, unit = error_codes(grad, scalar(bits), scalar(float(top)), Noise(key, True))
    assert unit == 1
    np.testing.assert_array_equal(q.permute(0, 2, 3, 1).numpy(), want)
    assert q.abs().max() == top


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("signed", [False, True])
def test_activations_are_rounded_as_the_golden_applies_do(bits, signed):
    top, places = (2 ** (bits - 1) - 1 if signed else 2**bits - 1), 5
    rng = np.random.default_rng(bits)
    x = rng.integers(-(top << places) if signed else 0, (top << places) + 1, (2, 4, 4, 3)).astype(np.int16)
    x[0, 0, 0, 0] = top << places
    if signed:
        same = apply.Affine(np.full(3, 1 << 10), np.zeros(3, np.int64), np.full(3, 10 + places))
        want = apply.image_apply(x, same, bits)
    else:
        want = apply.code_apply(x, 1 << 10, 10 + places, bits)
    real = torch.from_numpy(x.astype(np.float32) * np.float32(2.0**-places))
    found = symmetric(tensor_range(real))
    assert (found.lo.item(), found.hi.item()) == (-top if signed else 0, top)
    q, unit, highest = input_codes(real, scalar(bits), found)
    assert torch.equal(input_codes(real, scalar(bits), found, inside=True)[0], q)
    assert unit == 1
    assert highest == top
    np.testing.assert_array_equal(q.numpy(), want)


@pytest.mark.parametrize("bits", [2, 3, 8, 16])
def test_the_largest_value_has_the_highest_code_uncut(bits):
    for seed in range(50):
        for x in (random(64, seed=seed) * 10.0 ** (seed % 9 - 4), random(64, seed=seed).abs() + seed):
            q, _, top = input_codes(x, scalar(bits), symmetric(tensor_range(x)), inside=True)
            assert q.abs().max() == top


def test_zero_is_code_zero_and_stays_zero():
    x = torch.tensor([0.0, 1.0, -1e-9, 3.0, -2.0, -0.0])
    q, unit, _ = input_codes(x, scalar(3), symmetric(tensor_range(x)))
    assert q.tolist() == [0, 1, 0, 3, -2, 0]
    assert unit == 1
    zeros = torch.zeros(4, 4)
    assert input_codes(zeros, scalar(3), symmetric(tensor_range(zeros)))[0].count_nonzero() == 0
    key = error_key(0, 0, 0, 0)
    errors = torch.zeros(1000)
    errors[0] = 1
    q, _ = error_codes(errors, scalar(8), scalar(1.0), Noise(key, False))
    assert q.tolist() == [127, *[0] * 999]


def test_errors_are_rounded_without_a_bias():
    for value in (0.25, -0.25, 0.6, -1.4):
        grad = torch.full((200_000,), value)
        q, unit = error_codes(grad, scalar(3), scalar(3.0), Noise(error_key(0, 0, 0, 1), False))
        assert unit == 1
        assert abs(q.mean().item() - value) < 0.004, value
    tiny = torch.full((200_000,), 1e-4)
    for sign in (1, -1):
        q, _ = error_codes(sign * tiny, scalar(3), scalar(3.0), Noise(5, False))
        assert q.count_nonzero() == 0  # below 1/512 of a code, of either sign


@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (1, 4, 8, 8), (3, 2, 1, 1), (2, 3, 2, 7)])
def test_noise_is_that_of_the_hash_for_any_layout_and_part_of_the_batch(shape):
    key = error_key(7, 6, 5, 4)
    images, channels, height, width = shape
    want = noise_bytes(key, (images, height, width, channels)).transpose(0, 3, 1, 2)
    want = (2 * want.astype(np.float32) + 1) / 512
    x = torch.zeros(shape)
    for form in (x, x.to(memory_format=torch.channels_last)):
        np.testing.assert_array_equal(noise_like(form, Noise(key, True)).numpy(), want)
    compiled = torch.compile(noise_like, backend="eager", fullgraph=True)
    np.testing.assert_array_equal(compiled(x, Noise(torch.tensor(key), True)).numpy(), want)
    part = x[1:]
    if len(part):
        noise = Noise(key, True, x[:1].numel())
        np.testing.assert_array_equal(noise_like(part, noise).numpy(), want[1:])
        np.testing.assert_array_equal(compiled(part, noise).numpy(), want[1:])


def test_noise_of_anything_else_is_one_row():
    whole = noise_like(torch.zeros(3, 7), Noise(9, False))
    want = noise_bytes(9, (1, 1, 21, 1)).astype(np.float32)
    np.testing.assert_array_equal(whole.flatten().numpy(), (2 * want.flatten() + 1) / 512)
    for offset in range(21):
        rest = noise_like(torch.zeros(21 - offset), Noise(9, False, offset))
        assert torch.equal(rest, whole.flatten()[offset:])


def test_keys_are_those_of_step_layer_and_micro_batch():
    step, part = torch.tensor(9), torch.tensor(3)
    want = error_key(2**32 - 1, 9, 5, 3)
    assert noise_key(2**32 - 1, step, 5, part) == want
    compiled = torch.compile(noise_key, backend="eager", fullgraph=True)
    assert int(compiled(2**32 - 1, step, 5, part)) % 2**32 == want


@pytest.mark.parametrize("count", [1, 2, 3, 8, 16, 128, 1000])
def test_averages_move_by_the_machines_rate(count):
    assert share_of_part(0.9, count) == running_rate(count)


def test_a_layer_computes_with_these_codes_and_draws_the_micro_batchs_noise():
    conv = nn.Conv2d(3, 4, 3, padding=1, stride=2, bias=False)
    layer = QuantConv2d.from_float(copy.deepcopy(conv), QuantConfig("fabric", fw=4, bw=3, seed=11), 2)
    layer.precision.micro_batches = 2
    bits, w = scalar(4), conv.weight.detach()
    for forward in range(3):
        x = random(2, 3, 6, 6, seed=forward).relu_() if forward else random(2, 3, 6, 6)
        x.requires_grad_()
        layer.zero_grad()
        y = layer(x)
        grad = random(*y.shape, seed=5)
        y.backward(grad)
        q, unit, _ = input_codes(x.detach(), bits, symmetric(tensor_range(x.detach())))
        assert (q.min() < 0) == (forward == 0)
        want = nn.functional.conv2d(q * unit, fake_weights(w, bits, (0,)), None, 2, 1)
        assert torch.equal(y, want)
        noise = Noise(error_key(11, forward // 2, 2, forward % 2), True)
        e, step = error_codes(grad, scalar(3), grad.abs().max(), noise)
        dx, dw, _ = torch.ops.aten.convolution_backward(
            e * step, q * unit, fake_weights(w, bits, (1,)), None, (2, 2), (1, 1), (1, 1), False, (0, 0), 1,
            [True, True, False],
        )  # fmt: skip
        assert torch.equal(x.grad, dx)
        assert torch.equal(layer.weight.grad, dw)


def test_a_layer_is_one_compiled_graph_that_computes_the_same():
    def grads(compiled):
        torch.manual_seed(0)
        layer = QuantConv2d.from_float(nn.Conv2d(3, 4, 3), QuantConfig("fabric", fw=3, bw=3), 0)
        run = torch.compile(layer, backend="eager", fullgraph=True) if compiled else layer
        run(random(2, 3, 6, 6)).square().sum().backward()
        return [parameter.grad for parameter in layer.parameters()]

    for ours, plain in zip(grads(True), grads(False), strict=True):
        torch.testing.assert_close(ours, plain)


def test_evaluation_takes_the_running_largest_value_and_sign():
    layer = quantize_(nn.Linear(4, 2, bias=False), QuantConfig("fabric", fw=3))
    for seed in range(3):
        layer(random(5, 4, seed=seed))
    lo, hi, weight = layer.precision.range.tolist()
    assert lo == -hi
    layer.eval()
    x = torch.full((1, 4), 100.0)
    largest = torch.tensor(hi / weight)
    assert torch.allclose(
        layer(x), nn.functional.linear(largest.expand(1, 4), fake_weights(layer.weight, scalar(3), (0,)))
    )


@pytest.mark.parametrize("signed", [False, True])
def test_learned_bits_get_the_gradient_of_the_unit(signed):
    x = random(40) if signed else random(40).abs()
    soft = torch.tensor(4.0, requires_grad=True)
    found = symmetric(tensor_range(x))
    grad = random(40, seed=3)
    Fabric().activation(x, scalar(4), found, True, soft).backward(grad)
    q, unit, top = input_codes(x, scalar(4), found)
    top = top.item()
    exponent = 3.0 if signed else 4.0
    by_bits = -found.hi * np.log(2) * 2**exponent / top**2
    want = (grad * (q - x / unit)).sum() * by_bits
    assert soft.grad == pytest.approx(want.item(), rel=1e-4)


def test_unused_ranges_and_floors_hold():
    q, unit = error_codes(torch.zeros(3), scalar(8), scalar(0.0), Noise(1, False))
    assert unit == float(ERROR_FLOOR)
    assert q.tolist() == [0, 0, 0]
    cut, _, _ = input_codes(torch.tensor([9.0, -9.0]), scalar(2), Range(scalar(0.0), scalar(3.0)))
    assert cut.tolist() == [3, 0]
    assert signed_levels(scalar(2)) == 1


@pytest.mark.parametrize("bits", [{"fw": 1}, {"bw": 1}])
def test_a_single_bit_has_no_signed_code(bits):
    with pytest.raises(ValueError, match=r"^[fb]w is 1; allowed: 2\.\.16, or 0"):
        quantize_(nn.Linear(2, 2), QuantConfig("fabric", **bits))


TASKS = {
    "images": (SMALL, images),
    "transformer": (LANGUAGE, language),
    "lstm": (LSTM, lambda: language(carries=True)),
    "pictures": (PICTURES, pictures),
    "depth-wise": (dataclasses.replace(SMALL, model="mobilenetv2", lr=0.01), lambda: images(16, side=16)),
    "ldp": (dataclasses.replace(SMALL, method="ldp", ldp_lr=5.0), images),
}


@pytest.mark.parametrize("kind", TASKS)
def test_every_task_trains_on_the_fabrics_codes(kind):
    config, make = TASKS[kind]
    trainer = TorchTrainer(dataclasses.replace(config, quantiser="fabric", steps=3, micro_batch=2), make())
    losses = []
    while not trainer.finished:
        trainer.train_epoch(lambda report: losses.append(report.loss))
    assert np.isfinite([*losses, trainer.evaluate()["loss"]]).all()


def test_it_learns():
    config = dataclasses.replace(SMALL, quantiser="fabric", epochs=6, lr_schedule="constant", micro_batch=4)
    trainer = TorchTrainer(config, images())
    losses = [trainer.train_epoch()["train_loss"] for _ in range(6)]
    assert losses[-1] < 0.9 * losses[0], losses


def test_a_state_of_another_quantiser_is_refused():
    float_net = nn.Sequential(nn.Linear(2, 2))
    ours, other = (quantize_(copy.deepcopy(float_net), QuantConfig(name)) for name in ("fabric", "sbm"))
    with pytest.raises(ValueError, match="is of quantiser 'sbm'; allowed: fabric"):
        ours.load_state_dict(other.state_dict())
    assert json.loads(json.dumps(QuantConfig("fabric").as_dict()))["quantiser"] == "fabric"
    assert all(type(item.quantiser) is Fabric for item in precisions(ours).values())
