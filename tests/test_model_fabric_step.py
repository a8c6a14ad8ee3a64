"""A step in torch with quantiser ``fabric`` beside the golden step: float32 predicts the machine."""

import numpy as np
import pytest
import torch
from torch import nn

from cpt.model import MicroBatches, QuantConfig, precisions, quantize_
from cpt.model.architecture import Linear
from cpt.model.architecture import cifar_resnet as described
from cpt.model.architecture.layers import conv_norm
from cpt.model.golden.fabric import step, update
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.network import Network
from cpt.model.loss import SoftmaxCrossEntropy
from cpt.model.networks import cifar_resnet
from cpt.model.networks.mobilenet import InvertedResidual
from cpt.model.networks.residual import ConvNorm

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH, MICRO, SEED = 16, 8, 3


SCALE = np.array([0.02], np.float32), np.array([-2.0], np.float32)


class Inverted(nn.Module):
    """A stem; inverted residuals with stride 2, with identity, with a shortcut; a head."""

    shapes = (("a", 8, 8, 2, 8), ("b", 8, 8, 1, 4), ("c", 8, 16, 1, 4))
    full_precision_layers = frozenset({"classifier"})

    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(conv_norm("stem", 1, 8, 8))
        self.blocks = nn.Sequential(
            *(
                InvertedResidual(inputs, outputs, 2, stride, size)
                for _, inputs, outputs, stride, size in self.shapes
            )
        )
        self.head = ConvNorm(conv_norm("head", 16, 24, 4, kernel=1))
        self.classifier = nn.Linear(24, 10)

    def forward(self, x):
        x = torch.relu_(self.head(self.blocks(torch.relu_(self.stem(x)))))
        return self.classifier(x.mean((2, 3)))

    @classmethod
    def network(cls):
        """The golden network of the same layers."""
        layers = [*conv_norm("stem", 1, 8, 8)]
        for name, inputs, outputs, stride, size in cls.shapes:
            inner, behind = 2 * inputs, size // stride
            layers += conv_norm(f"{name}.expand", inputs, inner, size, kernel=1)
            layers += conv_norm(f"{name}.depthwise", inner, inner, size, stride=stride, groups=inner)
            layers += conv_norm(f"{name}.project", inner, outputs, behind, kernel=1)
            if inputs != outputs:
                layers += conv_norm(f"{name}.shortcut", inputs, outputs, size, kernel=1)
        layers += [*conv_norm("head", 16, 24, 4, kernel=1), Linear("classifier", 24, 10)]
        return Network.mobilenet(tuple(layers), *SCALE, SEED)


def residual():
    """The golden network of ResNet-8."""
    return Network.residual(described(8, 10, 8, 1, 8), *SCALE, SEED)


NETWORKS = {
    "residual": (residual, lambda: cifar_resnet(8, 10, 8, 1, width=8)),
    "inverted": (Inverted.network, Inverted),
}


def golden_step(network, images, labels, fw, bw):
    """The losses of a golden network's micro-batches and its gradients."""
    weights, rate = step.prepare(network, fw), running_rate(BATCH // MICRO)
    totals, losses = {}, []
    for number in range(BATCH // MICRO):
        part = slice(number * MICRO, (number + 1) * MICRO)
        logits, tape = step.forward(network, weights, images[part], step.Pass(fw, rate))
        criterion = SoftmaxCrossEntropy(BATCH)
        gradient = criterion.gradient(logits, labels[part])
        found = step.backward(network, weights, tape, gradient, bw, step.Noise(SEED, 0, number))
        totals = {name: update.accumulate(totals.get(name), value) for name, value in found.items()}
        losses.append(criterion.loss())
    return losses, totals


def torch_step(net, network, images, labels, fw, bw):
    """The same in torch: losses, gradients of convolutions in the golden order and layout, and the model."""
    net = quantize_(net, QuantConfig("fabric", fw, bw, SEED))
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        for layer, conv in zip(network.layers, convolutions, strict=True):
            weight = network.parameters[f"{layer.convolution}.weight"]
            conv.weight.copy_(torch.from_numpy(weight).permute(0, 3, 1, 2))
        net.classifier.weight.copy_(torch.from_numpy(network.parameters["classifier.weight"]))
        net.classifier.bias.copy_(torch.from_numpy(network.parameters["classifier.bias"]))
    micro = MicroBatches(net, BATCH, MICRO)
    x = torch.from_numpy(images.astype(np.float32) * np.float32(0.02) - np.float32(2)).permute(0, 3, 1, 2)
    losses = []
    for part, target in micro(x, torch.from_numpy(labels)):
        loss = nn.functional.cross_entropy(net(part), target, reduction="sum") / BATCH
        loss.backward()
        losses.append(loss.item())
    return losses, [conv.weight.grad.permute(0, 2, 3, 1).numpy() for conv in convolutions], net


def distance(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(("fw", "bw", "of_loss", "of_gradient"), [(8, 8, 5e-3, 0.4), (15, 14, 1e-3, 0.06)])
def test_torch_predicts_the_machines_step(kind, fw, bw, of_loss, of_gradient):
    """Codes that differ by one move masks of ReLUs, and gradients with them: much where bits are few."""
    rng = np.random.default_rng(1)
    labels = np.arange(BATCH) % 10
    images = rng.integers(0, 256, (BATCH, 8, 8, 1), dtype=np.uint8)
    golden, torchs = NETWORKS[kind]
    network = golden()
    losses, totals = golden_step(network, images, labels, fw, bw)
    ours, grads, net = torch_step(torchs(), network, images, labels, fw, bw)
    assert ours == pytest.approx(losses, rel=of_loss)
    assert [item.layer for item in precisions(net).values()] == [layer.index for layer in network.layers]
    for layer, grad in zip(network.layers, grads, strict=True):
        assert distance(grad, totals[f"{layer.convolution}.weight"]) < of_gradient, layer.convolution
    _, highest, weight = net.stem.conv.precision.range.tolist()
    assert highest / weight == pytest.approx(network.expected("images").item(), rel=1e-5)
