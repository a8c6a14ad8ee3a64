"""``python -m cpt.sim.formal``: prove property sets and print how far each reaches."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from cpt.hw.contract import ContractError
from cpt.sim.formal.catalogue import PROOFS, Fault, Proof, proof
from cpt.sim.formal.engine import Outcome, solver_module


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proofs; exit status 1 if one is not closed, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.formal", description=__doc__)
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--all", action="store_true", help="every proof")
    parser.add_argument("--faults", action="store_true", help="also look for the faults that each must find")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (2)")
    arguments = parser.parse_args(argv)
    try:
        chosen = list(PROOFS.values()) if arguments.all else [proof(name) for name in arguments.proofs]
        if not chosen:
            raise ContractError("no proof is named; allowed: --all, or some of " + ", ".join(PROOFS))
        if arguments.jobs < 1:
            raise ContractError(f"--jobs is {arguments.jobs}; allowed: 1 or more")
        solver_module()
        return _run(chosen, arguments.faults, arguments.jobs)
    except ContractError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(chosen: list[Proof], faults: bool, jobs: int) -> int:
    """Prove in ``jobs`` processes; a line as each ends, in the order of the catalogue."""
    closed = True
    with ProcessPoolExecutor(jobs) as pool:
        work = [(item, pool.submit(_prove, item.name)) for item in chosen]
        hunts = [
            (item, fault, pool.submit(_find, item.name, number))
            for item in chosen
            for number, fault in enumerate(item.faults)
            if faults
        ]
        print(f"{'proof':13}{'of':57}{'demands':>8}{'seconds':>9}  result", flush=True)
        for item, future in work:
            outcome = future.result()
            closed &= outcome.kind in ("proven", "holds")
            size = f"{outcome.demands:>8}{outcome.seconds:>9.0f}"
            print(f"{item.name:13}{item.text:57}{size}  {_result(outcome)}", flush=True)
        for item, fault, future in hunts:
            outcome = future.result()
            found = outcome.kind == "fails"
            closed &= found
            said = f"found in cycle {outcome.depth}: {_named(outcome)}" if found else "NOT FOUND"
            print(f"{item.name:13}fault: {fault.text:50}{outcome.seconds:>16.0f}  {said}", flush=True)
    return 0 if closed else 1


def _prove(name: str) -> Outcome:
    return proof(name).run()


def _find(name: str, number: int) -> Outcome:
    fault: Fault = proof(name).faults[number]
    return proof(name).find(fault)


def _named(outcome: Outcome) -> str:
    return ", ".join(name.replace("_", " ") for name in outcome.broken)


def _result(outcome: Outcome) -> str:
    """What an outcome says, in words."""
    if outcome.kind == "proven":
        return f"proven for all time (induction over {outcome.depth} cycles)"
    if outcome.kind == "holds":
        return f"bounded: holds for {outcome.depth} cycles from reset"
    if outcome.kind == "fails":
        return f"FAILS in cycle {outcome.depth} from {outcome.step}: {_named(outcome)}"
    if outcome.kind == "empty":
        return f"EMPTY: cannot be reached: {_named(outcome)}"
    return f"UNDECIDED after {outcome.seconds:.0f} s, {outcome.depth} cycles hold"


if __name__ == "__main__":
    sys.exit(main())
