"""Linear layers with products of int8 codes: the emulation's codes, exact sums, the same training."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch_runs import LANGUAGE, language

from cpt.model import NumericHealth, QuantConfig, StaticPrecision, integer, precision, quantize_
from cpt.model.functional import Grid
from cpt.model.integer import Codes, int_mm, product
from cpt.model.layers import LayerPrecision
from cpt.model.quantisers import Sbm, Uniform
from cpt.model.training import TorchTrainer

LAYERS = 200


@pytest.fixture
def products(monkeypatch):
    """Operands and results of all products, in order."""
    found = []

    def kept(a, b):
        found.append((a, b, product(a, b)))
        return found[-1][2].clone()

    monkeypatch.setattr(integer, "product", kept)
    return found


@pytest.fixture
def emulated(monkeypatch):
    """Values that the emulation quantises to, by tensor."""
    found = {}

    class Watching:
        active = True

        def __call__(self, item, tensor, bits, x, quantised):
            found[tensor] = quantised.detach().clone()

    return Watching(), found


def values(item):
    """A matrix of values in float64 from its codes."""
    return (item.codes.double() - item.zero) * item.scale.double() + item.rest.double()


@pytest.mark.parametrize("number", range(LAYERS))
def test_products_are_of_the_emulations_codes(number, products, emulated):
    rng = np.random.default_rng(number)
    rows, wide, out = (int(rng.integers(1, most)) for most in (40, 70, 50))
    fw, bw = (int(rng.integers(1, 9)) for _ in range(2))
    torch.manual_seed(number)
    layer = nn.Linear(wide, out, bias=bool(rng.integers(2)))
    x = torch.randn(rows, wide) * 10.0 ** rng.integers(-4, 4) + float(rng.normal())
    x = x if rng.integers(2) else x.view(1, rows, wide).relu()
    grad = torch.randn(*x.shape[:-1], out) * 10.0 ** rng.integers(-6, 2)
    config = QuantConfig(fw=fw, bw=bw, seed=number)
    net = quantize_(nn.Sequential(copy.deepcopy(layer)), config)
    whole = quantize_(nn.Sequential(copy.deepcopy(layer)), replace(config, products="int8"))
    net[0].precision.observer, seen = emulated
    a, b = (x.clone().requires_grad_() for _ in range(2))
    y = net(a)
    y.backward(grad)
    z = whole(b)
    z.backward(grad)
    (inputs, weights, _), (gradients, weights_dx, _), (turned, inputs_again, _) = products
    half = 2 ** (fw - 1)
    for item, bits in ((inputs, fw), (weights, fw), (gradients, bw), (weights_dx, fw)):
        assert item.codes.dtype == torch.int8
        assert (item.codes.int() + 2 ** (bits - 1)).min() >= 0
        assert (item.codes.int() + 2 ** (bits - 1)).max() < 2**bits
    flat = seen["activation"].reshape(-1, wide)
    grid = net[0].precision.quantiser.activation_grid(torch.tensor(fw), _range(net[0].precision, x))
    assert torch.equal(grid.values((inputs.codes.int() + half).float()), flat)
    codes, grid = Sbm().weight_codes(layer.weight, torch.tensor(fw))
    assert torch.equal(weights.codes.int() + half, codes.int())
    assert torch.equal(grid.values(codes), seen["weight"])
    dx = Sbm().weight_dx(layer.weight, torch.tensor(fw), 1)
    assert torch.allclose(values(weights_dx).t().float(), dx, rtol=1e-5, atol=1e-6)
    least = 1e-6 * float(grad.abs().max())
    assert torch.allclose(values(gradients).float(), seen["gradient"].reshape(-1, out), rtol=1e-5, atol=least)
    assert torch.equal(turned.codes, gradients.codes.t())
    assert torch.equal(inputs_again.codes, inputs.codes.t())
    for one, other, result in products:
        exact = one.codes.long() @ other.codes.long().t()
        assert torch.equal(int_mm(one.codes, other.codes).long(), exact)
        wanted = values(one) @ values(other).t()
        size = values(one).abs() @ values(other).abs().t()
        assert ((result.double() - wanted).abs() <= 1e-6 * size + 1e-30).all()
    size = flat.double().abs() @ seen["weight"].double().abs().t() + 1
    assert ((y.double() - z.double()).abs().reshape(-1, out) <= 2e-6 * size).all()
    for one, other in ((a.grad, b.grad), (net[0].weight.grad, whole[0].weight.grad)):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()) + 1e-30)
    if layer.bias is not None:
        assert torch.allclose(
            net[0].bias.grad, whole[0].bias.grad, rtol=1e-4, atol=1e-5 * float(grad.abs().sum())
        )
    assert torch.equal(net[0].precision.noise_step, whole[0].precision.noise_step)


def _range(item, x):
    return item.quantiser.range_of(x, item.batch)


def test_a_product_of_known_codes():
    bits = torch.tensor(2)
    a = Codes.of(torch.tensor([[0.0, 3.0, 1.0]]), Grid(torch.tensor(0.5), torch.tensor(-1.0)), bits)
    b = Codes.of(
        torch.tensor([[2.0, 0.0, 3.0], [1.0, 1.0, 1.0]]),
        Grid(torch.tensor([[1.0], [4.0]]), torch.tensor([[0.0], [-2.0]])),
        bits,
    )
    assert a.codes.tolist() == [[-2, 1, -1]]
    assert (a.zero, a.rest) == (0, 0)
    assert b.zero.tolist() == [[-2], [-2]]
    assert b.rest.tolist() == [[0.0], [-2.0]]
    assert values(a).tolist() == [[-1.0, 0.5, -0.5]]
    assert values(b).tolist() == [[2.0, 0.0, 3.0], [2.0, 2.0, 2.0]]
    assert product(a, b).tolist() == [[-3.5, -2.0]]


def test_sums_beyond_32_bits_are_made_in_parts():
    terms, bits = 2 * integer.MOST_TERMS + 7, torch.tensor(8)
    grid = Grid(torch.tensor(1.0), torch.tensor(0.0))
    item = Codes.of(torch.full((1, terms), 255.0), grid, bits)
    assert product(item, item).item() == pytest.approx(255.0**2 * terms, rel=1e-6)


@pytest.mark.parametrize("terms", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (17, 8), (16, 9), (40, 33)])
def test_sums_of_codes_are_exact_at_all_sizes(rows, columns, terms):
    a, b = (torch.randint(-128, 128, (count, terms), dtype=torch.int8) for count in (rows, columns))
    assert torch.equal(int_mm(a, b).long(), a.long() @ b.long().t())


@pytest.mark.parametrize(("fw", "bw"), [(9, 8), (8, 9), (0, 8), (8, 0), (0, 0)])
def test_other_bits_are_products_of_floats(fw, bw, products):
    net = quantize_(nn.Sequential(nn.Linear(4, 3)), QuantConfig(fw=fw, bw=bw, products="int8"))
    net(torch.randn(2, 4)).sum().backward()
    assert not products


def test_bits_may_move_and_evaluation_needs_no_weights_of_dx(products):
    net = quantize_(nn.Sequential(nn.Linear(6, 3)), QuantConfig(fw=4, products="int8"))
    net(torch.randn(2, 6)).sum().backward()
    assert len(products) == 2  # the input wants no gradient
    net.eval()
    with torch.no_grad(), precision(net, fw=8):
        net(torch.randn(2, 6))
    assert len(products) == 3
    assert int(products[2][0].codes.int().max()) > 7


def test_attention_and_a_transformer_train_with_them(products):
    config = replace(LANGUAGE, epochs=4)
    losses = {}
    for kind in ("float32", "int8"):
        trainer = TorchTrainer(replace(config, products=kind), language())
        losses[kind] = [trainer.train_epoch()["train_loss"] for _ in range(3)]
    assert len(products) > 10
    assert losses["int8"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["int8"] != losses["float32"]


def test_health_sees_the_same_figures():
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 4), torch.randn(16, 8)
    found = []
    for kind in ("float32", "int8"):
        net = quantize_(nn.Sequential(copy.deepcopy(layer)), QuantConfig(fw=4, bw=4, products=kind))
        with NumericHealth(net, every=1) as health:
            net(x.clone().requires_grad_()).square().sum().backward()
            found.append({row.tensor: (row.bits, row.underflow, row.saturation) for row in health.step()})
    assert found[0]["weight"] == found[1]["weight"]
    assert found[0]["activation"] == found[1]["activation"]
    assert set(found[0]) == set(found[1])


def test_a_schedule_a_copy_and_a_state_dict():
    net = quantize_(nn.Sequential(nn.Linear(6, 6)), QuantConfig(products="int8"))
    StaticPrecision(net, 5, 6)
    net(torch.randn(3, 6)).sum().backward()
    other = copy.deepcopy(net)
    again = quantize_(nn.Sequential(nn.Linear(6, 6)), QuantConfig(products="int8"))
    again.load_state_dict(net.state_dict())
    x = torch.randn(4, 6)
    net.eval(), other.eval(), again.eval()
    assert torch.equal(net(x), other(x))
    assert torch.equal(net(x), again(x))


@pytest.mark.parametrize(
    ("quantiser", "products", "line"),
    [
        ("sbm", "int4", "products is 'int4'; allowed: float32, int8"),
        (Sbm(dx_weights="forward"), "int8", "products is 'int8' with quantiser sbm"),
        (Uniform(), "int8", "products is 'int8' with quantiser uniform"),
        ("dorefa", "int8", "products is 'int8' with quantiser dorefa; allowed: one whose scales"),
    ],
)
def test_what_has_no_integer_products_is_refused(quantiser, products, line):
    with pytest.raises(ValueError, match=line):
        QuantConfig(quantiser, products=products)


def test_a_layer_says_how_its_products_are_made():
    item = LayerPrecision(QuantConfig(products="int8"), 0)
    assert item.in_integers
    item.set_bits(fw=0)
    assert not item.in_integers
    assert QuantConfig.from_dict(item.config.as_dict()).products == "int8"
