"""``python -m cpt.sim.mutate``: seeded mutants of the blocks, and which of them the unit tests miss.

A mutant that cannot be built, or whose netlist is the same, is not counted. One that lives is either a test
that is missing, or hardware that means the same: a person has to look.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cpt.hw.contract import ContractError
from cpt.hw.export.blocks import ROOMS
from cpt.sim.mutate.judge import NoVerdict, Verdict, all_mutants, fingerprint, judge, tests_of

COUNT, SEED = 40, 1


def survivors(room: str, count: int, seed: int, only: str, jobs: int) -> Counter[Verdict]:
    """Judge ``count`` mutants of ``room`` and print those that live; how many ended how."""
    numbered = [item for item in enumerate(all_mutants(room)) if item[1].path.stem.startswith(only)]
    chosen = sorted(random.Random(seed).sample(range(len(numbered)), min(count, len(numbered))))
    known = fingerprint(room)
    verdicts: Counter[Verdict] = Counter()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [
            (*numbered[index], pool.submit(judge, numbered[index][1], known, tests_of(numbered[index][1])))
            for index in chosen
        ]
        for number, mutant, verdict in waiting:
            verdicts[verdict.result()] += 1
            if verdict.result() == Verdict.SURVIVED:
                print(f"lives: {mutant} (number {number})", flush=True)
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; status 1 if a mutant lives."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.mutate", description=__doc__.splitlines()[0])
    parser.add_argument("--room", action="append", help=f"one of {', '.join(ROOMS)} (default: all)")
    parser.add_argument("--block", default="", help="only modules whose name begins so")
    parser.add_argument("--count", type=int, default=COUNT, help=f"mutants per room (default: {COUNT})")
    parser.add_argument("--seed", type=int, default=SEED, help=f"which ones (default: {SEED})")
    parser.add_argument("--jobs", type=int, default=1, help="mutants judged at once (default: 1)")
    options = parser.parse_args(arguments)
    lives = 0
    try:
        for name in ("count", "jobs"):
            if getattr(options, name) < 1:
                raise ContractError(f"{name} is {getattr(options, name)}; allowed: 1 and up")
        for room in options.room or ROOMS:
            found = survivors(room, options.count, options.seed, options.block, options.jobs)
            lives += found[Verdict.SURVIVED]
            dead = found[Verdict.KILLED] + found[Verdict.HANGS]
            print(
                f"{room}, seed {options.seed}: {dead} of {dead + found[Verdict.SURVIVED]} killed, "
                f"{found[Verdict.SAME]} changed nothing, {found[Verdict.INVALID]} could not be built",
                flush=True,
            )
    except (ContractError, NoVerdict) as error:
        print(error, file=sys.stderr)
        return 2
    return int(lives > 0)


if __name__ == "__main__":
    sys.exit(main())
