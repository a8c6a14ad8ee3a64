"""The guard names the layer and the precision where values stopped being finite."""

import math

import pytest
import torch
from torch import nn

from cpt.model.config import QuantConfig
from cpt.model.guard import TrainingDiverged, check_step
from cpt.model.quantize import quantize_

torch.set_num_threads(1)


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    return quantize_(layers, QuantConfig("dorefa", fw=3, bw=6), lambda module, name: name != "3")


def check(net, norm=1.0):
    """A step of a training loop of one's own."""
    loss = net(x := torch.randn(5, 3)).sum()
    check_step(net, 7, loss.item(), norm, lambda: net(x))


def test_a_healthy_step_passes(net):
    check(net)


def test_the_first_layer_whose_output_broke_is_named_with_its_precision(net):
    net[2].register_forward_pre_hook(lambda module, inputs: (inputs[0] * math.inf,))
    message = r"^loss is nan at step 7: the first output that is not finite is that of 2 at FW3/BW6; allowed"
    with pytest.raises(TrainingDiverged, match=message):
        check(net)


@pytest.mark.parametrize(("layer", "where"), [("0", "at FW3/BW6"), ("3", r"\(full precision\)")])
def test_a_broken_weight_is_named(net, layer, where):
    with torch.no_grad():
        net.get_submodule(layer).weight[0, 0] = math.nan
    message = rf"^loss is nan at step 7: weight of {layer} {where} is not finite; allowed: finite numbers"
    with pytest.raises(TrainingDiverged, match=message):
        check(net)


def test_the_layer_of_a_broken_gradient_is_named(net):
    net(torch.randn(5, 3)).sum().backward()
    net[2].bias.grad[0] = math.inf
    message = r"^gradient norm is inf at step 7: the gradient of bias of 2 at FW3/BW6 is not finite; allowed"
    with pytest.raises(TrainingDiverged, match=message):
        check(net, math.inf)


def test_an_overflow_outside_the_layers_is_told_apart(net):
    with pytest.raises(TrainingDiverged, match="every gradient is finite, their norm overflows"):
        check(net, math.inf)


def test_an_input_that_is_not_finite_before_any_layer_is_named():
    net = quantize_(nn.Sequential(nn.Linear(3, 2)))
    message = r"^loss is nan at step 7: input of layer 0 ranges from nan to nan; allowed: finite numbers"
    with pytest.raises(TrainingDiverged, match=message):
        check_step(net, 7, math.nan, 0.0, lambda: net(torch.full((5, 3), math.nan)))
