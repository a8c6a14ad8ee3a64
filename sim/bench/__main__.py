"""``python -m cpt.sim.bench``: build and run cocotb benches."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from cpt.hw.contract import ContractError, preset
from cpt.sim.bench.blocks import BLOCKS
from cpt.sim.bench.runner import BenchFailure, run_bench
from cpt.sim.tool import BuildError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.bench", description="Run the cocotb benches.")
    parser.add_argument("--block", action="append", help=f"one of {', '.join(BLOCKS)} (default: all)")
    parser.add_argument("--preset", default="tiny", help="array configuration (default: tiny)")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random (default: 1)")
    parser.add_argument("--rounds", type=int, default=20, help="random rounds per test (default: 20)")
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset)
        blocks = options.block or list(BLOCKS)
        for block in blocks:
            if block not in BLOCKS:
                raise ContractError(f"block is {block!r}; allowed: {', '.join(BLOCKS)}")
    except ContractError as error:
        print(error, file=sys.stderr)
        return 2
    for block in blocks:
        started = time.monotonic()
        try:
            tests = run_bench(block, config, options.seed, options.rounds)
        except (BenchFailure, BuildError) as error:
            print(error, file=sys.stderr)
            return 1
        seconds = time.monotonic() - started
        print(f"bench {block} {config.name}, seed {options.seed}: {tests} tests, {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
