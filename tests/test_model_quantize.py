"""Quantising a model, changing its precision, and counting its work."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import cpt
from cpt.model import architecture, bitops, networks
from cpt.model.config import QuantConfig
from cpt.model.layer_summary import summary
from cpt.model.ldp import LearnedPrecision
from cpt.model.quantize import precision, precisions, quantize_, set_precision

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
        ({"quantiser": "x"}, "quantiser is 'x'; allowed: sbm, dorefa, wageubn"),
        ({"dx_weights": "x"}, "dx_weights is 'x'; allowed: input_channel, forward"),
        ({"seed": -1}, "seed is -1; allowed"),
        ({"floor": 0.0}, "floor is 0.0; allowed: above 0"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        QuantConfig(**values)


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


@pytest.mark.parametrize("quantiser", ["sbm", "dorefa", "wageubn"])
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


def test_a_compiled_model_never_recompiles_over_a_cycle():
    net = small()
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


def test_a_compiled_model_computes_what_the_plain_one_does():
    """The same codes, in backward those of the same noise; results differ in their last bits only."""

    def network():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
        return quantize_(layers, QuantConfig(bw=2, seed=5))

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
