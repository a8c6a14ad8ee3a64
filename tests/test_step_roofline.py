"""`sim/step/roofline.py` and `cpt roofline`: what passes do against what array and memory could."""

from __future__ import annotations

import json
from collections import Counter
from xml.etree import ElementTree

import pytest

from cpt.host.config import TrainConfig
from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP
from cpt.main import main
from cpt.model.architecture import Conv
from cpt.networks import convolutions, described, step_forecast
from cpt.sim.memory import memory_model
from cpt.sim.step.by_layer import AGAIN, ALL, ARRAY, CHANNEL, CONTROL, D_W, D_X, FORWARD, MEMORY, VECTOR, Part
from cpt.sim.step.roofline import Roof, array_gops, dsp_gops, mean, memory_bytes, operand_bits, points

ZC706, TINY = preset("zc706", STEP), preset("tiny", STEP)
PS_DDR = memory_model("ps-ddr", 200.0)
QUICK = ["--model", "resnet8", "--width", "4", "--size", "8", "--preset", "tiny", "--batch", "4", "--quiet"]
STEM = Conv("stem", 3, 16, 3, 1, 1, 8, 8)
LAYER = Conv("layer", 16, 16, 3, 1, 1, 8, 8)
"""64 pixels, 9 taps, 16 x 16 channels: 147,456 multiply-accumulates, on zc706 two cycles at 1 x 1 bit."""


def part(layer: str, which: str, cycles: int, moved: int = 0, **busy: int) -> Part:
    return Part(layer, which, cycles, moved, Counter(busy))


def found(*parts: Part, bits: tuple[int, int] = (3, 8), images: int = 10):
    return points(ZC706, PS_DDR, parts, [STEM, LAYER], images, bits)


@pytest.mark.parametrize(("bits", "gops"), [((8, 8), 460.8), ((3, 8), 1228.8), ((3, 3), 3276.8)])
def test_the_arrays_peak_follows_the_bits_of_both_operands(bits, gops) -> None:
    # 16 x 144 x 32 products a cycle, 200 million cycles a second, two operations each
    assert array_gops(ZC706, bits) == pytest.approx(gops)
    assert array_gops(ZC706, bits[::-1]) == pytest.approx(gops)


def test_a_dsp_does_two_multiplications_whatever_their_bits() -> None:
    assert dsp_gops(900, 200.0) == pytest.approx(900 * 2 * 2 * 0.2)
    assert ZC706.binary_macs / (2 * 900) == pytest.approx(40.96)


def test_memory_bounds_left_of_the_ridge() -> None:
    assert memory_bytes(PS_DDR) == 16
    roof = Roof(460.8, 3.2)
    assert roof.ridge == pytest.approx(144)
    assert roof.gops(100) == pytest.approx(320)
    assert roof.gops(144) == roof.gops(1e6) == pytest.approx(460.8)


@pytest.mark.parametrize(
    ("which", "first", "bits"),
    [
        (FORWARD, False, (3, 3)),
        (AGAIN, False, (3, 3)),
        (D_X, False, (3, 8)),
        (D_W, False, (8, 3)),
    ],
)
def test_operands_of_a_pass(which, first, bits) -> None:
    assert operand_bits(which, 3, 8, first=first) == bits


def test_images_have_two_bits_at_least() -> None:
    assert operand_bits(FORWARD, 1, 8, first=True) == (1, 2)
    assert operand_bits(D_W, 1, 8, first=True) == (8, 2)
    assert operand_bits(FORWARD, 1, 8, first=False) == (1, 1)


def test_a_pass_that_only_multiplies_is_at_the_arrays_peak() -> None:
    # 10 images x 2 cycles x 3 x 8 pairs of planes
    (point,) = found(part("layer", D_X, 480, array=480))
    assert point.operations == 2 * 10 * 147_456
    assert point.gops == pytest.approx(1228.8)
    assert point.of_peak == point.of_roof == point.filled == pytest.approx(1)
    assert point.bound == ARRAY


def test_a_pass_in_twice_the_cycles_has_half_of_both() -> None:
    (point,) = found(part("layer", D_X, 960, 16, array=960, DRAM=1))
    assert point.of_peak == point.of_roof == point.filled == pytest.approx(0.5)
    assert point.reason == "array 100%, DRAM 0%; 50% of the array's products are the layer's"


def test_a_pass_that_moves_all_the_time_is_at_its_roof_not_at_its_peak() -> None:
    (point,) = found(part("layer", D_X, 960, 16 * 960, array=480, DRAM=960))
    assert point.intensity == pytest.approx(2 * 10 * 147_456 / (16 * 960))
    assert point.of_peak == pytest.approx(0.5)
    assert point.of_roof == pytest.approx(1)
    assert point.bound == MEMORY


def test_work_before_a_pass_begins_counts_as_its_time() -> None:
    (point,) = found(part("layer", D_X, 100, 16 * 240, array=960))
    assert (point.cycles, point.spent) == (100, 960)
    assert point.of_peak == pytest.approx(0.5)
    (point,) = found(part("layer", D_X, 100, 16 * 960 + 1))
    assert point.spent == 961


def test_what_is_of_no_layer_does_no_operation() -> None:
    (point,) = found(part("forward", ALL, 7, 32))
    assert (point.operations, point.gops, point.of_peak, point.of_roof, point.filled) == (0, 0, 0, 0, 0)


