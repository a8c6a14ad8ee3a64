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


def test_wageubns_weights_train_outside_the_cut_too():
    w = torch.tensor([-2.0, -0.3, 0.2, 5.0], requires_grad=True)
    Wageubn().weight(w, torch.tensor(8)).backward(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert w.grad.tolist() == [1, 2, 3, 4]


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
    found = flagged_error(ramp, bits, ramp.amax())
    assert len(found.unique()) <= 2**5
    assert found.max() == (2**3 - 1) / 2**3  # as the authors' code, which cuts at 2**(b - 1) - 1 steps


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


def on_grid(x, bits):
    return torch.equal(x * 2 ** (bits - 1), (x * 2 ** (bits - 1)).round())


def test_fixed_point_sgd_is_the_authors_update_written_out():
    """docs/numerics.md, in other words."""
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(6, 4).mul(2**23).round().div(2**23))
    optimiser = FixedPointSGD([w], lr=0.1, momentum=0.25, weight_decay=0.01, seed=3)
    want, momentum = w.detach().clone(), torch.zeros(6, 4)
    for step in range(4):
        grad = torch.randn(6, 4) * 10.0 ** (-2 * step)
        full = grad + 0.01 * want
        scaled = full / 2 ** full.abs().max().log2().round() * 128
        noise = noise_like(full, Noise(noise_key(3, step, 2**31), False))
        momentum = 0.25 * momentum + (scaled + noise).round().clamp(-127, 127) / 2**14
        want = ((want - 51 / 512 * momentum) * 2**23).round() / 2**23
        momentum = (momentum * 2**12).round() / 2**12
        w.grad = grad
        optimiser.step()
        assert torch.allclose(w.detach(), want, rtol=0, atol=2**-23)
        want = w.detach().clone()
    assert on_grid(w.detach(), 24)
    assert on_grid(optimiser.state[w]["momentum"], 13)


@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_the_step_of_a_weight_does_not_depend_on_its_gradients_size(size):
    """Small gradients, as super-resolution has, are not lost in the grid of the update."""
    w, b = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(3))
    optimiser = FixedPointSGD([w, b], lr=0.1)
    w.grad, b.grad = torch.full((3, 2), size), torch.full((3,), size)
    optimiser.step()
    assert w.detach().max() < -51 / 512 * 100 / 2**14
    assert bool(b.any()) == (size > 1e-3)


def test_fixed_point_sgd_descends_and_resumes():
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(10, 10))
    optimiser = FixedPointSGD([w], lr=0.5, momentum=0.9)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = w.square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    other = FixedPointSGD([nn.Parameter(w.detach().clone())], lr=0.1)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    grad = torch.randn(10, 10)
    twin = other.param_groups[0]["params"][0]
    w.grad, twin.grad = grad.clone(), grad.clone()
    optimiser.step()
    other.step()
    assert torch.equal(w, twin)


def test_what_is_not_quantised_is_updated_in_float():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    quantize_(net, {"0": QuantConfig(Wageubn()), "1": QuantConfig(Wageubn())})
    weights = list(net.parameters())
    optimiser = FixedPointSGD.of(net, weights, 0.1, weight_decay=0.01)
    assert [group["fixed"] for group in optimiser.param_groups] == [True] * 4 + [False] * 2
    assert [group["params"][0] is w for group, w in zip(optimiser.param_groups, weights, strict=True)]
    head = net[3].weight.detach().clone()
    net(torch.randn(4, 1, 4, 4)).square().mean().backward()
    optimiser.step()
    assert torch.allclose(net[3].weight, head - 0.1 * (net[3].weight.grad + 0.01 * head), atol=1e-7)


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
