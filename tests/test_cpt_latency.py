"""`cpt latency`: hours of runs by whole steps."""

from __future__ import annotations

import json

import pytest

from cpt import latency_paper
from cpt.main import main
from cpt.model.architecture import Conv
from cpt.model.bitops import PAPER_ITERATIONS, run_gbitops
from cpt.model.published import ROWS
from cpt.model.reproduce import paper_plan

QUICK = ["latency", "--model", "resnet8", "--batch", "4", "--micro-batch", "4", "--json"]


def test_hours_are_those_of_all_lists_of_all_steps(capsys) -> None:
    assert main([*QUICK, "--fw", "8", "--iterations", "1000", "--layers"]) == 0
    found = json.loads(capsys.readouterr().out)
    cycles = sum(row["cycles"] for row in found["layers"])
    (run,) = found["runs"]
    assert run["simulated_hours"] == pytest.approx(1000 * cycles / (found["clock_mhz"] * 1e6) / 3600)
    assert found["array"]["scratch_words"] == 16384
    assert "whole steps" in found["scope"]
    assert (found["clock_mhz"], found["memory_model"]) == (200.0, "ps-ddr")


def test_a_cyclic_run_is_shorter_than_a_static_one(capsys) -> None:
    assert main([*QUICK, "--fw", "3", "8", "--iterations", "320"]) == 0
    found = json.loads(capsys.readouterr().out)
    cyclic, static = found["runs"]
    assert 0 < cyclic["simulated_hours"] < static["simulated_hours"]
    assert found["saving"]["gbitops"] == pytest.approx(1 - cyclic["gbitops"] / static["gbitops"])


def test_a_schedule_of_more_steps_at_few_bits_takes_less_time(capsys) -> None:
    hours = []
    for shape in ("exponential", "cosine", "rex"):
        assert main([*QUICK, "--fw", "3", "8", "--iterations", "320", "--shape", shape]) == 0
        hours.append(json.loads(capsys.readouterr().out)["runs"][0]["simulated_hours"])
    assert hours == sorted(hours, reverse=True)
    assert main([*QUICK, "--shape", "x"]) == 2
    assert "shape is 'x'; allowed: cosine, " in capsys.readouterr().err


