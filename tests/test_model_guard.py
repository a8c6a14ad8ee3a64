"""The guard names the layer and the precision where values stopped being finite."""

import pytest
import torch
from torch import nn

from model.config import QuantConfig
from model.guard import NotFiniteError, check_finite
from model.quantize import quantize_

torch.set_num_threads(1)


def model():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    return quantize_(layers, QuantConfig(fw=3, bw=6), lambda name, module: name != "3")


def test_a_healthy_model_passes():
    net = model()
    loss = net(torch.randn(5, 3)).mean()
    check_finite(net, loss)


def test_the_layer_whose_input_broke_is_named_with_its_precision():
    net = model()
    net[1].forward = lambda x: x * float("nan")
    net(torch.randn(5, 3))
    with pytest.raises(
        NotFiniteError, match=r"^layer 2 at FW3/BW6: input range is nan\.\.nan; allowed: finite$"
    ):
        check_finite(net)


@pytest.mark.parametrize(("layer", "where"), [("0", " at FW3/BW6"), ("3", "")])
def test_a_broken_weight_is_named(layer, where):
    net = model()
    with torch.no_grad():
        net.get_submodule(layer).weight[0, 0] = float("inf")
    with pytest.raises(NotFiniteError, match=rf"^parameter {layer}\.weight{where}: holds NaN or infinity"):
        check_finite(net)


def test_a_loss_alone_is_named_too():
    with pytest.raises(NotFiniteError, match=r"^loss is nan; allowed: a finite value$"):
        check_finite(model(), torch.tensor(float("nan")))
