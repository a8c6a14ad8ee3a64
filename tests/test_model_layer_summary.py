"""Work and bits of every layer, beside the description's."""

import pytest
import torch

from cpt.model import architecture, bitops, networks
from cpt.model.config import QuantConfig
from cpt.model.layer_summary import summary
from cpt.model.quantize import quantize_

torch.set_num_threads(1)


def small(config=None):
    torch.manual_seed(0)
    return quantize_(networks.cifar_resnet(8, image_size=8, image_channels=1, width=4), config)


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
