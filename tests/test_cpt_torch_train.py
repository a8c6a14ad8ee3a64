"""``cpt train --device cpu``: the accelerator's options and files, the public code's flags, errors."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cpt import train as command
from cpt.command_line import OneLineParser
from cpt.main import main
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY
from cpt.model.training import TorchConfig
from cpt.public_flags import FLAGS, settle
from cpt.torch_train import _values, make_task

ROOT = Path(__file__).parent.parent
NAME, OTHER = "digits-resnet8-cpt-cpu", "digits-resnet8-cpt-fast"
QUICK = ["--device", "cpu", "--width", "4", "--steps", "3", "--batch-size", "16", "--seed", "1"]


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def train(*options, out):
    return main(["train", *QUICK, *options, "--out", str(out)])


def summary_of(folder, name=NAME):
    return json.loads((folder / name / SUMMARY).read_text())


def test_the_files_are_those_of_the_accelerators_trainer(tmp_path, capsys):
    assert train("--json", out=tmp_path / "torch") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == summary_of(tmp_path / "torch")
    accelerator = ["--device", "fast", "--preset", "tiny", "--no-check-rtl", *QUICK[2:]]
    assert main(["train", *accelerator, "--out", str(tmp_path / "model")]) == 0
    other = summary_of(tmp_path / "model", OTHER)
    folders = (tmp_path / "torch" / NAME, tmp_path / "model" / OTHER)
    names = [{path.name for path in folder.iterdir()} for folder in folders]
    assert names == [{CHECKPOINT, METRICS, SUMMARY}] * 2
    assert printed["gbitops"] == pytest.approx(other["gbitops"], rel=1e-12)
    for name in ("run", "dataset", "seed", "steps", "eval_bits"):
        assert printed[name] == other[name], name
    assert set(other["config"]) - set(printed["config"]) == set()
    for name in ("weights_sha256", "accuracy", "loss"):
        assert type(printed[name]) is type(other[name])
    rows = [json.loads(line) for line in (tmp_path / "torch" / NAME / METRICS).read_text().splitlines()]
    theirs = json.loads((tmp_path / "model" / OTHER / METRICS).read_text().splitlines()[0])
    shared = {"run", "epoch", "step", "fw", "bw", "fw_mean", "lr", "accuracy", "eval_bits", "gbitops"}
    assert shared <= set(rows[0])
    assert shared <= set(theirs)


def test_comparison_with_static_prints_a_table(tmp_path, capsys):
    assert train("--compare", "--method", "cpt", out=tmp_path) == 0
    text = capsys.readouterr().out
    for expected in ("FW(3,8)/BW8", "FW8/BW8", "difference", "weights sha256: ", "test accuracy", "(FW8)"):
        assert expected in text
    summary = summary_of(tmp_path)
    assert 0 < summary["saving"]["gbitops"] < 1
    assert summary["static"]["config"]["method"] == "static"
    assert summary["static"] == json.loads((tmp_path / NAME / "static" / SUMMARY).read_text())


def test_micro_batches_are_recorded_and_small_ones_warned_about(tmp_path, capsys):
    assert train("--micro-batch", "8", "--json", out=tmp_path) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["config"]["micro_batch"] == 8
    assert "micro-batch" not in captured.err
    assert train("--micro-batch", "4", "--run-name", "four", out=tmp_path) == 0
    assert "cpt train: micro-batch is 4: batch norm and ranges of fewer than" in capsys.readouterr().err
    assert train("--resume", "--micro-batch", "4", "--run-name", NAME, out=tmp_path) == 2
    assert "micro_batch 8, here 4" in capsys.readouterr().err


def test_resume_ends_with_the_same_summary(tmp_path, capsys):
    assert train("--json", "--save-every", "1", out=tmp_path) == 0
    assert train("--json", "--resume", out=tmp_path) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second


def test_resume_starts_the_static_run_that_had_not_begun(tmp_path, capsys):
    assert train("--compare", "--method", "cpt", "--json", out=tmp_path) == 0
    shutil.rmtree(tmp_path / NAME / "static")
    assert train("--compare", "--method", "cpt", "--json", "--resume", out=tmp_path) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second


def parsed(*options):
    """The configuration that a command line describes."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = parser.parse_args([*options, "--device", "cpu"])
    return make_task(arguments)[0], arguments


