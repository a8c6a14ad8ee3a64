"""How fast a step is simulated: compiled RTL, the model with data, its cycles alone.

``python -m cpt.sim.step.speed``: processor time of the same step in each, and cycles of the machine a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

from cpt.host.fabric import Device, FabricTrainer
from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import STEP
from cpt.sim.memory import MEMORY_MODELS
from cpt.sim.step.compare import estimated
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.observed import Observed
from cpt.sim.step.rtl import MEMORY_BYTES, RATE, Case, batches

RTL, DATA, CYCLES = "compiled RTL", "model, data", "model, cycles"


def measured(config: ArrayConfig, memory: str, case: Case) -> tuple[int, dict[str, float]]:
    """Cycles of a step on the RTL, and seconds of a processor that each simulator takes for it."""

    def trainer(device: Device) -> FabricTrainer:
        batch = case.micro_batch * case.micro_batches
        return FabricTrainer(
            device,
            config,
            case.network(),
            batch_size=batch,
            micro_batch=case.micro_batch,
            scratch_words=config.scratch_words,
        )

    def step(trained: FabricTrainer) -> None:
        trained.train_step(*batches(case)[0], case.bits, RATE)

    seconds = {}
    machine = trainer(StepMachine(config, memory=MEMORY_BYTES, scratch_words=config.scratch_words))
    seconds[DATA] = _seconds(lambda: step(machine))
    with Observed(config, memory_bytes=MEMORY_BYTES, memory=memory) as device:
        beside = trainer(device)
        device.seen(beside.lists)
        both = _seconds(lambda: step(beside))
        seen = device.seen(beside.lists)
    # The model runs beside the RTL.
    seconds[RTL] = both - seconds[DATA]
    seconds[CYCLES] = _seconds(lambda: estimated(config, memory, beside, seen, case.bits))
    return sum(one.cycles for one in seen), seconds


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each simulator; status 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step.speed", description=__doc__)
    parser.add_argument("--preset", default="tiny", help="array configuration (tiny)")
    parser.add_argument("--memory", default="ps-ddr", choices=MEMORY_MODELS, help="memory model (ps-ddr)")
    parser.add_argument("--width", type=int, default=16, help="channels of the first layer (16)")
    parser.add_argument("--wide", type=int, default=32, help="channels of the others (32)")
    parser.add_argument("--images", type=int, default=4, help="of the step (4)")
    parser.add_argument("--fw", type=int, default=8, metavar="BITS", help="default: 8")
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="default: 8")
    parser.add_argument("--json", action="store_true", help="the result as one line")
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset, STEP)
    except ValueError as error:
        parser.error(str(error))
    bits = options.fw, options.bw
    case = Case(options.width, options.wide, options.images, 1, bits, before=0, steps=1, stall=0.0, seed=1)
    cycles, seconds = measured(config, options.memory, case)
    rows = [
        {
            "simulator": name,
            "seconds": taken,
            "cycles_per_second": cycles / taken,
            "ratio": seconds[RTL] / taken,
        }
        for name in (RTL, DATA, CYCLES)
        for taken in (seconds[name],)
    ]
    if options.json:
        print(json.dumps({"preset": config.name, "cycles": cycles, "rows": rows}))
        return 0
    print(
        f"a step of {cycles:,} cycles on {config.name} at {options.fw} x {options.bw} bits, {options.memory}"
    )
    for row in rows:
        speed = f"{row['cycles_per_second']:12,.0f} cycles a second"
        print(f"{row['simulator']:<14}{row['seconds']:8.2f} s {speed}, {row['ratio']:.1f} times the RTL")
    return 0


if __name__ == "__main__":
    sys.exit(main())
