"""Quantising a model, changing its precision, and counting its work."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import cpt
from cpt.model import networks
from cpt.model.adaptive.ldp import LearnedPrecision
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precision, precisions, set_precision
from cpt.model.layer_summary import summary
from cpt.model.layers import LayerPrecision, QuantConv2d, QuantLinear
from cpt.model.quantize import QUANTISABLE, dequantize_, float_layers, quantize_, register

torch.set_num_threads(1)


def small(config=None):
    torch.manual_seed(0)
    return quantize_(networks.cifar_resnet(8, image_size=8, image_channels=1, width=4), config)


def test_cifar_network_keeps_only_its_classifier_in_full_precision():
    net = networks.cifar_resnet(20)
    before = dict(net.named_parameters())
    assert quantize_(net) is net
    after = dict(net.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert type(net.classifier) is nn.Linear
    assert len(precisions(net)) == 19 + 2
    assert [item.layer for item in precisions(net).values()] == list(range(21))


def test_imagenet_network_also_keeps_stem_and_shortcuts():
    with torch.device("meta"):
        net = networks.imagenet_resnet(18)
    kept = {"stem.conv", "classifier", *(f"blocks.{i}.shortcut.conv" for i in (2, 4, 6))}
    assert net.full_precision_layers == kept


class OneMore(nn.Conv2d):
    """A subclass that a user registers."""


class Bilinear(nn.Bilinear):
    """A subclass of what is not known."""


class Functional(nn.Module):
    """A weight of its own, in no layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.ones(3, 3))

    def forward(self, x):
        return x @ self.table


def test_what_stays_float_is_reported_by_name_and_reason():
    net = nn.ModuleDict(
        {
            "done": nn.Linear(3, 3),
            "attention": nn.MultiheadAttention(4, 2),
            "left": nn.Linear(3, 3),
            "cell": nn.GRUCell(2, 2),
            "up": Bilinear(2, 2, 3),
            "own": Functional(),
            "normed": nn.utils.parametrizations.weight_norm(nn.Bilinear(2, 2, 3)),
            "words": nn.Embedding(5, 3),
            "norm": nn.LayerNorm((3, 3)),
            "lazy": nn.LazyLinear(3),
        }
    )
    quantize_(net, filter_fn=lambda module, name: name != "left")
    found = float_layers(net)
    assert list(found) == ["left", "cell", "up", "own", "normed", "lazy"]
    assert found["left"] == "Linear (weight): left out"
    assert found["own"].startswith("Functional (table): no type that is known")
    assert found["normed"].startswith("Bilinear (weight): no type")
    assert found["cell"].startswith("GRUCell (weight_ih, weight_hh): ")


def test_strict_refuses_what_would_stay_float_and_changes_nothing():
    def make():
        return nn.Sequential(
            nn.Linear(3, 3), nn.MultiheadAttention(4, 2), nn.GRUCell(3, 3), nn.Embedding(3, 3)
        )

    net = make()
    with pytest.raises(
        ValueError, match=r"^strict, and 1 would stay float: 2 is a GRUCell \(weight_ih, weight_hh\): no"
    ):
        quantize_(net, strict=True)
    assert type(net[0]) is nn.Linear
    quantize_(net, filter_fn=lambda module, name: name != "2", strict=True)
    assert len(precisions(net)) == 5


