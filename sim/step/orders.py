"""Steps of drawn networks, engines in any order that marks allow: ``python -m cpt.sim.step.orders``.

All must end with the golden trainer's bits. ``--drop N``: N lists that lack one wait, and how many were seen;
one that is not missed may be a wait that data or other waits stand for.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.hw.contract.step import WORD_BYTES, decode
from cpt.model.golden.fabric.trainer import Settings
from cpt.sim.step.interleaving import WAITS, Dropped, Interleaving
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.pair import Pair
from cpt.sim.step.rtl import KINDS, MEMORY_BYTES, RATE, Case, batches

EACH = 100
"""Orders of a step, before another network is drawn."""
TRIES = 4
"""Orders in which a dropped wait may be missed."""


class Orders:
    """A step of one network, again and again from the same state."""

    def __init__(self, case: Case, config: ArrayConfig) -> None:
        self.case = case
        machine = StepMachine(config, memory=MEMORY_BYTES, scratch_words=config.scratch_words)
        batch = case.micro_batch * case.micro_batches
        settings = Settings(seed=case.seed, batch_size=batch, micro_batch=case.micro_batch)
        self.pair = Pair(case.network, settings, config, machine)
        self.order = Interleaving(machine, case.seed)
        self.start = self.pair.golden.state()
        self.batch = batches(case)[0]
        self.pair.golden.train_step(*self.batch, case.bits, RATE)
        self.expected = self.pair.golden.network.weights_sha256()

    def ends_well(self, seed: int) -> bool:
        """Whether the order that ``seed`` draws ends with the golden bits."""
        trainer = self.pair.trainer
        trainer.load_state(*self.start)
        self.order.draw = random.Random(seed)
        try:
            trainer.train_step(*self.batch, self.case.bits, RATE)
        except (ArithmeticError, ContractError, ValueError):
            return False
        trainer.fetch()
        return trainer.network.weights_sha256() == self.expected

    def waits(self) -> list[Dropped]:
        """All waits of the lists that the step runs."""
        programs, lists = self.pair.trainer.programs, self.pair.trainer.lists
        names = {name for name in lists if programs.named(name, self.case.bits[0]) == name}
        return [
            Dropped(words, at // WORD_BYTES, which)
            for name in sorted(names - {"prepare", "evaluate"})
            for words in (lists[name],)
            for at in range(0, len(words), WORD_BYTES)
            for which in WAITS
            if decode(words[at : at + WORD_BYTES]).values.get(f"wait{which}_engine")
        ]


def drawn(rng: random.Random) -> Case:
    """A small network and what trains it."""
    return Case(
        width=rng.choice((4, 6)),
        wide=rng.choice((4, 8)),
        micro_batch=rng.choice((1, 2)),
        micro_batches=rng.choice((1, 2, 3)),
        bits=(rng.randint(2, 8), rng.randint(4, 8)),
        before=0,
        steps=1,
        stall=0.0,
        seed=rng.getrandbits(16),
        kind=rng.choice(list(KINDS)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 1 if an order ends otherwise."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step.orders", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="orders (1000)")
    parser.add_argument("--drop", type=int, default=0, metavar="N", help="waits to drop, one at a time (0)")
    parser.add_argument("--preset", default="tiny", help="array configuration (tiny)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset, STEP)
    except ContractError as error:
        parser.error(str(error))
    rng, begun = random.Random(options.seed), time.monotonic()
    wrong = done = seen = dropped = networks = 0
    while done < options.count or dropped < options.drop:
        orders = Orders(drawn(rng), config)
        networks += 1
        for _ in range(min(EACH, options.count - done)):
            seed = rng.getrandbits(32)
            done += 1
            if not orders.ends_well(seed):
                wrong += 1
                print(f"{orders.case}, order {seed}: other bits", flush=True)
        waits = orders.waits()
        for lacking in rng.sample(waits, min(len(waits), EACH // 4, options.drop - dropped)):
            orders.order.dropped = lacking
            dropped += 1
            seen += not all(orders.ends_well(rng.getrandbits(32)) for _ in range(TRIES))
    print(
        f"{done} orders of {networks} networks on {config.name}: {done - wrong} with the golden bits, "
        f"{wrong} without ({time.monotonic() - begun:.0f} s)"
    )
    if dropped:
        print(f"{dropped} waits dropped: {seen} seen in at most {TRIES} orders each")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
