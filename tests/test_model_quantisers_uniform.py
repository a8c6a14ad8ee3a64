"""The uniform quantiser: grids with and without a code for 0, ranges by tensor, channel and token."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch_runs import SMALL, images

from cpt.model import QuantConfig, calibration, quantize_
from cpt.model.functional import Noise, Range
from cpt.model.layers import LayerPrecision
from cpt.model.networks import cifar_resnet
from cpt.model.quantisers import Batch, Sbm, Uniform
from cpt.model.quantisers.rehearsal import check_parts
from cpt.model.quantisers.uniform import ACTIVATIONS, GRIDS, WEIGHTS
from cpt.model.training import TorchTrainer

ALL = [Uniform(*choice) for choice in itertools.product(GRIDS, WEIGHTS, ACTIVATIONS)]
X = torch.tensor([[-0.3, 0.0, 0.1, 1.0, 0.52], [2.0, -4.0, 0.0, 0.7, 0.2]])


def bits(count):
    return torch.tensor(count)


@pytest.mark.parametrize("quantiser", ALL, ids=str)
@pytest.mark.parametrize("count", [2, 3, 8, 16])
def test_values_lie_on_a_grid_of_no_more_codes_and_within_a_step(quantiser, count):
    x = torch.randn(6, 50, generator=torch.Generator().manual_seed(count)) + 0.7
    y = quantiser.weight(x, bits(count))
    for row, quantised in zip(x, y, strict=True):
        part = x if quantiser.weights == "tensor" else row
        lo, hi = part.min(), part.max()
        if quantiser.grid == "symmetric":
            hi = torch.maximum(-lo, hi)
            lo = -hi
        elif quantiser.grid == "zero":
            lo, hi = lo.clamp_max(0), hi.clamp_min(0)
        codes = 2**count - (2 if quantiser.grid == "symmetric" else 1)
        step = (hi - lo) / codes
        assert len(quantised.unique()) <= codes + 1
        # Moving the grid to a code for 0 cuts off half a step more at one end.
        most = 1.0 if quantiser.grid == "zero" else 0.5
        assert ((quantised - row).abs() <= most * step * 1.001 + 1e-6).all()


@pytest.mark.parametrize("grid", ["symmetric", "zero"])
@pytest.mark.parametrize("count", [2, 3, 5, 8, 16])
def test_zero_stays_zero(grid, count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        x = torch.randn(40, generator=generator) * 10 ** torch.randint(-6, 6, (1,), generator=generator)
        x = x + torch.randn(1, generator=generator) * x.abs().max()
        x[::7] = 0
        y = Uniform(grid, "tensor").weight(x[None], bits(count))[0]
        assert (y[::7] == 0).all()
        found = Range(x.min(), x.max())
        assert (Uniform(grid).activation(x, bits(count), found, True)[::7] == 0).all()


def test_an_affine_grid_has_no_code_for_zero_in_general():
    assert (Uniform("affine", "tensor").weight(X, bits(3))[X == 0] != 0).all()


def test_known_values():
    symmetric = Uniform("symmetric", "tensor").weight(X, bits(3))  # a step of 4/3
    expected = torch.tensor([[0, 0, 0, 4 / 3, 0], [8 / 3, -4, 0, 4 / 3, 0]])
    assert torch.allclose(symmetric, expected)
    zero = Uniform("zero", "tensor").weight(X, bits(3))  # from -4 to 2: a step of 6/7, and 0 is code 5
    assert torch.allclose(zero, torch.tensor([[0, 0, 0, 1, 1], [2, -5, 0, 1, 0]]) * 6 / 7)


@pytest.mark.parametrize("count", [3, 8])
def test_affine_with_ranges_of_tensors_is_sbm_without_its_weights_of_dx(count):
    torch.manual_seed(0)
    net = cifar_resnet(8, width=4)
    x = torch.randn(4, 3, 32, 32)
    found = []
    for quantiser in (Uniform(), Sbm(dx_weights="forward")):
        one = quantize_(copy.deepcopy(net), QuantConfig(quantiser, fw=count, bw=8))
        out = one(x)
        out.square().sum().backward()
        found.append([out, *(parameter.grad for parameter in one.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def precision(**options):
    return LayerPrecision(QuantConfig(Uniform(**options), fw=3), 0)


@pytest.mark.parametrize(
    ("shape", "channels_first"), [((4, 3, 5, 6), True), ((4, 7, 3), False), ((9, 3), False)]
)
def test_channels_have_ranges_of_their_own(shape, channels_first):
    x = torch.randn(shape)
    axis = 1 if channels_first else -1
    x.select(axis, 1).mul_(100)
    item = precision(activations="channel")
    y = item.activation(x, channels_first)
    assert y.shape == x.shape
    assert item.range.shape == (3, 3)
    for channel in range(3):
        part, quantised = x.select(axis, channel), y.select(axis, channel)
        alone = Uniform().activation(part, bits(3), Range(part.min(), part.max()), True)
        assert torch.equal(quantised, alone)
    item.eval()
    assert torch.allclose(item.activation(x, channels_first), y, atol=1e-4)


@pytest.mark.parametrize("channels_first", [True, False])
def test_tokens_have_ranges_of_their_own_and_no_average(channels_first):
    x = torch.randn(4, 5, 5, 5)
    item = precision(activations="token")
    y = item.activation(x, channels_first)
    rows, quantised = (t.movedim(1, -1) if channels_first else t for t in (x, y))
    for place in itertools.product(range(4), range(5), range(5)):
        part = rows[place]
        alone = Uniform().activation(part, bits(3), Range(part.min(), part.max()), True)
        assert torch.equal(quantised[place], alone)
    assert not item.range.any()
    item.eval()
    assert torch.equal(item.activation(x, channels_first), y)


def test_a_state_brings_the_ranges_of_channels_to_a_new_layer():
    def make():
        layer = nn.Sequential(nn.Conv2d(3, 4, 3))
        return quantize_(layer, QuantConfig(Uniform(activations="channel"), fw=4))

    one, x = make(), torch.randn(2, 3, 6, 6)
    one(x)
    other = make()
    other.load_state_dict(one.state_dict())
    one.eval(), other.eval()
    assert torch.equal(one(x), other(x))
    assert copy.deepcopy(one)(x).equal(one(x))
    fresh = make().eval()
    with calibration(fresh):
        fresh(x)
    assert fresh(x).isfinite().all()


def test_an_input_that_is_not_finite_is_named_in_any_channel():
    item, x = precision(activations="channel"), torch.randn(2, 3, 4, 4)
    x[1, 2, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="input of layer number 0 ranges from"):
        item.activation(x, True)


def test_gradients_are_stochastic_on_the_grid_and_unbiased():
    grad = torch.full((1, 4000), 0.3)
    grad[0, :2] = torch.tensor([-1.0, 1.0])
    for grid in GRIDS:
        y = Uniform(grid).gradient(grad, bits(3), Noise(7, False), Batch())
        assert len(y[0, 2:].unique()) == 2
        assert y[0, 2:].mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("quantiser", ALL, ids=str)
def test_parts_of_a_batch_are_quantised_as_the_whole(quantiser):
    check_parts(quantiser)


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_a_network_trains_with_it(activations):
    options = {"grid": "zero", "activations": activations}
    config = replace(SMALL, quantiser="uniform", quantiser_options=options, fw=(3, 6), epochs=6)
    trainer = TorchTrainer(config, images())
    losses = [trainer.train_epoch()["train_loss"] for _ in range(6)]
    assert losses[-1] < losses[0]
    assert trainer.evaluate()["accuracy"] > 0.3


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"grid": "log"}, "grid is 'log'; allowed: affine, symmetric, zero"),
        ({"weights": "token"}, "weights is 'token'; allowed: channel, tensor"),
        ({"activations": "row"}, "activations is 'row'; allowed: tensor, channel, token"),
    ],
)
def test_other_choices_are_refused(options, line):
    with pytest.raises(ValueError, match=line):
        Uniform(**options)


def test_one_bit_is_too_few_for_a_symmetric_grid():
    with pytest.raises(ValueError, match="fw is 1; allowed: 2"):
        LayerPrecision(QuantConfig(Uniform("symmetric"), fw=1), 0)
    LayerPrecision(QuantConfig(Uniform("zero"), fw=1), 0)
