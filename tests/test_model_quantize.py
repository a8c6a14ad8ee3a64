"""Quantising a model, changing its precision, and counting its work."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import cpt
from cpt.model import architecture, bitops, networks
from cpt.model.config import QuantConfig
from cpt.model.layer_summary import summary
from cpt.model.layers import LayerPrecision, QuantConv2d, QuantLinear
from cpt.model.ldp import LearnedPrecision
from cpt.model.quantisers import Sbm, Wageubn, quantiser_names, register_quantiser, registry
from cpt.model.quantize import (
    QUANTISABLE,
    dequantize_,
    float_layers,
    layer_configs,
    precision,
    precisions,
    quantize_,
    register,
    set_precision,
)
from cpt.model.schedulers import StaticPrecision

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


def test_filter_chooses_layers_by_name_and_module():
    net = networks.cifar_resnet(8, width=4)
    quantize_(
        net, filter_fn=lambda module, name: name.startswith("blocks.1") and module.kernel_size == (3, 3)
    )
    assert set(precisions(net)) == {"blocks.1.0.conv", "blocks.1.1.conv"}


def by_name_first(part: str, _: object) -> bool:
    return part == "0"


def by_module_second(_, module):
    return True


@pytest.mark.parametrize(
    ("old_order", "said"),
    [
        (lambda name, _: name == "0", ""),
        (lambda fqn, layer: fqn == "0", ""),
        (by_name_first, ""),
        (by_module_second, ""),
        (lambda n, m: n == "0", "; as it stands it takes none"),
        (lambda n, m: n != "0", "; as it stands it takes all"),
        (lambda n, m: n not in {"0", "head"}, "; as it stands it takes all"),
    ],
)
def test_a_filter_in_the_old_order_is_refused_in_one_line(old_order, said):
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    message = r"^filter_fn is written for \(name, module\); allowed: filter_fn\(module, name\), as torchao's"
    message += f"{said}$"
    with pytest.raises(ValueError, match=message):
        quantize_(net, filter_fn=old_order)
    assert type(net[0]) is nn.Linear
    quantize_(net)
    with pytest.raises(ValueError, match=message):
        set_precision(net, fw=3, filter_fn=old_order)
    assert net[0].precision.get_bits() == (8, 8)


@pytest.mark.parametrize(
    "filter_fn",
    [
        lambda module, name: name == "0",
        lambda m, n: n == "0",
        lambda *both: both[1] == "0",
        lambda m, n: m.in_features == 2,
        lambda m, n: isinstance(m, nn.Linear) and n.isdigit() and n < "1",
    ],
)
def test_a_filter_is_asked_module_and_name(filter_fn):
    net = quantize_(nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 2)), filter_fn=filter_fn)
    assert list(precisions(net)) == ["0"]


@pytest.mark.parametrize(
    "answer", [lambda m, n: True, lambda m, n: isinstance(m, nn.Linear), lambda m, n: m is not n]
)
def test_a_filter_that_answers_always_the_same_is_in_no_order(answer):
    assert len(precisions(quantize_(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), filter_fn=answer))) == 2


def test_a_filter_that_takes_nothing_or_fails_says_how_it_is_called():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(
        ValueError, match=r"^filter_fn takes 0 of 2 layers; allowed: at least 1 .*\(module, name\)"
    ):
        quantize_(net, filter_fn=lambda m, n: n == "2")
    with pytest.raises(
        ValueError, match=r"^filter_fn failed at '0': .*it is called filter_fn\(module, name\)"
    ):
        quantize_(net, filter_fn=lambda n, m: n.startswith("0"))


def test_layer_numbers_go_on_over_several_calls():
    net = nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2), nn.Linear(2, 2))
    for number in ("1", "0", "2"):
        quantize_(net, QuantConfig(), lambda module, name, number=number: name == number)
    assert sorted(item.layer for item in precisions(net).values()) == [0, 1, 2, 3]


def test_parts_quantised_on_their_own_are_numbered_apart_by_the_scheduler():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    for part in net:
        quantize_(part)
    assert [item.layer for item in precisions(net).values()] == [0, 0, 1]
    StaticPrecision(net, 8)
    assert [item.layer for item in precisions(net).values()] == [0, 2, 1]


class Scaled(nn.Conv2d):
    """A subclass, as standardised convolutions are."""


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
            "sub": Scaled(1, 2, 3),
            "up": nn.ConvTranspose2d(2, 2, 3),
            "gru": nn.GRU(2, 2),
            "own": Functional(),
            "normed": nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 2, 3)),
            "words": nn.Embedding(5, 3),
            "norm": nn.LayerNorm((3, 3)),
            "lazy": nn.LazyLinear(3),
        }
    )
    quantize_(net, filter_fn=lambda module, name: name != "left")
    found = float_layers(net)
    assert list(found) == ["left", "sub", "up", "gru", "own", "normed", "lazy"]
    assert found["left"] == "Linear (weight): left out"
    assert found["sub"].startswith("Scaled (weight): a subclass of Conv2d; allowed: ")
    assert found["own"].startswith("Functional (table): no type that is known")
    assert found["normed"].startswith("Conv1d (weight): no type")
    assert found["gru"].startswith("GRU (weight_ih_l0, weight_hh_l0): ")


def test_strict_refuses_what_would_stay_float_and_changes_nothing():
    def make():
        return nn.Sequential(
            nn.Linear(3, 3), nn.MultiheadAttention(4, 2), Scaled(1, 2, 3), nn.Embedding(3, 3)
        )

    net = make()
    with pytest.raises(
        ValueError, match=r"^strict, and 1 would stay float: 2 is a Scaled \(weight\): a subclass"
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
    register(Scaled, QuantConv2d.from_float)
    register(
        nn.ConvTranspose2d,
        lambda module, config, layer: Twice(QuantLinear.from_float(nn.Linear(2, 2), config, layer)),
    )
    net = quantize_(nn.Sequential(Scaled(1, 2, 3), nn.ConvTranspose2d(2, 2, 3), nn.Linear(2, 2)), strict=True)
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fw": 17}, r"fw is 17; allowed: 1\.\.16, or 0"),
        ({"bw": -1}, r"bw is -1; allowed: 1\.\.16, or 0"),
        ({"quantiser": "x"}, "quantiser is 'x'; allowed: dorefa, fabric, "),
        ({"quantiser": Sbm}, "quantiser is <class .*>; allowed: a name, or an object of a class under"),
        ({"seed": -1}, "seed is -1; allowed"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        QuantConfig(**values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dx_weights": "x"}, "dx_weights is 'x'; allowed: input_channel, forward"),
        ({"floor": 0.0}, "floor is 0.0; allowed: above 0"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Sbm(**options)


def test_precision_changes_in_place_and_only_inside_the_scope():
    net = small()
    buffers = [item.fw_bits for item in precisions(net).values()]
    set_precision(net, fw=3, bw=6)
    with precision(net, fw=8):
        assert all(item.get_bits() == (8, 6) for item in precisions(net).values())
    assert all(item.get_bits() == (3, 6) for item in precisions(net).values())
    assert all(item.fw_bits is buffer for item, buffer in zip(precisions(net).values(), buffers, strict=True))
    for wrong in (17, 3.5):
        with pytest.raises(ValueError, match=rf"^fw is {wrong}; allowed: 1\.\.16"):
            set_precision(net, fw=wrong)


def test_bits_that_are_set_take_the_place_of_learned_ones():
    net = small()
    macs = {layer.name: layer.macs for layer in summary(net, torch.randn(2, 1, 8, 8)).layers}
    learned = LearnedPrecision(net, (3, 8), macs, initial_beta=0.0)
    with precision(net, fw=6):
        assert {item.get_bits()[0] for item in precisions(net).values()} == {6}
    assert set(learned.bits().values()) == {3}
    set_precision(net, fw=5)
    assert {item.get_bits()[0] for item in precisions(net).values()} == {5}
    with pytest.raises(ValueError, match=r"^layer stem\.conv has fixed bits; allowed: learned ones"):
        learned.step()


def test_outputs_depend_on_the_precision_and_full_precision_is_float():
    net = small().eval()
    x = torch.randn(2, 1, 8, 8)
    net.train()(x)
    net.eval()
    outputs = []
    for fw in (2, 4, 8, 0):
        with precision(net, fw=fw):
            outputs.append(net(x))
    errors = [(out - outputs[-1]).abs().mean().item() for out in outputs]
    assert errors[0] > errors[1] > errors[2] > errors[3] == 0


def test_bits_come_back_with_a_state_dict():
    net, other = small(), small(QuantConfig(fw=4, bw=0))
    set_precision(net, fw=0, bw=5)
    other.load_state_dict(net.state_dict())
    assert all(item.get_bits() == (0, 5) for item in precisions(other).values())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(net(x), other(x))


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


def test_a_width_the_quantiser_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"^fw is 1; allowed: 2\.\.16, or 0"):
        small(QuantConfig(quantiser="wageubn", fw=1))


@pytest.mark.parametrize("depth", [20, 74])
def test_summary_counts_what_the_description_says(depth):
    net = networks.cifar_resnet(depth)
    counted = summary(net, torch.zeros(2, 3, 32, 32))
    assert counted.counted_macs == bitops.counted_macs(architecture.cifar_resnet(depth).layers)


def test_summary_of_other_networks_agrees_too():
    counted = summary(networks.MobileNetV2(), torch.zeros(2, 3, 32, 32))
    assert counted.counted_macs == bitops.counted_macs(architecture.mobilenet_v2())
    counted = summary(networks.imagenet_resnet(50), torch.zeros(1, 3, 64, 64).expand(2, -1, -1, -1))
    assert counted.counted_macs == bitops.counted_macs(architecture.imagenet_resnet(50, image_size=64).layers)


def test_summary_reports_bits_and_leaves_the_model_as_it_was():
    net = small(QuantConfig(fw=3, bw=6)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    counted = summary(net, torch.randn(3, 1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training
    first = counted.layers[0]
    assert (first.fw, first.bw, first.macs) == (3, 6, 8 * 8 * 9 * 4)
    assert first.bitops == bitops.pass_bitops(first.macs, 3, 6)
    assert counted.layers[-1].fw == 0
    assert str(counted).splitlines()[-1].startswith("total")


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


def layers():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.LSTM(4, 3))
    return nn.ModuleDict(
        {"stem": nn.Conv2d(1, 1, 1), "body": body, "norm": nn.BatchNorm2d(2), "head": nn.Linear(3, 2)}
    )


def test_layers_have_configurations_by_name_and_pattern():
    low, fixed = QuantConfig(fw=3, seed=4), QuantConfig(Wageubn(), fw=6)
    net = quantize_(layers(), {"body.*": fixed, "head": None, "body.3": low, "*": QuantConfig("dorefa")})
    configs = layer_configs(net)
    assert configs == {
        "stem": QuantConfig("dorefa"), "body.0": fixed, "body.1": fixed, "body.3": low,
    }  # fmt: skip
    assert type(net["head"]) is nn.Linear
    assert type(net["norm"]) is nn.BatchNorm2d
    assert precisions(net)["body.3.precision_hh_l0"].get_bits() == (3, 8)
    assert [item.layer for item in precisions(net).values()] == [0, 1, 2, 3]


def test_the_first_pattern_that_fits_counts_and_a_filter_still_asks():
    first, second = QuantConfig(fw=2), QuantConfig(fw=5)
    net = quantize_(layers(), {"*": first, "body.*": second})
    assert set(layer_configs(net).values()) == {first}
    net = quantize_(layers(), {"body.*": second, "*": first}, lambda module, name: name != "stem")
    assert layer_configs(net) == {"body.0": second, "body.3": second, "head": first}


def test_a_layer_that_is_named_is_taken_though_the_model_keeps_it_out():
    net = networks.cifar_resnet(8, width=4)
    config = QuantConfig(fw=4)
    quantize_(net, {"*": config})
    assert type(net.classifier) is nn.Linear
    net = quantize_(networks.cifar_resnet(8, width=4), {"classifier": config})
    assert layer_configs(net) == {"classifier": config}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"body": QuantConfig()},
            "config is for 'body', which no layer is called; allowed: names and patterns of stem",
        ),
        ({"heads.*": None, "*": QuantConfig()}, "config is for 'heads.*', which no layer is called"),
        ({"norm": QuantConfig()}, "config is for 'norm', which no layer is called"),
        ({"stem": 4}, "config of 'stem' is 4; allowed: a QuantConfig, or None for float"),
        ({"*": None}, "config leaves all 4 layers in float"),
        ({}, "config leaves all 4 layers in float"),
    ],
)
def test_a_wrong_assignment_is_refused_in_one_line(config, message):
    net = layers()
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        quantize_(net, config)
    assert not precisions(net)


def test_a_configuration_is_a_dictionary_and_back():
    for name in quantiser_names():
        config = QuantConfig(name, fw=3, bw=5, seed=7, quantise_bias=True)
        assert QuantConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    config = QuantConfig(Sbm("forward", 1e-8))
    assert config.as_dict()["quantiser_options"] == {"dx_weights": "forward", "floor": 1e-8}
    assert QuantConfig.from_dict(config.as_dict()) == config
    assert QuantConfig.from_dict({}) == QuantConfig()
    for wrong, message in (
        (
            {"bits": 3},
            "config has 'bits'; allowed: bw, fw, quantise_bias, quantiser, seed, quantiser_options",
        ),
        (
            {"quantiser_options": {"flag": 1}},
            "quantiser sbm has no option 'flag'; allowed: dx_weights, floor",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            QuantConfig.from_dict(wrong)


def test_a_state_dict_says_how_its_model_is_quantised(tmp_path):
    net = quantize_(
        layers(), {"body.*": QuantConfig(Wageubn(True)), "*": QuantConfig(Sbm("forward"), fw=3, seed=9)}
    )
    torch.save(net.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert layer_configs(state) == layer_configs(net)
    other = quantize_(layers(), layer_configs(state))
    other.load_state_dict(state)
    assert layer_configs(other) == layer_configs(net)
    assert str(precisions(other)["stem"]).startswith("LayerPrecision(sbm(dx_weights=forward), layer=0, fw=3")
    with pytest.raises(ValueError, match=r"^state has no metadata; allowed"):
        layer_configs(dict(state))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (QuantConfig(Sbm(floor=1e-8)), r"layer 0 is of quantiser 'sbm' with floor 1\.17.*; allowed: 1e-08$"),
        (QuantConfig(Wageubn()), "layer 0 is of quantiser 'sbm'; allowed: wageubn$"),
    ],
)
def test_a_state_of_other_options_is_refused(config, message):
    state = quantize_(nn.Sequential(nn.Linear(2, 2))).state_dict()
    net = quantize_(nn.Sequential(nn.Linear(2, 2)), config)
    with pytest.raises(ValueError, match=f"^state of {message}"):
        net.load_state_dict(state)
    net.load_state_dict(dict(state))


def test_a_replaced_modules_state_of_another_quantiser_is_refused():
    def made(config):
        return quantize_(nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)), config)

    plain, flagged = made(QuantConfig(Wageubn())), made(QuantConfig(Wageubn(True)))
    with pytest.raises(
        ValueError, match=r"^state of layer 0 is of quantiser 'wageubn' with flagged_errors True; "
    ):
        plain.load_state_dict(flagged.state_dict())
    dequantize_(plain)
    assert type(plain[0]) is nn.BatchNorm2d
    assert not hasattr(plain[0], "config")
    assert "quantisation" not in plain.state_dict()._metadata["0"]


@dataclass(frozen=True)
class Odd(Sbm):
    """Replaces what it must not, or by what nobody knows."""

    by: str = "identity"

    def replacements(self):
        return {nn.ReLU: lambda module, config: nn.Identity(), nn.Linear: lambda module, config: 1 / 0}


def test_what_a_quantiser_puts_in_place_of_others_must_say_what_it_is(monkeypatch):
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    register_quantiser("odd")(Odd)
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(
        ValueError, match=r"^quantiser odd replaces module '1' by a Identity; allowed: a kind of Quant"
    ):
        quantize_(net, QuantConfig(Odd()))
    assert type(net[0]) is nn.Linear


class Unnamed(Sbm):
    """Must not go by its base's name."""


def test_a_name_is_one_classs(monkeypatch):
    with pytest.raises(
        ValueError, match=r"^quantiser is Unnamed\(.*an object of a class under @register_quantiser"
    ):
        QuantConfig(Unnamed())
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    with pytest.raises(ValueError, match=r"^quantiser 'sbm' is Sbm already; allowed: another name$"):
        register_quantiser("sbm")(Odd)
    with pytest.raises(ValueError, match=r"^name of a quantiser is 'a b'; allowed: letters"):
        register_quantiser("a b")(Odd)
    with pytest.raises(ValueError, match=r"^quantiser 'x' is 3; allowed: a class derived from Quantiser$"):
        register_quantiser("x")(3)
