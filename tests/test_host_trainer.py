"""The trainer: it learns, replays bit for bit, resumes bit for bit, and counts what it did."""

import dataclasses
import json
import re

import numpy as np
import pytest
from driven import fast_backend, opened

from cpt.host.config import TrainConfig
from cpt.host.data import Images, split
from cpt.host.errors import CheckpointError, OutOfDeviceMemory
from cpt.host.network import resnet_depth
from cpt.host.run import TrainingRun
from cpt.host.trainer import Trainer
from cpt.hw.contract import ContractError
from cpt.model import checkpoint
from cpt.model.bitops import counted_macs
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY

CONFIG = TrainConfig(
    model="resnet8", width=4, epochs=3, cycles=1, batch_size=16, lr=0.05, max_shift=1, seed=3
)
MACHINE = {"device": "fast", "preset": "tiny", "memory_model": "ideal"}


def stripes(count=60):
    """Two classes of noisy 8x8 images: horizontal and vertical stripes."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype(np.int64)
    wave = np.sin(np.arange(8) * 2).astype(np.float32)
    patterns = np.stack([np.tile(wave[:, None], (1, 8)), np.tile(wave[None], (8, 1))])
    pixels = patterns[labels] + rng.normal(scale=0.3, size=(count, 8, 8)).astype(np.float32)
    return split("stripes", Images(pixels[..., None].astype(np.float32), labels))


DATA = stripes()


@pytest.fixture
def accelerator():
    with opened(fast_backend(memory_bytes=1 << 25)) as opened_accelerator:
        yield opened_accelerator


def trained(accelerator, config=CONFIG, steps=None):
    trainer = Trainer(config, DATA, accelerator)
    while trainer.step < (steps or trainer.total_steps):
        trainer.train_epoch()
    return trainer


def test_a_batch_that_does_not_fit_is_refused_with_the_largest_that_does():
    """Before anything is allocated; the largest one trains."""
    with opened(fast_backend(memory_bytes=1 << 18)) as accelerator:
        free = accelerator.free_bytes()
        with pytest.raises(
            OutOfDeviceMemory, match=r"needs .* MiB of contiguous memory, .* MiB are free"
        ) as caught:
            Trainer(dataclasses.replace(CONFIG, batch_size=48), DATA, accelerator)
        assert accelerator.free_bytes() == free
        most = int(re.search(r"allowed: batch-size 1\.\.(\d+), or more memory$", str(caught.value))[1])
        assert 1 <= most < 48
        with pytest.raises(OutOfDeviceMemory):
            Trainer(dataclasses.replace(CONFIG, batch_size=most + 1), DATA, accelerator)
        trainer = Trainer(dataclasses.replace(CONFIG, batch_size=most), DATA, accelerator)
        trainer.train_epoch()
        assert free - accelerator.free_bytes() >= trainer.memory_bytes


def test_it_learns_to_tell_two_patterns_apart(accelerator):
    trainer = trained(accelerator, dataclasses.replace(CONFIG, epochs=6))
    assert trainer.evaluate() >= 0.9


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(accelerator):
    first, again = (trained(accelerator).network.weights_sha256() for _ in range(2))
    other = trained(accelerator, dataclasses.replace(CONFIG, seed=4)).network.weights_sha256()
    assert first == again
    assert first != other


@pytest.mark.parametrize(("preset", "memory"), [("z7020", 1 << 25), ("zc706", 1 << 25)])
def test_weights_do_not_depend_on_the_array(accelerator, preset, memory):
    config = dataclasses.replace(CONFIG, epochs=1)
    expected = trained(accelerator, config).state()[0]
    with opened(fast_backend(preset, memory_bytes=memory)) as other:
        found = trained(other, config).state()[0]
    assert all(expected[name].tobytes() == found[name].tobytes() for name in expected)


def test_precision_follows_the_plan_per_epoch(accelerator):
    trainer = Trainer(dataclasses.replace(CONFIG, epochs=3), DATA, accelerator)
    seen = [{(report.fw, report.bw) for report in trainer.train_epoch()} for _ in range(3)]
    assert seen == [{(3, 8)}, {(4, 8)}, {(8, 8)}]


def test_a_run_counted_in_steps_moves_its_precision_per_step(accelerator):
    trainer = Trainer(dataclasses.replace(CONFIG, steps=5), DATA, accelerator)
    reports = trainer.train_epoch() + trainer.train_epoch()
    assert [report.step for report in reports] == [0, 1, 2, 3, 4]
    assert [report.fw for report in reports] == [3, 3, 5, 6, 8]


def test_evaluation_uses_the_stated_bits_and_leaves_the_training_alone(accelerator):
    plain, observed = (Trainer(CONFIG, DATA, accelerator) for _ in range(2))
    plain.train_epoch()
    observed.train_epoch()
    runs = []
    observed.engine.listeners.append(runs.append)
    observed.evaluate()
    assert {(run.bits_a, run.bits_b) for run in runs} == {(8, 8)}
    assert all(run.label.endswith("forward") for run in runs)
    for trainer in (plain, observed):
        trainer.train_epoch()
    assert plain.network.weights_sha256() == observed.network.weights_sha256()
    assert plain.training.busy_cycles == observed.training.busy_cycles
    assert plain.evaluation.products == 0 < observed.evaluation.products


def test_evaluation_bits_may_differ_from_the_upper_bound(accelerator):
    trainer = Trainer(dataclasses.replace(CONFIG, eval_bits=10), DATA, accelerator)
    trainer.train_epoch()
    runs = []
    trainer.engine.listeners.append(runs.append)
    trainer.evaluate()
    assert {run.bits_a for run in runs} == {10}


def test_every_pass_of_every_layer_is_counted_once_per_step(accelerator):
    trainer = Trainer(dataclasses.replace(CONFIG, fw=(8, 8)), DATA, accelerator)
    runs = []
    trainer.engine.listeners.append(runs.append)
    trainer.train_step(trainer.epoch_batches()[0])
    labels = [run.label for run in runs]
    assert len(labels) == len(set(labels)) == 3 * 9 - 1  # nine convolutions, no dX of the first
    tally = trainer.training
    assert tally.products == len(labels)
    assert tally.busy_cycles == sum(run.counters.exec_busy for run in runs)
    forward = sum(run.binary_macs for run in runs if run.label.endswith("forward"))
    layers = trainer.network.description.layers
    macs = sum(getattr(layer, "macs", 0) for layer in layers[:-1])
    assert forward == macs * 16 * 8 * 8


def make_run(accelerator, folder, config=CONFIG):
    return TrainingRun("cpt", Trainer(config, DATA, accelerator), folder, MACHINE)


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def test_a_resumed_run_ends_exactly_like_an_uninterrupted_one(accelerator, tmp_path):
    whole = make_run(accelerator, tmp_path / "whole")
    whole.start()
    expected = whole.train()

    def stop(report):
        if report.step == 4:  # in the middle of the second epoch
            raise Interrupted

    broken = make_run(accelerator, tmp_path / "broken")
    broken.start()
    with pytest.raises(Interrupted):
        broken.train(on_step=stop)
    resumed = make_run(accelerator, tmp_path / "broken")
    resumed.resume()
    assert resumed.trainer.step == 3
    found = resumed.train()
    assert found == expected  # simulated cycles too: a step's do not depend on what ran before it
    arrays, again = (checkpoint.load(tmp_path / name / CHECKPOINT)[0] for name in ("whole", "broken"))
    assert set(arrays) == set(again)
    assert all(arrays[name].tobytes() == again[name].tobytes() for name in arrays)
    assert whole.rows == resumed.rows


def test_a_run_leaves_a_line_per_epoch_a_summary_and_a_checkpoint(accelerator, tmp_path):
    run = make_run(accelerator, tmp_path)
    run.start()
    summary = run.train()
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["fw"] for row in rows] == [3, 4, 8]
    assert json.loads((tmp_path / SUMMARY).read_text()) == summary
    kept = {METRICS, SUMMARY, CHECKPOINT, "checkpoint.previous.npz"}
    assert {file.name for file in tmp_path.iterdir()} == kept
    wanted = {"weights_sha256", "accuracy", "gbitops", "simulated_seconds", "clock_mhz"}
    assert wanted | {"memory_model", "array_utilisation", "contract_hash", "config", "seed"} <= set(summary)
    assert summary["accuracy"] == rows[-1]["accuracy"]
    macs = counted_macs(run.trainer.network.description.layers)
    cost = 3 * 16 * sum(fw * fw + 2 * fw * 8 for fw in (3, 4, 8))
    assert summary["gbitops"] == pytest.approx(macs * cost / 1e9)


def test_a_finished_run_resumes_to_its_own_summary(accelerator, tmp_path):
    run = make_run(accelerator, tmp_path)
    run.start()
    expected = run.train()
    again = make_run(accelerator, tmp_path)
    again.resume()
    assert again.train() == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [({"lr": 0.2}, "lr 0.05, here 0.2"), ({"seed": 9}, "seed 3, here 9"), ({"fw": (4, 8)}, r"fw \[3, 8\]")],
)
def test_the_checkpoint_of_another_run_is_refused(accelerator, tmp_path, change, named):
    run = make_run(accelerator, tmp_path, dataclasses.replace(CONFIG, epochs=1))
    run.start()
    run.train()
    other = make_run(accelerator, tmp_path, dataclasses.replace(CONFIG, epochs=1, **change))
    with pytest.raises(CheckpointError, match=f"has {named}"):
        other.resume()


def test_a_checkpoint_of_another_contract_is_refused(accelerator, tmp_path):
    run = make_run(accelerator, tmp_path, dataclasses.replace(CONFIG, epochs=1))
    run.start()
    run.train()
    arrays, meta = checkpoint.load(tmp_path / CHECKPOINT)
    meta["stated"]["contract_hash"] = "0123456789abcdef"
    checkpoint.save(tmp_path / CHECKPOINT, arrays, meta)
    with pytest.raises(CheckpointError, match="contract_hash 0123456789abcdef, here"):
        make_run(accelerator, tmp_path, dataclasses.replace(CONFIG, epochs=1)).resume()


def test_the_state_of_another_network_is_refused(accelerator):
    small, large = (Trainer(dataclasses.replace(CONFIG, width=width), DATA, accelerator) for width in (4, 8))
    with pytest.raises(ContractError, match=r"training state: .* is float32 .*; allowed: float32"):
        large.load_state(*small.state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet9"}, "model is 'resnet9'; allowed: resnetD with D = 6n"),
        ({"model": "vgg"}, "model is 'vgg'; allowed: resnetD"),
        ({"fw": (0, 8)}, r"fw is 0 bits; allowed: 1\.\.16"),
        ({"fw": (3, 17)}, r"fw is 17 bits; allowed: 1\.\.16"),
        ({"fw": (8, 3)}, "fw is 8 3; allowed: the lower bound first"),
        ({"bw": 0}, r"bw is 0 bits; allowed: 1\.\.16"),
        ({"eval_bits": 17}, r"eval-bits is 17 bits; allowed: 1\.\.16"),
        ({"cycles": 0}, "cycles is 0; allowed: at least 1"),
        ({"epochs": 0}, "epochs is 0; allowed: at least 1"),
        ({"batch_size": 0}, "batch-size is 0; allowed: at least 1"),
        ({"steps": -1}, "steps is -1; allowed: at least 0"),
        ({"seed": 2**32}, r"seed is 4294967296; allowed: 0\.\.4294967295"),
        ({"lr": float("nan")}, r"lr is nan; allowed: 0\.\.100"),
        ({"momentum": 2.0}, r"momentum is 2.0; allowed: 0\.\.1"),
        ({"lr_schedule": "x"}, "lr-schedule is 'x'; allowed: step, cosine, constant"),
        ({"per": "batch"}, "per is 'batch'; allowed: epoch, iteration"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_refused_in_one_line(change, message):
    with pytest.raises(ContractError, match=message) as caught:
        dataclasses.replace(CONFIG, **change)
    assert "\n" not in str(caught.value)


def test_a_batch_beyond_the_training_set_is_refused(accelerator):
    with pytest.raises(ContractError, match=r"batch-size is 999; allowed: 1\.\.48"):
        Trainer(dataclasses.replace(CONFIG, batch_size=999), DATA, accelerator)


@pytest.mark.parametrize(("name", "depth"), [("resnet8", 8), ("resnet20", 20), ("resnet74", 74)])
def test_any_depth_of_the_family_is_understood(name, depth):
    assert resnet_depth(name) == depth


def test_a_deeper_network_reuses_the_programs_of_equal_layers(accelerator):
    config = dataclasses.replace(CONFIG, model="resnet20", epochs=1)
    shallow, deep = (Trainer(c, DATA, accelerator) for c in (CONFIG, config))
    deep.train_step(deep.epoch_batches()[0])
    assert len(deep.engine.programs()) <= len(shallow.engine.programs()) + 6