PUBLIC = (
    *("--data", "digits", "--is_cyclic_precision", "--cyclic_num_bits_schedule", "3", "8"),
    *("--num_grad_bits", "8", "--num_cyclic_period", "32", "--iters", "64000", "--batch_size", "128"),
    *("--lr", "0.1", "--lr_schedule", "piecewise", "--weight_decay", "1e-4", "--momentum", "0.9"),
)


def test_the_public_codes_flags_mean_what_they_mean_there(capsys):
    config, _ = parsed(*PUBLIC)
    assert (config.method, config.fw, config.bw, config.cycles) == ("cpt", (3, 8), (8, 8), 32)
    assert (config.per, config.steps, config.batch_size) == ("iteration", 64000, 128)
    assert (config.lr, config.lr_schedule, config.weight_decay) == (0.1, "step", 1e-4)
    config, _ = parsed(*PUBLIC, "--cyclic_num_grad_bits_schedule", "6", "8", "--swa_start", "48000")
    assert config.bw == (6, 8)
    assert config.swa_start == 0.75
    config, _ = parsed("--num_bits", "6", "--num_grad_bits", "8", "--iters", "10", "--warm_up")
    assert (config.method, config.fw, config.bw, config.warmup_steps) == ("static", (6, 6), (8, 8), 400)
    assert (config.warmup_lr, config.lr_drops) == (0.01, ())
    assert parsed("--num_bits", "0", "--iters", "5")[0].method == "fp32"
    assert capsys.readouterr().err.splitlines() == [
        "cpt train: --swa_start: weights are averaged after every epoch from there, not every 1170 iterations"
    ]
    _, arguments = parsed("--print_freq", "10", "--eval_every", "390", "--num_bits", "8")
    assert arguments.fw == [8]
    assert "--print_freq has no effect here" in capsys.readouterr().err


def test_the_bits_of_the_public_code_do_not_depend_on_the_order_of_its_flags(capsys):
    cyclic = ("--is_cyclic_precision", "--cyclic_num_bits_schedule", "3", "8", "--data", "digits")
    for options in (("--num_bits", "8", *cyclic), (*cyclic, "--num_bits", "8")):
        assert (parsed(*options)[0].method, parsed(*options)[0].fw) == ("cpt", (3, 8))
    assert parsed("--num_bits", "0", "--num_grad_bits", "0")[0].method == "fp32"
    _, config = settled("--arch", "cifar10_resnet_38")
    assert (config.method, config.lr_schedule, config.lr_drops) == ("fp32", "step", (32_000, 48_000))
    _, config = settled("--arch", "cifar10_resnet_38", "--fw", "3", "6")
    assert (config.method, config.fw) == ("cpt", (3, 6))
    capsys.readouterr()
    settled("--arch", "cifar10_resnet_38", "--num_bits", "8")
    assert "gradients have 8 bits here, full precision there" in capsys.readouterr().err


def test_the_learning_rates_of_the_public_code_are_its_own(capsys):
    _, config = settled("--arch", "cifar10_resnet_38", "--lr_schedule", "linear", "--warm_up")
    assert (config.lr_schedule, config.warmup_steps, config.warmup_lr) == ("linear", 400, 0.01)
    _, config = settled(
        "--arch", "cifar10_resnet_38", "--lr_schedule", "anneal_cosine", "--step_ratio", "0.2"
    )
    assert (config.lr_schedule, config.lr_drop_ratio, config.warmup_steps) == ("anneal_cosine", 0.2, 0)
    assert not capsys.readouterr().err
    settled("--arch", "cifar10_resnet_38", "--iters", "100")
    assert "the rate falls at iterations 32000 and 48000 as there, the run has 100" in capsys.readouterr().err


