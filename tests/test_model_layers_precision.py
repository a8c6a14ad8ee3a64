"""What happens to a quantised layer's bits, range and noise in a program that does more than train."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from cpt.model import (
    CyclicPrecision,
    QuantConfig,
    StaticPrecision,
    calibration,
    precision,
    precisions,
    quantize_,
)
from cpt.model.layer_precisions import set_precision
from cpt.model.layers import NonFiniteInput

torch.set_num_threads(1)
QUANTISERS = ("sbm", "dorefa", "wageubn", "fabric")


def small(quantiser="sbm", **options):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
    return quantize_(layers, QuantConfig(quantiser, **options))


def images(*shape):
    return torch.randn(*(shape or (2, 2, 8, 8)), generator=torch.Generator().manual_seed(1))


def train(net, x, run=None):
    net.zero_grad()
    (run or net)(x).square().mean().backward()


@pytest.mark.parametrize("quantiser", QUANTISERS)
@pytest.mark.parametrize(
    "change",
    [
        lambda y: nn.functional.relu(y, inplace=True),
        lambda y: nn.functional.dropout(y, 0.5, inplace=True),
        lambda y: y.unsqueeze(0).mul_(2),
        lambda y: y[:, :1].zero_(),
    ],
    ids=["relu", "dropout", "view", "slice"],
)
def test_outputs_may_be_changed_in_place(quantiser, change):
    """And the gradient is that of the same change out of place."""

    def layer(kind):
        torch.manual_seed(0)
        return quantize_(kind, QuantConfig(quantiser, bw=8))

    cases = [
        (nn.Conv2d(2, 4, 3), images(), lambda y: y),
        (nn.Conv2d(2, 4, 3, bias=False), images().contiguous(memory_format=torch.channels_last), lambda y: y),
        (nn.Linear(8, 4), images(2, 4, 8), lambda y: y),
        (nn.LSTM(8, 4), images(3, 4, 8), lambda y: y[0]),
        (nn.MultiheadAttention(8, 2), images(3, 4, 8), lambda y: y[0]),
    ]
    for kind, x, first in cases:
        net, grads = layer(kind), []
        for inplace in (True, False):
            net.zero_grad()
            for item in precisions(net).values():
                item.noise_step.zero_()
            torch.manual_seed(3)
            y = first(net(x, x, x) if isinstance(kind, nn.MultiheadAttention) else net(x))
            if not inplace:
                y = y.clone()
            change(y)
            y.square().sum().backward()
            grads.append([parameter.grad.clone() for parameter in net.parameters()])
        for mine, other in zip(*grads, strict=True):
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("average", [{}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}], ids=["SWA", "EMA"])
@pytest.mark.parametrize("buffers", [True, False])
def test_an_averaged_model_runs_at_the_models_bits(average, buffers):
    net = small(fw=8)
    set_precision(net, fw=0)
    averaged = AveragedModel(net, use_buffers=buffers, **average)
    schedule = CyclicPrecision(net, (3, 8), cycles=1, total_steps=8)
    for _ in range(9):
        net(images()).square().mean().backward()
        averaged.update_parameters(net)
        own = [item.get_bits() for item in precisions(net).values()]
        assert [item.get_bits() for item in precisions(averaged).values()] == own
        assert averaged.eval()(images()).isfinite().all()
        schedule.step()
    with precision(averaged, fw=4):
        assert {item.get_bits()[0] for item in precisions(averaged).values()} == {4}
    averaged.update_parameters(net)
    assert {item.get_bits()[0] for item in precisions(averaged).values()} == {8}


def test_a_copy_has_bits_of_its_own():
    net = small(fw=5)
    snapshot = copy.deepcopy(net)
    set_precision(net, fw=3)
    snapshot.to(torch.float64).to(torch.float32)(images())
    assert {item.get_bits()[0] for item in precisions(snapshot).values()} == {5}
    set_precision(snapshot, fw=7)
    assert {item.get_bits()[0] for item in precisions(net).values()} == {3}


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("quantiser", QUANTISERS)
def test_checkpointing_counts_a_step_once_and_draws_the_same_noise(reentrant, quantiser):
    plain = quantize_(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), QuantConfig(quantiser, fw=4, bw=4)
    )
    saving = copy.deepcopy(plain)
    x = images().requires_grad_()
    for _ in range(3):
        train(plain, x)
        train(saving, x, lambda value: checkpoint(saving, value, use_reentrant=reentrant))
        for mine, other in zip(saving.parameters(), plain.parameters(), strict=True):
            assert torch.equal(mine.grad, other.grad)
    for name, value in plain.state_dict().items():
        assert torch.equal(saving.state_dict()[name], value), name


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_an_lstm_replays_every_time_step(reentrant):
    plain = quantize_(nn.LSTM(3, 4), QuantConfig(bw=3))
    saving = copy.deepcopy(plain)
    x = images(5, 2, 3).requires_grad_()
    for _ in range(2):
        train(plain, x, lambda value: plain(value)[0])
        train(saving, x, lambda value: checkpoint(lambda v: saving(v)[0], value, use_reentrant=reentrant))
        for mine, other in zip(saving.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad)
    for mine, other in zip(precisions(saving).values(), precisions(plain).values(), strict=True):
        assert torch.equal(mine.noise_step, other.noise_step)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_batch_that_is_not_finite_raises_and_poisons_nothing(bad):
    net = small()
    train(net, images())
    first = precisions(net)["0"]
    before = first.range.clone(), first.noise_step.clone()
    x = images()
    x[0, 0, 0, 0] = bad
    with pytest.raises(NonFiniteInput, match=r"^input of layer 0 ranges from .*; allowed: finite numbers$"):
        net(x)
    assert torch.equal(first.range, before[0])
    assert torch.equal(first.noise_step, before[1])


def test_a_compiled_models_range_keeps_its_last_finite_value():
    net = quantize_(nn.Sequential(nn.Linear(3, 2)))
    compiled = torch.compile(net, backend="eager")
    compiled(torch.randn(4, 3))
    before = net[0].precision.range.clone()
    assert not compiled(torch.full((4, 3), math.nan)).isfinite().any()
    assert torch.equal(net[0].precision.range, before)


def test_the_first_forward_in_evaluation_takes_its_batchs_range_with_one_warning():
    net = quantize_(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))).eval()
    x = images(5, 3)
    with pytest.warns(UserWarning, match="evaluation before training") as warned:
        first = net(x)
    assert len({str(warning.message) for warning in warned}) == 1
    assert torch.equal(net(x), first)  # without a further warning: they are errors here
    assert int(net[0].precision.noise_step) == 0


@pytest.mark.filterwarnings("error")
def test_calibration_gives_ranges_without_a_training_step():
    net = small().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with calibration(net), torch.no_grad():
        for scale in (1, 2):
            net(images() * scale)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"0.precision.range", "3.precision.range"}
    net(images())
    assert not any(item.calibrating for item in precisions(net).values())


def test_a_checkpoint_does_not_overrule_a_scheduler_made_before():
    old, net = small(), small()
    set_precision(old, fw=3, bw=5)
    schedule = StaticPrecision(net, fw=8)
    net.load_state_dict(old.state_dict())
    assert {item.get_bits() for item in precisions(net).values()} == {schedule.get_last_bits()}
    assert {item.get_bits() for item in precisions(old).values()} == {(3, 5)}
    del schedule
    net.load_state_dict(old.state_dict())
    assert {item.get_bits() for item in precisions(net).values()} == {(3, 5)}


def test_another_quantisers_state_is_refused_before_anything_is_loaded():
    net, other = small(), small("dorefa")
    with torch.no_grad():
        other[0].weight.add_(1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    message = r"^state of layer 0 is of quantiser 'dorefa'; allowed: sbm$"
    with pytest.raises(ValueError, match=message):
        net.load_state_dict(other.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_float_checkpoint_loads_strictly():
    torch.manual_seed(7)
    state = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)).state_dict()
    net = small(fw=4)
    net.load_state_dict(state)
    assert torch.equal(net[0].weight, state["0.weight"])
    assert {item.get_bits() for item in precisions(net).values()} == {(4, 8)}
    with pytest.raises(RuntimeError, match="Missing key"):
        net.load_state_dict({name: value for name, value in net.state_dict().items() if "range" not in name})


@pytest.mark.parametrize("what", ["func", "fx"])
def test_what_cannot_differentiate_it_is_refused_in_one_line(what):
    net = quantize_(nn.Sequential(nn.Linear(3, 2)))
    use = {"fx": torch.fx.symbolic_trace, "func": lambda net: torch.func.vmap(net)(torch.randn(4, 3))}[what]
    with pytest.raises(ValueError, match=r"^layer 0 is quantised and under .*; allowed: autograd"):
        use(net)
    set_precision(net, fw=0, bw=0)
    torch.func.vmap(net)(torch.randn(4, 3))


def test_functional_call_works_and_a_second_derivative_is_refused():
    net = quantize_(nn.Sequential(nn.Linear(3, 2)))
    x = torch.randn(4, 3)
    y = torch.func.functional_call(net, dict(net.named_parameters()), (x,))
    (grad,) = torch.autograd.grad(y.square().sum(), net[0].weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
