"""``cpt compare`` and ``cpt latency``: cycles of training steps on the RTL, the fast model and forecast."""

import json
from typing import cast

import numpy as np
import pytest

from cpt.devices import open_accelerator
from cpt.host.config import TrainConfig
from cpt.host.data import Dataset, Images
from cpt.host.engine import GemmEngine
from cpt.host.metrics import Tally
from cpt.host.network import ResNet
from cpt.host.trainer import Trainer
from cpt.hw.contract import preset
from cpt.main import main
from cpt.model.architecture import cifar_resnet
from cpt.sim.fast.forecast import Forecast, ShapeRecorder, total
from cpt.sim.memory import memory_model

SMALL = ("--width", "4", "--batch-size", "4")


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    output = capsys.readouterr()
    return status, output.out, output.err


def test_compare_gives_a_row_per_program_within_two_percent(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = _run(capsys, "compare", "--preset", "tiny", "--bits", "3", "8", "--json", *SMALL)
    rows = json.loads(out.splitlines()[-1])
    assert status == 0
    # Seven 3x3 convolutions and two shortcuts; the first has no dX.
    assert len(rows) == 3 * 9 - 1
    for row in rows:
        assert set(row) == {"program", "rtl_cycles", "model_cycles", "error"}
        assert row["error"] == (row["model_cycles"] - row["rtl_cycles"]) / row["rtl_cycles"]
        assert abs(row["error"]) <= 0.02, row


@pytest.mark.timeout(1800)  # the RTL of whole steps may have to be built first
def test_compare_gives_a_row_per_list_of_a_whole_step(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", "--machine", "step", "--bits", "3", "8", "--micro-batch", "2", *SMALL)
    status, out, _ = _run(capsys, *words, "--json")
    rows = json.loads(out.splitlines()[-1])
    assert status == 0
    names = ["first forward", "second forward", "backward", "last backward"]
    assert [row["program"] for row in rows] == names
    assert all(0 < abs(row["error"]) <= 0.02 for row in rows), rows


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--machine", "neither"), "machine is 'neither'; allowed: matrix, step"),
        (("--micro-batch", "2"), "--micro-batch is given for machine 'matrix'; allowed: step"),
        (
            ("--machine", "step", "--micro-batch", "3"),
            "micro-batch is 3; allowed: a divisor of batch-size (4)",
        ),
    ],
)
def test_compare_refuses_what_there_is_not(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = _run(capsys, "compare", *words, *SMALL)
    assert status == 2
    assert err.splitlines()[-1] == f"cpt compare: {message}"


def test_compare_names_a_wrong_memory_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = _run(capsys, "compare", "--memory", "sram")
    assert status == 2
    assert err == "cpt compare: memory model is 'sram'; allowed: ideal, ps-ddr, pl-ddr\n"


def _digits_like(rng: np.random.Generator, count: int) -> Dataset:
    def images() -> Images:
        return Images(rng.standard_normal((count, 8, 8, 1)).astype(np.float32), np.arange(count) % 10)

    return Dataset("noise", images(), images(), 10)


def test_forecast_of_a_step_is_what_the_device_counts() -> None:
    config = TrainConfig(width=8, fw=(5, 5), steps=1, batch_size=4)
    with open_accelerator("fast", "z7020", "ps-ddr") as accelerator:
        trainer = Trainer(config, _digits_like(np.random.default_rng(0), 8), accelerator)
        counted = Tally()
        trainer.engine.listeners.append(counted.add)
        trainer.train_step(trainer.epoch_batches()[0])
        array = accelerator.config
    recorder = ShapeRecorder()
    network = ResNet(cifar_resnet(8, 10, 8, 1, 8))
    network.plan((4, 8, 8, 1), cast(GemmEngine, recorder))
    memory = memory_model("ps-ddr", array.clock_mhz)
    forecast = Forecast(preset("z7020"), memory, recorder.shapes, 5, 8)
    assert total(forecast.step(5, 8)) == counted


def test_latency_states_clock_memory_and_scope(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("latency", "--model", "resnet8", "--fw", "3", "8", "--iterations", "320", "--batch", "4")
    status, out, _ = _run(capsys, *words, "--json")
    result = json.loads(out)
    assert status == 0
    assert (result["clock_mhz"], result["memory_model"]) == (200.0, "ps-ddr")
    assert result["scope"].startswith("simulated, accelerator cycles only")
    cyclic, static = result["runs"]
    assert 0 < cyclic["simulated_hours"] < static["simulated_hours"]
    assert result["saving"]["gbitops"] == pytest.approx(1 - cyclic["gbitops"] / static["gbitops"])


def test_latency_refuses_a_model_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = _run(capsys, "latency", "--model", "vgg")
    assert status == 2
    assert err.startswith("cpt latency: model is 'vgg'; allowed: resnetD")
