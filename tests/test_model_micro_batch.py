"""Micro-batches: gradients add up in order, statistics and noise are each one's, averages move as before."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch_runs import LANGUAGE, LSTM, SMALL, images, language

from cpt.model import MicroBatches, QuantConfig, precisions, quantize_
from cpt.model.micro_batch import LEAST, caution, micro_batches, set_micro_batches
from cpt.model.ranges import share_of_part
from cpt.model.training import TorchConfig, TorchRun, TorchTrainer
from cpt.model.training.distributed import Processes
from cpt.model.training.state import weights_sha256

pytestmark = pytest.mark.usefixtures("one_thread")
PARTS = 4
FOUR = dataclasses.replace(SMALL, batch_size=16, micro_batch=16 // PARTS, steps=3)


def batch_of(trainer, step=0):
    """Inputs and targets of a step of the first epoch."""
    task, config = trainer.task, trainer.config
    index = trainer.own_part(task.epoch_order(config.batch_size, config.seed, 0)[step])
    return [torch.from_numpy(np.ascontiguousarray(part)) for part in task.train_batch(index, config.seed, 0)]


def train_step(trainer):
    return trainer.train_step(*batch_of(trainer))


@pytest.mark.parametrize("method", ["fp32", "static"])
def test_gradients_add_up_in_the_order_of_the_micro_batches(method):
    trainer = TorchTrainer(dataclasses.replace(FOUR, method=method), images())
    twin = copy.deepcopy(trainer.model)
    inputs, targets = batch_of(trainer)
    train_step(trainer)
    total = None
    for x, y in zip(inputs.split(4), targets.split(4), strict=True):
        loss = nn.functional.cross_entropy(twin(x.permute(0, 3, 1, 2)), y, reduction="sum") / 16
        grads = torch.autograd.grad(loss, list(twin.parameters()))
        total = grads if total is None else [a + b for a, b in zip(total, grads, strict=True)]
    for parameter, expected in zip(trainer.model.parameters(), total, strict=True):
        assert torch.equal(parameter.grad, expected)


def test_ranges_and_statistics_are_those_of_one_micro_batch():
    trainer = TorchTrainer(FOUR, images())
    inputs, _ = batch_of(trainer)
    seen = []
    norm = trainer.model.stem.norm
    norm.register_forward_hook(lambda module, x, y: seen.append(x[0].detach().mean((0, 2, 3))))
    train_step(trainer)
    share = np.float32(1 - 0.9 ** (1 / PARTS))
    low = weight = np.float32(0)
    for part in inputs.split(4):
        low += np.float32(share * (np.float32(part.min()) - low))
        weight += np.float32(share * (np.float32(1) - weight))
    found = precisions(trainer.model)["stem.conv"].range
    assert found[0].item() == low
    assert found[2].item() == weight
    assert len(seen) == PARTS
    mean = torch.zeros(4)
    for part in seen:
        mean += float(share) * (part - mean)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("count", [2, 4, 16, 128])
def test_a_step_moves_averages_as_far_as_with_one_batch(count):
    share = share_of_part(0.9, count)
    assert share == np.float32(share)
    assert (1 - share) ** count == pytest.approx(0.9, rel=1e-5)
    norm = nn.BatchNorm2d(1)
    set_micro_batches(norm, count)
    x = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(1)) + 5
    for _ in range(count):
        norm(x)
    other = nn.BatchNorm2d(1)
    other(x)
    torch.testing.assert_close(norm.running_mean, other.running_mean, rtol=1e-4, atol=0)
    torch.testing.assert_close(norm.running_var, other.running_var, rtol=1e-4, atol=0)


def test_equal_micro_batches_draw_different_noise():
    trainer = TorchTrainer(dataclasses.replace(FOUR, method="static", bw=(2, 2)), images())
    inputs, targets = batch_of(trainer)
    inputs[4:], targets[4:] = inputs[:4].repeat(3, 1, 1, 1), targets[:4].repeat(3)
    weight = trainer.model.stem.conv.weight
    grads = []
    weight.register_hook(grads.append)
    trainer.train_step(inputs, targets)
    assert {int(item.noise_step) for item in precisions(trainer.model).values()} == {PARTS}
    parts = {tuple(grad.flatten().tolist()) for grad in grads}
    assert len(grads) == len(parts) == PARTS


def test_micro_batches_draw_dropout_of_their_own():
    trainer = TorchTrainer(dataclasses.replace(LANGUAGE, micro_batch=2, dropout=0.5, steps=2), language())
    seeds = []
    trainer.model.register_forward_hook(lambda *_: seeds.append(torch.initial_seed()))
    trainer.train_epoch()
    assert len(set(seeds)) == len(seeds) == 2 * 4


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_where_nothing_is_a_batchs_own_micro_batches_change_only_the_order_of_sums(kind):
    """No batch norm, no ranges, no dropout; an LSTM's state goes on row by row."""
    base, carries = (LANGUAGE, False) if kind == "transformer" else (LSTM, True)
    base = dataclasses.replace(base, method="fp32", dropout=0.0, steps=6, optimiser="sgd")
    found = []
    for size in (0, 4, 2):
        trainer = TorchTrainer(dataclasses.replace(base, micro_batch=size), language(carries=carries))
        losses = []
        while not trainer.finished:
            trainer.train_epoch(lambda report, losses=losses: losses.append(report.loss))
        found.append([*losses, trainer.evaluate()["loss"]])
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[2] == pytest.approx(found[0], rel=1e-5)