def test_a_pass_of_which_nothing_is_busy_waits_for_others() -> None:
    (point,) = found(part("layer", D_W, 1000, array=300, vector=200, DRAM=100))
    assert point.bound == CONTROL
    assert point.reason == "engines wait for each other: array 30%, vector 20%"


def test_means_are_weighted_by_cycles() -> None:
    at_peak, at_half = found(part("layer", D_X, 480, array=480), part("layer", D_X, 960, array=960))
    assert mean([at_peak, at_half], lambda point: point.of_peak) == pytest.approx((480 + 0.5 * 960) / 1440)
    assert mean([], lambda point: point.of_peak) == 0


def test_points_add_up_to_the_step() -> None:
    network = described("resnet8", 8, 4)
    plan = TrainConfig(fw=(3, 8), bw=8, batch_size=4)
    forecast, size = step_forecast(TINY, PS_DDR, network, plan)
    assert size == 4
    for bits in ((3, 8),):
        all_points = points(TINY, PS_DDR, forecast.parts(bits), convolutions(network), 4, bits)
        step = forecast.trained(bits)
        assert sum(point.cycles for point in all_points) == step.total
        assert sum(point.bytes for point in all_points) == step.bytes_read + step.bytes_written
        for point in all_points:
            assert 0 <= point.of_peak <= 1
            assert point.of_peak <= point.of_roof * (1 + 1e-9) <= 1 + 1e-6
        for which in (FORWARD, D_X, D_W):
            macs = {point.layer: point.operations // 8 for point in all_points if point.which == which}
            assert macs == {
                conv.name: conv.macs
                for conv in convolutions(network)
                if which != D_X or conv.name != "stem.conv"
            }


def test_the_commands_json(capsys) -> None:
    assert main(["roofline", *QUICK, "--bits", "3x8", "8x8", "3x8", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {name: result[name] for name in ("model", "size", "batch", "micro_batch", "clock_mhz")} == {
        "model": "resnet8", "size": 8, "batch": 4, "micro_batch": 4, "clock_mhz": 200.0,
    }  # fmt: skip
    assert (result["memory_model"], result["memory_gbytes_per_s"]) == ("ps-ddr", 3.2)
    assert result["dsp_design"] == {
        "part": "XC7Z020", "dsps": 220, "multiplications_a_dsp": 2, "gops": 176.0,
        "break_even_bits": pytest.approx(1152 / 440),
    }  # fmt: skip
    assert [(step["fw"], step["bw"]) for step in result["steps"]] == [(3, 8), (8, 8)]
    for step in result["steps"]:
        assert step["milliseconds"] == pytest.approx(step["cycles"] / 200e3)
        of_layers = sum(point["cycles"] for point in step["points"])
        assert of_layers + step["cycles_of_no_layer"] == step["cycles"]
        rows = {row["pass"]: row for row in step["passes"]}
        assert {"forward", "dX", "dW", "every"} <= set(rows)
        for which, row in rows.items():
            mine = [point for point in step["points"] if which in (point["pass"], "every")]
            spent = sum(point["spent"] for point in mine)
            assert row["points"] == len(mine)
            for share in ("of_peak", "of_roof"):
                weighted = sum(point[share] * point["spent"] for point in mine)
                assert row[share] == pytest.approx(weighted / spent)
            assert row["lowest_of_roof"] == min(point["of_roof"] for point in mine)
            assert row["below"] == sum(point["of_roof"] < 0.6 for point in mine)
        assert {point["bound"] for point in step["points"]} <= {ARRAY, MEMORY, VECTOR, CHANNEL, CONTROL}
        macs = sum(point["operations"] for point in step["points"] if point["pass"] != "y again") / 2
        assert step["milliseconds_of_dsps_at_peak"] == pytest.approx(macs / (440 * 200e3))
        assert step["milliseconds_of_array_at_peak"] < step["milliseconds"]


def test_the_commands_table_and_picture(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    picture = tmp_path / "roofline.svg"
    assert main(["roofline", *QUICK, "--bits", "3x8", "--layers", "--figure", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    text = " ".join(shown.split())
    for words in ("tiny array at 200 MHz, memory ps-ddr, 3.2 GB/s; simulated", "220 DSP48E1", "below 60.0 %"):
        assert words in text
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "vgg"],
            "model is 'vgg'; allowed: resnetD with D = 6n+2 (resnet8, resnet20, ...), mobile",
        ),
        (["--bits", "3x9"], "bits is '3x9'; allowed: FWxBW, each 1..8, as in 3x8"),
        (["--bits", "8"], "bits is '8'; allowed: FWxBW"),
        (["--preset", "huge"], "preset is 'huge'; allowed: zc706"),
        (["--size", "0"], "size is 0; allowed: 1..1,024"),
        (["--batch", "0"], "batch is 0; allowed: 1.."),
        (["--width", "9999999"], "width is 9999999; allowed"),
        (["--micro-batch", "3"], "micro-batch is 3; allowed: a divisor of batch-size (4)"),
        (["--figure", "x.gif"], "figure is 'x.gif'; allowed: a name that ends in .png, .svg, .pdf"),
    ],
)
def test_what_there_is_not_is_refused(options, message, capsys) -> None:
    assert main(["roofline", *QUICK, *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
