"""Rules that adapt precision: what each decides from known statistics, and that bits move in training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch_runs import SMALL, images

from cpt.model import QuantConfig, precisions, quantize_
from cpt.model.adaptive import (
    RULES,
    AdaPT,
    AdaptivePrecision,
    Fast,
    LayerStatistics,
    Muppet,
    Snip,
    StepStatistics,
)
from cpt.model.adaptive.rule import weight_of
from cpt.model.training import TorchTrainer

pytestmark = pytest.mark.usefixtures("one_thread")
BITS = {"fw": 8, "bw": 8}


def statistics(weights, gradients=None, macs=(100, 100), step=19, steps=100):
    """Of linear layers with these weights."""
    layers = {}
    for number, weight in enumerate(weights):
        layer = quantize_(nn.Linear(weight.shape[1], weight.shape[0]), QuantConfig(**BITS))
        gradient = torch.ones_like(weight) if gradients is None else gradients[number]
        layers[str(number)] = LayerStatistics(weight, gradient, macs[number], layer.precision)
    return StepStatistics(step, steps, layers)


def net():
    torch.manual_seed(0)
    return quantize_(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)), QuantConfig(**BITS))


MACS = {"0": 48, "2": 32}


def train(model, adaptive, steps, x=None):
    for _ in range(steps):
        model.zero_grad()
        model(torch.randn(8, 6) if x is None else x).square().sum().backward()
        adaptive.step()


@pytest.mark.parametrize("name", RULES)
def test_bits_move_in_a_training_run_and_what_follows_them_does(name):
    config = replace(SMALL, method=name, fw=(2, 8), epochs=16, look_every=1, width=8)
    trainer = TorchTrainer(config, images())
    start = trainer.method.bits()
    work, seen = [], []
    while not trainer.finished:
        before = trainer.work.gbitops
        trainer.train_epoch(lambda report: seen.append(report.fw))
        work.append(trainer.work.gbitops - before)
    found = trainer.method.bits()
    assert found != start
    assert all(2 <= fw <= 8 and bw == 8 for fw, bw in found.values())
    assert {name: item.get_bits() for name, item in precisions(trainer.model).items()} == found
    assert len(set(seen)) > 1
    assert max(work) > min(work)
    history = trainer.method.history()
    assert len(history) == 1 + trainer.total_steps
    assert history[-1] == [fw for fw, _ in found.values()]


def test_every_rule_says_where_it_is_from():
    for rule in RULES.values():
        assert rule.source.split("(")[0].strip().lower() in rule.__doc__.lower()
        assert "Own reading" in rule.__doc__


def test_muppet_rises_when_gradients_agree_less_often_enough():
    rule = Muppet(3, 8, window=2, alpha=1.0, beta=0.0, patience=2)
    assert rule.begin() == 3

    def look(*gradients):
        weights = [torch.zeros(1, 2)]
        return [rule.observe(statistics(weights, [torch.tensor([g])])) for g in gradients]

    # diversity of two is 1/2 where they are equal, 1 where they are at right angles
    assert look([1.0, 0.0], [1.0, 0.0]) == [{}, {}]
    assert rule.largest == pytest.approx(0.5)
    assert look([0.0, 1.0]) == [{}]
    assert (rule.largest, rule.violations) == (pytest.approx(1.0), 0)
    assert look([0.0, 1.0], [0.0, 1.0]) == [{}, {"0": 4}]
    assert (rule.bits, rule.violations, rule.looks) == (4, 0, 0)


def test_muppet_stops_at_the_upper_bound():
    rule = Muppet(7, 8, window=2, alpha=0.0, beta=0.0, patience=1)
    found = [rule.observe(statistics([torch.zeros(1, 2)], [torch.ones(1, 2)])) for _ in range(6)]
    assert [step for step in found if step] == [{"0": 8}]


def test_adapt_gives_two_bits_to_four_values_and_more_to_a_bell():
    four = torch.tensor([[-1.0, -1 / 3, 1 / 3, 1.0]]).repeat(8, 50)
    torch.manual_seed(0)
    bell = torch.randn(8, 200)
    found = AdaPT(2, 8).observe(statistics([four, bell]))
    assert found["0"] == 2
    assert found["1"] > 2
    assert AdaPT(2, 8, loss=1e-9).observe(statistics([four, bell]))["1"] == 8
    assert AdaPT(2, 8, loss=50.0).observe(statistics([four, bell])) == {"0": 2, "1": 2}


def test_fast_gives_more_bits_later_and_deeper():
    torch.manual_seed(0)
    weights = [torch.randn(8, 100)] * 4
    rule = Fast(2, 8)
    assert rule.begin() == 2
    early = rule.observe(statistics(weights, macs=(1,) * 4, step=0))
    late = rule.observe(statistics(weights, macs=(1,) * 4, step=99))
    assert list(early.values()) == sorted(early.values())
    assert early["3"] > early["0"]
    assert all(late[name] >= early[name] for name in early)
    assert sum(late.values()) > sum(early.values())


def test_snip_keeps_the_budget_and_spends_it_where_the_loss_is():
    torch.manual_seed(0)
    weights = [torch.randn(8, 20), torch.randn(8, 20)]
    gradients = [torch.ones(8, 20), torch.ones(8, 20) * 1e-4]
    rule = Snip(2, 8, target=0.5)
    found = rule.observe(statistics(weights, gradients))
    cost = sum(bits * bits + 16 * bits for bits in found.values()) / (2 * (64 + 128))
    assert cost <= 0.5
    assert found["0"] > found["1"]
    # no choice within the budget loses less
    losses = {
        name: [
            (layer.gradient * (layer.quantised(bits) - layer.weight)).square().sum().item()
            for bits in range(2, 9)
        ]
        for name, layer in statistics(weights, gradients).layers.items()
    }
    best = min(
        losses["0"][a - 2] + losses["1"][b - 2]
        for a in range(2, 9)
        for b in range(2, 9)
        if a * a + 16 * a + b * b + 16 * b <= 0.5 * 2 * 192
    )
    torch.manual_seed(0)
    assert losses["0"][found["0"] - 2] + losses["1"][found["1"] - 2] == pytest.approx(best, rel=0.2)


def test_snip_without_room_takes_the_fewest_bits():
    assert Snip(2, 8, target=0.01).observe(statistics([torch.randn(2, 3)], macs=(5,))) == {"0": 2}
    assert Snip(2, 8, target=1.0)._solved(np.array([[3.0, 1.0]]), np.array([[1.0, 2.0]])) == [3]


def test_a_rule_of_a_users_is_asked_at_its_interval():
    class Alternating(Fast):
        """Up and down."""

        def observe(self, given):
            return dict.fromkeys(given.layers, 3 + given.step % 5)

    model = net()
    adaptive = AdaptivePrecision(model, Alternating(2, 8, interval=3), MACS, 12, bw=6)
    assert adaptive.bits() == {"0": 2, "2": 2}
    train(model, adaptive, 9)
    assert adaptive.history == [[2, 2], [5, 5], [3, 3], [6, 6]]
    assert precisions(model)["0"].get_bits() == (6, 6)


@pytest.mark.parametrize("name", RULES)
def test_what_a_rule_knows_is_saved(name):
    torch.manual_seed(1)
    data = [torch.randn(8, 6) for _ in range(12)]

    def run(model, adaptive, part):
        for x in part:
            train(model, adaptive, 1, x)

    whole_model, model = net(), net()
    whole, first = (AdaptivePrecision(m, RULES[name](2, 8, 2), MACS, 12) for m in (whole_model, model))
    run(whole_model, whole, data)
    run(model, first, data[:7])
    again = net()
    second = AdaptivePrecision(again, RULES[name](2, 8, 2), MACS, 12)
    second.load_state_dict(first.state_dict())
    second.rule.load_arrays(first.rule.arrays())
    again.load_state_dict(model.state_dict())
    run(again, second, data[7:])
    assert second.history == whole.history
    assert second.bits() == whole.bits()


def test_weights_of_products_are_found_by_their_names():
    model = quantize_(
        nn.ModuleDict(
            {"lstm": nn.LSTM(3, 4), "attention": nn.MultiheadAttention(4, 2), "conv": nn.Conv1d(2, 3, 1)}
        )
    )
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    shapes = {name: weight_of(model, name)[0].shape for name in precisions(model)}
    assert shapes["lstm.precision_hh_l0"] == (16, 4)
    assert shapes["attention.precision_q"] == shapes["attention.precision_out"] == (4, 4)
    assert shapes["conv"] == (3, 2, 1)
    model["conv"].weight.grad = None
    assert weight_of(model, "conv") is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fast(8, 8), r"lo is 8; allowed: below hi \(8\)"),
        (lambda: Fast(2, 8, interval=0), "interval is 0; allowed: at least 1"),
        (lambda: Fast(2, 8, alpha=0.0), r"alpha is 0.0, beta 0.12; allowed: alpha above least \(0.02\)"),
        (lambda: Snip(2, 8, target=0.0), "target is 0.0; allowed: above 0, at most 1"),
        (lambda: Muppet(2, 8, window=1), "window is 1; allowed: at least 2"),
        (lambda: AdaPT(2, 8, loss=0.0), "loss is 0.0 and bins 32; allowed: above 0, and at least 2"),
        (
            lambda: replace(SMALL, method="fast", fw=(8, 8)),
            "fw is .*; allowed: two different bounds",
        ),
    ],
)
def test_wrong_settings_are_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_divergence_is_in_bits():
    assert AdaPT._divergence(
        torch.tensor([1.0, 1e-9]).double(), torch.tensor([0.5, 0.5]).double()
    ) == pytest.approx(1)
    assert math.isclose(AdaPT(2, 8)._shares(torch.zeros(3), torch.zeros(3)).sum().item(), 1)
