"""`cpt explore` and the model of area behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from cpt import explore
from cpt.explore import Candidate, between, dominates, mark
from cpt.host.config import TrainConfig
from cpt.hw.contract import PRESETS, preset
from cpt.hw.contract.config import STEP
from cpt.main import main
from cpt.sim.area.__main__ import TAKEN, text, wanted
from cpt.sim.area.model import GROWTH, AreaModel, Point, bram36, dsp, points, preset_errors
from cpt.sim.synth.resources import Resources

ZC706, Z7020, TINY = (preset(name, STEP) for name in ("zc706", "z7020", "tiny"))
SMALL = ["--part", "xc7z020", "--model", "resnet8", "--width", "4", "--size", "8", "--batch", "4", "--quiet"]
ONE = [*SMALL, "--group", "4", "--scratch", "4096", "--float-lanes", "2"]


@pytest.fixture(autouse=True)
def _place(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def taken(luts: int, block: str = "lanes", **shape: int) -> Point:
    config = replace(TINY, **shape) if shape else TINY
    return Point(config, block, Resources(luts, 2 * luts))


def test_block_rams_and_dsps_are_those_that_were_synthesised() -> None:
    for point in points():
        assert bram36(point.block, point.config) == point.taken.bram36, point
        assert dsp(point.block, point.config) == point.taken.dsp, point


def test_block_rams_by_hand() -> None:
    # 16 rows of 144 bits, 512 deep: two block RAMs of 72 bits each
    assert bram36("load", ZC706) == 32
    assert bram36("load", replace(ZC706, a_depth_words=1024)) == 64
    assert bram36("load", replace(ZC706, a_depth_words=256)) == 32
    # 9 x 32 memories of 16 bits, half a block RAM each
    assert bram36("fetch", ZC706) == 144
    # 4 banks of 4,096 words of 512 bits: 57 block RAMs of 9 bits; of 2,048 words 28 of 18 bits and half a one
    assert bram36("scratch", ZC706) == 4 * 57
    assert bram36("scratch", replace(ZC706, scratch_words=8192)) == 4 * 28.5


def test_dsps_by_hand() -> None:
    # a unit for each product and for each column's sum
    assert dsp("array", ZC706) == 17 * 32
    assert sum(dsp(block, ZC706) for block in GROWTH) == 712


def test_what_grows_with_the_group_is_a_line() -> None:
    wide = {"rows": 8, "word_bits": 72, "cols": 16}
    model = AreaModel([taken(100), taken(180, **wide)])
    assert model.block("lanes", TINY).luts == 100
    assert model.block("lanes", replace(TINY, **wide)).luts == 180
    widest = replace(TINY, rows=16, word_bits=144, cols=32)
    assert model.block("lanes", widest).luts == 340
    assert model.block("lanes", widest).flip_flops == 680


def test_the_model_says_how_far_it_is_off() -> None:
    errors = preset_errors()
    assert set(errors) == {"zc706", "z7020", "middle-deep"}
    for error in errors.values():
        assert abs(error["luts"]) < 0.05
        assert abs(error["flip_flops"]) < 0.05
        assert (error["bram36"], error["dsp"]) == (0, 0)
        assert abs(error["luts_left_out"]) < 0.05


def test_points_are_those_that_the_command_makes(tmp_path) -> None:
    found = json.loads(text([{"config": {"rows": 4}, "blocks": {"load": dict.fromkeys(TAKEN, 1)}}]))
    assert found == [{"config": {"rows": 4}, "blocks": {"load": dict.fromkeys(TAKEN, 1)}}]
    known = {config.name: (config, blocks) for config, blocks in wanted()}
    assert set(known["zc706"][1]) == set(GROWTH)
    for point in points():
        config, blocks = known[point.config.name]
        assert point.config == config
        assert point.block in blocks


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((1, 2), (1, 3), True),
        ((1, 2), (1, 2), False),
        ((1, 3), (2, 2), False),
        ((2, 2), (1, 3), False),
    ],
)
def test_who_dominates_whom(one, other, expected) -> None:
    assert dominates(one, other) is expected


def test_the_front_is_what_no_other_beats() -> None:
    def candidate(milliseconds: float, luts: int, dsps: int = 1) -> Candidate:
        area = Resources(luts, dsp=dsps)
        return Candidate(TINY, area, 0.1, milliseconds=(1.0, 9.0, milliseconds))

    found = [candidate(5, 100), candidate(4, 200), candidate(4, 210), candidate(6, 90), candidate(6, 100, 2)]
    untimed = Candidate(TINY, Resources(1), 2.0, status=explore.OVER)
    mark([*found, untimed])
    assert [item.status for item in found] == ["front", "front", "dominated", "front", "dominated"]
    assert untimed.status == explore.OVER


def test_between_the_bounds_time_grows_as_bit_operations_do() -> None:
    # fw^2 + 2 fw bw: 57, 80 and 192
    assert [between((3, 8), 8, (10.0, 145.0), bits) for bits in (3, 4, 8)] == pytest.approx([10, 33, 145])
    assert between((8, 8), 8, (20.0, 20.0), 8) == 20


def test_of_several_micro_batches_the_fastest_counts() -> None:
    candidate = Candidate(TINY, Resources(1), 0.1)
    plan = TrainConfig(fw=(3, 8), bw=8, batch_size=16)
    weights = {3: 0.25, 8: 0.75}

    def take(**taken) -> None:
        explore._take(candidate, taken, plan, weights)

    take(refused="no")
    assert (candidate.status, candidate.reason, candidate.milliseconds) == ("refused", "no", ())
    take(micro_batch=8, cycles={"3": 200_000, "8": 1_000_000})
    assert (candidate.micro_batch, candidate.milliseconds) == (8, (1.0, 5.0, 4.0))
    assert candidate.hours == pytest.approx(4e-3 * 64_000 / 3600)
    take(micro_batch=16, cycles={"3": 300_000, "8": 1_000_000})
    take(refused="no")
    assert (candidate.micro_batch, candidate.status) == (8, "dominated")
    take(micro_batch=4, cycles={"3": 100_000, "8": 1_000_000})
    assert (candidate.micro_batch, candidate.milliseconds) == (4, (0.5, 5.0, 3.875))


def test_the_commands_json_and_what_it_keeps(capsys, tmp_path, monkeypatch) -> None:
    picture = tmp_path / "front.svg"
    words = ["explore", *SMALL, "--group", "4", "16", "--scratch", "4096", "8192", "--float-lanes", "2"]
    assert main([*words, "--json", "--figure", str(picture)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["part"], result["clock_mhz"], result["memory_model"]) == ("XC7Z020", 100.0, "ps-ddr")
    assert (result["fw"], result["bw"], result["most_percent"]) == ([3, 8], 8, 85)
    shapes = {(item["array"]["rows"], item["array"]["scratch_words"]): item for item in result["candidates"]}
    assert len(shapes) == len(result["candidates"]) == 4
    for scratch in (4096, 8192):
        over = shapes[16, scratch]
        assert over["status"] == "over"
        assert "LUT" in over["reason"]
        assert over["milliseconds_mean"] is over["hours"] is None
        timed = shapes[4, scratch]
        low, high, mean = (timed[f"milliseconds_{name}"] for name in ("lowest", "highest", "mean"))
        assert 0 < low < mean < high
        assert timed["hours"] == pytest.approx(mean * 64_000 / 3.6e6)
        assert timed["micro_batch"] == 4
        assert timed["share_of_part"] <= 0.85
    assert shapes[4, 8192]["preset"] == "z7020"
    assert shapes[4, 4096]["preset"] is None
    assert shapes[4, 4096]["bram36"] < shapes[4, 8192]["bram36"]
    assert "front" in {item["status"] for item in result["candidates"]}
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")

    monkeypatch.setattr(explore, "step_forecast", None)
    assert main([*words, "--all"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    said = " ".join(shown.split())
    assert "resnet8 on XC7Z020 at 100 MHz, memory ps-ddr" in said
    assert "Of 4 combinations" in said
    assert "2 take more than 85 % of something" in said


def test_a_network_that_does_not_train_says_why(capsys) -> None:
    words = ["explore", *ONE, "--size", "32"]
    assert main([*words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["candidates"]
    assert found["status"] == "refused"
    assert found["reason"] == "stem.conv: width is 32; allowed with 8 columns: at most 8"
    assert main([*words, "--figure", "none.svg"]) == 0
    assert "no candidate has room and trains" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part", "vu9p"], "part is 'vu9p'; allowed: xc7z045, xc7z020"),
        (["--group", "5"], "group is 5; allowed: powers of two from 4"),
        (["--scratch", "0"], "scratch is 0; allowed: a power of two"),
        (["--scratch", "5000"], "scratch_words is 5000; allowed"),
        (["--float-lanes", "3"], "float_lanes is 3; allowed: 2, 4"),
        (["--b-depth", "256"], "b-depth is 256; allowed: at least 512, in block RAMs"),
        (["--a-depth", "100"], "a_depth_words is 100; allowed: powers of two"),
        (["--most", "0"], "most is 0; allowed: 1..100"),
        (["--model", "vgg"], "model is 'vgg'; allowed"),
        (["--fw", "8", "3"], "fw is"),
        (["--micro-batch", "2", "3"], "micro-batch is 3; allowed: a divisor of batch-size (4)"),
        (["--size", "0"], "size is 0; allowed: 1..1,024"),
        (["--scratch", *map(str, range(1, 1200))], "candidates are 1,199; allowed: at most 1,000"),
        (["--figure", "x.gif"], "figure is 'x.gif'; allowed"),
    ],
)
def test_what_there_is_not_is_refused(options, message, capsys, tmp_path) -> None:
    assert main(["explore", *ONE, *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.rglob("*"))


def test_presets_have_the_shapes_of_candidates() -> None:
    # what `group` says of rows, columns and words holds for all of them
    for name in PRESETS:
        config = preset(name, STEP)
        assert (config.rows, config.cols) == (config.group_channels, 2 * config.group_channels)
