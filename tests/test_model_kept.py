"""Products keep codes of a byte for their backward pass: less memory, and the same gradients to the bit."""

import copy
import dataclasses
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cpt.model import QuantConfig, kept, quantize_
from cpt.model.benchmark import _Memory
from cpt.model.layers import precision as layers_precision
from cpt.model.networks import cifar_resnet
from cpt.model.networks.relu import relu_
from cpt.model.quantisers import Sbm

NETS = {
    "conv": (lambda: nn.Conv2d(3, 4, 3, padding=1), (2, 3, 8, 8)),
    "padding by name": (lambda: nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular"), (2, 3, 8, 8)),
    "strided pointwise": (lambda: nn.Conv2d(3, 4, 1, stride=2), (2, 3, 8, 8)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), (2, 4, 8, 8)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), (2, 3, 8, 8)),
    "one sample": (lambda: nn.Conv1d(3, 4, 3), (3, 9)),
    "linear": (lambda: nn.Linear(6, 5), (2, 7, 6)),
    "lstm": (lambda: nn.LSTM(6, 5), (4, 2, 6)),
    "gru": (lambda: nn.GRU(6, 5), (4, 2, 6)),
    "attention": (lambda: Attention(), (4, 2, 6)),
    "resnet": (lambda: cifar_resnet(8, 10, 8, 3, 4), (4, 3, 8, 8)),
}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2)

    def forward(self, x):
        return self.attention(x, x, x)[0]


