"""The archive for boards: what is in it; and it installs and trains beside its image's packages alone."""

import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
from board_image import NoImage, python_3_10, this_python

from cpt.data import digits
from cpt.host.data import load_images
from cpt.hw.contract import CONTRACT_HASH
from cpt.hw.vivado.build import DELIVERED
from cpt.main import main
from cpt.package import modules


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The archive's folder."""
    folder = tmp_path_factory.mktemp("board")
    assert main(["package", "--out", str(folder), "--board", "pynq-z2"]) == 0
    with tarfile.open(folder / "cpt-pynq-z2.tar.gz") as archive:
        archive.extractall(folder)
    return folder / "cpt-board"


@pytest.fixture(scope="module", params=["this Python", "Python 3.10, numpy 1.21"])
def image(request, tmp_path_factory):
    """A Python with a board's packages alone."""
    if request.param == "this Python":
        return this_python(tmp_path_factory.mktemp("image"))
    try:
        python = python_3_10()
    except NoImage as error:
        pytest.skip(f"no Python 3.10 with the packages of a board's image: {error}")
    versions = "import sys, numpy; print(sys.version_info[:2], numpy.__version__)"
    assert _run(python, "-c", versions).stdout == "(3, 10) 1.21.6\n"
    return python


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """This Python with a board's packages alone."""
    return this_python(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def installed(unpacked, image, tmp_path_factory):
    """The installed ``cpt``."""
    prefix = tmp_path_factory.mktemp("opt")
    done = _run(unpacked / "install.sh", "--prefix", prefix, "--python", image)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"installed: {prefix}/bin/cpt\n"
    return prefix / "bin" / "cpt"


def _run(*command, cwd=None):
    clean = {"PATH": os.environ["PATH"], "HOME": "/"}
    return subprocess.run(
        [str(word) for word in command], env=clean, cwd=cwd, capture_output=True, text=True, timeout=300
    )


def test_nothing_packed_needs_more_than_the_image(unpacked):
    names = set(modules())
    assert {
        "cpt.train",
        "cpt.host.driver",
        "cpt.host.board",
        "cpt.host.compiler.network",
        "cpt.sim.step.backend",
        "cpt.hw.contract.regs",
    } <= names
    packed = {path.relative_to(unpacked / "lib").parts[:-1][:2] for path in (unpacked / "lib").rglob("*.py")}
    assert packed == {("cpt",), *(("cpt", part) for part in ("host", "hw", "model", "sim"))}
    assert not [
        name for name in names if name.startswith(("cpt.hw.vivado", "cpt.sim.bench", "cpt.model.layers"))
    ]


def test_the_digits_are_those_of_scikit_learn(unpacked):
    from sklearn import datasets

    packed, original = load_images(unpacked / "lib" / "cpt" / "digits.npz"), datasets.load_digits()
    assert (packed.pixels[..., 0] == original.images).all()
    assert (packed.labels == original.target).all()
    assert len(digits()) == len(packed) == 1797


def test_the_same_inputs_give_the_same_archive(unpacked, tmp_path):
    assert main(["package", "--out", str(tmp_path), "--board", "pynq-z2"]) == 0
    name = "cpt-pynq-z2.tar.gz"
    assert (tmp_path / name).read_bytes() == (unpacked.parent / name).read_bytes()


def test_the_image_of_the_test_holds_no_more_than_a_board(image, tmp_path):
    done = _run(image, "-c", "import numpy, pynq, tqdm\nimport torch", cwd=tmp_path)
    assert "No module named 'torch'" in done.stderr
    for name in ("sklearn", "amaranth", "cocotb", "scipy", "cpt"):
        assert f"No module named '{name}'" in _run(image, "-c", f"import {name}", cwd=tmp_path).stderr


def test_it_trains_an_epoch_of_digits_on_the_fast_model(installed, tmp_path):
    command = ("train", "--preset", "tiny", "--width", "4", "--epochs", "1", "--batch-size", "64")
    done = _run(installed, *command, "--no-compare", "--no-check-rtl", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["contract_hash"] == f"{CONTRACT_HASH:016x}"
    assert summary["steps"] == 22
    assert summary["accuracy"] > 0.3


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("train", "--device", "board"), "cpt train: no board: this machine has no FPGA (/sys/"),
        (
            ("train", "--device", "rtl"),
            "cpt train: device 'rtl': cpt.hw.export.verilog is not in this installation",
        ),
        (("bitstream",), "cpt bitstream: cpt.bitstream is not in this installation"),
    ],
)
def test_what_a_board_cannot_do_is_said_in_one_line(installed, tmp_path, command, expected):
    done = _run(installed, *command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--prefix", ""), "install: prefix is empty; allowed: a folder"),
        (("--where", "/"), "install: option is --where; allowed: --prefix DIR, --python PROGRAM"),
        (("--python", "/no/python"), "install: python is /no/python; allowed: a program that starts Python"),
    ],
)
def test_wrong_options_of_the_installer_are_named(unpacked, options, expected):
    done = _run(unpacked / "install.sh", *options)
    assert (done.returncode, done.stderr) == (2, expected + "\n")


