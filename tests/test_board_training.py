"""``cpt train --device board``: the whole path of a board, a simulated device where the FPGA is opened."""

import json
import re
from pathlib import Path

import numpy as np
import pynq
import pytest
from driven import MEMORY_BYTES

import cpt.host.board
import cpt.host.driver
from cpt.host.data import Images, save_images
from cpt.host.driver import DEADLINE_S
from cpt.host.errors import DeviceError
from cpt.host.measure import MEASURED
from cpt.hw.contract import preset, register
from cpt.hw.contract.config import STEP
from cpt.main import main
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY
from cpt.sim.device import open_simulated
from cpt.sim.step.backend import StepBackend

QUICK = ["--width", "4", "--steps", "4", "--batch-size", "4", "--cycles", "1", "--seed", "1"]
QUICK += ["--data", "small.npz"]


@pytest.fixture(autouse=True)
def _small(tmp_path_factory, monkeypatch):
    """Eighty images of the digits' shape in the current folder: 64 to train, 16 to test."""
    monkeypatch.chdir(tmp_path_factory.mktemp("data"))
    pixels = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 1)).astype(np.float32)
    save_images(Path("small.npz"), Images(pixels, np.arange(80) % 10))


@pytest.fixture
def board(request, monkeypatch, tmp_path):
    """A machine with the marks of a PYNQ image and an active pynq device, fast model or RTL."""
    monkeypatch.delattr(pynq.Clocks, "_real_instance", raising=False)
    array = preset("tiny", STEP)
    device = open_simulated(getattr(request, "param", "fast"), array, memory_bytes=8 * MEMORY_BYTES)
    monkeypatch.setattr(pynq.Device, "_active_device", device, raising=False)
    for mark in ("sys/class/fpga_manager/fpga0", "proc/device-tree/chosen/pynq_board"):
        (tmp_path / "root" / mark).mkdir(parents=True)
    monkeypatch.setattr(cpt.host.driver, "ROOT", tmp_path / "root")
    yield device
    device.close()


def _train(device, out, *options):
    command = ["train", *QUICK, "--device", "board", "--bitfile", device.bitfile, "--out", str(out)]
    return main([*command, *options])


def test_a_board_trains_to_the_weights_of_the_model(board, tmp_path, capsys):
    """The wall clock of a simulation means nothing, so only the slow side is allowed to speak."""
    assert main(["train", *QUICK, "--preset", "tiny", "--out", str(tmp_path / "model")]) == 0
    capsys.readouterr()
    assert _train(board, tmp_path / "board") == 0
    printed = capsys.readouterr()
    assert "s by the wall clock" in printed.out
    assert re.search(r"\d\.\d MiB of contiguous memory", " ".join(printed.err.split()))
    summaries = [
        json.loads((tmp_path / name / f"small-resnet8-cpt-{device}" / SUMMARY).read_text())
        for name, device in (("model", "fast"), ("board", "board"))
    ]
    assert summaries[0]["weights_sha256"] == summaries[1]["weights_sha256"]
    assert summaries[0]["simulated_seconds"] == summaries[1]["simulated_seconds"]
    assert summaries[1]["memory_model"] == "board"


@pytest.mark.parametrize("board", ["fast", "rtl"], indirect=True)
def test_what_a_person_waits_for_is_printed_first(board, tmp_path, capsys):
    """The whole step by the wall clock, the accelerator's part, that part simulated: each with its saving."""
    assert _train(board, tmp_path, "--compare", "--json", "--steps", "2") == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    for run in (summary, summary["static"]):
        assert run["step_seconds"] > run["accelerator_step_seconds"] > 0
        assert run["accelerator_step_seconds"] == pytest.approx(run["simulated_step_seconds"], rel=0.01)
    saved = summary["saving"]["accelerator_step_seconds"]
    assert saved == pytest.approx(
        1 - summary["accelerator_step_seconds"] / summary["static"]["accelerator_step_seconds"]
    )
    table = captured.err
    assert 0 < table.index("measured") < table.index("simulated")
    assert "simulated with memory ps-ddr" in " ".join(table.split())


