"""Numeric health: exact figures of known tensors, what is measured when, what a fault says, the drawing."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from cpt.model import CyclicPrecision, NumericHealth, QuantConfig, quantize_, set_precision
from cpt.model.health import Health, NotFinite, read_rows
from cpt.model.layers import NonFiniteInput


def net(**options):
    torch.manual_seed(0)
    return quantize_(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        QuantConfig(**{"fw": 3, "bw": 4, **options}),
    )


def train(model, health, steps=1, x=None):
    for _ in range(steps):
        x = torch.randn(8, 3) if x is None else x
        model(x).square().sum().backward()
        health.step()


def test_figures_of_known_tensors_are_exact():
    layer = quantize_(nn.Sequential(nn.Linear(4, 2, bias=False)), QuantConfig(fw=2, bw=0))
    with torch.no_grad():
        layer[0].weight.copy_(torch.tensor([[0.0, 1.0, 2.0, 3.0], [-0.5, 5.5, 0.25, 2.5]]))
    health = NumericHealth(layer, every=1)
    x = torch.tensor([[-3.0, -1.25, 0.75, 6.0]])
    layer(x)
    activation, weight = health.step()
    # 2 bits from -3 to 6: steps of 3, the grid -3, 0, 3, 6
    assert activation == Health(
        0, "0", "activation", 2, -3.0, 6.0, -3.0, 6.0, 3.0, 2 / 4, 0.0,
        (1.25**2 + 0.75**2) / 4, (9 + 1.25**2 + 0.75**2 + 36) / 4,
    )  # fmt: skip
    # a grid for each row: 0, 1, 2, 3 and -0.5, 1.5, 3.5, 5.5, where 2.5 goes to the even code
    assert weight == Health(
        0, "0", "weight", 2, -0.5, 5.5, -0.5, 5.5, 1.5, 2 / 7, 0.0, (0.75**2 + 1) / 8,
        (0 + 1 + 4 + 9 + 0.25 + 5.5**2 + 0.25**2 + 2.5**2) / 8,
    )  # fmt: skip
    assert activation.snr_db == pytest.approx(10 * math.log10(activation.power / activation.mse))


def test_gradients_are_those_of_the_layers_output():
    model = net(bw=2)
    health = NumericHealth(model, every=1)
    y = model(torch.randn(8, 3))
    y.retain_grad()
    y.square().sum().backward()
    rows = {(row.layer, row.tensor): row for row in health.step()}
    assert list(rows) == sorted(
        (name, kind) for name in "02" for kind in ("activation", "gradient", "weight")
    )
    last = rows["2", "gradient"]
    assert (last.lo, last.hi) == (y.grad.min().item(), y.grad.max().item())
    assert last.bits == 2
    assert last.power == pytest.approx(y.grad.double().square().mean().item())
    assert 0 < last.mse < last.power
    assert rows["0", "activation"].bits == 3


def test_saturation_is_what_lies_beyond_the_grid():
    model = quantize_(nn.Sequential(nn.Linear(2, 2)), QuantConfig("dorefa", fw=2, bw=0))
    health = NumericHealth(model, every=1)
    model(torch.tensor([[0.0, 0.5], [1.0, 4.0], [1.1, 9.0]]))
    row = health.step()[0]
    assert (row.grid_lo, row.grid_hi, row.grid_step) == (0.0, 1.0, pytest.approx(1 / 3))
    assert row.saturation == pytest.approx(2 / 6)  # 1.1 is within half a step


def test_only_every_so_many_steps_are_measured():
    model = net()
    health = NumericHealth(model, every=3)
    train(model, health, 7)
    assert sorted({row.step for row in health.rows}) == [0, 3, 6]
    assert not health.active
    assert health.last("0", "weight").step == 6
    assert health.last("1", "weight") is None


def test_nothing_is_measured_in_evaluation_or_after_the_end():
    model = net()
    with NumericHealth(model, every=1) as health:
        train(model, health)
        model.eval()(torch.randn(2, 3))
        assert health.step() == []
    model.train()(torch.randn(2, 3))
    assert all(layer.precision.observer is None for layer in (model[0], model[2]))


def test_training_is_the_same_with_it_and_without():
    watched, plain = net(), net()
    health = NumericHealth(watched, every=2)
    x = torch.randn(8, 3)
    for model in (watched, plain):
        for _ in range(3):
            model(x).square().sum().backward()
            health.step()
    for one, other in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_calls_of_a_step_are_counted_together():
    model = quantize_(nn.Sequential(nn.LSTM(3, 4)), QuantConfig(fw=4, bw=4))
    health = NumericHealth(model, every=1)
    x = torch.randn(5, 2, 3)
    y, _ = model(x)
    y.square().sum().backward()
    rows = {(row.layer, row.tensor): row for row in health.step()}
    assert rows["0.precision_hh_l0", "activation"].lo <= y.min().item()
    assert rows["0.precision_ih_l0", "activation"].power == pytest.approx(x.double().square().mean().item())


def test_bits_of_each_step_and_means_over_ranges():
    model = net()
    schedule = CyclicPrecision(model, (2, 4), 1, 6, unit="iteration", bw=8)
    health = NumericHealth(model, every=1)
    x = torch.randn(8, 3)
    for _ in range(6):
        model(x).square().sum().backward()
        health.step()
        schedule.step()
    own = [row for row in health.rows if (row.layer, row.tensor) == ("0", "weight")]
    assert [row.bits for row in own] == [2, 2, 2, 3, 4, 4]
    assert [row.mse for row in own] == sorted((row.mse for row in own), reverse=True)
    joined = [row for row in health.by_range(3) if (row.layer, row.tensor) == ("0", "weight")]
    assert [(row.step, row.bits) for row in joined] == [(0, 2), (3, 3), (3, 4)]
    assert joined[0].mse == pytest.approx(own[0].mse)


def test_more_bits_lose_less():
    losses = []
    for bits in (3, 8):
        model = net(fw=bits, bw=bits)
        health = NumericHealth(model, every=1)
        train(model, health, x=torch.linspace(-1, 1, 24).view(8, 3))
        losses.append({(row.layer, row.tensor): row.mse for row in health.rows})
    assert all(losses[1][key] < losses[0][key] / 50 for key in losses[0])


@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_what_is_not_finite_is_named_with_the_last_healthy_figures(where):
    model = net()
    health = NumericHealth(model, every=1)
    train(model, health, 2)
    if where == "weight":
        with torch.no_grad():
            model[2].weight[0, 0] = math.nan
    factor = math.inf if where == "gradient" else 1
    with pytest.raises(NotFinite) as caught:
        (model(torch.randn(8, 3)) * factor).sum().backward()
    words = str(caught.value)
    bits = {"weight": 3, "gradient": 4}[where]
    assert words.startswith(f"{where} of layer 2 at {bits} bits is not finite at step 2; allowed: finite num")
    assert f"last healthy at step 1: {health.last('2', where)}" in words
    assert "\n" not in words


def test_an_input_that_is_not_finite_comes_with_the_last_healthy_figures():
    model = net()
    health = NumericHealth(model, every=5)
    train(model, health, 2)
    with pytest.raises(NonFiniteInput, match=r"^input of layer 0 .*\(last healthy at step 0: .* below half"):
        model(torch.full((8, 3), math.nan))


def test_rows_are_written_and_read_and_the_position_is_kept():
    model = net()
    health = NumericHealth(model, every=2)
    train(model, health, 3)
    assert read_rows(json.dumps(row.as_dict()) for row in health.rows) == health.rows
    other = NumericHealth(model, every=2)
    other.load_state_dict(health.state_dict())
    assert other.rows == health.rows
    train(model, other)
    assert len(other.rows) == len(health.rows)
    train(model, other)
    assert other.rows[-1].step == 4


def test_copies_are_not_observed():
    model = net()
    NumericHealth(model, every=1)
    assert copy.deepcopy(model)[0].precision.observer is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NumericHealth(net(), every=0), "every is 0; allowed: at least 1"),
        (lambda: NumericHealth(nn.Linear(2, 2)), "model has 0 quantised layers to measure"),
    ],
)
def test_wrong_use_is_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_the_figure_shows_range_grid_and_loss_of_a_layer(tmp_path):
    pytest.importorskip("matplotlib")
    from cpt.model.figures.canvas import save
    from cpt.model.figures.health import draw_health

    model = net()
    health = NumericHealth(model, every=1)
    for bits in (3, 8, 0):
        set_precision(model, fw=bits)
        train(model, health)
    figure = draw_health(health.rows, "2")
    panels = figure.axes
    assert [axes.get_yscale() for axes in panels] == ["log"] * 3 + ["linear"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["grid: half a step to its end", "largest number"]
    path = save(figure, tmp_path / "health.svg")
    assert path.stat().st_size > 1000
    with pytest.raises(ValueError, match=r"^layer is '7'; allowed: 0, 2"):
        draw_health(health.rows, "7")
