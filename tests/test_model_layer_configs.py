"""Configurations by layer: assigned, written down, kept with a state."""

import json
import re
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from cpt.model import networks
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precisions
from cpt.model.quantisers import Sbm, Wageubn, quantiser_names, register_quantiser, registry
from cpt.model.quantize import dequantize_, layer_configs, quantize_

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fw": 17}, r"fw is 17; allowed: 1\.\.16, or 0"),
        ({"bw": -1}, r"bw is -1; allowed: 1\.\.16, or 0"),
        ({"quantiser": "x"}, "quantiser is 'x'; allowed: cyclebnn, dorefa, fabric, "),
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
            "config has 'bits'; allowed: bw, fw, products, quantise_bias, quantiser, seed, quantiser_options",
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
