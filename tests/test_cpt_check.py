"""Training on the compiled RTL: the golden functions' weights, and the check that repeats steps."""

import dataclasses
import json

import numpy as np
import pytest

from cpt.check import CheckedStep, RtlCheck, as_json, differing, verdict
from cpt.devices import open_accelerator
from cpt.host.config import TrainConfig
from cpt.host.data import Images, held_out
from cpt.host.errors import DeviceError
from cpt.main import main
from cpt.sim.step import TOLERANCE
from cpt.trainers import Place

QUICK = ["--preset", "tiny", "--width", "4", "--steps", "2", "--batch-size", "4", "--seed", "1", "--json"]
CONFIG = TrainConfig(model="resnet8", width=4, epochs=1, cycles=1, batch_size=4, lr=0.05)


def noise_images(count=20):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 8, 8, 1)).astype(np.float32)
    return held_out("noise", Images(pixels, (np.arange(count) % 2).astype(np.int64)))


def test_rtl_and_golden_functions_train_to_the_same_weights(tmp_path, capsys):
    for device in ("fast", "rtl"):
        assert main(["train", "--device", device, *QUICK, "--out", str(tmp_path / device)]) == 0
    model, rtl = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert model["weights_sha256"] == rtl["weights_sha256"]
    assert model["accuracy"] == rtl["accuracy"]
    assert model["simulated_seconds"] == pytest.approx(rtl["simulated_seconds"], rel=TOLERANCE)


def test_the_check_notices_a_step_that_came_out_differently():
    data = noise_images()
    with (
        Place("fast", "tiny", "ps-ddr").open(CONFIG, data) as (trainer, _),
        RtlCheck(CONFIG, data, "ps-ddr") as check,
    ):
        batch = next(trainer.epoch_batches())
        check.before_step(trainer, batch)
        trainer.train_step(batch)
        weight = trainer.network.parameters["stem.weight"]
        weight[0, 0, 0, 0] = np.nextafter(weight[0, 0, 0, 0], np.float32(2))
        check.after_step(trainer)
        (step,) = check.results()
    assert step.differing == ("parameters.stem.weight",)
    assert not as_json([step])["passed"]
    assert "FAILED at step 0 (FW8/BW8): 1 arrays differ (parameters.stem.weight)" in verdict([step])


@pytest.mark.parametrize(
    "change", [{"differing": ("w",)}, {"model_cycles": 1021}, {"model_cycles": 979}], ids=str
)
def test_any_disagreement_fails_the_check(change):
    good = CheckedStep(0, 3, 8, (), 1000, 1000)
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
