"""The benchmark of a training step."""

import json

import pytest
import torch

from cpt.main import main
from cpt.model.benchmark import MODELS, PRODUCTS, ROUNDINGS, _medians, _Memory, _ratios, _Step, workload


def test_bench_step_prints_rows_of_ratios_and_its_settings(capsys):
    words = ("bench", "step", "--model", "resnet8", "lstm2", "--batch", "1", "--rounds", "3")
    assert main((*words, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["device"], result["rounds"], result["threads"]) == ("cpu", 3, 1)
    rows = {(row["model"], row["rounding"]): row for row in result["rows"]}
    assert list(rows) == [(name, kind) for name in ("resnet8", "lstm2") for kind in ROUNDINGS]
    for (_, kind), row in rows.items():
        assert row["batch"] == 1
        assert min(row["cpu_s"], row["wall_s"], row["peak_bytes"]) > 0
        assert (row["ratio_cpu"] == row["ratio_wall"] == row["ratio_peak"] == 1) == (kind == "float32")
    assert main(words) == 0
    assert "stochastic" in capsys.readouterr().out


def test_bench_products_compares_with_bfloat16(capsys):
    words = ("bench", "products", "--layers", "8x16", "--batch", "4", "--rounds", "2")
    assert main((*words, "--json")) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["rounding"] for row in rows] == list(PRODUCTS)
    assert rows[0]["ratio_wall"] == 1
    assert min(row["ratio_wall"] for row in rows) > 0
    assert main(words) == 0
    assert "times bfloat16" in capsys.readouterr().out
    assert main(("bench", "products", "--layers", "8by8")) == 2
    assert "layer is '8by8'; allowed: INxOUT" in capsys.readouterr().err


def test_bench_health_prints_what_a_measured_step_takes(capsys):
    words = ("bench", "health", "--model", "resnet8", "--batch", "2", "--rounds", "3")
    assert main((*words, "--json")) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["ratio"] > 1
    assert row["share"] == pytest.approx((row["ratio"] - 1) / row["every"])
    assert main(words) == 0
    assert "100 steps" in capsys.readouterr().out


@pytest.mark.parametrize("name", MODELS)
def test_a_quantised_step_takes_no_more_memory_than_a_float_one(name):
    plain, quantised = (
        _Step(workload(name), 2, "cpu", ROUNDINGS[kind], compiled=False) for kind in ("float32", "stochastic")
    )
    # Quantised weights are a second copy, which counts where a batch is small.
    weights = sum(p.numel() * p.element_size() for p in quantised._run.parameters())
    assert quantised.peak_bytes() <= plain.peak_bytes() + weights


def test_memory_is_that_of_the_tensors_in_use_at_once():
    with _Memory() as memory:
        x = torch.ones(1000)
        y = x + 1
        view = y[:10]
        del x
        z = torch.zeros(500)
        del y, z, view
        torch.zeros(10)
    assert memory.peak == 8000
    assert memory._now == 0


def test_ratios_are_medians_of_rounds_so_that_a_slow_round_does_not_count():
    rounds = [[(1.0, 2.0), (1.2, 2.2)], [(10.0, 20.0), (12.0, 22.0)], [(1.0, 2.0), (90.0, 99.0)]]
    assert _medians(rounds, 1) == [12.0, 22.0]
    assert _ratios(rounds, 1) == pytest.approx([1.2, 1.1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("epoch",), "cpt bench: what is 'epoch'; allowed: step, products, health\n"),
        (
            ("step", "--model", "vgg"),
            "cpt bench: model is 'vgg'; allowed: resnetD with D = 6n+2, ",
        ),
        (("step", "--model", "resnet9"), "cpt bench: depth is 9; allowed: 6n + 2"),
        (("step", "--rounds", "0"), "cpt bench: rounds is 0; allowed: 1..1,000,000\n"),
        (("step", "--device", "tpu"), "cpt bench: device is 'tpu'; allowed: cpu, cuda\n"),
    ],
)
def test_wrong_settings_are_one_line(capsys, words, message):
    assert main(("bench", *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
