"""cocotb benches of the blocks that carry protocols, on exported Verilog, and what the runner believes."""

import shutil
from importlib import import_module

import pytest

from cpt.hw.contract import preset
from cpt.hw.export.blocks import BLOCKS as BUILT
from cpt.sim.bench import runner
from cpt.sim.bench.__main__ import main
from cpt.sim.bench.blocks import BLOCKS, bench_module
from cpt.sim.bench.runner import BenchFailure, run_bench
from cpt.sim.verilator import BUILD_ROOT

TINY = preset("tiny")
SAMPLE = ("registers", "dispatch", "loader", "fetch", "executor", "drain")
"""Those with a protocol; `make sim` runs all, and the whole accelerator's under cocotb."""


@pytest.mark.parametrize("block", SAMPLE)
def test_bench_passes(block):
    assert run_bench(block, TINY, seed=11, rounds=2) >= 1


def test_every_block_has_a_bench():
    assert sorted(BLOCKS) == sorted([*BUILT, "accelerator"])
    assert all(vars(import_module(bench_module(block))) for block in BLOCKS)


def test_a_fault_in_the_verilog_fails_the_bench(monkeypatch):
    export = runner._export

    def faulty(block, config, folder):
        export(block, config, folder)
        (source,) = folder.glob("*.v")
        text = source.read_text()
        assert "a & b" in text
        source.write_text(text.replace("a & b", "a | b"))

    monkeypatch.setattr(runner, "_export", faulty)
    monkeypatch.setattr(runner, "exported", _fresh)
    with pytest.raises(BenchFailure, match="count is") as caught:
        run_bench("popcount", TINY, seed=3, rounds=1)
    assert "replay: python -m cpt.sim.bench --block popcount --preset tiny --seed 3 --rounds 1" in str(
        caught.value
    )


def test_environments_share_no_built_bench(monkeypatch, tmp_path):
    """A bench is linked against its environment's folders, which may be deleted while the cache stays."""
    keys = []
    monkeypatch.setattr(runner, "cached_build", lambda name, key, build: keys.append((name, key)) or tmp_path)
    runner.build_bench("popcount", TINY)
    runner._common_objects()
    monkeypatch.setattr(runner, "verilator_root", lambda: tmp_path / "other" / "verilator")
    runner.build_bench("popcount", TINY)
    runner._common_objects()
    assert [name for name, _ in keys[:2]] == [name for name, _ in keys[2:]]
    assert len(set(keys)) == 4


def _fresh(name, config, export):
    """An export that leaves the real one's cache alone."""
    folder = BUILD_ROOT / "bench" / "verilog-faulty"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    export(config, folder)
    return sorted(folder.glob("*.v"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<testsuites><testsuite/></testsuites>", "ran no test"),
        ('<testsuites><testcase name="t"><skipped/></testcase></testsuites>', "failed in t"),
        ('<testsuites><testcase name="t"><failure error_msg="x is 1"/></testcase></testsuites>', "t: x is 1"),
    ],
)
def test_only_tests_that_ran_and_passed_count(tmp_path, content, message):
    results = tmp_path / "results.xml"
    results.write_text(content)
    with pytest.raises(BenchFailure, match=message):
        runner._passed(results, "queue", "again")


def test_no_results_file_is_a_failure(tmp_path):
    with pytest.raises(BenchFailure, match="left no results"):
        runner._passed(tmp_path / "missing.xml", "queue", "again")


def test_an_unknown_block_gives_one_line_and_status_2(capsys):
    assert main(["--block", "multiplier"]) == 2
    assert "block is 'multiplier'; allowed: " in capsys.readouterr().err
