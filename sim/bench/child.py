"""Build or run one bench with cocotb's runner; started by `cpt.sim.bench.runner` in a process of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from cocotb_tools.runner import get_runner

BUILD_ARGS = ["-fno-dfg", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--output-split", "20000"]


def main() -> None:
    """``python -m cpt.sim.bench.child build|test FOLDER TOP [MODULE SEED RESULTS PLUSARG...]``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("build", "test"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("top")
    parser.add_argument("module", nargs="?")
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("results", nargs="?", type=Path)
    parser.add_argument("options", nargs="*")
    chosen = parser.parse_args()
    runner = get_runner("verilator")
    if chosen.verb == "build":
        runner.build(
            sources=sorted((chosen.folder / "verilog").glob("*.v")),
            hdl_toplevel=chosen.top,
            build_dir=chosen.folder / "simulator",
            build_args=BUILD_ARGS,
            timescale=("1ns", "1ps"),
        )
        return
    runner.test(
        test_module=chosen.module,
        hdl_toplevel=chosen.top,
        hdl_toplevel_lang="verilog",
        build_dir=chosen.folder / "simulator",
        test_dir=chosen.results.parent,
        results_xml=str(chosen.results),
        seed=chosen.seed,
        plusargs=[f"+{option}" for option in chosen.options],
        timescale=("1ns", "1ps"),
    )


if __name__ == "__main__":
    main()
