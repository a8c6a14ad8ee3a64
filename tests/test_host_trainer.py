"""Runs of whole steps: they learn, replay bit for bit, resume bit for bit, and count what they did."""

import dataclasses
import json
from contextlib import contextmanager

import numpy as np
import pytest

from cpt.host.config import TrainConfig, resnet_depth
from cpt.host.data import Images, held_out
from cpt.host.errors import CheckpointError
from cpt.host.run import TrainingRun
from cpt.hw.contract import ContractError
from cpt.model import checkpoint
from cpt.model.bitops import counted_macs
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY
from cpt.trainers import Place

CONFIG = TrainConfig(
    model="resnet8", width=4, epochs=3, cycles=1, batch_size=16, micro_batch=8, lr=0.05, max_shift=1, seed=3
)
MACHINE = {"device": "fast", "preset": "tiny", "memory_model": "ideal"}


def stripes(count=60):
    """Two classes of noisy 8x8 images: horizontal and vertical stripes."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype(np.int64)
    wave = np.sin(np.arange(8) * 2)
    patterns = np.stack([np.tile(wave[:, None], (1, 8)), np.tile(wave[None], (8, 1))])
    pixels = patterns[labels] + rng.normal(scale=0.3, size=(count, 8, 8))
    shades = np.clip(np.rint(40 * pixels + 128), 0, 255).astype(np.float32)
    return held_out("stripes", Images(shades[..., None], labels))


DATA = stripes()


@contextmanager
def made(config=CONFIG, preset="tiny"):
    with Place("fast", preset, "ideal").open(config, DATA) as (trainer, _):
        yield trainer


def trained(config=CONFIG, preset="tiny"):
    with made(config, preset) as trainer:
        while trainer.step < trainer.total_steps:
            trainer.train_epoch()
    return trainer


def test_it_learns_to_tell_two_patterns_apart():
    assert trained(dataclasses.replace(CONFIG, epochs=6)).evaluate() >= 0.9


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again = (trained().weights_sha256() for _ in range(2))
    other = trained(dataclasses.replace(CONFIG, seed=4)).weights_sha256()
    assert first == again
    assert first != other


@pytest.mark.parametrize("preset", ["middle", "zc706"])
def test_weights_do_not_depend_on_the_array_and_times_do(preset):
    config = dataclasses.replace(CONFIG, epochs=1)
    expected, found = (trained(config, name) for name in ("tiny", preset))
    arrays = expected.state()[0]
    assert all(arrays[name].tobytes() == value.tobytes() for name, value in found.state()[0].items())
    assert expected.training.total_cycles != found.training.total_cycles


def test_precision_follows_the_plan_per_epoch():
    with made() as trainer:
        seen = [{(report.fw, report.bw) for report in trainer.train_epoch()} for _ in range(3)]
    assert seen == [{(3, 8)}, {(4, 8)}, {(8, 8)}]


def test_a_run_counted_in_steps_moves_its_precision_per_step():
    with made(dataclasses.replace(CONFIG, steps=5)) as trainer:
        reports = trainer.train_epoch() + trainer.train_epoch()
    assert [report.step for report in reports] == [0, 1, 2, 3, 4]
    assert [report.fw for report in reports] == [3, 3, 5, 6, 8]


def test_the_machine_takes_other_schedules_too():
    with made(dataclasses.replace(CONFIG, steps=6, shape="linear_triangular", cycles=2)) as trainer:
        reports = trainer.train_epoch() + trainer.train_epoch()
    assert [report.fw for report in reports] == [8, 6, 5, 3, 5, 8]


def test_evaluation_leaves_the_training_alone():
    with made() as plain, made() as observed:
        plain.train_epoch()
        observed.train_epoch()
        observed.evaluate()
        for trainer in (plain, observed):
            trainer.train_epoch()
    assert plain.weights_sha256() == observed.weights_sha256()
    assert plain.training == observed.training
    assert plain.evaluation.total_cycles == 0 < observed.evaluation.total_cycles


def test_evaluation_at_other_bits_takes_other_cycles():
    taken = []
    for bits in (3, 8, 10):
        with made(dataclasses.replace(CONFIG, steps=1, eval_bits=bits)) as trainer:
            trainer.train_epoch()
            trainer.evaluate()
            taken.append(trainer.evaluation.total_cycles)
    assert taken == sorted(set(taken))


@contextmanager
def make_run(folder, config=CONFIG):
    with made(config) as trainer:
        yield TrainingRun("cpt", trainer, folder, MACHINE)


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def test_a_resumed_run_ends_exactly_like_an_uninterrupted_one(tmp_path):
    with make_run(tmp_path / "whole") as whole:
        whole.start()
        expected = whole.train()

    def stop(report):
        if report.step == 4:  # in the middle of the second epoch
            raise Interrupted

    with make_run(tmp_path / "broken") as broken:
        broken.start()
        with pytest.raises(Interrupted):
            broken.train(on_step=stop)
    with make_run(tmp_path / "broken") as resumed:
        resumed.resume()
        assert resumed.trainer.step == 3
        found = resumed.train()
    assert found == expected  # simulated cycles too
    arrays, again = (checkpoint.load(tmp_path / name / CHECKPOINT)[0] for name in ("whole", "broken"))
    assert set(arrays) == set(again)
    assert all(arrays[name].tobytes() == again[name].tobytes() for name in arrays)
    assert whole.rows == resumed.rows


def test_a_run_leaves_a_line_per_epoch_a_summary_and_a_checkpoint(tmp_path):
    with make_run(tmp_path) as run:
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
    macs = counted_macs(run.trainer.description.layers)
    cost = 3 * 16 * sum(fw * fw + 2 * fw * 8 for fw in (3, 4, 8))
    assert summary["gbitops"] == pytest.approx(macs * cost / 1e9)


def test_a_finished_run_resumes_to_its_own_summary(tmp_path):
    with make_run(tmp_path) as run:
        run.start()
        expected = run.train()
    with make_run(tmp_path) as again:
        again.resume()
        assert again.train() == expected


SHORT = dataclasses.replace(CONFIG, epochs=1)


@pytest.fixture
def finished(tmp_path):
    """Folder of a run of an epoch."""
    with make_run(tmp_path, SHORT) as run:
        run.start()
        run.train()
    return tmp_path


@pytest.mark.parametrize(
    ("change", "named"),
    [({"lr": 0.2}, "lr 0.05, here 0.2"), ({"seed": 9}, "seed 3, here 9"), ({"fw": (4, 8)}, r"fw \[3, 8\]")],
)
def test_the_checkpoint_of_another_run_is_refused(finished, change, named):
    with (
        make_run(finished, dataclasses.replace(SHORT, **change)) as other,
        pytest.raises(CheckpointError, match=f"has {named}"),
    ):
        other.resume()


def test_a_checkpoint_of_another_contract_is_refused(finished):
    arrays, meta = checkpoint.load(finished / CHECKPOINT)
    meta["stated"]["contract_hash"] = "0123456789abcdef"
    checkpoint.save(finished / CHECKPOINT, arrays, meta)
    with (
        make_run(finished, SHORT) as run,
        pytest.raises(CheckpointError, match="contract_hash 0123456789abcdef, here"),
    ):
        run.resume()


def test_the_state_of_another_network_is_refused():
    with made() as small, made(dataclasses.replace(CONFIG, width=8)) as large:
        pass
    with pytest.raises(ValueError, match="state"):
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


def test_a_batch_beyond_the_training_set_is_refused():
    with (
        pytest.raises(ContractError, match=r"batch-size is 999; allowed: 1\.\.48"),
        made(dataclasses.replace(CONFIG, batch_size=999, micro_batch=0)),
    ):
        pass


@pytest.mark.parametrize(("name", "depth"), [("resnet8", 8), ("resnet20", 20), ("resnet74", 74)])
def test_any_depth_of_the_family_is_understood(name, depth):
    assert resnet_depth(name) == depth
