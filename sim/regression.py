"""Seeded random matrix products on the compiled RTL, the fast model and the golden functions.

``python -m cpt.sim.regression`` runs a short sample; ``--full`` runs every case of `cpt.sim.stimulus` on the
``tiny`` preset, a sample on the larger ones, and all cocotb benches. Results, column sums and the whole
memory must be equal bit for bit, cycles and waiting too where nothing stalls, and the execute-busy counter
must equal `cpt.hw.contract.order.tile_cycles` summed over tiles. A failure prints the command that replays
it and exits with status 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np

from cpt.host.packing import unpack_result
from cpt.hw.contract import ArrayConfig, ContractError, Counter, preset
from cpt.model.golden import int_matmul
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.bare import BareMachine, MachineFault
from cpt.sim.bench.__main__ import main as run_benches
from cpt.sim.bench.blocks import SHAPED
from cpt.sim.fast import FastBackend
from cpt.sim.memory import Stalls, memory_model
from cpt.sim.rtl import RtlBackend, RtlError
from cpt.sim.rtl.build import build_library
from cpt.sim.scoreboard import Mismatch, Scoreboard
from cpt.sim.stimulus import Case, Placement, case_count, column_sums, make_case
from cpt.sim.tool import BuildError

DEFAULT_SEED = 1
SAMPLE_CASES = 40
LARGE_PRESETS = ("middle", "z7020", "zc706")
LARGE_CASES = 12
BATCH_CASES = 32
"""Cases one process runs at a time."""
EXACT_COUNTERS = (Counter.EXEC_BUSY, Counter.BYTES_READ, Counter.BYTES_WRITTEN)
"""Counters that no timing changes."""
CYCLE_COUNTERS = (Counter.TOTAL, Counter.EXEC_WAIT_FETCH, Counter.EXEC_WAIT_DRAIN)
"""Counters that are equal unless the memory stalls."""


@dataclass
class Tally:
    """What a regression has covered so far."""

    runs: int = 0
    stalled: int = 0
    precisions: set[object] = field(default_factory=set)
    shapes: set[tuple[int, int, int]] = field(default_factory=set)
    values: int = 0

    def add(self, other: Tally) -> None:
        """Count what ``other`` has covered too."""
        self.runs += other.runs
        self.stalled += other.stalled
        self.precisions |= other.precisions
        self.shapes |= other.shapes
        self.values += other.values

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.stalled} of them stalled, {len(self.precisions)} precisions, "
            f"{len(self.shapes)} shapes, {self.values} values equal, and the cycles of what was not stalled"
        )


def run_case(config: ArrayConfig, case: Case, tally: Tally) -> None:
    """Run one case on both simulators; raises what the first difference or fault raises."""
    placement = Placement.of(case, config, MEMORY_BASE)
    model = memory_model(case.memory, config.clock_mhz)
    stalls = Stalls(case.stall_probability, case.seed + case.number)
    rtl = RtlBackend(config, model, placement.memory_bytes, stalls=stalls, in_step=True)
    fast = FastBackend(config, model, placement.memory_bytes)
    board = Scoreboard()
    try:
        machines = [_machine(rtl, placement), _machine(fast, placement)]
        for run in range(len(case.precisions)):
            counters = [_run(machine, placement, case, run, board) for machine in machines]
            board.equal("memory after the run, RTL against fast model,", rtl.memory, fast.memory)
            board.equal("bursts still open", rtl.simulation.open_bursts, 0)
            for counter in EXACT_COUNTERS + (() if case.stall_probability else CYCLE_COUNTERS):
                board.equal(f"counter {counter.name}", counters[0][counter], counters[1][counter])
    finally:
        rtl.close()
        fast.close()
    tally.runs += len(case.precisions)
    tally.stalled += len(case.precisions) * (case.stall_probability > 0)
    tally.precisions.update(case.precisions)
    tally.shapes.add((case.m, case.n, case.k))
    tally.values += board.finish()


def _machine(backend: Backend, placement: Placement) -> BareMachine:
    return BareMachine(backend, placement.ring_log2)


def _run(
    machine: BareMachine, placement: Placement, case: Case, run: int, board: Scoreboard
) -> dict[Counter, int]:
    """One run of a case on one machine, compared with the golden product."""
    precision, gemm, memory = case.precisions[run], placement.gemm, machine.backend.memory
    machine.set_slot(gemm.slot_a, precision.bits_a, precision.signed_a)
    machine.set_slot(gemm.slot_b, precision.bits_b, precision.signed_b)
    codes_a, codes_b = placement.fill(memory, machine.backend.memory_base, case, run)
    start, size = gemm.addr_c - machine.backend.memory_base, gemm.layout_c.nbytes
    slots = {
        gemm.slot_a: (precision.bits_a, precision.signed_a),
        gemm.slot_b: (precision.bits_b, precision.signed_b),
    }
    busy = placement.program.exec_cycles(slots)
    # Room for the memory at its slowest: every transfer stalled, one burst at a time.
    limit = 20_000 + 50 * (busy + placement.memory_bytes)
    before = memory.copy()
    counters = dict(machine.run(placement.program, limit))
    who = type(machine.backend).__name__
    for name, part in (("before", slice(machine.ring_bytes, start)), ("behind", slice(start + size, None))):
        board.equal(f"{who} memory {name} the result", memory[part], before[part])
    product = unpack_result(
        memory[start : start + size],
        gemm.layout_c,
        precision.bits_a,
        precision.bits_b,
        signed=precision.signed,
        col_sums=case.col_sums,
    )
    board.equal(f"{who} product", product.values, int_matmul(codes_a, codes_b))
    if product.col_sums is not None:
        board.equal(f"{who} column sums", product.col_sums, column_sums(codes_b, case.taps, gemm.config))
    board.equal(f"{who} exec_busy", counters[Counter.EXEC_BUSY], busy)
    return counters


class RegressionError(AssertionError):
    """A case failed; the message names the difference and the command that replays it."""


def run_cases(config: ArrayConfig, seed: int, numbers: Iterable[int]) -> Tally:
    """Run the given cases; raises `RegressionError` at the first that fails."""
    tally = Tally()
    for number in numbers:
        case = make_case(config, seed, number)
        try:
            run_case(config, case, tally)
        except (Mismatch, MachineFault, RtlError) as error:
            replay = f"python -m cpt.sim.regression --preset {config.name} --case {number} --seed {seed}"
            raise RegressionError(f"{case}: {error}\nreplay: {replay}") from None
    return tally


def run_cases_in_parallel(config: ArrayConfig, seed: int, numbers: Sequence[int]) -> Tally:
    """`run_cases` on every processor core."""
    build_library(config)
    batches = [numbers[start : start + BATCH_CASES] for start in range(0, len(numbers), BATCH_CASES)]
    tally = Tally()
    with ProcessPoolExecutor() as pool:
        for part in pool.map(partial(run_cases, config, seed), batches):
            tally.add(part)
    return tally


def sample(config: ArrayConfig, seed: int, count: int) -> list[int]:
    """``count`` case numbers, spread over the whole list."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, case_count(config), count + 1).astype(int)
    return [int(rng.integers(low, high)) for low, high in pairwise(edges)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m cpt.sim.regression", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--preset", default="tiny", help="array configuration (default: tiny)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of every case (default: 1)")
    parser.add_argument("--case", type=int, help="replay this case alone")
    parser.add_argument("--full", action="store_true", help="every case, large presets, cocotb benches")
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset)
        if options.case is not None and not 0 <= options.case < case_count(config):
            raise ContractError(f"case is {options.case}; allowed: 0..{case_count(config) - 1}")
        work = _plan(config, options)
    except ContractError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        for chosen, numbers in work:
            started = time.monotonic()
            tally = run_cases_in_parallel(chosen, options.seed, numbers)
            seconds = time.monotonic() - started
            print(f"regression {chosen.name}, seed {options.seed}: {tally}, {seconds:.0f} s", flush=True)
    except (RegressionError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    return _benches(options.seed) if options.full else 0


def _benches(seed: int) -> int:
    """All cocotb benches on ``tiny``, those that depend on the shape on ``zc706`` too; the exit status."""
    shaped = [part for block in SHAPED for part in ("--block", block)]
    return run_benches(["--seed", str(seed)]) or run_benches(
        ["--preset", "zc706", "--seed", str(seed), *shaped]
    )


def _plan(config: ArrayConfig, options: argparse.Namespace) -> list[tuple[ArrayConfig, list[int]]]:
    """Which cases to run on which configuration."""
    if options.case is not None:
        return [(config, [options.case])]
    if not options.full:
        return [(config, sample(config, options.seed, SAMPLE_CASES))]
    work = [(config, list(range(case_count(config))))]
    for name in LARGE_PRESETS:
        work.append((preset(name), sample(preset(name), options.seed, LARGE_CASES)))
    return work


if __name__ == "__main__":
    sys.exit(main())
