"""`cpt results --schedules`: what is compared with what, times, sentences by intervals, the picture."""

import json
from dataclasses import replace

import pytest
import torch

from cpt import results
from cpt.experiments import BUDGET, Row, Section
from cpt.main import main
from cpt.model.adaptive import RULES
from cpt.model.cyclic import FOLLOW_UP
from cpt.model.figures.pareto import Group, draw_pareto
from cpt.model.training import TorchConfig
from cpt.model.units import metric
from cpt.results_runs import Runs
from cpt.schedule_experiments import ADAPTIVE, CONSTANT, SCHEDULES, schedule_sections
from cpt.schedule_reading import reading
from cpt.schedule_times import ARRAY, Times

STATIC = {"method": "static"}
TINY = Section(
    "tiny",
    "Tiny",
    "digits",
    {"model": "resnet8", "width": 4, "epochs": 1, "batch_size": 32, "cycles": 2, "per": "iteration"},
    (
        Row("static", 2, STATIC),
        Row("linear", 2, {"shape": "linear"}, table=SCHEDULES),
        Row("fast", 2, {"method": "fast", "look_every": 5}, table=ADAPTIVE),
        Row("5 bits", 2, {**STATIC, "fw": (5, 5)}, table=CONSTANT),
        Row("static, linear's bit operations", 2, STATIC, "linear", BUDGET, "linear"),
        Row("static, fast's bit operations", 2, STATIC, "fast", BUDGET, "fast"),
    ),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of `TINY` and its rows."""
    folder = tmp_path_factory.mktemp("schedules")
    patch = pytest.MonkeyPatch()
    patch.setattr(results, "schedule_sections", lambda: (TINY,))
    patch.setattr(results.os, "nice", lambda change: 0)
    before = torch.get_num_threads()
    command = ["results", "--schedules", "--out", str(folder / "runs"), "--page", str(folder / "pareto.md")]
    assert main(command) == 0
    patch.undo()
    torch.set_num_threads(before)
    return folder


@pytest.fixture
def rows(written, monkeypatch, capsys):
    monkeypatch.setattr(results, "schedule_sections", lambda: (TINY,))
    command = ["results", "--schedules", "--render-only", "--json"]
    command += ["--out", str(written / "runs"), "--page", str(written / "pareto.md")]
    assert main(command) == 0
    return {row["row"]: row for row in json.loads(capsys.readouterr().out)}


def test_static_training_spends_what_a_schedule_or_a_rule_has_spent(rows):
    for name in ("linear", "fast"):
        cut = rows[f"static, {name}'s bit operations"]
        assert cut["config"]["steps"] < TorchConfig().total_steps(45)
        assert cut["gbitops"] == pytest.approx(rows[name]["gbitops"], rel=0.03)


def test_time_is_that_of_the_steps_at_their_bits(rows):
    static, cut = rows["static"], rows["static, linear's bit operations"]
    steps = 44
    assert cut["simulated_s"] / static["simulated_s"] == pytest.approx(cut["config"]["steps"] / steps)
    assert rows["5 bits"]["simulated_s"] < static["simulated_s"]
    assert rows["fast"]["simulated_s"] is None


def test_a_plan_takes_the_sum_of_its_steps(tmp_path):
    task = Runs((TINY,), tmp_path, tmp_path / "none.json").task(TINY)
    usual = TorchConfig(**TINY.settings)
    times = Times(task, usual)
    each = {bits: times.seconds(replace(usual, method="static", fw=(bits, bits), steps=1)) for bits in (3, 8)}
    window = replace(usual, method="window", steps=10, window_start=2, window_length=3)
    assert times.seconds(window) == pytest.approx(3 * each[3] + 7 * each[8])
    by_epoch = replace(usual, per="epoch", epochs=2, method="window", window_start=0, window_length=1)
    assert times.seconds(by_epoch) == pytest.approx(44 * each[3] + 44 * each[8])
    assert times.seconds(replace(usual, method="pfq")) is None
    assert ARRAY.clock_mhz == 200
    assert Times(task, replace(usual, model="vit")).seconds(usual) is None


def test_the_page_has_its_picture_tables_and_answers(written):
    text = (written / "pareto.md").read_text(encoding="utf-8")
    assert "![Tiny](tiny.svg)" in text
    assert (written / "tiny.svg").read_text(encoding="utf-8").startswith("<?xml")
    for heading in ("Equal steps", SCHEDULES, ADAPTIVE, CONSTANT, BUDGET):
        assert f"### {heading}\n" in text
    assert "- Schedules against static training of as many steps: " in text
    assert "- The schedules save " in text
    assert "nan" not in text
    assert max(map(len, text[: text.index("## What was found")].splitlines())) <= 110


def test_all_schedules_and_rules_are_compared_on_two_tasks_over_five_seeds():
    assert len(schedule_sections()) >= 2
    for section in schedule_sections():
        rows = {row.name: row for row in section.rows}
        for name in (*FOLLOW_UP.values(), "pfq", "ldp", *RULES):
            assert rows[name].seeds >= 5
            assert rows[f"static, {name}'s bit operations"].work_of == name
            TorchConfig(**{**section.settings, **rows[name].settings})


def row(name, table, mean, gain, gbitops, values, base="static"):
    config = TorchConfig(**TINY.settings, steps=30).as_dict()
    return {
        "row": name, "base": base, "table": table, "config": config, "metric": "accuracy", "mean": mean,
        "gain": gain, "gbitops": gbitops, "saving": 1 - gbitops / 100, "values": values,
        "beats_baseline": True,
    }  # fmt: skip


def test_sentences_follow_the_intervals():
    found = reading(
        [
            row("static", "Equal steps", 0.90, None, 100.0, {}),
            row("linear", SCHEDULES, 0.91, (0.01, 0.005, 0.015), 63.0, {"0": 0.91, "1": 0.92}),
            row("rex", SCHEDULES, 0.80, (-0.1, -0.2, -0.05), 40.0, {"0": 0.8, "1": 0.79}),
            row("fast", ADAPTIVE, 0.89, (-0.01, -0.03, 0.01), 30.0, {"0": 0.89, "1": 0.88}),
            row("5 bits", CONSTANT, 0.88, (-0.02, -0.03, -0.01), 60.0, {"0": 0.89, "1": 0.9}),
            row("static, rex's", BUDGET, 0.79, (-0.01, -0.02, -0.005), 40.0, {}, "rex"),
        ]
    )
    assert found == [
        "Schedules against static training of as many steps: better: linear (-37.0 %) +1.00; worse: rex "
        "(-60.0 %) -10.00.",
        "Constant bits against static training of as many steps: worse: 5 bits (-40.0 %) -2.00.",
        "Rules that adapt against static training of as many steps: no difference shown: fast (-70.0 %) "
        "-1.00.",
        "Static training cut to as many bit operations, against: worse: rex -1.00.",
        "Against constant bits of nearly as many bit operations (within 10.0 %): better: linear to 5 bits "
        "+2.00.",
        "By means alone, nothing else has as few bit operations and is as good as: linear, fast.",
    ]


def test_marks_of_equal_cost_stand_side_by_side_with_their_whiskers():
    points = {"a": (0.01, 0.0, 0.02), "b": (0.02, 0.01, 0.03), "c": (0.0, -0.01, 0.01)}
    group = Group("schedules", points, [{"a": 0.6, "b": 0.6, "c": 0.3}, {"a": 0.7}])
    line = Group("constant", points, [{"a": 0.5, "b": 0.25, "c": 1.0}, {}], joined=True)
    figure = draw_pareto([line, group], ["bits", "time"], metric("accuracy"), "title")
    above, below = figure.axes
    marks = [bars[0].get_xydata()[0].tolist() for bars in above.containers]
    assert [y for _, y in marks] == pytest.approx([1.0, 2.0, 0.0])
    (a, b, c) = (x for x, _ in marks)
    assert (a, c) == pytest.approx((60.0, 30.0))
    assert 0.5 < abs(b - a) < 2
    assert above.lines[1].get_xdata().tolist() == [25.0, 50.0, 100.0]
    assert len(below.containers) == 1
    assert "accuracy, difference (points)" in above.get_ylabel()
    assert above.get_ylim() == pytest.approx((-1.4, 3.4))
    far = Group("far", {"d": (-5.0, -6.0, -4.0)}, [{"d": 0.5}, {}], joined=True, cut=True)
    cut = draw_pareto([far, group], ["bits", "time"], metric("accuracy"), "title")
    assert cut.axes[0].get_ylim() == pytest.approx((-1.4, 3.4))