def gradients(net, x, monkeypatch, keep, last=False):
    """Output, then gradients of input and weights."""
    with monkeypatch.context() as patch:
        if not keep:
            patch.setattr(layers_precision, "others", lambda: True)
        x = x.clone().requires_grad_()
        y = net(x)
        y = y[0] if isinstance(y, tuple) else y
        y.square().sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in net.parameters())]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("quantiser", ["sbm", "dorefa"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_are_those_of_values_kept(name, quantiser, channels_last, monkeypatch):
    make, shape = NETS[name]
    torch.manual_seed(0)
    x = torch.randn(shape)
    if channels_last and x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    net = quantize_(nn.Sequential(make()), QuantConfig(quantiser, fw=5, bw=6))
    other = copy.deepcopy(net)
    for a, b in zip(
        gradients(net, x, monkeypatch, True), gradients(other, x, monkeypatch, False), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("fw", "share"), [(3, 0.25), (8, 0.25), (9, 1.0), (16, 1.0), (0, 1.0)])
def test_a_product_keeps_a_quarter_up_to_8_bits(fw, share):
    torch.manual_seed(0)
    net = quantize_(nn.Sequential(nn.Linear(256, 4)), QuantConfig(fw=fw, bw=0))
    x = torch.randn(512, 256)  # no gradient: nothing else is kept
    assert net(x).shape == (512, 4)
    with _Memory() as memory:
        y = net(x if fw else x * 1)
    assert memory._now == pytest.approx(share * x.numel() * 4 + 5 * 4 * 256 * 2, rel=0.05)
    del y


def test_a_product_of_sequences_keeps_codes_too():
    for dx_weights in ("input_channel", "forward"):
        config = QuantConfig("sbm", fw=4, bw=0)
        config = dataclasses.replace(config, quantiser=Sbm(dx_weights=dx_weights))
        net = quantize_(nn.Sequential(nn.Linear(64, 2)), config)
        x = torch.randn(8, 100, 64)
        with _Memory() as memory:
            y = net(x)
        assert memory._now < 0.4 * x.numel() * 4, dx_weights
        del y


def test_a_view_in_another_order_is_kept_as_it_is():
    layer = quantize_(nn.Linear(6, 6), QuantConfig(bw=0)).precision
    x = layer.activation(torch.randn(6, 6, requires_grad=True))
    with kept.as_codes(x):
        y = torch.sin(x.t())
    (found,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(found, torch.cos(x))


def test_values_far_from_zero_come_back_to_the_bit():
    """Where a step is as small as the last place of the values, rounding finds other codes than were kept."""
    generator = torch.Generator().manual_seed(0)
    for power in range(-3, 4):
        x = 2.0**power * (1 - 2.0**-20) + torch.rand(1000, generator=generator) * 2.0 ** (power - 19)
        layer = quantize_(nn.Linear(1000, 1), QuantConfig(bw=0)).precision
        y = layer.activation(x)
        assert torch.equal(getattr(y, kept._ATTRIBUTE).values(), y)


def test_backward_twice_and_without_gradients(monkeypatch):
    net = quantize_(nn.Sequential(nn.Linear(6, 5)), QuantConfig(bw=0))
    y = net(torch.randn(3, 6)).sum()
    y.backward(retain_graph=True)
    once = net[0].weight.grad.clone()
    y.backward()
    assert torch.equal(net[0].weight.grad, 2 * once)
    with torch.no_grad():
        assert not hasattr(net[0].precision.activation(torch.randn(3, 6)), kept._ATTRIBUTE)


@pytest.mark.parametrize("reentrant", [False, True])
def test_hooks_of_others_are_left_in_charge(reentrant):
    """Checkpointing and offloading look after what is kept themselves."""
    torch.manual_seed(0)
    net = quantize_(nn.Sequential(nn.Linear(6, 6)), QuantConfig(bw=4))
    x = torch.randn(3, 6, requires_grad=True)
    other = copy.deepcopy(net)
    other(x).square().sum().backward()
    checkpoint(net, x, use_reentrant=reentrant).square().sum().backward()
    assert torch.equal(net[0].weight.grad, other[0].weight.grad)
    third = copy.deepcopy(other)
    third.zero_grad()
    third[0].precision.noise_step.zero_()
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t.dtype) or t, lambda t: t):
        third(x).square().sum().backward()
    assert torch.uint8 not in packed
    assert torch.equal(third[0].weight.grad, net[0].weight.grad)


def test_tensors_with_codes_are_copied_and_pickled_without_them():
    layer = quantize_(nn.Linear(6, 6), QuantConfig(bw=0)).precision
    y = layer.activation(torch.randn(2, 6))
    assert torch.equal(pickle.loads(pickle.dumps(y)), y)
    assert torch.equal(copy.deepcopy(y), y)
    assert not hasattr(y + 0, kept._ATTRIBUTE)


@pytest.mark.parametrize("native", [False, True])
def test_relu_has_torchs_values_and_gradients(native, monkeypatch):
    if not native:
        monkeypatch.setattr("cpt.model.networks.relu.kernels_for", lambda x: None)
    torch.manual_seed(0)
    x = torch.randn(4, 100)
    x[0, :5] = torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf")])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    for one, function in ((ours, relu_), (theirs, torch.relu_)):
        y = function(one * 1)
        (y.nan_to_num(3, 4, 5) * torch.arange(100)).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)
    assert torch.equal(relu_(x.clone()).nan_to_num(7), torch.relu(x).nan_to_num(7))
    with torch.no_grad():
        assert torch.equal(relu_(x.clone()).nan_to_num(7), torch.relu(x).nan_to_num(7))


@pytest.mark.parametrize("of_input", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_gradient", [torch.contiguous_format, torch.channels_last])
def test_relu_gives_gradients_of_one_order_of_memory_with_and_without_a_compiler(
    of_input, of_gradient, monkeypatch
):
    """Sums behind it depend on that order."""
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=of_input).requires_grad_()
    gradient, found = torch.randn(2, 3, 4, 5).contiguous(memory_format=of_gradient), []
    for native in (True, False):
        if not native:
            monkeypatch.setattr("cpt.model.networks.relu.kernels_for", lambda x: None)
        before = x * 1
        before.register_hook(found.append)
        relu_(before).backward(gradient)
        assert torch.equal(found[-1], gradient * (x > 0))
    assert found[0].stride() == found[1].stride()


def test_relu_keeps_a_byte_a_number():
    x = torch.randn(1000, requires_grad=True)
    y = x * 1
    with _Memory() as memory:
        relu_(y)
    assert memory._now == 1000
