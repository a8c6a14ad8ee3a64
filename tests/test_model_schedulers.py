"""Precision schedulers on a model."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from cpt.model.adaptive.ldp import LearnedPrecision
from cpt.model.adaptive.pfq import ProgressiveFractional
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precision, precisions, set_precision
from cpt.model.quantize import quantize_
from cpt.model.range_test import RangeTest
from cpt.model.schedulers import (
    CyclicPrecision,
    ProgressivePrecision,
    RandomPrecision,
    StaticPrecision,
    set_blockwise,
)


def model():
    return quantize_(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))))


def bits(net):
    return [item.get_bits() for item in precisions(net).values()]


def test_cyclic_precision_sets_the_bits_of_every_layer_from_the_start():
    net = model()
    schedule = CyclicPrecision(net, (3, 8), cycles=2, total_steps=10)
    seen = [bits(net)]
    for _ in range(9):
        assert schedule.step() == schedule.get_last_bits()
        seen.append(bits(net))
    assert [layers[0] for layers in seen] == [(3, 8), (3, 8), (5, 8), (6, 8), (8, 8)] * 2
    assert all(len(set(layers)) == 1 for layers in seen)


def test_a_resumed_schedule_goes_on_where_it_was():
    first, second = model(), model()
    schedule = CyclicPrecision(first, (3, 8), cycles=2, total_steps=10)
    for _ in range(4):
        schedule.step()
    resumed = CyclicPrecision(second, (3, 8), cycles=2, total_steps=10)
    resumed.load_state_dict(schedule.state_dict())
    assert bits(second) == bits(first) == [(8, 8)] * 3
    assert resumed.step() == schedule.step() == (3, 8)


def test_gradients_may_cycle_and_the_start_may_wait():
    net = model()
    schedule = CyclicPrecision(net, (3, 8), cycles=1, total_steps=6, bw=(6, 16), start=3)
    found = [schedule.get_last_bits()] + [schedule.step() for _ in range(5)]
    assert found == [(3, 6), (3, 6), (3, 6), (3, 6), (4, 8), (8, 16)]


def test_other_schedules_reach_their_end():
    for schedule, last in (
        (StaticPrecision(model(), 6), (6, 8)),
        (ProgressivePrecision(model(), (3, 8), 6), (8, 8)),
        (ProgressivePrecision(model(), (3, 4, 6, 8), 8, bw=(6, 6, 8, 8), linear=False), (8, 8)),
        (RandomPrecision(model(), (3, 8), every=2, total_steps=8), (8, 8)),
        (CyclicPrecision(model(), (3, 8), 2, 8, shape="up_down"), (8, 8)),
        (CyclicPrecision(model(), (3, 8), 2, 8, shape="cosine_anneal"), (8, 8)),
    ):
        for _ in range(7):
            schedule.step()
        assert bits(schedule.model) == [last] * 3


def test_several_schedulers_share_a_model_block_by_block():
    net = model()
    StaticPrecision(net, 8)
    inner = CyclicPrecision(net, (3, 5), 1, 4, filter_fn=lambda module, name: name.startswith("1"))
    inner.step()
    assert bits(net)[0] == (8, 8)
    assert bits(net)[1] == bits(net)[2] == inner.get_last_bits()


@pytest.mark.parametrize(
    "make",
    [
        lambda net, chosen: StaticPrecision(net, 3, 5, filter_fn=chosen),
        lambda net, chosen: CyclicPrecision(net, (3, 5), 1, 4, bw=5, filter_fn=chosen),
        lambda net, chosen: ProgressivePrecision(net, (3, 5), 4, bw=5, filter_fn=chosen),
        lambda net, chosen: RandomPrecision(net, (3, 5), 2, 4, bw=5, filter_fn=chosen),
    ],
)
def test_every_scheduler_leaves_the_layers_of_others_alone(make):
    net = model()
    schedule = make(net, lambda module, name: name.startswith("1"))
    for _ in range(3):
        schedule.step()
        assert bits(net) == [(8, 8), schedule.get_last_bits(), schedule.get_last_bits()]
    with pytest.raises(ValueError, match=r"^model has 0 quantised layers to set; allowed: at least 1"):
        make(net, lambda module, name: False)


def test_blocks_get_bits_by_hand_and_the_longest_prefix_wins():
    net = model()
    set_blockwise(net, {"0": 3, "1": 4, "1.1": 6}, bw=7)
    assert bits(net) == [(3, 7), (4, 7), (6, 7)]
    with pytest.raises(ValueError, match=r"^block is 'x'; allowed: a prefix of 0, 1\.0, 1\.1$"):
        set_blockwise(net, {"x": 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CyclicPrecision(model(), (8, 3), 1, 4), r"lo is 8; allowed: at most hi \(3\)"),
        (
            lambda: CyclicPrecision(model(), (3, 8), 1, 4, unit="day"),
            "unit is 'day'; allowed: epoch, iteration",
        ),
        (lambda: CyclicPrecision(model(), (3, 8), 1, 4, shape="x"), "shape is 'x'; allowed: cosine, linear"),
        (lambda: CyclicPrecision(model(), (3, 8), 1, 4, start=4), r"start is 4; allowed: 0\.\.3, below the"),
        (lambda: CyclicPrecision(nn.Linear(2, 2), (3, 8), 1, 4), "model has 0 quantised layers to set; al"),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_precision_of_a_training_loop_reads_like_torch():
    net = model()
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    schedule = CyclicPrecision(net, (3, 8), cycles=1, total_steps=3)
    used = []
    for _ in range(3):
        used.append(schedule.get_last_bits()[0])
        optimiser.zero_grad()
        net(torch.randn(5, 3)).square().mean().backward()
        optimiser.step()
        schedule.step()
    assert used == [3, 4, 8]


class Bypassing(nn.Module):
    """Uses a layer's weight without the layer, as Swin's attention does."""

    def __init__(self):
        super().__init__()
        self.first, self.qkv = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return nn.functional.linear(self.first(x), self.qkv.weight)


def bypassing():
    net = quantize_(Bypassing())
    return net, {"first": 9, "qkv": 9}


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda net, macs: StaticPrecision(net, 8), ()),
        (lambda net, macs: ProgressiveFractional(net), (1.0,)),
        (lambda net, macs: LearnedPrecision(net, (3, 8), macs), ()),
    ],
)
def test_the_first_step_names_a_quantised_layer_that_never_ran(make, arguments):
    net, macs = bypassing()
    schedule = make(net, macs)
    net(torch.randn(2, 3)).sum().backward()
    with pytest.raises(
        ValueError, match=r"^quantised but never run: qkv \(is the weight used without its layer"
    ):
        schedule.step(*arguments)


def test_a_schedule_may_be_stepped_without_a_model_that_runs():
    net, _ = bypassing()
    schedule = CyclicPrecision(net, (3, 8), 1, 4)
    assert [schedule.step()[0] for _ in range(3)][-1] == 8


def test_a_layer_left_out_of_the_scheduler_need_not_run():
    net, _ = bypassing()
    schedule = StaticPrecision(net, 8, filter_fn=lambda module, name: name != "qkv")
    net(torch.randn(2, 3))
    schedule.step()


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_every_width_may_be_a_numpy_integer(kind):
    lo, hi = kind(3), kind(8)
    net = quantize_(nn.Sequential(nn.Linear(3, 3)), QuantConfig(fw=hi, bw=hi, seed=kind(1)))
    schedules = [
        CyclicPrecision(net, (lo, hi), kind(2), kind(10), bw=hi, start=kind(2)),
        CyclicPrecision(net, (lo, hi), 2, 10, bw=(lo, hi)),
        CyclicPrecision(net, np.array([3, 8], kind), 2, 10, bw=np.array([4, 8], kind)),
        StaticPrecision(net, hi, hi),
        ProgressivePrecision(net, (lo, hi), kind(10), bw=hi),
        ProgressivePrecision(net, (lo, kind(5), hi), 10, bw=(lo, hi), linear=False),
        RandomPrecision(net, (lo, hi), kind(2), kind(10), bw=hi, seed=kind(3)),
        ProgressiveFractional(net, (lo, hi), (hi, hi)),
        LearnedPrecision(net, (lo, hi), {"0": 9}, bw=hi),
    ]
    for schedule in schedules[:-2]:
        assert {type(bits) for _ in range(10) for bits in schedule.step()} == {int}
    assert {type(bits) for bits in schedules[-2].step(1.0)} == {int}
    set_precision(net, fw=lo, bw=hi)
    with precision(net, fw=hi):
        assert precisions(net)["0"].get_bits() == (8, 8)
    set_blockwise(net, {"0": lo}, bw=hi)
    test = RangeTest(bits=(lo, hi), steps=1, window=1, bw=hi)
    assert {type(bits) for bits, _ in test.run(net, lambda: 0.5).curve} == {int}
    json.dumps(QuantConfig(fw=hi, bw=lo, seed=kind(2)).as_dict())
    schedules[3].load_state_dict({"last_step": kind(2)})
    with pytest.raises(ValueError, match=r"^fw is True; allowed"):
        QuantConfig(fw=True)
