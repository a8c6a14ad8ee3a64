"""Every network makes a training step with every quantiser and method."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from cpt.model import networks
from cpt.model.adaptive.ldp import LearnedPrecision
from cpt.model.adaptive.pfq import ProgressiveFractional
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precisions
from cpt.model.layer_summary import summary
from cpt.model.quantize import quantize_
from cpt.model.schedulers import CyclicPrecision, RandomPrecision, StaticPrecision

torch.set_num_threads(1)


def images(size, channels=3):
    return lambda: torch.randn(2, channels, size, size)


def tokens():
    return torch.randint(0, 20, (2, 6))


SMALL: dict[str, tuple[Callable, Callable]] = {
    "cifar_resnet": (lambda: networks.cifar_resnet(8, image_size=8, width=4), images(8)),
    "mobilenet": (networks.MobileNetV2, images(16)),
    "imagenet_resnet18": (lambda: networks.imagenet_resnet(18, classes=10), images(32)),
    "imagenet_resnet50": (lambda: networks.imagenet_resnet(50, classes=10), images(32)),
    "vision_transformer": (lambda: networks.VisionTransformer(10, 8, 4, 12, 2, 3), images(8)),
    "transformer_lm": (lambda: networks.TransformerLM(20, 16, 2, 2, context=8), tokens),
    "lstm_lm": (lambda: networks.LstmLM(20, 12), tokens),
    "pan": (lambda: networks.PixelAttentionNetwork(2, 8, 6, 2), images(6)),
}


def train_step(net, x, parameters):
    optimiser = torch.optim.SGD(parameters, 0.01)
    out = net(x)
    loss = (out[0] if isinstance(out, tuple) else out).square().mean()
    loss.backward()
    optimiser.step()
    assert torch.isfinite(loss)
    return [parameter for parameter in parameters if parameter.grad is None]


@pytest.mark.parametrize("quantiser", ["sbm", "dorefa", "wageubn", "fabric"])
@pytest.mark.parametrize("name", SMALL)
def test_every_network_trains_with_every_quantiser(name, quantiser):
    torch.manual_seed(0)
    make, data = SMALL[name]
    net = quantize_(make(), QuantConfig(quantiser=quantiser, fw=4, bw=6))
    before = {key: value.clone() for key, value in net.named_parameters()}
    assert train_step(net, data(), list(net.parameters())) == []
    assert all(torch.isfinite(value).all() for value in net.parameters())
    assert any(not torch.equal(value, before[key]) for key, value in net.named_parameters())


@pytest.mark.parametrize("name", SMALL)
def test_every_network_trains_with_every_schedule(name):
    torch.manual_seed(0)
    make, data = SMALL[name]
    net = quantize_(make())
    for scheduler in (
        CyclicPrecision(net, (3, 8), 1, 2),
        StaticPrecision(net, 6),
        RandomPrecision(net, (3, 8), 1, 2),
        ProgressiveFractional(net),
    ):
        train_step(net, data(), list(net.parameters()))
        scheduler.step(1.0) if isinstance(scheduler, ProgressiveFractional) else scheduler.step()
    learned = LearnedPrecision(net, (3, 8), dict.fromkeys(precisions(net), 1000))
    train_step(net, data(), learned.weights())
    assert all(beta.grad is not None for beta in learned.betas)
    learned.step()
    assert set(learned.bits().values()) <= set(range(3, 9))


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_sizes_are_the_published_ones():
    assert parameters(networks.cifar_resnet(20)) == pytest.approx(0.27e6, rel=0.03)
    assert parameters(networks.cifar_resnet(110)) == pytest.approx(1.7e6, rel=0.03)
    assert parameters(networks.imagenet_resnet(18)) == 11_689_512
    assert parameters(networks.imagenet_resnet(34)) == 21_797_672
    assert parameters(networks.imagenet_resnet(50)) == 25_557_032
    assert parameters(networks.deit_tiny()) == 5_717_416
    assert parameters(networks.PixelAttentionNetwork()) == pytest.approx(272e3, rel=0.005)


def test_deit_tiny_has_the_published_work():
    counted = summary(networks.deit_tiny(), torch.zeros(1, 3, 224, 224))
    assert counted.macs == pytest.approx(1.2e9, rel=0.12)


def test_only_the_trunk_of_pan_is_quantised():
    net = quantize_(networks.PixelAttentionNetwork(4, 8, 6, 2), QuantConfig(fw=8, bw=16))
    assert all(name.startswith("trunk.") for name in precisions(net))
    assert net(torch.randn(1, 3, 5, 4)).shape == (1, 3, 20, 16)


def test_language_model_sees_no_later_token():
    net = networks.TransformerLM(20, 16, 2, 2, context=8).eval()
    x = tokens()
    y = x.clone()
    y[:, -1] = (y[:, -1] + 1) % 20
    assert torch.allclose(net(x)[:, :-1], net(y)[:, :-1])
    with pytest.raises(ValueError, match=r"^sequence is 9 tokens; allowed: at most 8$"):
        net(torch.zeros(1, 9, dtype=torch.long))
