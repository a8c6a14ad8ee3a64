"""Precision of a model's layers: numbered, set, and set for a while."""

import pytest
import torch
from torch import nn

from cpt.model import networks
from cpt.model.adaptive.ldp import LearnedPrecision
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precision, precisions, set_precision
from cpt.model.layer_summary import summary
from cpt.model.quantize import quantize_
from cpt.model.schedulers import StaticPrecision

torch.set_num_threads(1)


def small(config=None):
    torch.manual_seed(0)
    return quantize_(networks.cifar_resnet(8, image_size=8, image_channels=1, width=4), config)


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


def test_a_width_the_quantiser_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"^fw is 1; allowed: 2\.\.16, or 0"):
        small(QuantConfig(quantiser="wageubn", fw=1))
