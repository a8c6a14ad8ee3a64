"""Interrupted torch runs end as uninterrupted ones, bit for bit, wherever they were interrupted."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch_runs import GRAPH, LANGUAGE, LSTM, PICTURES, SMALL, graph, images, language, pictures

from cpt.model import checkpoint
from cpt.model.adaptive import RULES
from cpt.model.checkpoint import CheckpointError
from cpt.model.run import CHECKPOINT, METRICS, SUMMARY
from cpt.model.run_folder import HEALTH
from cpt.model.training import TorchRun, TorchTrainer

pytestmark = pytest.mark.usefixtures("one_thread")

CASES = {
    "momentum and averaging": (replace(SMALL, swa_start=0.3), lambda: images(pad=1, flip=True)),
    "pfq": (replace(SMALL, method="pfq", epochs=7, pfq_eps=10.0), lambda: images(16)),
    "ldp": (replace(SMALL, method="ldp", ldp_lr=5.0), images),
    **{name: (replace(SMALL, method=name, fw=(2, 8), look_every=2), images) for name in RULES},
    "random precision": (replace(SMALL, method="random", steps=8, every=2), images),
    "shuffled precision": (
        replace(SMALL, method="shuffled", shape="rex_vertical", steps=8, cycles=2),
        images,
    ),
    "wageubn": (replace(SMALL, quantiser="wageubn"), images),
    "binary products": (replace(SMALL, quantiser="cyclebnn", fw=(2, 6), bw=(6, 6)), images),
    "ranges of channels": (
        replace(SMALL, quantiser="uniform", quantiser_options={"activations": "channel"}),
        images,
    ),
    "adam, shared weights": (LANGUAGE, language),
    "products of int8 codes": (replace(LANGUAGE, products="int8"), language),
    "carried state, dropout": (LSTM, lambda: language(carries=True)),
    "pictures": (PICTURES, pictures),
    "graph, dropout": (replace(GRAPH, dropout=0.5, per="iteration"), graph),
    "micro-batches": (replace(SMALL, micro_batch=4), lambda: images(pad=1, flip=True)),
    "micro-batches, carried state": (replace(LSTM, micro_batch=2), lambda: language(carries=True)),
}


class Interrupted(Exception):
    """Ends a run from inside."""


def interrupted(config, task, folder, after):
    """A run that stops after so many steps, having saved after each."""
    run = TorchRun("run", TorchTrainer(config, task), folder, save_every=1)
    run.start()
    steps = []

    def stop(report):
        steps.append(report)
        if len(steps) > after:
            raise Interrupted

    with pytest.raises(Interrupted):
        run.train(stop)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".npz"}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_leaves_the_same_files(case, tmp_path):
    config, make = CASES[case]
    whole = TorchRun("run", TorchTrainer(config, make()), tmp_path / "whole", save_every=1)
    whole.start()
    expected = whole.train()
    half = max(1, whole.trainer.total_steps // 2 - 1)
    interrupted(config, make(), tmp_path / "cut", half)
    again = TorchRun("run", TorchTrainer(config, make()), tmp_path / "cut")
    again.resume()
    assert 0 < again.trainer.step <= half
    assert again.train()["weights_sha256"] == expected["weights_sha256"]
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    arrays = [checkpoint.load(folder / CHECKPOINT)[0] for folder in (tmp_path / "cut", tmp_path / "whole")]
    assert set(arrays[0]) == set(arrays[1])
    assert all(arrays[0][name].tobytes() == arrays[1][name].tobytes() for name in arrays[0])


def test_runs_killed_at_random_moments_end_with_the_same_summary():
    """Twenty kills are ``python tests/kill_and_resume.py``."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_and_resume.py")), "--kills", "5", "--seed", "4"],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["by_clock"] + found["in_save"] >= 5
    assert found["in_save"] > 0
    assert found["different"] == []


@pytest.fixture
def saved(tmp_path):
    """A folder of a run with two checkpoints."""
    run = TorchRun("run", TorchTrainer(SMALL, images()), tmp_path)
    run.start()
    run.train()
    return tmp_path


def resume(folder, config=SMALL, name="run"):
    run = TorchRun(name, TorchTrainer(config, images()), folder)
    run.resume()
    return run


