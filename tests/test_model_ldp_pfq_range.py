"""Learned precision, the progressive baseline and the precision range test."""

import pytest
import torch
from torch import nn

from cpt.model.adaptive import AdaptivePrecision, Ldp, LearnedPrecision, Pfq, ProgressiveFractional
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precision, precisions
from cpt.model.quantize import quantize_
from cpt.model.range_test import RangeTest

torch.set_num_threads(1)
MACS = {"0": 300, "2": 100}


def model(quantiser="sbm"):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    return quantize_(net, QuantConfig(quantiser=quantiser))


def train(net, learned, steps, lr=0.05):
    optimiser = torch.optim.SGD(learned.weights(), lr)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 6, generator=generator)
    y = (x[:, :4] * 3).argmax(1)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        learned.step()
        optimiser.step()


def test_gradient_of_the_bits_is_that_of_the_step_size():
    net = quantize_(nn.Sequential(nn.Linear(1, 1, bias=False)))
    learned = LearnedPrecision(net, (2, 6), {"0": 1}, initial_beta=0.5)
    item = learned.layers["0"]
    x = torch.randn(7, 1, requires_grad=True)
    item.train()
    grad = torch.randn(7, 1)
    out = item.activation(x)
    out.backward(grad)
    lo, hi = x.detach().min(), x.detach().max()
    bits = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    scale = (hi - lo).double() / (2**bits - 1)
    codes = ((x.detach() - lo) / (hi - lo) * 15).round().double()
    straight = scale * (codes + ((x.detach() - lo) / scale - ((x.detach() - lo) / scale).detach())) + lo
    (straight * grad).sum().backward()
    (beta,) = learned.betas
    assert beta.grad.item() == pytest.approx(bits.grad.item() * (6 - 2), rel=1e-4)
    assert torch.equal(x.grad, grad)


def test_cost_falls_to_the_target_and_stays_near_it():
    net = model()
    learned = LearnedPrecision(net, (3, 8), MACS, target=0.6, alpha=4.0, lr=20.0)
    assert learned.cost().item() == 1
    train(net, learned, 150)
    assert learned.cost().item() <= 0.62
    assert all(3 <= bits <= 8 for bits in learned.bits().values())


def test_cost_follows_the_bits_in_force_and_may_count_all_passes():
    net = model()
    forward = LearnedPrecision(net, (2, 8), MACS, initial_beta=0.5)
    assert forward.bits() == {"0": 5, "2": 5}
    assert forward.cost().item() == pytest.approx(25 / 64)
    training = LearnedPrecision(net, (2, 8), MACS, initial_beta=0.5, cost="training")
    assert training.cost().item() == pytest.approx((25 + 80) / (64 + 128))


def test_below_the_target_only_the_task_moves_the_betas():
    net = model()
    learned = LearnedPrecision(net, (2, 8), MACS, initial_beta=0.5, target=0.9)
    for beta in learned.betas:
        beta.grad = torch.tensor(0.25)
    learned.step()
    assert [beta.item() for beta in learned.betas] == pytest.approx([0.5 - 0.1 * 0.25] * 2)


def test_above_the_target_the_cost_is_balanced_against_the_task():
    net = model()
    learned = LearnedPrecision(net, (2, 8), MACS, initial_beta=0.5, target=0.1, alpha=2.0)
    for beta, grad in zip(learned.betas, (0.3, -0.1), strict=True):
        beta.grad = torch.tensor(grad)
    by_cost = torch.autograd.grad(learned.cost(), learned.betas)
    scale = 2.0 * 0.2 / ((by_cost[0] + by_cost[1]).item() / 2)
    learned.step()
    want = [0.5 - 0.1 * (g + scale * c.item()) for g, c in zip((0.3, -0.1), by_cost, strict=True)]
    assert [beta.item() for beta in learned.betas] == pytest.approx(want, rel=1e-5)


def test_history_and_betas_come_back_and_a_scope_overrules_them():
    net, other = model(), model()
    learned = LearnedPrecision(net, (3, 8), MACS)
    again = LearnedPrecision(other, (3, 8), MACS)
    train(net, learned, 20)
    learned.record()
    other.load_state_dict(net.state_dict())
    again.load_state_dict(learned.state_dict())
    assert again.bits() == learned.bits()
    assert again.history == [list(learned.bits().values())]
    before = learned.bits()
    with precision(net, fw=5):
        assert {item.get_bits()[0] for item in precisions(net).values()} == {5}
    assert learned.bits() == before


