"""Quantised layers against the integer golden functions: forward, dX and dW."""

import numpy as np
import pytest
import torch
from torch import nn

from cpt.model import golden
from cpt.model.config import QuantConfig
from cpt.model.layers import QuantConv2d, QuantLinear
from cpt.model.noise import noise_key, uniform
from cpt.model.quantisers import Sbm
from cpt.model.quantize import quantize_
from cpt.model.ranges import RunningRange

torch.set_num_threads(1)
SEED, LAYER = 11, 5


def nhwc(x):
    return np.ascontiguousarray(x.detach().permute(0, 2, 3, 1).numpy())


def ohwi(w):
    return np.ascontiguousarray(w.detach().permute(0, 2, 3, 1).numpy())


def assert_close(got, want, size):
    """Within 2 units in the last place of the sum of the terms' magnitudes."""
    assert np.all(np.abs(got - want) <= 2 * np.finfo(np.float32).eps * size + 1e-30)


def magnitude(q):
    """``s*q + |z|``: what each code's two terms weigh, in float64."""
    values = q.codes.astype(np.float64) * q.spread(q.scale).astype(np.float64)
    return torch.from_numpy(values + np.abs(q.spread(q.zero))).permute(0, 3, 1, 2)


def reference(x, w, g, geometry, fw, bw, step=0):
    """Golden outputs and, for each, the sum of the magnitudes of its terms."""
    noise = uniform(noise_key(SEED, step, LAYER), g.numel())
    qx, qe = golden.quantise(nhwc(x), fw), golden.quantise(nhwc(g), bw, noise=noise)
    qw, qw_dx = golden.quantise(ohwi(w), fw, axis=0), golden.quantise(ohwi(w), fw, axis=3)
    values = (
        golden.conv_forward(qx, qw, geometry),
        golden.conv_dx(qe, qw_dx, geometry),
        golden.conv_dw(qe, qx, geometry),
    )
    ax, aw, aw_dx, ae = map(magnitude, (qx, qw, qw_dx, qe))
    args = {"stride": geometry.stride, "padding": geometry.padding}
    size = (
        nn.functional.conv2d(ax, aw, **args),
        torch.nn.grad.conv2d_input(ax.shape, aw_dx, ae, **args),
        torch.nn.grad.conv2d_weight(ax, aw.shape, ae, **args),
    )
    return values, tuple(nhwc(s) for s in size)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"), [(3, 1, 1, 6), (3, 2, 1, 7), (3, 1, 0, 6), (1, 2, 0, 6)]
)
def test_convolution_equals_the_integer_passes(bits, kernel, stride, padding, size):
    generator = torch.Generator().manual_seed(bits)
    geometry = golden.ConvGeometry(2, size, size, 3, 4, kernel, stride, padding)
    conv = nn.Conv2d(3, 4, kernel, stride, padding, bias=False)
    layer = QuantConv2d.from_float(conv, QuantConfig(fw=bits, bw=17 - bits, seed=SEED), LAYER)
    x = torch.randn(2, 3, size, size, generator=generator).add_(0.5)
    if bits % 2:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    y = layer(x)
    grad = torch.randn(y.shape, generator=generator)
    y.backward(grad)
    values, sizes = reference(x, conv.weight, grad, geometry, bits, 17 - bits)
    for got, want, size_of in zip(
        (nhwc(y), nhwc(x.grad), ohwi(conv.weight.grad)), values, sizes, strict=True
    ):
        assert_close(got, want, size_of)


@pytest.mark.parametrize("bits", range(1, 17))
def test_linear_layer_equals_the_integer_passes(bits):
    generator = torch.Generator().manual_seed(bits)
    linear = nn.Linear(20, 7)
    layer = QuantLinear.from_float(linear, QuantConfig(fw=bits, bw=bits, seed=SEED), LAYER)
    x = torch.randn(6, 20, generator=generator, requires_grad=True)
    grad = torch.randn(6, 7, generator=generator)
    y = layer(x)
    y.backward(grad)
    geometry = golden.ConvGeometry(6, 1, 1, 20, 7, 1, 1, 0)
    image = (x[..., None, None], linear.weight[..., None, None], grad[..., None, None])
    (forward, dx, dw), sizes = reference(*image, geometry, bits, bits)
    assert_close((y - linear.bias).detach().numpy(), forward[:, 0, 0], 2 * sizes[0][:, 0, 0] + 1)
    assert_close(x.grad.numpy(), dx[:, 0, 0], sizes[1][:, 0, 0])
    assert_close(linear.weight.grad.numpy(), dw[:, 0, 0], sizes[2][:, 0, 0])


def test_noise_moves_on_with_every_training_step_and_replays_from_the_state():
    conv = nn.Conv2d(2, 3, 3, padding=1)
    x = torch.randn(1, 2, 5, 5)
    grad = torch.randn(1, 3, 5, 5)

    def weight_grad(layer):
        layer.weight.grad = None
        layer(x).backward(grad)
        return layer.weight.grad.clone()

    layer = QuantConv2d.from_float(conv, QuantConfig(bw=2), 0)
    first, second = weight_grad(layer), weight_grad(layer)
    assert not torch.equal(first, second)
    again = QuantConv2d.from_float(conv, QuantConfig(bw=2), 0)
    assert torch.equal(first, weight_grad(again))
    again.load_state_dict(layer.state_dict())
    assert torch.equal(weight_grad(layer), weight_grad(again))


