"""The wheel: complete, one name, at work in a fresh environment, beside files that have its parts' names."""

import json
import tarfile
import zipfile

import pytest
from wheels import Fresh, build, copy_sources, packed, shipped

import cpt
from cpt.hw.contract import preset
from cpt.sim.rtl.build import build_library


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    return build("wheel", sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory):
    return Fresh(tmp_path_factory.mktemp("fresh"), wheel)


@pytest.fixture
def crowded(tmp_path):
    """A folder of somebody's own, with a file ``model.py`` and folders ``host`` and ``hw``."""
    (tmp_path / "model.py").write_text("raise SystemExit('the wrong model')\n")
    for name in ("host", "hw", "sim"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    return tmp_path


def test_every_tracked_file_is_in_the_wheel_and_no_other(wheel):
    assert packed(wheel) == shipped()


def test_one_name_is_installed(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    (top,) = [name for name in names if name.endswith(".dist-info/top_level.txt")]
    assert zipfile.ZipFile(wheel).read(top) == b"cpt\n"
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"cpt", "cpt_fpga"}


def test_a_source_archive_builds_the_same_wheel(wheel, sources, tmp_path):
    with tarfile.open(build("sdist", sources, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = [path for path in tmp_path.iterdir() if path.name.startswith("cpt_fpga")]
    again = build("wheel", unpacked, tmp_path / "wheel")
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert packed(again) == packed(wheel)
    assert all(first.read(name) == second.read(name) for name in packed(wheel))


def test_the_wheel_says_licence_and_notice(wheel):
    names = [name.partition("/")[2] for name in zipfile.ZipFile(wheel).namelist()]
    assert {"licenses/LICENSE", "licenses/NOTICE"} <= set(names)


def test_the_library_is_found_beside_files_of_the_same_names(fresh, crowded):
    words = "import cpt; print(cpt.__version__, cpt.quantize_.__name__, cpt.__file__)"
    version, name, place = fresh.run(fresh.python, "-c", words, cwd=crowded).split()
    assert (version, name) == (cpt.__version__, "quantize_")
    assert place.startswith(str(fresh.site))


def test_the_compiled_rtl_and_the_boards_archive_come_from_what_is_installed(fresh, crowded):
    before = fresh.files()
    assert "16 x 16 bits" in fresh.run(fresh.cpt, "doctor", "--device", "rtl", cwd=crowded)
    assert "cpt-zc706.tar.gz" in fresh.run(fresh.cpt, "package", "--out", "archive", cwd=crowded)
    with tarfile.open(crowded / "archive" / "cpt-zc706.tar.gz") as archive:
        assert {"cpt-board/install.sh", "cpt-board/LICENSE", "cpt-board/lib/cpt/__init__.py"} <= set(
            archive.getnames()
        )
    assert fresh.files() == before, "something was written beside the installed files"
    assert {path.name for path in crowded.iterdir()} == {"model.py", "host", "hw", "sim", "archive"}


def test_what_a_checkout_has_compiled_is_not_compiled_again(fresh, crowded):
    words = "from cpt.hw.contract import preset; from cpt.sim.rtl.build import build_library; "
    words += "print(build_library(preset('tiny')))"
    found = fresh.run(fresh.python, "-c", words, cwd=crowded).strip()
    assert found == str(build_library(preset("tiny")))


def test_builds_go_to_the_users_cache(fresh, crowded):
    words = "import json; from cpt.sim.verilator import BUILD_ROOT as root; from pathlib import Path; "
    words += "print(json.dumps([str(root), str(Path.home())]))"
    root, home = json.loads(fresh.run("env", "-u", "XDG_CACHE_HOME", fresh.python, "-c", words, cwd=crowded))
    assert root == f"{home}/.cache/cpt-fpga"


def test_processes_of_a_command_import_nothing_from_the_folder_it_is_called_in(fresh, crowded):
    for name in ("numpy", "random", "signal", "socket", "tempfile"):
        (crowded / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')\n")
    words = ["--model", "resnet8", "--batch", "4", "--micro-batch", "4", "--iterations", "320", "--json"]
    rows = json.loads(fresh.run(fresh.cpt, "latency", *words, cwd=crowded))
    assert [run["run"] for run in rows["runs"]] == ["cpt", "static"]
