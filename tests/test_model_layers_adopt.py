"""A layer that becomes a quantised one, or a float one again, keeps all it held."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from cpt.model import QuantConfig, dequantize_, precisions, quantize_

torch.set_num_threads(1)


def pruned(layer, name="weight"):
    prune.random_unstructured(layer, name, 0.5)
    return layer


WRAPS = {
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "prune": pruned,
    "parametrizations.weight_norm": parametrizations.weight_norm,
    "parametrizations.spectral_norm": parametrizations.spectral_norm,
}


def step(net, x):
    net.zero_grad()
    net(x).square().mean().backward()


def test_hooks_buffers_attributes_and_flags_survive_both_ways():
    seen = []
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    for layer in (net[0], net[2]):
        layer.register_forward_hook(lambda *_: seen.append("forward"))
        layer.register_forward_pre_hook(lambda *_: seen.append("before"))
        layer.register_full_backward_hook(lambda *_: seen.append("backward"))
        layer.register_buffer("mask", torch.ones(1))
        layer.role, layer.weight.requires_grad = "mine", False
    gone = net[0].register_forward_hook(lambda *_: seen.append("removed"))
    net[2].eval()
    for change in (quantize_, dequantize_):
        change(net)
        gone.remove()  # a handle from before still works
        seen.clear()
        step(net, torch.randn(2, 3, 8, 8, requires_grad=True))
        assert sorted(seen) == sorted(("forward", "before", "backward") * 2)
        assert all(layer.role == "mine" and not layer.weight.requires_grad for layer in (net[0], net[2]))
        assert (net[0].training, net[2].training) == (True, False)
        assert {"0.mask", "2.mask"} <= set(net.state_dict())
    assert (type(net[0]), type(net[2])) == (nn.Conv2d, nn.Linear)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize(
    "make", [lambda: nn.Conv2d(3, 4, 3), lambda: nn.Linear(8, 5)], ids=["conv", "linear"]
)
def test_a_weight_made_anew_at_each_use_is_quantised_and_trains(wrap, make):
    torch.manual_seed(0)
    layer = wrap(make())
    net = quantize_(nn.Sequential(layer), QuantConfig(fw=16, bw=0))
    x = torch.randn(2, 3, 8, 8)
    float_net = nn.Sequential(layer)
    for model in (float_net, net):
        model.eval()  # spectral norm then takes no further step of its iteration
    net[0].precision.calibrating = True
    torch.testing.assert_close(net(x), float_net(x), rtol=1e-2, atol=1e-2)
    for _ in range(2):
        step(net, x)
        before = net(x)
        with torch.no_grad():
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad)
        assert not torch.equal(net(x), before)
    again = dequantize_(net)
    torch.testing.assert_close(again(x), float_net(x))


def test_reparametrisations_come_off_a_quantised_layer_as_torch_says():
    net = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), pruned(nn.Linear(4, 4)))
    quantize_(net)
    nn.utils.parametrize.remove_parametrizations(net[0], "weight")
    prune.remove(net[1], "weight")
    assert all(isinstance(layer.weight, nn.Parameter) for layer in net)
    assert len(precisions(net)) == 2
    step(net, torch.randn(2, 3))


@pytest.mark.parametrize("name", ["weight_hh_l0", "weight_ih_l0"])
def test_an_lstms_parametrised_weight_trains(name):
    lstm = parametrizations.weight_norm(nn.LSTM(3, 4), name)
    net = quantize_(lstm, QuantConfig(fw=8, bw=8))
    assert len(precisions(net)) == 2
    net(torch.randn(5, 2, 3))[0].square().mean().backward()
    assert net.parametrizations[name].original0.grad is not None


def test_attention_and_lstm_go_back_to_float_with_the_same_state():
    net = nn.ModuleDict({"lstm": nn.LSTM(4, 4, bidirectional=True), "attention": nn.MultiheadAttention(4, 2)})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = torch.randn(5, 2, 4)
    want = [net["lstm"](x)[0], net["attention"](x, x, x)[0]]
    dequantize_(quantize_(net))
    assert {name: type(layer) for name, layer in net.items()} == {
        "lstm": nn.LSTM,
        "attention": nn.MultiheadAttention,
    }
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(net["lstm"](x)[0], want[0])
    assert torch.equal(net["attention"](x, x, x)[0], want[1])


def test_wageubns_batch_norm_keeps_hooks_and_goes_back():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    seen = []
    net[1].register_forward_hook(lambda *_: seen.append(1))
    quantize_(net, QuantConfig("wageubn"))
    net(torch.randn(2, 1, 3, 3))
    assert seen == [1]
    assert type(dequantize_(net)[1]) is nn.BatchNorm2d


def test_a_layer_with_a_forward_of_its_own_is_refused_by_name():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].forward = lambda x: x
    with pytest.raises(ValueError, match=r"^forward is set on the layer itself; allowed.*\(layer '1'\)$"):
        quantize_(net)
    assert type(net[0]) is nn.Linear


@pytest.mark.parametrize(
    "wrap", [lambda layer: layer, parametrizations.weight_norm], ids=["plain", "parametrised"]
)
def test_copies_and_whole_saved_models_compute_the_same(wrap):
    net = quantize_(nn.Sequential(wrap(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2)), QuantConfig(fw=5))
    x = torch.randn(6, 3)
    net(x)
    net.eval()
    copies = [copy.deepcopy(net)]
    if not nn.utils.parametrize.is_parametrized(net[0]):  # torch does not pickle these
        file = io.BytesIO()
        torch.save(net, file)
        file.seek(0)
        copies.append(torch.load(file, weights_only=False))
    for other in copies:
        assert torch.equal(other(x), net(x))