def test_the_last_two_checkpoints_are_kept(saved):
    assert {path.name for path in saved.iterdir()} == {
        CHECKPOINT,
        "checkpoint.previous.npz",
        METRICS,
        SUMMARY,
    }
    steps = [checkpoint.load(path)[1]["counters"]["step"] for path in sorted(saved.glob("*.npz"))]
    assert sorted(steps) == [4, 8]


def test_the_previous_checkpoint_is_kept_where_files_cannot_be_linked(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / CHECKPOINT
    for step in range(3):
        checkpoint.save_keeping_previous(path, {"x": np.full(2, step)}, {"step": step})
    found = [checkpoint.load(place)[1]["step"] for place in (path, checkpoint.previous(path))]
    assert found == [2, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_save_killed_between_its_renames_leaves_nothing_behind_in_the_next(tmp_path):
    """Then both names are links to one file, and renaming a third link does nothing."""
    path = tmp_path / CHECKPOINT
    checkpoint.save(path, {}, {"step": 1})
    os.link(path, checkpoint.previous(path))
    checkpoint.save_keeping_previous(path, {}, {"step": 2})
    assert {item.name for item in tmp_path.iterdir()} == {path.name, checkpoint.previous(path).name}
    assert [checkpoint.load(item)[1]["step"] for item in (checkpoint.previous(path), path)] == [1, 2]


def test_a_damaged_checkpoint_is_passed_over_and_both_damaged_are_an_error(saved):
    expected = json.loads((saved / SUMMARY).read_text())["weights_sha256"]
    path = saved / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-50])
    run = resume(saved)
    assert run.trainer.step == 4
    assert run.train()["weights_sha256"] == expected
    for path in saved.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz is damaged"):
        resume(saved)


def test_a_finished_run_resumes_to_the_same_summary(saved):
    before = files(saved)
    assert resume(saved).train() == json.loads(before[SUMMARY])
    assert files(saved) == before


def test_another_runs_checkpoint_is_refused(saved, tmp_path):
    with pytest.raises(CheckpointError, match=r"has seed 0, here 1; allowed: the run it was written by"):
        resume(saved, replace(SMALL, seed=1))
    with pytest.raises(CheckpointError, match=r"has lr 0\.05, here 0\.1"):
        resume(saved, replace(SMALL, lr=0.1))
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz does not exist"):
        resume(tmp_path / "nothing")


def test_a_run_is_not_resumed_where_sums_may_round_otherwise(saved, monkeypatch):
    """Threads, instructions and version of torch decide the last bits of its float32 sums."""
    for name, function, here in (
        ("threads", "torch.get_num_threads", 3),
        ("cpu_capability", "torch.backends.cpu.get_cpu_capability", "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(function, lambda here=here: here)
            with pytest.raises(
                CheckpointError, match=f"has {name} .*, here {here}; allowed: the run"
            ) as caught:
                resume(saved)
            assert "\n" not in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr("torch.__version__", "1.0")
        with pytest.raises(CheckpointError, match=r"has torch .*, here 1\.0; allowed: the run"):
            resume(saved)
    assert resume(saved).trainer.finished


def test_momentum_is_in_the_checkpoint(saved):
    arrays, _ = checkpoint.load(saved / CHECKPOINT)
    momenta = [array for name, array in arrays.items() if name.endswith("momentum_buffer")]
    assert len(momenta) == len(list(resume(saved).trainer.model.parameters()))
    assert all(array.any() for array in momenta)
    assert not any(array.dtype.hasobject for array in arrays.values())


def test_leftovers_of_a_killed_writer_are_cleared(saved):
    (saved / f".{CHECKPOINT}.ab3_x9yz").write_bytes(b"half")
    resume(saved)
    assert not list(saved.glob(".*"))


def test_health_goes_on_where_it_was(tmp_path):
    whole = TorchRun("run", TorchTrainer(SMALL, images(), health=2), tmp_path / "whole")
    whole.start()
    whole.train()
    folder = tmp_path / "again"
    run = TorchRun("run", TorchTrainer(SMALL, images(), health=2), folder, save_every=1)
    run.start()

    def stop(report):
        if report.step == 7:
            raise Interrupted

    with pytest.raises(Interrupted):
        run.train(stop)
    run = TorchRun("run", TorchTrainer(SMALL, images(), health=2), folder)
    run.resume()
    run.train()
    lines = (folder / HEALTH).read_text()
    assert lines == (tmp_path / "whole" / HEALTH).read_text()
    assert len({line.partition(",")[0] for line in lines.splitlines()}) == whole.trainer.step // 2
