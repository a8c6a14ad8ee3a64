"""The build cache: one build per key, nothing left of a failed one, few old ones kept."""

import threading
import time

import pytest

from cpt.hw.contract import ContractError
from cpt.sim import verilator
from cpt.sim.tool import BuildError, ended, run_tool
from cpt.sim.verilator import KEPT_BUILDS, cached_build, sources_key


@pytest.fixture(autouse=True)
def build_root(tmp_path, monkeypatch):
    monkeypatch.setattr(verilator, "BUILD_ROOT", tmp_path)
    return tmp_path


def write(folder):
    (folder / "made").write_text("x")


def test_a_build_runs_once_per_key():
    calls = []

    def build(folder):
        calls.append(folder)
        write(folder)

    first = cached_build("area/thing", "k" * 16, build)
    assert cached_build("area/thing", "k" * 16, build) == first
    assert (first / "made").is_file()
    assert len(calls) == 1


def test_two_at_once_build_once():
    calls, entered = [], threading.Event()

    def slow(folder):
        calls.append(folder)
        entered.set()
        threading.Event().wait(0.2)
        write(folder)

    thread = threading.Thread(target=cached_build, args=("area/thing", "k" * 16, slow))
    thread.start()
    assert entered.wait(5)
    assert (cached_build("area/thing", "k" * 16, slow) / "made").is_file()
    thread.join()
    assert len(calls) == 1


def test_a_failed_build_leaves_nothing_and_can_be_repeated(build_root):
    def broken(folder):
        write(folder)
        raise BuildError("no")

    with pytest.raises(BuildError):
        cached_build("area/thing", "k" * 16, broken)
    assert [path.name for path in (build_root / "area").iterdir()] == [".thing.lock"]
    assert (cached_build("area/thing", "k" * 16, write) / "made").is_file()


def test_what_a_killed_build_left_is_removed(build_root):
    (build_root / "area" / ".thing.building-abc").mkdir(parents=True)
    cached_build("area/thing", "k" * 16, write)
    assert not (build_root / "area" / ".thing.building-abc").exists()


def test_old_builds_are_forgotten_and_other_names_kept(build_root):
    other = cached_build("area/thing-too", "0" * 16, write)
    for index in range(KEPT_BUILDS + 3):
        newest = cached_build("area/thing", f"{index:016x}", write)
    found = list((build_root / "area").glob("thing-????????????????"))
    assert len(found) == KEPT_BUILDS
    assert newest in found
    assert other.is_dir()


def test_the_key_changes_with_the_sources(tmp_path):
    source = tmp_path / "a.v"
    source.write_text("module a; endmodule")
    before = sources_key([source])
    assert sources_key([source]) == before
    assert sources_key([source], "option") != before
    source.write_text("module b; endmodule")
    assert sources_key([source]) != before


def test_the_key_of_a_build_is_the_same_in_other_folders(tmp_path):
    keys = set()
    for folders in (("a", "b"), ("d", "c")):
        files = [tmp_path / folder / name for folder, name in zip(folders, ("x.cpp", "y.py"), strict=True)]
        for file in files:
            file.parent.mkdir()
            file.write_text(file.name)
        keys.add(sources_key(files))
    assert len(keys) == 1


def test_a_failing_tool_shows_its_output_and_a_missing_one_its_name(tmp_path):
    with pytest.raises(BuildError, match="status 3") as caught:
        run_tool(["sh", "-c", "echo went wrong >&2; exit 3"], tmp_path, 10)
    assert "went wrong" in str(caught.value)
    with pytest.raises(BuildError, match="no-such-tool is not on PATH"):
        run_tool(["no-such-tool"], tmp_path, 10)


def test_a_tool_past_its_deadline_is_stopped_with_its_children(tmp_path):
    started = time.monotonic()
    with pytest.raises(BuildError, match=r"sh took longer than 0\.2 s"):
        run_tool(["sh", "-c", "sleep 30; true"], tmp_path, 0.2)
    assert time.monotonic() - started < 10


def test_a_tool_that_is_too_slow_has_no_status_and_what_it_said_is_kept(tmp_path):
    assert ended(["sh", "-c", "echo early; exec sleep 30"], tmp_path, 2) == (None, "early\n")


def test_a_tool_may_fail_in_one_line_of_the_callers_own_error(tmp_path):
    with pytest.raises(ContractError, match=r"^sh failed with status 1: last$"):
        run_tool(["sh", "-c", "echo first; echo last; exit 1"], tmp_path, 10, error=ContractError, lines=1)


def test_the_log_of_a_tool_says_why_it_failed(tmp_path):
    command = ["sh", "-c", "echo reason >run.log; echo said; exit 1"]
    with pytest.raises(ContractError, match=r"^sh failed with status 1: reason$"):
        run_tool(command, tmp_path, 10, error=ContractError, lines=1, log=tmp_path / "run.log")