def test_evaluation_uses_the_running_range_without_its_bias(monkeypatch):
    layer = QuantConv2d.from_float(nn.Conv2d(2, 3, 1), QuantConfig(fw=3), 0)
    running = RunningRange()
    layer.train()
    for step in range(3):
        x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(step)) * (step + 1)
        layer(x)
        running.update(x.min().item(), x.max().item())
    layer.eval()
    lo, hi = (torch.tensor(value) for value in running.value())
    seen = {}
    monkeypatch.setattr(Sbm, "activation", lambda *given: seen.update(found=given[3]) or given[1])
    layer(x)
    assert torch.allclose(torch.stack(seen["found"]), torch.stack((lo, hi)), rtol=1e-6)


def test_depthwise_weights_have_a_range_per_channel_in_every_pass():
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
    layer = QuantConv2d.from_float(conv, QuantConfig(fw=4, bw=0), 0)
    w, w_dx = layer.precision.weights(conv.weight, groups=6)
    assert torch.equal(w, w_dx)


def test_dx_with_forward_weights_is_the_gradient_of_the_quantised_layer():
    conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    layer = QuantConv2d.from_float(conv, QuantConfig(Sbm(dx_weights="forward"), fw=3, bw=0), 0)
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    grad = torch.randn(2, 4, 5, 5)
    layer(x).backward(grad)
    w = golden.dequantise(golden.quantise(conv.weight.detach().numpy(), 3, axis=0))
    want = torch.nn.grad.conv2d_input(x.shape, torch.from_numpy(w), grad, padding=1)
    assert torch.allclose(x.grad, want, atol=1e-5)


def test_full_precision_is_the_float_layer():
    for float_layer, x in (
        (nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)),
        (nn.Linear(3, 4), torch.randn(2, 3)),
    ):
        kind = QuantConv2d if isinstance(float_layer, nn.Conv2d) else QuantLinear
        layer = kind.from_float(float_layer, QuantConfig(fw=0, bw=0), 0)
        assert torch.allclose(layer(x), float_layer(x), atol=1e-6)


def test_biases_are_quantised_on_request():
    linear = nn.Linear(3, 50)
    x = torch.zeros(1, 3)
    plain = QuantLinear.from_float(linear, QuantConfig(fw=2), 0)(x)
    few = QuantLinear.from_float(linear, QuantConfig(fw=2, quantise_bias=True), 0)(x)
    assert len(plain.unique()) == 50
    assert len(few.unique()) == 4


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "circular"])
def test_other_paddings_work(padding_mode):
    conv = nn.Conv2d(2, 3, 3, padding=1, padding_mode=padding_mode)
    layer = QuantConv2d.from_float(conv, QuantConfig(fw=16), 0)
    x = torch.randn(1, 2, 6, 6)
    assert torch.allclose(layer(x), conv(x), atol=1e-3)


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 1), (3, 2)])
def test_a_padding_called_same_or_valid_is_torchs(kernel, dilation):
    for padding in ("same", "valid"):
        conv = nn.Conv2d(2, 3, kernel, padding=padding, dilation=dilation)
        layer = QuantConv2d.from_float(conv, QuantConfig(fw=16), 0)
        x = torch.randn(1, 2, 7, 7)
        assert torch.allclose(layer(x), conv(x), atol=1e-3)


def test_a_linear_layer_takes_a_vector():
    linear = nn.Linear(3, 4)
    layer = QuantLinear.from_float(linear, QuantConfig(fw=16, bw=16), 0)
    x = torch.randn(3)
    layer(x).sum().backward()
    assert torch.allclose(linear.weight.grad, x.expand(4, 3), atol=1e-3)


@pytest.mark.parametrize("quantiser", ["sbm", "dorefa", "wageubn", "fabric"])
def test_autocast_changes_nothing_in_quantised_layers(quantiser):
    def grads(mixed):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
        quantize_(net, QuantConfig(quantiser))
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            y = net(torch.randn(2, 1, 4, 4).to(torch.bfloat16).float())
        y.square().sum().backward()
        return [y, *(parameter.grad for parameter in net.parameters())]

    for got, want in zip(grads(True), grads(False), strict=True):
        assert torch.equal(got, want)


def test_autocast_computes_layers_in_full_precision():
    layer = QuantLinear.from_float(nn.Linear(3, 4), QuantConfig(fw=0, bw=0), 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 3)).dtype == torch.bfloat16


def test_a_layer_of_half_precision_is_refused():
    layer = QuantLinear.from_float(nn.Linear(3, 4), QuantConfig(), 0).bfloat16()
    with pytest.raises(ValueError, match=r"^input is torch\.bfloat16; allowed: torch\.float32"):
        layer(torch.randn(2, 3).bfloat16())