SAMPLES = {
    "--arch": "cifar10_resnet_38",
    "--lr_schedule": "linear",
    "--cmd": "train",
    "--cyclic_num_bits_schedule": "3 8",
    "--cyclic_num_grad_bits_schedule": "8 8",
    "--num_bits": "8 --num_grad_bits 8",
}


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_of_the_public_code_does_what_its_row_says(flag, capsys):
    """An equal one says nothing, a different one says a line, a refused one ends in a line."""
    value = "" if flag.count == 0 else SAMPLES.get(flag.name, "8")
    context = "--is_cyclic_precision" if flag.name.startswith("--cyclic") else ""
    context += " --num_bits 8" if flag.name == "--num_grad_bits" else ""
    parser = OneLineParser()
    command.add_arguments(parser)
    words = [*context.split(), flag.name, *value.split()]
    if flag.status == "refused":
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        assert "of the public CPT code is refused: " in capsys.readouterr().err
        return
    settle(parser.parse_args([*words, "--iters", "64000"] if flag.name == "--swa_start" else words))
    assert capsys.readouterr().err.count("\n") == (flag.status == "different")


def test_the_page_has_a_row_for_every_flag_of_the_public_code():
    page = (ROOT / "docs" / "training.md").read_text()
    table = page.partition("## Coming from the public CPT code")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (\w+) \|", table, re.M)
    found = {name: status for names, status in rows for name in re.findall(r"`(-\w|--\w+)", names)}
    assert found == {flag.name: flag.status for flag in FLAGS}


CIFAR_EXAMPLE = (
    *("--save_folder", "logs", "--arch", "cifar100_resnet_74", "--workers", "4", "--dataset", "cifar100"),
    *("--datadir", "nowhere", "--is_cyclic_precision", "--cyclic_num_bits_schedule", "3", "8"),
    *("--cyclic_num_grad_bits_schedule", "8", "8", "--num_cyclic_period", "32"),
)
IMAGENET_EXAMPLE = (
    *("--save_folder", "logs", "--arch", "resnet34", "--warm_up", "--datadir", "nowhere"),
    *("--is_cyclic_precision", "--cyclic_num_bits_schedule", "3", "8", "--automatic_resume"),
    *("--cyclic_num_grad_bits_schedule", "8", "8", "--num_cyclic_period", "32"),
)
"""The examples of the public code's README."""