def test_users_register_layers_of_their_own(monkeypatch):
    class Twice(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(self.layer(x))

    monkeypatch.setattr("cpt.model.quantize.QUANTISABLE", dict(QUANTISABLE))
    register(OneMore, QuantConv2d.from_float)
    register(
        nn.Bilinear,
        lambda module, config, layer: Twice(QuantLinear.from_float(nn.Linear(2, 2), config, layer)),
    )
    net = quantize_(nn.Sequential(OneMore(1, 2, 3), nn.Bilinear(2, 2, 3), nn.Linear(2, 2)), strict=True)
    assert [item.layer for item in precisions(net).values()] == [0, 1, 2]
    assert type(net[1]) is Twice
    with pytest.raises(ValueError, match=r"^kind is 'x'; allowed: a class derived from torch\.nn\.Module"):
        register("x", QuantConv2d.from_float)


def test_a_registered_layer_without_a_way_back_is_named():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.precision = LayerPrecision(QuantConfig(), 0)

    with pytest.raises(ValueError, match=r"^layer '0' is a Own without to_float"):
        dequantize_(nn.Sequential(Own()))


def test_a_transformer_goes_back_to_float_with_its_fused_path():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    fused, state = layer.activation_relu_or_gelu, set(layer.state_dict())
    dequantize_(quantize_(layer))
    assert layer.activation_relu_or_gelu == fused
    assert set(layer.state_dict()) == state
    assert not precisions(layer)


def test_a_layer_used_twice_is_replaced_wherever_it_is():
    shared = nn.Linear(4, 4)
    net = quantize_(nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared)))
    assert net[0] is net[2][0]
    assert list(precisions(net)) == ["0"]
    assert summary(net, torch.zeros(3, 4)).macs == 2 * 4 * 4


def test_a_single_layer_comes_back_quantised():
    layer = quantize_(nn.Linear(3, 4))
    assert "precision" in dict(layer.named_children())


def test_a_model_without_layers_is_refused():
    with pytest.raises(ValueError, match=r"^model has 0 layers to quantise; allowed"):
        quantize_(nn.ReLU())


@pytest.mark.parametrize("quantiser", ["sbm", "dorefa", "wageubn", "fabric"])
def test_every_quantiser_learns(quantiser):
    net = small(QuantConfig(quantiser=quantiser, fw=6, bw=8))
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    y = torch.arange(16) % 10
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("quantiser", ["sbm", "fabric"])
def test_a_compiled_model_never_recompiles_over_a_cycle(quantiser):
    net = small(QuantConfig(quantiser))
    set_precision(net, bw=8)
    compiles = []

    def backend(graph, inputs):
        compiles.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    x = torch.randn(4, 1, 8, 8)
    for fw in (3, 4):
        set_precision(net, fw=fw)
        compiled(x).sum().backward()
    warm = len(compiles)
    for fw in (3, 4, 5, 6, 7, 8):
        set_precision(net, fw=fw)
        compiled(x).sum().backward()
    for index, item in enumerate(precisions(net).values()):
        item.set_bits(fw=3 + index % 6)
    compiled(x).sum().backward()
    assert warm > 0
    assert len(compiles) == warm


def test_a_compiled_model_never_recompiles_while_precision_is_learned():
    net = small()
    x = torch.randn(4, 1, 8, 8)
    macs = {layer.name: layer.macs for layer in summary(net, x).layers}
    learned = LearnedPrecision(net, (3, 8), macs, lr=50.0)
    compiles = []

    def backend(graph, inputs):
        compiles.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    for _ in range(8):
        compiled(x).square().mean().backward()
        learned.step()
        learned.record()
    assert len(compiles) == 1
    assert len({tuple(row) for row in learned.history}) == 8
    assert len({bits for row in learned.history for bits in row}) > 3


@pytest.mark.parametrize("quantiser", ["sbm", "fabric"])
def test_a_compiled_model_computes_what_the_plain_one_does(quantiser):
    """The same codes, in backward those of the same noise; results differ in their last bits only."""

    def network():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
        return quantize_(layers, QuantConfig(quantiser, bw=2, seed=5))

    plain, fused = network(), network()
    compiled = torch.compile(fused)
    for bits in (3, 8):
        x = torch.randn(5, 1, 5, 5)
        for net, run in ((plain, plain), (fused, compiled)):
            set_precision(net, fw=bits)
            net.zero_grad()
            run(x).square().sum().backward()
        for one, other in zip(plain.parameters(), fused.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-5, atol=1e-5)
    assert plain.state_dict().keys() == fused.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name], value)


def test_the_api_is_at_hand_in_cpt_and_loads_torch_only_when_used():
    assert cpt.quantize_ is quantize_
    assert cpt.precision is precision
    code = (
        "import sys, cpt.model.golden, cpt.model.noise, cpt.model.ranges, cpt.model.schedule;"
        "import cpt.model.bitops;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
