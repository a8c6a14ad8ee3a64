"""Convolutions of other dimensions, and transposed ones: the codes and gradients of those that are known."""

import itertools

import pytest
import torch
from torch import nn

from cpt.model import QuantConfig, dequantize_, precision, quantize_, summary
from cpt.model.quantisers import Batch, Sbm

pytestmark = pytest.mark.usefixtures("one_thread")


def passes(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, dX, dW and db of a training pass with the same errors each time."""
    x = x.clone().requires_grad_()
    y = layer(x)
    generator = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.numel(), generator=generator).view_as(y))
    grads = [layer.weight.grad, *([] if layer.bias is None else [layer.bias.grad])]
    return [y.detach(), x.grad, *grads]


def quantised(layer: nn.Module, config: QuantConfig) -> nn.Module:
    return quantize_(layer, config, filter_fn=lambda *_: True)


CONFIGS = [QuantConfig(fw=4, bw=6), QuantConfig(Sbm(dx_weights="forward"), fw=3), QuantConfig("dorefa", fw=4)]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize(
    ("transposed", "options"),
    [
        *itertools.product((False, True), ({}, {"stride": 2, "padding": 1}, {"groups": 2})),
        (False, {"padding": "same"}),
    ],
    ids=str,
)
def test_with_axes_of_one_element_they_are_the_two_dimensional_layer(config, transposed, options) -> None:
    name = "ConvTranspose" if transposed else "Conv"
    kinds = [getattr(nn, f"{name}{axes}d") for axes in (1, 2, 3)]
    numbers = {key: value for key, value in options.items() if isinstance(value, int) and key != "groups"}
    others = {key: value for key, value in options.items() if key not in numbers}
    x = torch.randn(3, 4, 7)
    torch.manual_seed(2)
    line = kinds[0](4, 6, 3, **options)
    found = []
    for axes, kind in enumerate(kinds, 1):
        ones = (1,) * (axes - 1)
        none = {"stride": 1, "padding": 0}
        sizes = {key: (*(none[key],) * (axes - 1), value) for key, value in numbers.items()}
        layer = kind(4, 6, (*ones, 3), **sizes, **others)
        layer.load_state_dict({"weight": line.weight.view(layer.weight.shape), "bias": line.bias})
        results = passes(quantised(layer, config), x.view(3, 4, *ones, 7))
        found.append([result.reshape(-1) for result in results])
    # Sums of products in another order; the codes before them are equal.
    for other in (found[0], found[2]):
        for one, two in zip(found[1], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_transposed_layer_is_the_float_one_of_quantised_tensors(axes, groups) -> None:
    """Its weights have a range for each output channel; gradients are those of the quantised tensors."""
    torch.manual_seed(axes)
    kind = getattr(nn, f"ConvTranspose{axes}d")
    layer = kind(4, 4, 3, stride=2, padding=1, output_padding=1, groups=groups)
    config = QuantConfig(Sbm(dx_weights="forward"), fw=4, bw=0)
    plug = config.plug
    by_output = layer.weight.detach().unflatten(0, (groups, -1)).transpose(1, 2)
    codes = plug.weight(by_output.flatten(0, 1), torch.tensor(4))
    assert all(len(row.unique()) <= 2**4 for row in codes)
    weight = codes.view(by_output.shape).transpose(1, 2).flatten(0, 1)
    x = torch.randn(2, 4, *[5] * axes)
    reference = kind(4, 4, 3, stride=2, padding=1, output_padding=1, groups=groups)
    reference.load_state_dict({"weight": weight, "bias": layer.bias})
    quantised_x = plug.activation(x, torch.tensor(4), plug.range_of(x, Batch()), True)
    expected = passes(reference, quantised_x)
    for one, two in zip(passes(quantised(layer, config), x), expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_full_precision_a_single_sample_and_the_way_back(axes, name) -> None:
    kind = getattr(nn, f"{name}{axes}d")
    layer = kind(4, 6, 3, bias=False)
    x = torch.randn(2, 4, *[5] * axes)
    expected = layer(x)
    layer = quantised(layer, QuantConfig(fw=0, bw=0))
    assert torch.equal(layer(x), expected)
    layer.precision.set_bits(8, 8)
    alone = layer(x[0])
    assert torch.equal(alone, layer(x[:1])[0])
    alone.sum().backward()
    layer = dequantize_(layer)
    assert type(layer) is kind
    assert torch.equal(layer(x), expected)


def test_a_transposed_layer_takes_the_size_of_its_output() -> None:
    layer = quantised(nn.ConvTranspose2d(2, 3, 3, stride=2), QuantConfig())
    x = torch.randn(1, 2, 4, 4)
    assert layer(x, output_size=[10, 9]).shape == (1, 3, 10, 9)


def test_work_is_counted_by_products() -> None:
    net = nn.Sequential(nn.Conv1d(4, 6, 3), nn.ConvTranspose1d(6, 2, 3, groups=2))
    counted = summary(quantize_(net), torch.randn(2, 4, 7))
    assert [layer.macs for layer in counted.layers] == [5 * 6 * 4 * 3, 5 * 6 * 1 * 3]
    assert [layer.kind for layer in counted.layers] == ["Conv1d", "ConvTranspose1d"]


def test_dorefa_has_samples_along_the_first_axis_of_any_layer() -> None:
    layer = quantised(nn.Conv3d(1, 2, 2), QuantConfig("dorefa", fw=4))
    layer(torch.rand(2, 1, 3, 3, 3)).sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_hugging_faces_layer_is_the_linear_one() -> None:
    utils = pytest.importorskip("transformers.pytorch_utils")
    torch.manual_seed(3)
    linear, theirs = nn.Linear(5, 7), utils.Conv1D(7, 5)
    theirs.load_state_dict({"weight": linear.weight.t(), "bias": linear.bias})
    config = QuantConfig(fw=4)
    x = torch.randn(2, 3, 5)
    one, other = (passes(quantised(layer, config), x) for layer in (linear, theirs))
    other[2] = other[2].t()
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)
    layer = quantised(utils.Conv1D(7, 5), config)
    with precision(layer, fw=0, bw=0):
        expected = layer(x)
    counted = summary(nn.Sequential(layer), x)
    assert [row.macs for row in counted.layers] == [3 * 5 * 7]
    back = dequantize_(layer)
    assert type(back) is utils.Conv1D
    assert torch.equal(back(x), expected)
