"""`cpt results`: runs are resumed, tables are computed from equal seeds, conclusions follow the intervals."""

import json
import statistics

import pytest
import torch
from scipy import stats

from cpt import results
from cpt.main import main
from cpt.model.quantisers import Sbm
from cpt.results import Row, Section
from cpt.results_page import interval, page

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
    assert "| CPT | FW(3,8)/BW8 | 2 |" in text
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


def test_an_interrupted_run_is_resumed(tiny, tmp_path, capsys):
    assert main(tiny) == 0
    folder = tmp_path / "runs" / "images" / "cpt-1"
    before = (folder / "summary.json").read_text()
    (folder / "summary.json").unlink()
    assert main(tiny) == 0
    assert (folder / "summary.json").read_text() == before


def test_runs_of_other_settings_are_refused(tiny, monkeypatch, capsys):
    assert main(tiny) == 0
    other = Section(TINY.name, TINY.title, TINY.data, {**TINY.settings, "lr": 0.5}, TINY.rows)
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
    both = Section(TINY.name, TINY.title, TINY.data, TINY.settings, rows)
    monkeypatch.setattr(results, "sections", lambda: (both,))
    assert main([*tiny, "--json"]) == 0
    found = {row["row"]: row for row in json.loads(capsys.readouterr().out)}
    fewer, base = found["CPT of fewer bits"], found["CPT"]
    assert fewer["saving"] == pytest.approx(1 - fewer["gbitops"] / base["gbitops"])
    assert fewer["gain"][0] == pytest.approx(fewer["mean"] - base["mean"])


def test_every_quantiser_of_the_papers_tables_has_its_rows():
    for section in results.sections():
        rows = {row.name: row for row in section.rows}
        for title, optimiser in (("DoReFa", section.settings.get("optimiser")), ("WAGEUBN", "sgd")):
            cyclic, static = rows[f"{title} CPT"], rows[f"{title} static"]
            assert cyclic.base == static.name
            assert static.settings == {**cyclic.settings, "method": "static"}
            assert cyclic.settings.get("optimiser", section.settings.get("optimiser")) == optimiser
            results._config(section, cyclic, 0)
        assert not any("SBM" in name for name in rows)


def test_intervals_are_students_of_paired_differences():
    gains = [0.1, -0.2, 0.4, 0.3, 0.05]
    mean, low, high = interval(gains)
    expected = stats.t.interval(0.95, 4, statistics.mean(gains), stats.sem(gains))
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(statistics.mean(gains))
    assert interval([0.1]) is None


def row(metric, gain, saving):
    config = results._config(TINY, TINY.rows[1], 0).as_dict()
    return {
        "row": "CPT", "base": "static", "config": config, "dataset_sha256": "0" * 64,
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
    text = page([("Title", "digits", [row(metric, gain, 0.25)])])
    assert f"- CPT: 25.0 % fewer bit operations; {words}." in text


@pytest.mark.parametrize(
    ("saving", "words"),
    [(-0.5, "50.0 % more"), (-3.0, "4.0 times the"), (0.0, "as many"), (0.25, "25.0 % fewer")],
)
def test_work_is_said_in_the_words_that_suit_its_size(saving, words):
    text = page([("Title", "digits", [row("accuracy", (0.0, -1.0, 1.0), saving)])])
    assert f"- CPT: {words} bit operations;" in text
