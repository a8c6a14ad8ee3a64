"""The commands that show schedules and count bit operations."""

import json

import pytest

from cpt.main import main


def output(capsys, *words):
    assert main(words) == 0
    return capsys.readouterr().out


def test_bits_prints_the_published_schedule(capsys):
    result = json.loads(
        output(capsys, "bits", "--fw", "3", "8", "--total", "160", "--cycles", "32", "--json")
    )
    assert result["fw"] == [3, 3, 5, 6, 8] * 32
    assert set(result["bw"]) == {8}
    assert result["evaluation_bits"] == 8
    assert result["saving"] == pytest.approx(0.434, abs=5e-4)
    text = output(capsys, "bits", "--shape", "up_down", "--start", "20")
    assert "saved against the upper bound throughout" in text


def test_bits_draws_a_figure(capsys, tmp_path):
    path = tmp_path / "schedule.svg"
    output(capsys, "bits", "--figure", str(path))
    assert path.read_text().lstrip().startswith("<?xml")


def test_bitops_counts_a_run_and_its_layers(capsys):
    result = json.loads(output(capsys, "bitops", "resnet74", "--json"))
    assert result["static_gbitops"] == pytest.approx(2.668e8, rel=1e-3)
    assert result["saving"] == pytest.approx(0.367, abs=5e-4)
    assert len(result["layers"]) == 73 + 2 + 1
    assert sum(result["passes"].values()) == pytest.approx(result["gbitops"])
    assert result["static_passes"] == pytest.approx(
        dict.fromkeys(("forward", "dx", "dw"), 2.668e8 / 3), rel=1e-3
    )
    assert "stage2.11.1.conv" in output(capsys, "bitops", "resnet74", "--layers")


def test_every_reproducible_row_of_both_papers_is_reproduced(capsys):
    rows = json.loads(output(capsys, "bitops", "--paper", "--json"))
    reproducible = [row for row in rows if row["reproducible"]]
    assert len(rows) == 66
    assert len(reproducible) == 40
    assert all(abs(row["difference"]) < 0.01 for row in reproducible)
    savings = [row for row in rows if row["published_saving"] and row["computed_saving"]]
    apart = [row for row in savings if abs(row["published_saving"] - row["computed_saving"]) > 0.006]
    assert [(row["table"], row["model"], row["fw"]) for row in apart] == [("CPT 5", "Transformer", [4, 6])]
    assert all(row["reason"] for row in rows if not row["reproducible"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bits", "--fw", "8", "3"), "cpt bits: lo is 8; allowed: at most hi (3)\n"),
        (("bits", "--fw", "0", "3"), "cpt bits: lo is 0; allowed: 1..16\n"),
        (("bits", "--shape", "x"), "cpt bits: shape is 'x'; allowed: cosine, linear, exponential, rex, "),
        (("bits", "--total", "4"), "cpt bits: cycles is 32; allowed: 1..total_steps (4)\n"),
        (("bitops", "vgg"), "cpt bitops: model is 'vgg'; allowed: mobilenetv2, resnetN with N = 18, 34, 50 "),
        (("bitops", "resnet7"), "cpt bitops: depth is 7; allowed: 6n + 2"),
        (("bitops", "--bw", "17"), "cpt bitops: bits is 17; allowed: 1..16, or 0 for full precision\n"),
        (("bitops", "--samples", "0"), "cpt bitops: samples is 0; allowed: 1..1,000,000,000,000,000\n"),
    ],
)
def test_wrong_options_end_with_one_line_and_status_2(capsys, words, message):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
