"""`cpt train`: the course of a run, its cycles, what it refuses, and how it goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cpt.data import load_raw
from cpt.host.config import TrainConfig
from cpt.host.data import Images, affine, held_out, save_images
from cpt.hw.contract import ContractError, preset
from cpt.main import main
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Settings, Trainer
from cpt.model.run_folder import CHECKPOINT
from cpt.sim.memory import memory_model
from cpt.sim.step.forecast import Forecast
from cpt.trainers import Place

CONFIG = TrainConfig(model="resnet8", width=4, epochs=2, cycles=1, batch_size=8, micro_batch=4, lr=0.05)
PLACE = Place("fast", "tiny", "ps-ddr")
QUICK = ["train", "--preset", "tiny", "--width", "4", "--batch-size", "8", "--quiet"]


def images(count: int = 40, seed: int = 0) -> Images:
    """Of two classes that differ in brightness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 128, (count, 8, 8, 1)) + 100 * labels[:, None, None, None]
    return Images(pixels.astype(np.float32), labels.astype(np.int64))


def test_a_run_is_the_golden_trainers_at_the_plans_bits() -> None:
    data = held_out("two", images())
    with PLACE.open(CONFIG, data) as (trainer, accelerator):
        assert accelerator is None
        reports = [report for _ in range(CONFIG.epochs) for report in trainer.train_epoch()]
        accuracy = trainer.evaluate()
        found = trainer.weights_sha256()
    assert [report.fw for report in reports] == [3, 3, 3, 3, 8, 8, 8, 8]
    network = Network.residual(trainer.description, *affine(data), 0)
    golden = Trainer(network, Settings(0, 8, 4, CONFIG.momentum, CONFIG.weight_decay))
    with PLACE.open(CONFIG, data) as (order, _):
        for epoch in range(CONFIG.epochs):
            order.step = epoch * order.steps_per_epoch
            for batch in order.epoch_batches():
                report = reports[golden.step]
                pixels = batch.pixels.astype(np.uint8)
                golden.train_step(pixels, batch.labels, (report.fw, report.bw), report.lr)
    assert network.weights_sha256() == found
    test = data.test
    assert golden.evaluate(test.pixels.astype(np.uint8), test.labels, 8) == accuracy


def test_fewer_bits_take_fewer_cycles_and_costs_add_up() -> None:
    data = held_out("two", images())
    array, timing = preset("tiny", "step"), memory_model("ps-ddr", 200)
    with PLACE.open(CONFIG, data) as (trainer, _):
        clock = Forecast(array, timing, trainer.network, CONFIG)
        steps = {bits: clock.trained(bits) for bits in ((3, 8), (8, 8), (3, 3))}
        assert steps[3, 3].total < steps[3, 8].total < steps[8, 8].total
        assert steps[3, 8].bytes_read < steps[8, 8].bytes_read
        trainer.train_epoch()
        once = trainer.training.total_cycles
        assert once == trainer.steps_per_epoch * steps[3, 8].total
        trainer.evaluate()
        assert trainer.evaluation.total_cycles == clock.evaluated(8, len(data.test)).total
        assert trainer.training.total_cycles == once
    more = dataclasses.replace(CONFIG, batch_size=16)
    assert Forecast(array, timing, trainer.network, more).trained((3, 8)).total > 1.2 * steps[3, 8].total


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, capsys) -> None:
    save_images(tmp_path / "two.npz", images())
    options = [*QUICK, "--data", str(tmp_path / "two.npz"), "--no-compare", "--no-check-rtl", "--json"]
    whole = [*options, "--epochs", "3", "--out", str(tmp_path / "whole")]
    assert main(whole) == 0
    expected = json.loads(capsys.readouterr().out)
    assert main([*whole[:-1], str(tmp_path / "other")]) == 0
    folder = next((tmp_path / "other").iterdir())
    capsys.readouterr()
    # As if killed in the last epoch: what it left is the checkpoint before.
    (folder / CHECKPOINT).unlink()
    (folder / "summary.json").unlink()
    assert main([*whole[:-1], str(tmp_path / "other"), "--resume"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == expected
    assert found["config"]["micro_batch"] == 8
    assert found["array"]["scratch_words"] == preset("tiny", "step").scratch_words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--micro-batch", "3"], "micro-batch is 3; allowed: a divisor of batch-size (8)"),
        (["--bw", "1"], "bw is 1; allowed: 2..16"),
    ],
)
def test_what_no_machine_takes_is_refused_in_one_line(options, message, tmp_path, capsys) -> None:
    assert main([*QUICK, *options, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_pixels_that_are_no_bytes_are_refused(tmp_path: Path) -> None:
    save_images(tmp_path / "odd.npz", Images(images().pixels / 2, images().labels))
    data = load_raw(str(tmp_path / "odd.npz"))
    message = r"data odd has pixels that are no bytes; allowed: whole numbers 0\.\.255"
    with pytest.raises(ContractError, match=message), PLACE.open(CONFIG, data):
        pass