@pytest.mark.parametrize("board", ["fast", "rtl"], indirect=True)
def test_measured_times_stand_beside_simulated_ones(board, tmp_path, capsys):
    assert _train(board, tmp_path) == 0
    path = tmp_path / "small-resnet8-cpt-board" / MEASURED
    rows = json.loads(path.read_text())["epochs"]
    assert sum(row["steps"] for row in rows) == 4
    assert len({row["fw"] for row in rows}) > 1
    assert all(row["wall_seconds"] > 0 and row["host_seconds"] > 0 for row in rows)
    capsys.readouterr()
    assert main(["compare", "--measured", str(path), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert [(row["epoch"], row["fw"]) for row in compared] == [(row["epoch"], row["fw"]) for row in rows]
    for row in compared:
        assert row["cycle_ratio"] == pytest.approx(1, rel=0.01)
        assert row["step_seconds"] > row["wall_seconds"] > 0
        assert row["accelerator_seconds"] == pytest.approx(row["measured_cycles"] / 200e6)
    assert main(["compare", "--measured", str(path)]) == 0
    table = capsys.readouterr().out
    assert "FW3/BW8" in table
    assert "tiny array at 200 MHz, simulated with memory ps-ddr" in table


def test_the_documented_example_is_read(capsys, tmp_path):
    """The example of docs/results-template.md, with this contract's hash put in."""
    from cpt.hw.contract import CONTRACT_HASH

    page = (Path(__file__).parent.parent / "docs" / "results-template.md").read_text(encoding="utf-8")
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    example["contract_hash"] = f"{CONTRACT_HASH:016x}"
    path = tmp_path / MEASURED
    path.write_text(json.dumps(example))
    assert main(["compare", "--measured", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["fw"] for row in rows] == [3, 8]
    assert all(row["step_seconds"] > row["wall_seconds"] > 0 for row in rows)


WRONG = [
    ({"format": "csv"}, "format of {} is 'csv'; allowed: 'cpt-measured-1'"),
    ({"contract_hash": "00"}, "{} was measured with contract 00; allowed:"),
    ({"classes": None}, "classes is None; allowed: 1..65536"),
    ({"epochs": [{}]}, "lacks or misspells 'epoch'"),
    ({"config": {"fw": [8, 3]}}, "{}: fw is 8 3; allowed: the lower bound first"),
    ({"array": {"name": "x", "rows": 0}}, "lacks or misspells"),
]


@pytest.mark.parametrize(("change", "expected"), WRONG)
def test_a_wrong_file_is_named_in_one_line(board, tmp_path, capsys, change, expected):
    assert _train(board, tmp_path, "--steps", "1") == 0
    path = tmp_path / "small-resnet8-cpt-board" / MEASURED
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    capsys.readouterr()
    assert main(["compare", "--measured", str(path)]) == 2
    message = capsys.readouterr().err
    assert expected.format(path) in message
    assert message.count("\n") == 1


def test_a_time_that_is_no_number_is_named(board, tmp_path, capsys):
    assert _train(board, tmp_path, "--steps", "1") == 0
    path = tmp_path / "small-resnet8-cpt-board" / MEASURED
    values = json.loads(path.read_text())
    values["epochs"][0]["wall_seconds"] = "fast"
    path.write_text(json.dumps(values))
    assert main(["compare", "--measured", str(path)]) == 2
    assert "wall_seconds of an epoch is 'fast'; allowed: a number of at least 0" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main(["compare", "--measured", str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("board", ["fast", "rtl"], indirect=True)
def test_a_board_without_a_bitstream_says_where_it_looked(board, tmp_path, capsys):
    assert main(["train", *QUICK, "--device", "board", "--bitfile", str(tmp_path / "x.bit")]) == 2
    assert "x.bit; allowed: path of a .bit file with its .hwh beside it" in capsys.readouterr().err
    assert main(["train", *QUICK, "--device", "board"]) == 2
    assert "bitstream/cpt.bit; allowed: path of a .bit file" in capsys.readouterr().err


def test_too_little_contiguous_memory_is_one_line(board, tmp_path, capsys):
    board.default_memory.regions.take(board.default_memory.size - (1 << 17))
    assert _train(board, tmp_path) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "cpt train: the network needs 0.4 MiB of contiguous memory, 0.0 MiB are free; allowed: a smaller "
    )


@pytest.mark.parametrize("board", ["fast", "rtl"], indirect=True)
def test_a_wrong_reference_ends_the_run_with_the_clock_it_found(board, tmp_path, capsys, monkeypatch):
    """As if the fabric ran ten thousand times faster than the registers say."""
    monkeypatch.setattr(cpt.host.board, "CHECKED_S", 0.0)
    real = cpt.host.board.WallClock.add
    monkeypatch.setattr(cpt.host.board.WallClock, "add", lambda self, s, cycles: real(self, s * 1e-6, cycles))
    assert _train(board, tmp_path, "--steps", "1") == 2
    assert "so the reference of the processor's clocks is not the one assumed" in capsys.readouterr().err


def test_ctrl_c_frees_everything_and_keeps_the_last_checkpoint(board, tmp_path, capsys, monkeypatch):
    """Pressed while a program of the second epoch runs; the command then goes on where it was."""
    epochs = ["--steps", "0", "--epochs", "2", "--batch-size", "16", "--no-compare", "--no-check-rtl"]
    real, pressed, tag = StepBackend.read_register, [], register("DONE_TAG").offset
    checkpoint = tmp_path / "small-resnet8-cpt-board" / CHECKPOINT

    def reading(self, offset):
        if offset == tag and checkpoint.exists() and not pressed:
            pressed.append(offset)
            raise KeyboardInterrupt
        return real(self, offset)

    monkeypatch.setattr(StepBackend, "read_register", reading)
    assert _train(board, tmp_path, *epochs) == 130
    assert pressed
    assert "cpt train: interrupted" in capsys.readouterr().err
    assert board.default_memory.regions.taken_bytes == 0
    assert board.backend.read_register(register("STATUS").offset) == 0
    assert _train(board, tmp_path, *epochs, "--resume") == 0
    rows = [
        json.loads(line) for line in (tmp_path / "small-resnet8-cpt-board" / METRICS).read_text().splitlines()
    ]
    assert [row["epoch"] for row in rows] == [0, 1]


def test_the_doctor_examines_a_board(board, capsys, monkeypatch):
    monkeypatch.setattr("cpt.doctor.STEPS", ((3, 8), (16, 16)))
    assert main(["doctor", "--device", "board", "--bitfile", board.bitfile]) == 0
    printed = capsys.readouterr().out
    assert "device               board, build 00000000" in printed
    assert "by the wall clock" in printed.split("clocks")[-1]


def test_the_deadline_of_a_board_is_the_drivers():
    assert DEADLINE_S == 60.0
    with pytest.raises(DeviceError, match="no board"):
        cpt.host.driver.open_board(None)