def test_betas_stay_out_of_the_weights_optimiser():
    net = model()
    learned = LearnedPrecision(net, (3, 8), MACS)
    assert len(learned.weights()) == 4
    assert not {id(beta) for beta in learned.betas} & {id(weight) for weight in learned.weights()}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": (8, 8)}, r"lo is 8; allowed: below hi \(8\)"),
        ({"macs": {"0": 1}}, "macs has no '2'; allowed"),
        ({"target": 0.0}, "target is 0.0; allowed"),
        ({"cost": "x"}, "cost is 'x'; allowed: forward, training"),
    ],
)
def test_wrong_settings_of_learned_precision_are_refused(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        LearnedPrecision(model(), **{"bits": (3, 8), "macs": MACS, **values})


def test_learned_precision_needs_a_quantiser_with_a_step_size():
    with pytest.raises(ValueError, match=r"^quantiser is 'wageubn'; allowed: dorefa, fabric, sbm$"):
        LearnedPrecision(model("wageubn"), (3, 8), MACS)


def test_pfq_advances_when_five_losses_lie_close_together():
    net = model()
    schedule = ProgressiveFractional(net)
    assert schedule.get_last_bits() == (3, 6)
    falling = [schedule.step(loss) for loss in (2.0, 1.8, 1.6, 1.4, 1.2)]
    assert set(falling) == {(3, 6)}
    flat = [schedule.step(1.2) for _ in range(4)]
    assert flat == [(3, 6)] * 3 + [(4, 6)]
    assert {item.get_bits() for item in precisions(net).values()} == {(4, 6)}
    assert schedule.rule.eps == pytest.approx(0.015)
    for loss in [1.0 + 0.04 * i for i in range(5)]:
        schedule.step(loss)
    assert schedule.get_last_bits() == (4, 6)
    for _ in range(20):
        schedule.step(0.9)
    assert schedule.get_last_bits() == (8, 8)
    assert schedule.rule.eps == pytest.approx(0.0045)


def test_both_are_rules_behind_the_one_interface():
    net = model()
    by_loss = AdaptivePrecision(net, Pfq((3, 5), (6, 8), window=2))
    assert [by_loss.step(1.0), by_loss.step(1.0), by_loss.step(1.0)] == [False, True, False]
    assert {item.get_bits() for item in precisions(net).values()} == {(5, 8)}
    assert by_loss.history == [[3, 3], [3, 3], [5, 5], [5, 5]]
    with pytest.raises(ValueError, match="loss is None; allowed: the mean training loss"):
        by_loss.step()
    net = model()
    learned = AdaptivePrecision(net, Ldp(3, 8, alpha=4.0, lr=20.0), MACS)
    assert learned.bits() == {"0": 8, "2": 8}
    for _ in range(5):
        net(torch.randn(8, 6)).square().sum().backward()
        learned.step()
    assert min(learned.bits().values()) < 8


def test_pfq_resumes():
    first, second = ProgressiveFractional(model()), ProgressiveFractional(model())
    for _ in range(4):
        first.step(1.0)
    second.load_state_dict(first.state_dict())
    assert second.step(1.0) == first.step(1.0) == (4, 6)


def test_range_test_finds_the_first_precision_that_learns():
    net = model()
    seen = []
    accuracy = {2: 0.11, 3: 0.12, 4: 0.4, 5: 0.5, 6: 0.52}

    def step():
        bits = precisions(net)["0"].get_bits()[0]
        seen.append(bits)
        return accuracy[bits]

    result = RangeTest(bits=(2, 6), steps=4, window=2).run(net, step)
    assert seen == [bits for bits in range(2, 7) for _ in range(4)]
    assert result.lower_bound == 4
    assert result.improvements == pytest.approx((0.01, 0.01, 0.28, 0.1, 0.02))
    assert len(result.curve) == 20
    assert precisions(net)["0"].get_bits() == (8, 8)


def test_range_test_ends_at_the_highest_precision_if_nothing_learns():
    assert RangeTest(bits=(2, 4), steps=2, window=1).run(model(), lambda: 0.1).lower_bound == 4
    with pytest.raises(ValueError, match=r"^window is 3; allowed: 1\.\.steps \(2\)$"):
        RangeTest(steps=2, window=3)


def test_learned_widths_change_without_a_new_compilation():
    net = model()
    learned = LearnedPrecision(net, (2, 8), MACS)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    x = torch.randn(8, 6)
    seen = set()
    for step in range(6):
        with torch.no_grad():
            for index, beta in enumerate(learned.betas):
                beta.fill_(((step + index) % 7) / 6)
        seen.add(tuple(learned.bits().values()))
        compiled(x).square().mean().backward()
        if step == 1:
            warm = len(graphs)
    assert len(seen) == 6
    assert len(graphs) == warm
    assert all(beta.grad is not None for beta in learned.betas)
