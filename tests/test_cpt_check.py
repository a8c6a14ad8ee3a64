"""Training on the compiled RTL: the same weights as on the fast model, and the check that repeats steps."""

import dataclasses
import json

import numpy as np
import pytest

from cpt.check import TOLERANCE, CheckedStep, RtlCheck, as_json, differing, verdict
from cpt.devices import open_accelerator
from cpt.host.config import TrainConfig
from cpt.host.data import Images, split
from cpt.host.errors import DeviceError
from cpt.host.trainer import Trainer
from cpt.main import main

QUICK = ["--preset", "tiny", "--width", "4", "--steps", "3", "--batch-size", "16", "--seed", "1", "--json"]
CONFIG = TrainConfig(model="resnet8", width=4, epochs=3, cycles=1, batch_size=8, lr=0.05)


def noise_images(count=20):
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((count, 8, 8, 1)).astype(np.float32)
    return split("noise", Images(pixels, (np.arange(count) % 2).astype(np.int64)))


def test_rtl_and_fast_model_train_to_the_same_weights(tmp_path, capsys):
    for device in ("fast", "rtl"):
        assert main(["train", "--device", device, *QUICK, "--out", str(tmp_path / device)]) == 0
    model, rtl = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert model["weights_sha256"] == rtl["weights_sha256"]
    assert model["accuracy"] == rtl["accuracy"]
    assert model["training"]["busy_cycles"] == rtl["training"]["busy_cycles"]
    assert model["training"]["bytes_read"] == rtl["training"]["bytes_read"]
    assert model["training"]["bytes_written"] == rtl["training"]["bytes_written"]
    assert model["simulated_seconds"] == pytest.approx(rtl["simulated_seconds"], rel=TOLERANCE)


def test_the_check_repeats_one_step_per_precision_and_passes():
    data = noise_images()
    with (
        open_accelerator("fast", "zc706", "ps-ddr") as accelerator,
        RtlCheck(CONFIG, data, "ps-ddr") as check,
    ):
        trainer = Trainer(CONFIG, data, accelerator)
        while trainer.step < trainer.total_steps:
            batch = trainer.epoch_batches()[0]
            check.before_step(trainer, batch)
            trainer.train_step(batch)
            check.after_step(trainer)
        steps = check.results()
    assert [(step.step, step.fw) for step in steps] == [(0, 3), (2, 4), (4, 8)]
    assert all(step.programs == 26 for step in steps)
    assert all(step.passed for step in steps), verdict(steps)
    assert verdict(steps).startswith("RTL check (tiny): 3 steps repeated (FW3/BW8, FW4/BW8, FW8/BW8)")


def test_the_check_notices_a_step_that_came_out_differently():
    data = noise_images()
    config = dataclasses.replace(CONFIG, epochs=1)
    with (
        open_accelerator("fast", "tiny", "ps-ddr") as accelerator,
        RtlCheck(config, data, "ps-ddr") as check,
    ):
        trainer = Trainer(config, data, accelerator)
        batch = trainer.epoch_batches()[0]
        check.before_step(trainer, batch)
        trainer.train_step(batch)
        weight = dict(trainer.network.named_parameters())["stem.weight"].value
        weight[0, 0, 0, 0] = np.nextafter(weight[0, 0, 0, 0], np.float32(2))
        check.after_step(trainer)
        (step,) = check.results()
    assert step.differing == ("network.stem.weight",)
    assert not as_json([step])["passed"]
    assert "FAILED at step 0 (FW8/BW8): 1 arrays differ (network.stem.weight)" in verdict([step])


@pytest.mark.parametrize(
    "change",
    [{"differing": ("w",)}, {"worst_error": 0.021}, {"busy_equal": False}],
    ids=lambda c: next(iter(c)),
)
def test_any_disagreement_fails_the_check(change):
    good = CheckedStep(0, 3, 8, (), 26, 1000, 1000, 0.0, True)
    assert good.passed
    assert not dataclasses.replace(good, **change).passed
    assert "FAILED" in verdict([good, dataclasses.replace(good, **change)])


def test_differing_compares_bits_not_values():
    left = {"same": np.float32([1, 2]), "zero": np.float32([0.0])}
    assert differing(left, {"same": np.float32([1, 2]), "zero": np.float32([-0.0])}) == ("zero",)


def test_a_check_that_cannot_be_built_is_reported_and_never_counts_as_passed(tmp_path, capsys, monkeypatch):
    def open_only_models(name, *options, **more):
        if name == "rtl":
            raise DeviceError("device 'rtl' cannot be built: verilator is not installed")
        return open_accelerator(name, *options, **more)

    monkeypatch.setattr("cpt.trainers.open_accelerator", open_only_models)
    options = ["train", "--width", "4", "--epochs", "1", "--batch-size", "256", "--no-compare", "--json"]
    assert main([*options, "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "RTL check: not run (device 'rtl' cannot be built: verilator is not installed)" in captured.err
    assert json.loads(captured.out)["rtl_check"]["passed"] is None
    assert main([*options, "--check-rtl", "--overwrite", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("cpt train: device 'rtl' cannot be built")


def test_a_run_that_was_finished_has_no_step_left_to_repeat(tmp_path, capsys):
    options = ["train", *QUICK, "--out", str(tmp_path)]
    assert main(options) == 0
    assert main([*options, "--resume", "--check-rtl"]) == 0
    assert "none of the steps to repeat" in capsys.readouterr().err
