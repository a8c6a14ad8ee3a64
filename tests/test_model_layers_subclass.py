"""Subclasses of torch's layers, and modules that use their layers' weights themselves."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from cpt.model import (
    CyclicPrecision,
    QuantConfig,
    dequantize_,
    float_layers,
    follow_weights_,
    precision,
    precisions,
    quantize_,
    set_precision,
)
from cpt.model.layers import QuantConv2d, QuantLinear

CONFIG = QuantConfig(fw=4, bw=6)


class OtherStart(nn.Conv2d):
    """Begins with other weights; nothing else."""

    def reset_parameters(self):
        nn.init.constant_(self.weight, 0.25)

    def name_of_it(self):
        return "still here"


class Standardised(nn.Conv2d):
    """Weights without mean, of equal spread, as in Big Transfer."""

    def forward(self, x):
        return functional.conv2d(
            x, standard(self.weight), self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Same(nn.Conv2d):
    """By name, with sizes as single numbers."""

    def forward(self, x):
        return functional.conv2d(input=x, weight=self.weight, bias=self.bias, padding="same", dilation=2)


class Doubled(nn.Linear):
    """A linear layer between other arithmetic."""

    def forward(self, x, gain=2):
        return gain * functional.linear(x, self.weight * 2, self.bias)


class Sequence(nn.Conv1d):
    """One dimension."""

    def forward(self, x):
        return functional.conv1d(x, self.weight, self.bias, 2, 1)


def standard(w):
    spread, mean = torch.var_mean(w, (1, 2, 3), keepdim=True)
    return (w - mean) / torch.sqrt(spread + 1e-6)


KINDS = {
    "other start": (lambda: OtherStart(3, 4, 3, padding=1), (2, 3, 6, 6)),
    "standardised": (lambda: Standardised(3, 4, 3, stride=2), (2, 3, 6, 6)),
    "same": (lambda: Same(3, 4, 2), (2, 3, 6, 6)),
    "pointwise": (lambda: Standardised(3, 4, 1, stride=2), (2, 3, 6, 6)),
    "groups": (lambda: Standardised(4, 4, 3, groups=4), (2, 4, 6, 6)),
    "doubled": (lambda: Doubled(3, 4), (5, 3)),
    "sequence": (lambda: Sequence(3, 4, 3), (2, 3, 8)),
    "one sample": (lambda: Sequence(3, 4, 3), (3, 8)),
}


@pytest.fixture(params=KINDS)
def kind(request):
    torch.manual_seed(0)
    make, shape = KINDS[request.param]
    return make(), torch.randn(shape)


def test_in_full_precision_it_is_the_float_layer(kind):
    layer, x = kind
    want = layer(x)
    assert torch.equal(quantize_(copy.deepcopy(layer), QuantConfig(fw=0, bw=0))(x), want)


def test_it_trains_quantised_and_goes_back(kind):
    layer, x = kind
    want, given = layer(x), dict(layer.named_parameters())
    net = quantize_(nn.Sequential(layer), CONFIG, strict=True)
    y = net(x)
    assert y.shape == want.shape
    assert not torch.equal(y, want)
    assert (y - want).abs().mean() < 0.25 * want.std()
    y.square().sum().backward()
    assert all(given[name] is parameter for name, parameter in net[0].named_parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in given.values())
    back = dequantize_(net)[0]
    assert type(back) is type(layer)
    assert torch.equal(back(x), want)


def test_it_is_copied_saved_and_compiled(kind):
    layer, x = kind
    net = quantize_(nn.Sequential(layer), CONFIG)
    net(x)
    net.eval()
    want = net(x)
    assert torch.equal(copy.deepcopy(net)(x), want)
    buffer = io.BytesIO()
    torch.save(net, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert torch.equal(again(x), want)
    assert type(again[0]) is type(net[0])
    assert torch.allclose(torch.compile(net, backend="aot_eager")(x), want, atol=1e-5)


def test_one_that_only_begins_otherwise_is_the_layer_itself():
    torch.manual_seed(0)
    plain, other = nn.Conv2d(3, 4, 3, padding=1), OtherStart(3, 4, 3, padding=1)
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 6, 6)
    plain, other = quantize_(nn.Sequential(plain), CONFIG), quantize_(nn.Sequential(other), CONFIG)
    y, y2 = plain(x), other(x)
    assert torch.equal(y, y2)
    y.square().sum().backward()
    y2.square().sum().backward()
    assert torch.equal(plain[0].weight.grad, other[0].weight.grad)
    assert isinstance(other[0], OtherStart)
    assert other[0].name_of_it() == "still here"


def test_weights_are_quantised_as_the_product_gets_them():
    torch.manual_seed(0)
    layer = Standardised(3, 4, 3)
    x = torch.randn(2, 3, 6, 6)
    plain = nn.Conv2d(3, 4, 3)
    plain.load_state_dict({"weight": standard(layer.weight.detach()), "bias": layer.bias.detach()})
    assert torch.equal(quantize_(layer, CONFIG)(x), quantize_(plain, CONFIG)(x))


def test_parametrised_ones_stay_so():
    torch.manual_seed(0)
    net = nn.Sequential(parametrizations.weight_norm(Doubled(3, 4)))
    quantize_(net, CONFIG, strict=True)
    net(torch.randn(5, 3)).square().sum().backward()
    assert net[0].parametrizations.weight.original0.grad.abs().sum() > 0


def test_autocast_leaves_its_codes_alone():
    torch.manual_seed(0)
    net = quantize_(nn.Sequential(Standardised(3, 4, 3)), CONFIG).eval()
    x = torch.randn(2, 3, 6, 6)
    with pytest.warns(UserWarning, match="evaluation before training"):
        want = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net(x), want)


def test_parts_of_layers_that_are_quantised_as_a_whole_are_left_to_them():
    attention = quantize_(nn.Sequential(nn.MultiheadAttention(4, 2)), CONFIG)
    assert len(precisions(attention)) == 4
    assert isinstance(attention[0].out_proj, nn.Linear)
    assert not isinstance(attention[0].out_proj, QuantLinear)
    assert float_layers(attention) == {}


class Window(nn.Module):
    """Uses the weights of its layers past them."""

    def __init__(self):
        super().__init__()
        self.proj, self.conv = nn.Linear(4, 4), nn.Conv2d(4, 4, 3, padding=1)
        self.called = nn.Linear(4, 4)

    def forward(self, x):  # (N, 4, H, W)
        y = functional.conv2d(x, self.conv.weight, self.conv.bias, padding=1)
        y = functional.linear(y.mean((2, 3)), self.proj.weight, self.proj.bias)
        return functional.linear(self.called(y), y)  # no weight of a layer


class ByLayers(Window):
    """The same by its layers."""

    def forward(self, x):
        y = self.proj(self.conv(x).mean((2, 3)))
        return functional.linear(self.called(y), y)


@pytest.fixture
def windows():
    torch.manual_seed(0)
    past, by = nn.Sequential(Window()), nn.Sequential(ByLayers())
    by.load_state_dict(past.state_dict())
    for net in (past, by):
        quantize_(net, CONFIG)
    follow_weights_(past, lambda module, name: isinstance(module, Window))
    return past, by, torch.randn(3, 4, 5, 5)


def test_weights_used_past_their_layers_are_used_as_the_layers_would(windows):
    past, by, x = windows
    y, y2 = past(x), by(x)
    assert torch.equal(y, y2)
    y.square().sum().backward()
    y2.square().sum().backward()
    for one, other in zip(past.parameters(), by.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    for one, other in zip(past.buffers(), by.buffers(), strict=True):
        assert torch.equal(one, other)
    set_precision(past, fw=2)
    assert not torch.equal(past.eval()(x), by.eval()(x))


def test_in_full_precision_nothing_changes(windows):
    past, _, x = windows
    with precision(past, fw=0, bw=0):
        assert torch.equal(past(x), Window.forward(past[0], x))


def test_schedulers_say_what_to_do_about_layers_that_never_run():
    net = quantize_(nn.Sequential(Window()), CONFIG)
    schedule = CyclicPrecision(net, (3, 8), 1, 4)
    net(torch.randn(1, 4, 5, 5))
    with pytest.raises(ValueError, match=r"never run: 0\.proj, 0\.conv .*follow_weights_"):
        schedule.step()
    follow_weights_(net, lambda module, name: name == "0")
    net(torch.randn(1, 4, 5, 5))
    assert schedule.step()[0] > 3


def test_followed_modules_are_copied_saved_compiled_and_left_again(windows):
    past, _, x = windows
    past(x)
    want = past.eval()(x)
    assert torch.equal(copy.deepcopy(past)(x), want)
    buffer = io.BytesIO()
    torch.save(past, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), want)
    assert torch.allclose(torch.compile(past, backend="aot_eager")(x), want, atol=1e-5)
    assert isinstance(past[0].conv, QuantConv2d)
    assert type(dequantize_(past)[0]) is Window


def test_a_filter_that_takes_nothing_is_refused(windows):
    past, _, _ = windows
    with pytest.raises(ValueError, match=r"^filter_fn takes 0 of 2 modules with quantised layers inside"):
        follow_weights_(past, lambda module, name: False)
