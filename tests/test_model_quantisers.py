"""DoReFa and WAGEUBN against their formulas, written out."""

import copy

import pytest
import torch
from torch import nn

from cpt.model.config import QuantConfig
from cpt.model.functional import Noise, noise_like
from cpt.model.noise import noise_key
from cpt.model.quantisers import Batch, DoReFa, Wageubn
from cpt.model.quantisers.wageubn import FixedPointSGD
from cpt.model.quantisers.wageubn.arithmetic import error, flagged_error, shift
from cpt.model.quantisers.wageubn.batch_norm import FixedPointBatchNorm2d
from cpt.model.quantize import quantize_

BITS = [2, 4, 8]


def quant(x, bits):
    return torch.round(x * (2**bits - 1)) / (2**bits - 1)


def test_dorefa_weights_and_activations_follow_the_formulas():
    w = torch.randn(5, 4, requires_grad=True)
    x = torch.randn(5, 4, requires_grad=True)
    for bits in BITS:
        half = torch.tanh(w) / (2 * torch.tanh(w).abs().max()) + 0.5
        assert torch.allclose(DoReFa().weight(w, torch.tensor(bits)), 2 * quant(half, bits) - 1, atol=1e-5)
        got = DoReFa().activation(x, torch.tensor(bits), None, True)
        assert torch.allclose(got, quant(x.clamp(0, 1), bits), atol=1e-6)
    got.sum().backward()
    assert torch.equal(x.grad, ((x >= 0) & (x <= 1)).float())


def test_dorefa_gradients_have_a_range_per_sample():
    bits, key = 3, noise_key(0, 1, 2)
    grad = torch.randn(4, 3, 5, 5) * torch.tensor([1e-3, 1.0, 10.0, 0.1]).view(-1, 1, 1, 1)
    got = DoReFa().gradient(grad, torch.tensor(bits), Noise(key, channels_first=True), Batch())
    m = grad.abs().amax((1, 2, 3), keepdim=True)
    noise = noise_like(grad, Noise(key, channels_first=True)) / (2**bits - 1)
    want = 2 * m * (quant((grad / (2 * m) + 0.5 + noise).clamp(0, 1), bits) - 0.5)
    assert torch.allclose(got, want, rtol=1e-4, atol=1e-6)
    assert all(len(sample.unique()) <= 8 for sample in got)


@pytest.mark.parametrize("bits", BITS)
def test_wageubn_weights_are_cut_below_one(bits):
    w = torch.linspace(-2, 2, 101)
    got = Wageubn().weight(w, torch.tensor(bits))
    limit = 1 - 2.0 ** (1 - bits)
    want = (torch.round(w * 2 ** (bits - 1)) / 2 ** (bits - 1)).clamp(-limit, limit)
    assert torch.equal(got, want)


@pytest.mark.parametrize("bits", BITS)
def test_wageubn_errors_scale_by_a_power_of_two(bits):
    grad = torch.randn(50) * 1e-4
    unit = 2.0 ** torch.round(torch.log2(grad.abs().max()))
    assert shift(grad.abs().max()) == unit
    steps = 2 ** (bits - 1)
    want = unit * (torch.round(grad / unit * steps) / steps).clamp(-1, 1)
    assert torch.allclose(error(grad, torch.tensor(bits), grad.abs().max()), want)


def test_flagged_errors_keep_what_plain_ones_lose():
    grad = torch.tensor([1.0, 0.4, 0.03, 0.004, 0.0004])
    bits = torch.tensor(4)
    plain, flagged = (rule(grad, bits, grad.abs().amax()) for rule in (error, flagged_error))
    assert plain.tolist()[2:] == [0, 0, 0]
    assert flagged[2] == pytest.approx(0.03, abs=1 / 128)
    assert flagged[2] > 0
    ramp = torch.linspace(-1, 1, 9999)
    assert len(flagged_error(ramp, bits, ramp.amax()).unique()) <= 2**5


def test_fixed_point_batch_norm_is_near_torchs_and_on_its_grid():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.weight, 0.5, 1)
    layer = FixedPointBatchNorm2d.from_float(norm, QuantConfig(Wageubn()))
    x = torch.randn(8, 3, 6, 6) * 2 + 1
    got = layer(x)
    reference = nn.BatchNorm2d(3)
    reference.weight = norm.weight
    want = reference(x)
    assert (got - want).abs().max() < 0.03
    assert torch.allclose(layer.running_var, reference.running_var)
    assert torch.equal(got * 2**14, (got * 2**14).round())
    layer.eval()
    reference.eval()
    assert (layer(x) - reference(x)).abs().max() < 0.06
    got.sum().backward()
    assert norm.weight.grad is not None


def test_fixed_point_sgd_moves_on_the_grid_of_the_update_and_descends():
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(10, 10).mul(2**14).round().div(2**14))
    start = w.detach().clone()
    optimiser = FixedPointSGD([w], lr=0.1, momentum=0.9)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = w.square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    moved = (w.detach() - start) * 2**14
    assert torch.equal(moved, moved.round())
    assert moved.abs().max() > 1
    assert losses[-1] < 0.9 * losses[0]
    state = copy.deepcopy(optimiser.state_dict())
    other = FixedPointSGD([nn.Parameter(w.detach().clone())], lr=0.1)
    other.load_state_dict(state)
    grad = torch.randn(10, 10)
    twin = other.param_groups[0]["params"][0]
    w.grad, twin.grad = grad.clone(), grad.clone()
    optimiser.step()
    other.step()
    assert torch.equal(w, twin)


def test_the_error_format_of_wageubn_is_the_configurations():
    def input_grad(**options):
        layer = quantize_(nn.Linear(1, 5, bias=False), QuantConfig(Wageubn(**options), fw=0, bw=4))
        with torch.no_grad():
            layer.weight.fill_(1)
        x = torch.zeros(5, 1, requires_grad=True)
        layer(x).backward(torch.diag(torch.tensor([1.0, 0.5, 0.03, 0.01, 0.005])))
        return x.grad.flatten()

    assert input_grad().count_nonzero() == 2
    assert input_grad(flagged_errors=True).count_nonzero() > 2
