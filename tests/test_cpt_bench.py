"""The benchmark of a training step."""

import json

import pytest

from cpt.main import main
from cpt.model.benchmark import _medians


def test_bench_step_prints_times_ratios_and_settings(capsys):
    words = ("bench", "step", "--model", "resnet8", "--batch", "2", "--rounds", "3")
    assert main((*words, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["depth"], result["batch"], result["rounds"], result["threads"]) == (8, 2, 3, 1)
    assert result["device"] == "cpu"
    assert result["stochastic_s"] > result["float_s"] > 0
    assert result["stochastic_ratio"] > 1
    assert main(words) == 0
    assert "FW8/BW8, stochastic gradients" in capsys.readouterr().out


def test_ratios_are_medians_of_rounds_so_that_a_slow_round_does_not_count():
    rounds = [(1.0, 1.2, 1.5), (10.0, 12.0, 15.0), (1.0, 1.2, 90.0)]
    assert _medians(rounds) == pytest.approx([1.0, 1.2, 15.0, 1.2, 1.5])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("epoch",), "cpt bench: what is 'epoch'; allowed: step\n"),
        (("step", "--model", "vgg"), "cpt bench: model is 'vgg'; allowed: resnetD with D = 6n+2\n"),
        (("step", "--model", "resnet9"), "cpt bench: depth is 9; allowed: 6n+2, at least 8\n"),
        (("step", "--rounds", "0"), "cpt bench: rounds is 0; allowed: 1..1,000,000\n"),
        (("step", "--device", "tpu"), "cpt bench: device is 'tpu'; allowed: cpu, cuda\n"),
    ],
)
def test_wrong_settings_are_one_line(capsys, words, message):
    assert main(("bench", *words)) == 2
    assert capsys.readouterr().err == message