def test_a_micro_batch_of_all_samples_is_the_whole_batch():
    found = []
    for size in (0, 16):
        trainer = TorchTrainer(dataclasses.replace(FOUR, micro_batch=size), images())
        trainer.train_epoch()
        found.append(weights_sha256(trainer.model))
        assert trainer.model.stem.norm.momentum == 0.1
    assert found[0] == found[1]
    trainer = TorchTrainer(FOUR, images())
    trainer.train_epoch()
    assert weights_sha256(trainer.model) != found[0]


@pytest.mark.parametrize("method", ["cpt", "ldp", "pfq", "fp32"])
def test_every_method_trains_in_micro_batches(method, tmp_path, monkeypatch):
    monkeypatch.setattr("cpt.model.training.trainer.RECALIBRATION_STEPS", 2)
    config = dataclasses.replace(FOUR, method=method, swa_start=0.1)
    run = TorchRun("run", TorchTrainer(config, images(pad=1)), tmp_path)
    run.start()
    summary = run.train()
    assert summary["config"]["micro_batch"] == 4
    assert np.isfinite(summary["loss"])
    assert np.isfinite(summary["swa"]["loss"])


def test_work_and_reports_are_those_of_steps():
    reports = []
    trainers = [TorchTrainer(dataclasses.replace(FOUR, micro_batch=size), images()) for size in (0, 4)]
    for trainer in trainers:
        trainer.train_epoch(reports.append)
    assert trainers[0].work.done == trainers[1].work.done
    assert [report.fw for report in reports[:2]] == [report.fw for report in reports[2:]]
    assert len(reports) == 4


def test_the_library_trains_a_users_loop():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    quantize_(net, QuantConfig(fw=4, bw=4))
    micro = MicroBatches(net, batch=16, size=8)
    assert micro.count == 2
    x, y = torch.randn(16, 1, 6, 6), torch.arange(16) % 2
    for part, labels in micro(x, y):
        assert part.shape[0] == len(labels) == 8
        (nn.functional.cross_entropy(net(part), labels) / micro.count).backward()
    assert net[1].momentum == np.float32(1 - 0.9**0.5)
    assert {item.micro_batches for item in precisions(net).values()} == {2}
    with pytest.raises(ValueError, match=r"^batch has 12 samples; allowed: 16$"):
        micro(x[:12])
    set_micro_batches(net, 4)
    set_micro_batches(net, 1)
    assert net[1].momentum == 0.1
    assert {item.micro_batches for item in precisions(net).values()} == {1}


def test_norms_that_average_everything_keep_doing_so():
    norm = nn.BatchNorm2d(1, momentum=None)
    set_micro_batches(norm, 4)
    assert norm.momentum is None


def test_few_samples_are_warned_about():
    assert caution(LEAST) == caution(0) == ""
    with pytest.warns(UserWarning, match="micro-batch is 4: batch norm and ranges of fewer than 8 samples"):
        MicroBatches(nn.Linear(1, 1), 8, 4)


WRONG = [(12, 16), (32, 16), (-1, 16), (3, 8)]


@pytest.mark.parametrize(("size", "batch"), WRONG)
def test_sizes_that_do_not_divide_are_refused(size, batch):
    with pytest.raises(ValueError, match=rf"^micro-batch is {size}; allowed: [^\n]*$"):
        dataclasses.replace(SMALL, batch_size=batch, micro_batch=size)
    with pytest.raises(ValueError, match=rf"^micro-batch is {size}; allowed: a divisor of the batch"):
        micro_batches(batch, size)


def test_processes_share_every_micro_batch():
    with pytest.raises(ValueError, match="micro-batch is 1; allowed: a multiple of the 2 processes"):
        TorchTrainer(dataclasses.replace(FOUR, micro_batch=1), images(), Processes(torch.device("cpu"), 0, 2))
    trainer = TorchTrainer(FOUR, images())
    trainer.processes = Processes(torch.device("cpu"), 1, 2)
    assert trainer.own_part(np.arange(16)).tolist() == [2, 3, 6, 7, 10, 11, 14, 15]


def test_a_record_without_the_field_is_one_of_whole_batches():
    recorded = json.loads(json.dumps(TorchConfig().as_dict()))
    del recorded["micro_batch"]
    assert TorchConfig().difference(recorded) is None
    assert TorchConfig(micro_batch=8).difference(recorded) == "micro_batch 0, here 8"
