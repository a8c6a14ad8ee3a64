"""`cpt results`: runs are resumed, tables are computed from equal seeds, conclusions follow the intervals."""

import json
import shutil
import statistics
from dataclasses import replace

import pytest
import torch
from scipy import stats

from cpt import results, results_rows
from cpt.experiments import BUDGET, CONTROLS, LENGTHS, Row, Section
from cpt.main import main
from cpt.model.quantisers import Sbm
from cpt.model.run_folder import locked
from cpt.model.training import TorchConfig
from cpt.paired import interval
from cpt.results_page import Table, Texts
from cpt.results_page import page as whole_page
from cpt.results_reading import INTRODUCTION, reading
from cpt.results_runs import Runs

TINY = Section(
    "images",
    "Images",
    "digits",
    {"model": "resnet8", "width": 4, "steps": 2, "batch_size": 16},
    (Row("static", 2, {"method": "static"}), Row("CPT", 2), Row("FP32", 1, {"method": "fp32"})),
)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "sections", lambda: (TINY,))
    monkeypatch.setattr(results.os, "nice", lambda change: 0)
    before = torch.get_num_threads()
    yield ["results", "--out", str(tmp_path / "runs"), "--page", str(tmp_path / "results.md")]
    torch.set_num_threads(before)


def test_missing_runs_are_trained_and_finished_ones_kept(tiny, tmp_path, capsys):
    assert main([*tiny, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["row"], row["seeds"]) for row in rows] == [("static", 2), ("CPT", 2), ("FP32", 1)]
    text = (tmp_path / "results.md").read_text()
    assert "| FW(3,8)/BW8 | 2 |" in text
    summaries = sorted((tmp_path / "runs").rglob("summary.json"))
    assert len(summaries) == 5
    times = [path.stat().st_mtime_ns for path in summaries]
    (tmp_path / "results.md").unlink()
    assert main(tiny) == 0
    assert [path.stat().st_mtime_ns for path in summaries] == times
    assert (tmp_path / "results.md").read_text() == text