def content(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("own", ["lib/mine.txt", "bitstream/mine.bit", ".hidden", "bin/cpt"])
def test_a_folder_that_holds_other_files_is_refused_and_left_alone(unpacked, plain, tmp_path, own):
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text("mine")
    before = content(tmp_path)
    done = _run(unpacked / "install.sh", "--prefix", tmp_path, "--python", plain)
    assert done.returncode == 2
    refusal = "holds what this installer did not put there; allowed: a new or an empty folder"
    assert done.stderr == f"install: {tmp_path} {refusal}\n"
    assert content(tmp_path) == before


def test_a_second_installation_replaces_the_first_only_once_it_starts(unpacked, plain, tmp_path):
    prefix = tmp_path / "opt"
    for number in (1, 2):
        assert _run(unpacked / "install.sh", "--prefix", prefix, "--python", plain).returncode == 0
        assert os.readlink(prefix / "current") == f"releases/{number}"
        assert [path.name for path in (prefix / "releases").iterdir()] == [str(number)]
    broken = tmp_path / "broken"
    shutil.copytree(unpacked, broken)
    (broken / "lib" / "cpt" / "bits.py").write_text("raise OSError('broken')")
    done = _run(broken / "install.sh", "--prefix", prefix, "--python", plain)
    assert done.returncode == 2
    assert "does not start; its message stands above" in done.stderr
    assert os.readlink(prefix / "current") == "releases/2"
    assert {path.name for path in prefix.iterdir()} == {".cpt-board", "bin", "current", "releases"}
    assert _run(prefix / "bin" / "cpt", "bits", cwd=tmp_path).returncode == 0


def test_every_user_may_read_what_was_installed_under_a_closed_umask(unpacked, plain, tmp_path):
    closed = tmp_path / "unpacked"
    shutil.copytree(unpacked, closed)
    command = (
        f"umask 077; chmod -R go= {closed}; {closed}/install.sh --prefix {tmp_path}/a/b --python {plain}"
    )
    assert _run("sh", "-c", command).returncode == 0
    for path in (tmp_path / "a", *(tmp_path / "a").rglob("*")):
        wanted = 0o005 if path.is_dir() or path.name == "cpt" else 0o004
        assert path.stat().st_mode & wanted == wanted, path


@pytest.mark.parametrize("name", ['it\'s "$(touch x)" `y` \\ opt', "-rf"])
def test_prefixes_with_odd_characters_are_one_word(unpacked, plain, tmp_path, name):
    done = _run(unpacked / "install.sh", "--prefix", name, "--python", plain, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert _run(tmp_path / name / "bin" / "cpt", "bits", cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_launcher_runs_nothing_of_the_current_folder(unpacked, plain, tmp_path):
    prefix, trap = tmp_path / "opt", tmp_path / "trap"
    assert _run(unpacked / "install.sh", "--prefix", prefix, "--python", plain).returncode == 0
    for name in ("argparse", "sitecustomize", "numpy", "cpt/__init__", "cpt/main", "relative/argparse"):
        (trap / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (trap / f"{name}.py").write_text("open('sprung', 'w'); raise SystemExit('sprung')")
    for entries in ("", ":", "/nowhere:", ".:relative"):
        done = _run("env", f"PYTHONPATH={entries}", prefix / "bin" / "cpt", "bits", cwd=trap)
        assert done.returncode == 0, done.stderr
        assert not (trap / "sprung").exists()


def test_an_image_without_numpy_is_refused_before_anything_is_written(unpacked, tmp_path):
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys._base_executable} -S -s "$@"\n')
    python.chmod(0o755)
    done = _run(unpacked / "install.sh", "--prefix", tmp_path / "opt", "--python", python)
    assert done.returncode == 2
    assert done.stderr == "install: numpy is not installed; allowed: 1.21 to below 2.0\n"
    assert not (tmp_path / "opt").exists()


def _built(folder, contract):
    folder.mkdir()
    for name in DELIVERED:
        (folder / name).write_bytes(name.encode())
    (folder / "manifest.json").write_text(json.dumps({"contract_hash": contract}))
    return folder


def test_a_bitstream_of_this_contract_is_packed(tmp_path):
    built = _built(tmp_path / "built", f"{CONTRACT_HASH:016x}")
    assert main(["package", "--out", str(tmp_path), "--bitstream", str(built)]) == 0
    with tarfile.open(tmp_path / "cpt-zc706.tar.gz") as archive:
        assert archive.extractfile("cpt-board/bitstream/cpt.bit").read() == b"cpt.bit"


def test_a_bitstream_of_another_contract_is_refused(tmp_path, capsys):
    built = _built(tmp_path / "built", "0123456789abcdef")
    assert main(["package", "--out", str(tmp_path), "--bitstream", str(built)]) == 2
    assert "has contract 0123456789abcdef, this software" in capsys.readouterr().err
    assert not (tmp_path / "cpt-zc706.tar.gz").exists()


def test_a_folder_without_a_build_is_refused(tmp_path, capsys):
    assert main(["package", "--out", str(tmp_path), "--bitstream", str(tmp_path)]) == 2
    assert "holds no manifest.json; allowed: a folder that cpt bitstream wrote" in capsys.readouterr().err
