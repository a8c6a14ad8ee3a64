"""Hostile programs: ``python -m cpt.sim.hostile --count 5000 --seed 1``, or some of them: ``--run 17``.

``--machine step``: lists for the machine of whole steps (`cpt.sim.hostile.steps`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from cpt.hw.contract import MACHINES, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import MATRIX, STEP
from cpt.sim.hostile import check, steps
from cpt.sim.rtl import RtlError
from cpt.sim.rtl.build import build_library
from cpt.sim.scoreboard import Mismatch
from cpt.sim.tool import BuildError

BATCH_RUNS = 50
DEFAULT_COUNT, DEFAULT_SEED = 5000, 1


SUITES: dict[str, Any] = {MATRIX: check, STEP: steps}
"""What draws and judges the programs of each machine: ``ACTS`` a run, ``Tally``, ``run``."""


class HostileError(AssertionError):
    """Two machines differ, or one left its window; the message ends in the command that replays it."""


def machine_of(config: ArrayConfig) -> str:
    """Which machine ``config`` is."""
    return STEP if config.scratch_words else MATRIX


def run_all(config: ArrayConfig, seed: int, numbers: Iterable[int]) -> Any:
    """The runs with these numbers: the suite's ``Tally``. Raises `HostileError` at the first that fails."""
    machine = machine_of(config)
    suite = SUITES[machine]
    tally = suite.Tally()
    for number in numbers:
        try:
            tally.add(suite.run(config, seed, number))
        except (Mismatch, RtlError, TimeoutError, AssertionError) as error:
            whose = f"--preset {config.name} --machine {machine}"
            replay = f"python -m cpt.sim.hostile {whose} --seed {seed} --run {number}"
            raise HostileError(f"run {number}: {error}\nreplay: {replay}") from None
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.hostile", description=__doc__)
    parser.add_argument("--preset", default="tiny", help="array configuration (default: tiny)")
    parser.add_argument("--machine", default=MATRIX, help=f"{', '.join(MACHINES)} (default: {MATRIX})")
    parser.add_argument(
        "--count", type=int, default=DEFAULT_COUNT, help=f"programs (default: {DEFAULT_COUNT})"
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of all (default: 1)")
    parser.add_argument("--run", type=int, help="this run alone")
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset, options.machine)
        for name in ("count", "run"):
            value = getattr(options, name)
            if value is not None and value < (name == "count"):
                raise ContractError(f"--{name} is {value}; allowed: {int(name == 'count')} and up")
    except ContractError as error:
        print(error, file=sys.stderr)
        return 2
    suite = SUITES[options.machine]
    numbers = range(-(-options.count // suite.ACTS)) if options.run is None else [options.run]
    batches = [numbers[start : start + BATCH_RUNS] for start in range(0, len(numbers), BATCH_RUNS)]
    started, tally = time.monotonic(), suite.Tally()
    try:
        build_library(config)
        with ProcessPoolExecutor() as pool:
            for part in pool.map(partial(run_all, config, options.seed), batches):
                tally.add(part)
                print(f"{tally.acts} programs, {time.monotonic() - started:.0f} s", flush=True)
    except (HostileError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    machine = "" if options.machine == MATRIX else f" {options.machine}"
    print(f"hostile {config.name}{machine}, seed {options.seed}: {tally}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
