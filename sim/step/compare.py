"""Cycles of a step's lists on the RTL beside the estimate: ``python -m cpt.sim.step.compare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cpt.host.compiler.network import compiled
from cpt.host.fabric import FabricTrainer
from cpt.hw.contract import preset
from cpt.hw.contract.step import WORD_BYTES, Code, decode
from cpt.sim.memory import memory_model
from cpt.sim.step.__main__ import rows
from cpt.sim.step.beside import Beside
from cpt.sim.step.costs import Costs
from cpt.sim.step.rtl import MEMORY_BYTES, RATE, SCRATCH_WORDS, Case, batches, network
from cpt.sim.step.state import Slot
from cpt.sim.step.timeline import Timeline

PRESET, MEMORY = "tiny", "ps-ddr"


class Timed(Beside):
    """The same, a list at a time: ``cycles`` by the offset of the list that RUN named."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cycles: dict[int, int] = {}

    def ring(self, words: bytes) -> None:
        """Queue words and wait for their end."""
        begun = self.backend.simulation.cycle
        super().ring(words)
        found = [decode(words[at : at + WORD_BYTES]) for at in range(0, len(words), WORD_BYTES)]
        self.wait(found[-1].tag)
        for word in found:
            if word.code is Code.RUN:
                self.cycles[word.offset] = self.backend.simulation.cycle - begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each list."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step.compare", description=__doc__)
    parser.add_argument("--width", type=int, default=4, help="channels of the first layer (4)")
    parser.add_argument("--wide", type=int, default=8, help="channels of the others (8)")
    parser.add_argument("--images", type=int, default=4, help="images of a micro-batch (4)")
    parser.add_argument("--fw", type=int, nargs="+", default=[3, 8], metavar="BITS", help="default: 3 8")
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="default: 8")
    options = parser.parse_args(arguments)
    config = preset(PRESET)
    model = memory_model(MEMORY, config.clock_mhz)
    net = network(options.width, options.wide, seed=1)
    programs = compiled(config, net, images=options.images, micro_batches=1, scratch_words=SCRATCH_WORDS)
    slots: dict[int, Slot] = {}
    beats = model.slots_num / model.slots_den
    timeline = Timeline(Costs(config, slots), memory_bytes=8 * beats, latency=model.read_latency_cycles)
    print(
        f"simulated cycles of a list: {PRESET}, {MEMORY} at {config.clock_mhz:g} MHz, {options.images} images"
    )
    print("     list   x bits        RTL   estimate")
    for fw in options.fw:
        case = Case(options.width, options.wide, options.images, 1, (fw, options.bw), 0, 1, 0.0, seed=1)
        device = Timed(config, memory_bytes=MEMORY_BYTES, scratch_words=SCRATCH_WORDS, memory=MEMORY)
        with device:
            trainer = FabricTrainer(
                device,
                config,
                network(options.width, options.wide, seed=1),
                batch_size=options.images,
                micro_batch=options.images,
                scratch_words=SCRATCH_WORDS,
            )
            trainer.train_step(*batches(case)[0], case.bits, RATE)
            starts = dict(zip(trainer.lists, _starts(trainer), strict=True))
            for row in rows(timeline, programs, 1, slots, case.bits):
                cycles, estimate = device.cycles[starts[row.name]], row.timing.cycles
                share = 100 * (estimate - cycles) / cycles
                print(f"{row.name:>9} {row.fw:>2} x {row.bw} {cycles:>10} {estimate:>10} {share:+6.1f} %")
    return 0


def _starts(trainer: FabricTrainer) -> list[int]:
    """Offsets of the lists."""
    sizes = [len(words) for words in trainer.lists.values()]
    return [sum(sizes[:n]) for n in range(len(sizes))]


if __name__ == "__main__":
    sys.exit(main())