def test_a_page_is_never_replaced_by_one_without_runs(tiny, tmp_path, capsys):
    (tmp_path / "results.md").write_text("a year of results")
    assert main([*tiny, "--render-only"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{tmp_path}/runs holds no finished run for the page; allowed: --out with runs" in error
    assert (tmp_path / "results.md").read_text() == "a year of results"


@pytest.mark.parametrize(
    "words",
    [
        ("results", "--page", "{}/results.md"),
        ("range-test", "--device", "cpu", "--data", "digits", "--out", "{}"),
        ("landscape", "run", "--out", "{}"),
        ("export", "run", "--out", "{}/net.onnx"),
        ("report", "run", "--out", "{}"),
        ("package", "--out", "{}"),
    ],
    ids=lambda words: words[0],
)
def test_where_results_go_is_looked_at_before_the_work(words, tmp_path, capsys, monkeypatch):
    """None of them reads data, runs or sources before: reading these would fail in another line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert main([word.format(tmp_path / "file" / "below") for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"cpt {words[0]}: cannot write {tmp_path}/file/below/")
    assert error.endswith(": Not a directory\n")


def test_results_outlive_the_folders_of_their_runs(tiny, tmp_path, capsys):
    assert main(tiny) == 0
    text, record = ((tmp_path / f"results.{kind}").read_bytes() for kind in ("md", "json"))
    shutil.rmtree(tmp_path / "runs")
    assert main(tiny) == 0
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "results.md").read_bytes() == text
    assert (tmp_path / "results.json").read_bytes() == record


def test_a_record_of_other_settings_is_trained_anew(tiny, tmp_path, monkeypatch):
    assert main(tiny) == 0
    shutil.rmtree(tmp_path / "runs")
    other = replace(TINY, settings={**TINY.settings, "lr": 0.5})
    monkeypatch.setattr(results, "sections", lambda: (other,))
    assert main(tiny) == 0
    assert len(sorted((tmp_path / "runs").rglob("summary.json"))) == 5


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"images/cpt": {}}', '{"a": {"key": "", "eval_bits": 8, "runs": 3}}']
)
def test_a_record_that_is_none_is_refused(tiny, tmp_path, text, capsys):
    (tmp_path / "results.json").write_text(text)
    assert main(tiny) == 2
    assert f"{tmp_path}/results.json is no record of results; allowed: one that" in capsys.readouterr().err


def test_runs_that_another_command_has_in_hand_are_left_to_it(tiny, tmp_path, capsys):
    folder = tmp_path / "runs" / "images" / "cpt-1"
    with locked(folder):
        assert main([*tiny, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["row"], row["seeds"]) for row in rows] == [("static", 2), ("CPT", 1), ("FP32", 1)]
    assert "1 of 2" in (tmp_path / "results.md").read_text()
    assert main([*tiny, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["seeds"] == 2


def test_each_method_has_the_learning_rate_that_is_best_on_held_back_training_data(
    tiny, tmp_path, monkeypatch
):
    section = replace(TINY, settings={**TINY.settings, "steps": 12}, rates=(1e-5, 1.0), rate_seeds=1)
    monkeypatch.setattr(results, "sections", lambda: (section,))
    assert main(tiny) == 0
    tried = {path.parent.name for path in (tmp_path / "runs" / "images" / "rates").rglob("summary.json")}
    assert tried == {f"{name}-{rate}-0" for name in ("static", "cpt", "fp32") for rate in ("1e-06", "0.1")}
    config = json.loads((tmp_path / "runs" / "images" / "cpt-1" / "summary.json").read_text())["config"]
    assert config["lr"] == 0.1
    runs = Runs((section,), tmp_path / "runs", tmp_path / "results.json")
    whole, part = runs.task(section), runs.task(section, choosing=True)
    assert part.train_count + len(part.images.test) == whole.train_count
    assert main([*tiny, "--render-only"]) == 0


def test_a_run_of_as_many_bit_operations_is_shorter_or_longer(tiny, tmp_path, monkeypatch, capsys):
    rows = (
        *TINY.rows[:2],
        Row("short", 1, {"method": "static"}, "CPT", BUDGET, work_of="CPT"),
        Row("long", 1, {}, "static", BUDGET, work_of="static"),
    )
    section = replace(TINY, settings={**TINY.settings, "steps": 60}, rows=rows)
    monkeypatch.setattr(results, "sections", lambda: (section,))
    assert main([*tiny, "--json"]) == 0
    found = {row["row"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["short"]["config"]["steps"] < 60 < found["long"]["config"]["steps"]
    assert found["short"]["gbitops"] == pytest.approx(found["CPT"]["gbitops"], rel=0.02)
    assert found["long"]["gbitops"] == pytest.approx(found["static"]["gbitops"], rel=0.02)


def test_few_labels_are_drawn_anew_for_each_seed(tmp_path):
    section = replace(TINY, labels=40)
    runs = Runs((section,), tmp_path, tmp_path / "results.json")
    first, second = (runs.task(section, seed).images.train for seed in (0, 1))
    assert len(first) == len(second) == 40
    assert not (first.labels == second.labels).all()
    assert runs.data_sha256(section, 0) != runs.data_sha256(section, 1)


def test_an_interrupted_run_is_resumed(tiny, tmp_path, capsys):
    assert main(tiny) == 0
    folder = tmp_path / "runs" / "images" / "cpt-1"
    before = (folder / "summary.json").read_text()
    (folder / "summary.json").unlink()
    (tmp_path / "results.json").unlink()
    assert main(tiny) == 0
    assert (folder / "summary.json").read_text() == before


def test_runs_of_other_settings_are_refused(tiny, monkeypatch, capsys):
    assert main(tiny) == 0
    other = replace(TINY, settings={**TINY.settings, "lr": 0.5})
    monkeypatch.setattr(results, "sections", lambda: (other,))
    assert main([*tiny, "--render-only"]) == 2
    assert "has other settings than this version; allowed: delete its folder" in capsys.readouterr().err


def test_runs_of_a_quantiser_whose_code_has_changed_are_refused_before_any_training(
    tiny, monkeypatch, tmp_path, capsys
):
    assert main(tiny) == 0
    monkeypatch.setattr(Sbm, "stated", {"update": "another"})
    (tmp_path / "runs" / "images" / "cpt-1" / "summary.json").unlink()
    assert main(tiny) == 2
    assert "has other settings than this version; allowed: delete its folder" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "images" / "cpt-1" / "summary.json").exists()


def test_a_row_is_compared_with_its_base(tiny, monkeypatch, capsys):
    rows = (*TINY.rows, Row("CPT of fewer bits", 2, {"fw": (2, 4)}, "CPT"))
    monkeypatch.setattr(results, "sections", lambda: (replace(TINY, rows=rows),))
    assert main([*tiny, "--json"]) == 0
    found = {row["row"]: row for row in json.loads(capsys.readouterr().out)}
    fewer, base = found["CPT of fewer bits"], found["CPT"]
    assert fewer["saving"] == pytest.approx(1 - fewer["gbitops"] / base["gbitops"])
    assert fewer["gain"][0] == pytest.approx(fewer["mean"] - base["mean"])


def test_every_quantiser_of_the_papers_tables_has_its_rows(tmp_path):
    for section in results.sections():
        rows = {row.name: row for row in section.rows}
        if section.labels:
            continue
        for title, optimiser in (("DoReFa", section.settings.get("optimiser")), ("WAGEUBN", "sgd")):
            cyclic, static = rows[f"{title} CPT"], rows[f"{title} static"]
            assert cyclic.base == static.name
            assert static.settings == {**cyclic.settings, "method": "static"}
            assert cyclic.settings.get("optimiser", section.settings.get("optimiser")) == optimiser
            TorchConfig(**{**section.settings, **cyclic.settings})
        assert not any("SBM" in name for name in rows)


def test_intervals_are_students_of_paired_differences():
    gains = [0.1, -0.2, 0.4, 0.3, 0.05]
    mean, low, high = interval(gains)
    expected = stats.t.interval(0.95, 4, statistics.mean(gains), stats.sem(gains))
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(statistics.mean(gains))
    assert interval([0.1]) is None


def page(tables):
    return whole_page(tables, Texts(INTRODUCTION, reading))


def row(metric, gain, saving, beats=True):
    config = TorchConfig(**TINY.settings).as_dict()
    return {
        "row": "CPT", "base": "static", "table": "Equal steps", "config": config, "beats_baseline": beats,
        "baseline": {"name": "always the most frequent class", "value": 0.1}, "dataset_sha256": "0" * 64,
        "seeds": 3, "planned": 3, "metric": metric, "mean": 0.9, "deviation": 0.01,
        "eval_bits": 8, "gbitops": 10.0, "saving": saving, "gain": gain,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "gain", "words"),
    [
        ("accuracy", (0.02, 0.01, 0.03), "better than static by 2.00"),
        ("accuracy", (-0.02, -0.03, -0.01), "worse than static by 2.00"),
        ("accuracy", (0.02, -0.01, 0.05), "no difference to static shown (+2.00, interval holds 0)"),
        ("perplexity", (0.2, 0.1, 0.3), "worse than static by 0.200"),
        ("perplexity", (-0.2, -0.3, -0.1), "better than static by 0.200"),
        ("psnr_db", None, "too few seeds for a comparison"),
    ],
)
def test_conclusions_say_what_the_interval_says(metric, gain, words):
    text = page([Table("Title", "digits", [row(metric, gain, 0.25)])])
    assert f"- CPT: 25.0 % fewer bit operations; {words}." in text


def test_what_is_no_better_than_the_baseline_is_marked_and_compared_with_nothing():
    text = page([Table("Title", "digits", [row("accuracy", (0.02, 0.01, 0.03), 0.25, beats=False)])])
    assert "| CPT † |" in text
    assert "- CPT: 25.0 % fewer bit operations; no better than the baseline." in text
    assert "Baseline: always the most frequent class, 10.00 %." in text


def test_the_answers_come_first_and_follow_the_intervals():
    def other(name, table, gain, saving=0.0, **settings):
        found = row("perplexity", gain, saving)
        config = TorchConfig(**{**TINY.settings, **settings}).as_dict()
        return found | {"row": name, "base": "CPT", "table": table, "config": config}

    rows = [
        row("perplexity", (0.2, 0.1, 0.3), 0.25) | {"config": TorchConfig(epochs=3).as_dict()},
        other("static, CPT's bit operations", BUDGET, (1.0, 0.5, 1.5)),
        other("static at 6 bits", CONTROLS, (-0.1, -0.15, -0.05), 0.011, method="static", fw=(6, 6)),
        other("static at 4 bits", CONTROLS, (0.4, 0.3, 0.5), 0.4, method="static", fw=(4, 4)),
        other("CPT shuffled", CONTROLS, (0.0, -0.1, 0.1), method="shuffled"),
        other("CPT reversed", CONTROLS, None, method="reversed"),
        other("CPT, 6 epochs", LENGTHS, (0.05, -0.1, 0.2), 0.25, epochs=6),
    ]
    text = page([Table("Title", "python-text", rows)])
    answers = text[text.index("## What was found") : text.index("## Title")].strip().splitlines()[4:]
    assert answers == [
        "- CPT against static training of as many steps, with 25.0 % fewer bit operations: worse "
        "(+0.200, +0.100 .. +0.300).",
        "- Static training that ends when it has CPT's bit operations, against CPT: worse "
        "(+1.000, +0.500 .. +1.500).",
        "- Static training at 6 bits throughout, 1.1 % fewer bit operations, against CPT: better "
        "(-0.100, -0.150 .. -0.050).",
        "- CPT's bits in random order, against CPT: no difference shown (+0.000, -0.100 .. +0.100).",
        "- CPT against static training by length of the run: 3 epochs: worse (+0.200, +0.100 .. +0.300); "
        "6 epochs: no difference shown (+0.050, -0.100 .. +0.200).",
    ]


@pytest.mark.parametrize(
    ("values", "better"), [([0.2, 0.21, 0.19], True), ([0.11, 0.09], False), ([0.2], True), ([0.1], False)]
)
def test_a_row_beats_the_baseline_by_its_interval(values, better):
    assert results_rows._beats("accuracy", values, 0.1) is better
    assert results_rows._beats("perplexity", [-value for value in values], -0.1) is better


@pytest.mark.parametrize(
    ("saving", "words"),
    [(-0.5, "50.0 % more"), (-3.0, "4.0 times the"), (0.0, "as many"), (0.25, "25.0 % fewer")],
)
def test_work_is_said_in_the_words_that_suit_its_size(saving, words):
    text = page([Table("Title", "digits", [row("accuracy", (0.0, -1.0, 1.0), saving)])])
    assert f"- CPT: {words} bit operations;" in text