def test_a_step_is_told_by_layer_and_pass(capsys) -> None:
    assert main([*QUICK, "--fw", "3", "8", "--bw", "6", "--layers"]) == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert {(row["fw"], row["bw"]) for row in rows} == {(3, 6), (8, 6)}
    at_8 = {(row["layer"], row["pass"]): row for row in rows if row["fw"] == 8}
    layers = {layer for layer, which in at_8 if which == "forward"}
    assert len(layers) == 9
    assert {layer for layer, which in at_8 if which == "dW"} == layers
    assert layers - {layer for layer, which in at_8 if which == "dX"} == {"stem.conv"}
    assert {row["bound"] for row in rows} <= {"array", "vector", "channel unit", "DRAM", "control"}
    assert at_8["prepare", "all"]["utilisation"] == 0
    for layer, which in at_8:
        row = at_8[layer, which]
        assert row["cycles"] >= 0
        assert 0 <= row["utilisation"] <= 1
        assert row["bytes"] > 0
    dw_bytes = {row["fw"]: row["bytes"] for row in rows if (row["layer"], row["pass"]) == ("stem.conv", "dW")}
    assert dw_bytes[3] < dw_bytes[8], "LOAD_E and FETCH_X are counted"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "vgg"], "model is 'vgg'; allowed: resnetD"),
        (["--micro-batch", "3"], "micro-batch is 3; allowed: a divisor of batch-size (4)"),
    ],
)
def test_what_there_is_not_is_refused(options, message, capsys) -> None:
    assert main([*QUICK, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def small_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paper of one small network and few images."""
    hours = {("ResNet-8", (8,), (8,)): 44.6, ("ResNet-8", (7, 8), (8,)): 40.1}
    monkeypatch.setattr(latency_paper, "HOURS", hours)
    monkeypatch.setattr(latency_paper, "NETWORKS", ("ResNet-8",))
    monkeypatch.setattr(latency_paper, "PAPER_BATCH", 4)


def test_the_papers_runs_go_on_where_they_were_stopped(small_paper, tmp_path, monkeypatch, capsys) -> None:
    words = ["latency", "--paper", "--out", str(tmp_path), "--micro-batch", "4", "--quiet", "--json"]
    together, seen = latency_paper.WholeSteps.together, []

    def stopped(steps, precisions) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.extend(precisions)
        together(steps, precisions)

    monkeypatch.setattr(latency_paper.WholeSteps, "together", stopped)
    assert main(words) != 0
    (held,) = tmp_path.glob("*.json")
    assert list(json.loads(held.read_text())) == ["resnet8 8 x 8"]
    monkeypatch.setattr(
        latency_paper.WholeSteps, "together", lambda steps, precisions: seen.extend(precisions)
    )
    capsys.readouterr()
    assert main(words) == 0
    assert seen == [(8, 8), (7, 8)]
    static, cyclic = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["fw"], row["bw"], row["published_hours"]) for row in (static, cyclic)] == [
        ([8], 8, 44.6),
        ([7, 8], 8, 40.1),
    ]
    assert cyclic["saving"] == pytest.approx(1 - cyclic["hours"] / static["hours"])
    assert 0 < cyclic["saving"] < cyclic["saving_bits"] < 0.2
    assert static["hours"] > max(static[f"hours_{part}"] for part in ("array", "memory", "vector", "channel"))
    assert main([word for word in words if word != "--json"]) == 0
    table = capsys.readouterr().out
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "44.6" in table
    assert "200 MHz, memory ps-ddr" in " ".join(table.split())


def test_a_run_on_another_memory_leaves_what_is_kept(small_paper, tmp_path, capsys) -> None:
    words = [
        "latency",
        "--paper",
        "resnet8",
        "--out",
        str(tmp_path),
        "--micro-batch",
        "4",
        "--quiet",
        "--json",
    ]
    found = {}
    for memory in ("ps-ddr", "pl-ddr"):
        assert main([*words, "--memory", memory]) == 0
        found[memory] = json.loads(capsys.readouterr().out)["rows"][0]["hours"]
    assert found["pl-ddr"] < found["ps-ddr"]
    first, second = tmp_path.glob("*.json")
    assert list(json.loads(first.read_text())) == list(json.loads(second.read_text()))
    for path in (first, second):
        path.write_text("spoilt")
    assert main(words) == 2
    assert "is no list of steps" in capsys.readouterr().err
    assert first.read_text() == "spoilt"


def test_hours_follow_the_clock_and_the_memory(capsys) -> None:
    found = {}
    for words in ("", "--clock-mhz 150", "--memory ps-ddr-low", "--memory pl-ddr"):
        assert main([*QUICK, "--fw", "8", "--json", *words.split()]) == 0
        (found[words],) = [run["simulated_hours"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert found["--memory pl-ddr"] < found[""] < found["--memory ps-ddr-low"]
    assert found[""] < found["--clock-mhz 150"] < found[""] * 200 / 150
    assert main([*QUICK, "--clock-mhz", "0"]) == 2
    assert "clock-mhz is 0.0; allowed: 1..1,000" in capsys.readouterr().err


def test_a_network_that_is_not_the_papers_is_refused(capsys) -> None:
    assert main(["latency", "--paper", "resnet14"]) == 2
    assert "network is 'resnet14'; allowed: resnet20, resnet38" in capsys.readouterr().err


@pytest.mark.parametrize("network", latency_paper.NETWORKS)
def test_networks_are_those_of_the_published_counts(network) -> None:
    layers, trained = latency_paper.described(network)
    assert len(trained.layers) == sum(isinstance(item, Conv) for item in layers)
    counted = {(row.model, row.fw, row.bw): row.gbitops for row in ROWS if row.table == "CPT 2"}
    for fw, bw in latency_paper.precisions(network):
        if (network, fw, bw) in counted:
            found = run_gbitops(layers, paper_plan(fw, bw), PAPER_ITERATIONS)
            assert found == pytest.approx(counted[network, fw, bw], rel=0.02)