def settled(*options):
    """Options and the fields of `TorchConfig` they come to, without looking for data."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = parser.parse_args(options)
    settle(arguments)
    return arguments, TorchConfig(**_values(arguments, {}))


def test_the_examples_of_the_public_code_mean_what_they_mean_there():
    arguments, config = settled(*CIFAR_EXAMPLE)
    assert (arguments.data, config.model) == ("cifar100", "resnet74")
    assert (config.steps, config.batch_size) == (64_000, 128)
    assert (config.fw, config.bw, config.cycles, config.lr_schedule) == ((3, 8), (8, 8), 32, "step")
    assert (arguments.out / arguments.run_name, arguments.workers) == (Path("logs/cifar100_resnet_74"), 4)
    arguments, config = settled(*IMAGENET_EXAMPLE)
    assert (arguments.data, config.model) == ("imagenet", "resnet34")
    assert (config.epochs, config.batch_size) == (120, 256)
    assert (config.per, config.cycles) == ("iteration", 32)
    assert (config.warmup_steps, config.lr_drop_epochs) == (0, 30)
    assert arguments.resume is False
    _, config = settled("--arch", "cifar10_resnet_38", "--iters", "100", "--num_bits", "8")
    assert (config.steps, config.method) == (100, "static")


def test_automatic_resume_goes_on_where_there_is_a_checkpoint(tmp_path, capsys):
    for _ in range(2):
        assert train("--automatic_resume", "--json", out=tmp_path) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second


def test_every_kind_of_data_has_its_own_defaults():
    config, _ = parsed("--data", "python-text")
    assert (config.model, config.fw, config.optimiser) == ("transformer2", (4, 8), "adamw")
    config, _ = parsed("--data", "python-text", "--model", "lstm", "--fw", "5", "8", "--lr", "0.5")
    assert (config.model, config.fw, config.optimiser, config.lr) == ("lstm", (5, 8), "adam", 0.5)
    config, _ = parsed("--data", "photographs")
    assert (config.model, config.fw, config.bw) == ("pan4", (8, 16), (16, 16))
    config, _ = parsed("--data", "python-text", "--quantiser", "wageubn")
    assert (config.model, config.optimiser, config.lr) == ("transformer2", "sgd", 0.1)
    config, _ = parsed("--data", "communities")
    assert (config.model, config.batch_size, config.per, config.fw) == ("gcn2", 1, "iteration", (3, 8))
    assert parsed("--fw", "8")[0].method == "static"
    config, _ = parsed("--method", "pfq", "--pfq-fw", "2", "4", "--pfq-bw", "6", "8")
    assert (config.pfq_fw, config.highest) == ((2, 4), (4, 8))


WRONG = [
    (["--method", "magic"], "method is 'magic'; allowed: cpt, static"),
    (["--method", "pfq", "--fw", "3", "6"], "fw is 3 6 with method pfq; allowed: --pfq-fw"),
    (["--quantiser", "lsq"], "quantiser is 'lsq'; allowed: cyclebnn, dorefa, "),
    (["--quantiser-options", "dx_weights=x"], "dx_weights is 'x'; allowed: input_channel, forward"),
    (["--dx-weights", "x"], "dx_weights is 'x'; allowed: input_channel, forward"),
    (["--quantiser-options", "floor"], "option of the quantiser is 'floor'; allowed: NAME=VALUE"),
    (["--quantiser-options", "floor=low"], "option floor of the quantiser is 'low'; allowed: like 1.17"),
    (
        ["--quantiser", "wageubn", "--quantiser-options", "flagged_errors=2"],
        "option flagged_errors of the quantiser is '2'; allowed: true or false",
    ),
    (
        ["--quantiser", "dorefa", "--dx-weights", "forward"],
        "quantiser dorefa has no option 'dx_weights'; allowed: none",
    ),
    (["--data", "cifar10"], "data is 'cifar10' without --data-dir; allowed: the folder of its files"),
    (["--data", "cifar10", "--data-dir", "nowhere"], "data has no data_batch_1 in nowhere"),
    (["--data", "mnist"], "data is 'mnist'; allowed: digits, photo-digits, cifar10"),
    (["--data", "gone.npz"], "images gone.npz cannot be read"),
    (["--model", "resnet9"], "model is 'resnet9'; allowed: resnetD"),
    (["--fw", "3", "5", "8"], "fw is 3 5 8; allowed: one or two bit-widths"),
    (["--fw", "0", "8"], "fw is 0; allowed: 1..16"),
    (["--threads", "0"], "threads is 0; allowed: at least 1"),
    (["--save-every", "-1"], "save-every is -1; allowed: at least 0"),
    (["--preset", "tiny"], "--preset is given for device 'cpu'; allowed: fast, rtl"),
    (["--memory", "ideal"], "--memory is given for device 'cpu'; allowed: fast, rtl, board"),
    (["--bitfile", "cpt.bit"], "--bitfile is given for device 'cpu'; allowed: board"),
    (["--check-rtl"], "--check-rtl is given for device 'cpu'; allowed: fast"),
    (["--resume", "--run-name", "never"], "checkpoint.npz does not exist"),
    (["--run-name", "../up"], "run-name is '../up'; allowed: letters, digits"),
    (["--lr_schedule", "cosine"], "lr_schedule is 'cosine'; allowed: piecewise, linear, anneal_cosine"),
    (["--num_grad_bits", "8", "--num_bits", "0"], "num_grad_bits is 8 with num_bits 0"),
    (["--cmd", "test"], "cmd is 'test'; allowed: train"),
    (["--arch", "vgg"], "arch is 'vgg'; allowed: cifar10_resnet_N"),
    (["--micro-batch", "12"], "micro-batch is 12; allowed: a divisor of the batch of 16"),
    (["--batch-size", "5000"], "batch-size is 5000; allowed: 1..1438"),
    (["--data", "communities"], "batch-size is 16; allowed for communities: 1, the whole graph"),
    (
        ["--data", "communities", "--batch-size", "1", "--model", "resnet8"],
        "model is 'resnet8'; allowed for communities: gcn, ",
    ),
    (["--model", "gcn2"], "model is 'gcn2'; allowed: resnetD"),
    (["--data", "ogbn-arxiv"], "data is 'ogbn-arxiv' without --data-dir; allowed: the folder of its files"),
    (["--steps", "0", "--swa_start", "4"], "swa_start is 4.0 steps; allowed: together with --iters"),
    (["--ldp-alpha", "-1"], "ldp-alpha is -1.0; allowed: a number of at least 0"),
    (["--ldp-lr", "inf"], "argument --ldp-lr: value is inf; allowed: finite numbers"),
    (["--lr", "nan"], "argument --lr: value is nan; allowed: finite numbers"),
    (["--pfq-eps", "-0.1"], "pfq-eps is -0.1; allowed: a number of at least 0"),
    (["--ldp-target", "1.5"], "ldp-target is 1.5; allowed: 0..1"),
    *(
        []
        if torch.cuda.is_available()
        else [(["--device", "cuda"], "device is 'cuda', and no GPU was found")]
    ),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[" ".join(options) for options, _ in WRONG])
def test_wrong_input_gives_one_line_and_status_2(refusal, options, message):
    assert message in refusal(train, options)


def test_a_graph_trains_and_resumes_by_its_name(tmp_path, capsys):
    words = ["--data", "communities", "--batch-size", "1", "--no-compare", "--json", "--model", "gcn2"]
    assert train(*words, out=tmp_path) == 0
    assert train(*words, "--resume", out=tmp_path) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second == summary_of(tmp_path, "communities-gcn2-cpt-cpu")
    assert first["metric"] == "accuracy"


def test_an_image_damaged_in_the_middle_of_a_run_is_named_in_one_line(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in ("n01", "n02"):
            folder = tmp_path / "data" / part / label
            folder.mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.JPEG")
    bad = tmp_path / "data" / "val" / "n02" / "1.JPEG"
    bad.write_bytes(bad.read_bytes()[:900])
    options = ["--data", "imagenet", "--data-dir", str(tmp_path / "data"), "--model", "resnet18"]
    options += ["--steps", "1", "--batch-size", "2", "--no-compare"]
    assert train(*options, out=tmp_path / "runs") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"cpt train: data {bad} cannot be read (")


def test_a_run_that_diverges_ends_in_one_line_and_keeps_its_files(tmp_path, capsys):
    options = [
        "--method",
        "fp32",
        "--lr",
        "100",
        "--momentum",
        "1",
        "--steps",
        "60",
        "--lr-schedule",
        "constant",
    ]
    assert train(*options, "--lr-schedule", "constant", out=tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("cpt train: ")
    assert "allowed: finite numbers" in error  # loss, gradient or the norm of all: by the machine's sums
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} <= {METRICS, CHECKPOINT}


def test_torchrun_trains_with_two_processes_and_one_prints(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
            *("-m", "cpt.main", "train", *QUICK, "--json", "--out", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == summary_of(tmp_path)
    assert json.loads(line)["processes"] == 2
