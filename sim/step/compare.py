"""Cycles of a step's lists on the RTL beside the model's: ``python -m cpt.sim.step.compare``."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cpt.host.compiler.network import OF_FEW, of_step
from cpt.host.fabric import FabricTrainer, precision_slots
from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import STEP
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.sim.step.called import called
from cpt.sim.step.forecast import timeline
from cpt.sim.step.observed import Observed, SeenList
from cpt.sim.step.rtl import MEMORY_BYTES, RATE, Case, batches
from cpt.sim.step.state import Slot
from cpt.sim.step.timeline import Timing


@dataclass(frozen=True)
class Compared:
    """A list on the RTL and in the model."""

    seen: SeenList
    timing: Timing

    @property
    def difference(self) -> float:
        """Of the model's cycles, in percent of the RTL's."""
        return 100 * (self.timing.cycles - self.seen.cycles) / self.seen.cycles

    def rows(self) -> Iterator[str]:
        """A line for each instruction: when it was pushed, taken, and done with its first and last unit."""
        pairs = zip(self.seen.instructions, self.timing.moments, strict=True)
        for number, (seen, moment) in enumerate(pairs):
            rtl = (seen.pushed, seen.taken, seen.marks[0], seen.marks[-1])
            model = (moment.pushed, moment.taken, moment.first, moment.ended)
            took = moment.ended - moment.taken - (seen.marks[-1] - seen.taken)
            columns = " ".join(f"{cycle:>8}" for cycle in (*rtl, *model))
            yield f"{number:>5} {called(seen.word):<18} {columns} {took:>+6}  {moment.why}"


def compared(config: ArrayConfig, memory: str, case: Case) -> list[Compared]:
    """The lists of a step of ``case`` in the order in which they ran."""
    net = case.network()
    with Observed(config, memory_bytes=MEMORY_BYTES, memory=memory) as device:
        trainer = FabricTrainer(
            device,
            config,
            net,
            batch_size=case.micro_batch * case.micro_batches,
            micro_batch=case.micro_batch,
            scratch_words=config.scratch_words,
        )
        device.seen(trainer.lists)
        trainer.train_step(*batches(case)[0], case.bits, RATE)
        return estimated(config, memory, trainer, device.seen(trainer.lists), case.bits)


def estimated(
    config: ArrayConfig, memory: str, trainer: FabricTrainer, seen: Sequence[SeenList], bits: tuple[int, int]
) -> list[Compared]:
    """Lists of ``trainer`` that ran on the RTL at ``bits``, with what the model says of each."""
    slots = {
        slot: Slot(width, signed) for slot, (width, signed) in precision_slots(trainer.network, *bits).items()
    }
    times = timeline(config, memory_model(memory, config.clock_mhz), slots)
    return [Compared(one, times.run(trainer.lists[one.name])) for one in seen]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each list, or for each instruction of one; status 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step.compare", description=__doc__)
    parser.add_argument("--preset", default="tiny", help="array configuration (tiny)")
    parser.add_argument("--memory", default="ps-ddr", choices=MEMORY_MODELS, help="memory model (ps-ddr)")
    parser.add_argument("--width", type=int, default=4, help="channels of the first layer (4)")
    parser.add_argument("--wide", type=int, default=8, help="channels of the others (8)")
    parser.add_argument("--images", type=int, nargs="+", default=[4], help="images of a micro-batch (4)")
    parser.add_argument("--fw", type=int, nargs="+", default=[3, 8], metavar="BITS", help="default: 3 8")
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="default: 8")
    parser.add_argument(
        "--instructions",
        choices=set(itertools.chain(*of_step(1))),
        metavar="LIST",
        help=f"each instruction of a list: {' or '.join(itertools.chain(*of_step(1)))}",
    )
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset, STEP)
    except ValueError as error:
        parser.error(str(error))
    print(f"simulated cycles of a list: {config.name}, {options.memory} at {config.clock_mhz:g} MHz")
    if options.instructions:
        names = ("pushed", "taken", "first", "last")
        print(f"{'':>24} {'RTL':^35} {'model':^35}   took")
        print(f"{'':>24} {' '.join(f'{name:>8}' for name in names * 2)}  +model  waited for")
    else:
        print("          list images   x bits        RTL      model")
    for images in options.images:
        for fw in options.fw:
            case = Case(options.width, options.wide, images, 1, (fw, options.bw), 0, 1, 0.0, seed=1)
            for found in compared(config, options.memory, case):
                name, cycles = found.seen.name.removesuffix(OF_FEW), found.seen.cycles
                if options.instructions == name:
                    print(f"{name}, {images} images, {fw} x {options.bw} bits")
                    print("\n".join(found.rows()))
                elif not options.instructions:
                    print(
                        f"{name:>14} {images:>6} {fw:>3} x {options.bw} {cycles:>10} "
                        f"{found.timing.cycles:>10} {found.difference:+6.1f} %"
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
