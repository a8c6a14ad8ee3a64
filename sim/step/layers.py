"""Convolutions of known networks, all passes: ``python -m cpt.sim.step.layers``.

Each stands in a network of its own, behind a convolution that makes its input and before one that leaves few
channels to pool: one training step multiplies it forward, for the errors of its input and for its gradient. A
stem takes images, and has no errors of them.
Parameters, velocities and running statistics must be those of the golden trainer; on the RTL (``--device
rtl``) memory must be that of the exact model too, and the cycles of each list those that the estimate says.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cpt.host.errors import DeviceTimeout
from cpt.host.fabric import Device, FabricTrainer
from cpt.hw.contract import ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import Conv, cifar_resnet, imagenet_resnet, mobilenet_v2
from cpt.model.architecture.layers import Layer as Described
from cpt.model.golden.fabric.network import Block, Layer, Network
from cpt.model.golden.fabric.trainer import Settings
from cpt.sim.memory import Stalls
from cpt.sim.step import TOLERANCE
from cpt.sim.step.compare import estimated
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.observed import Observed
from cpt.sim.step.pair import Pair

MEMORY_BYTES = 1 << 27
CLASSES, RATE = 10, 0.05
PASSES = ("forward", "dW", "dX")
STEM = "stem"
FEW = 4
"""Channels that are pooled."""
MEMORY = "ps-ddr"
DEADLINE_S = 3600.0
"""Of a step on the RTL; of wide layers half an hour is not enough beside other work."""
STALLED, STALL = 0.5, 0.2
"""Share of convolutions whose bus stalls on the RTL, and in what share of its cycles."""
NETWORKS: dict[str, Callable[[], Sequence[Described]]] = {
    "resnet20": lambda: cifar_resnet(20).layers,
    "resnet74": lambda: cifar_resnet(74).layers,
    "mobilenetv2": mobilenet_v2,
    "resnet18": lambda: imagenet_resnet(18).layers,
}
"""Whose convolutions they are; ImageNet's stem is not quantised, so the array never sees it."""


@dataclass(frozen=True)
class Drawn:
    """A convolution at a precision, in micro-batches of ``images``."""

    network: str
    conv: Conv
    images: int
    bits: tuple[int, int]
    stall: float
    seed: int

    def __str__(self) -> str:
        c, (fw, bw) = self.conv, self.bits
        kind = "depth-wise " if c.groups > 1 else ""
        return (
            f"{self.network} {c.name}: {kind}{c.in_channels} to {c.out_channels} channels, "
            f"{c.kernel} x {c.kernel}, stride {c.stride}, {c.height} x {c.width}, "
            f"{self.images} images, {fw} x {bw} bits"
        )

    @property
    def convolutions(self) -> tuple[Conv, ...]:
        """Of its network: what makes its input, itself, and what takes its output."""
        c = self.conv
        before = Conv("before", 1, c.in_channels, 3, 1, 1, c.height, c.width)
        after = Conv("after", c.out_channels, FEW, 1, 1, 0, c.out_height, c.out_width)
        return (c, after) if c.name.startswith(STEM) else (before, c, after)

    @property
    def passes(self) -> int:
        """Of the convolution, in a step."""
        return len(PASSES) if len(self.convolutions) > 2 else len(PASSES) - 1

    def described(self) -> Network:
        """What it trains in."""
        blocks = tuple(
            Block(conv.name, (Layer(index, conv.name, f"{conv.name}_norm", conv),))
            for index, conv in enumerate(self.convolutions)
        )
        channels = self.convolutions[0].in_channels
        numbers = np.full(channels, 1 / 64, np.float32), np.full(channels, -2, np.float32)
        return Network(blocks, CLASSES, *numbers, self.seed)

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Images of noise, and labels."""
        rng = np.random.default_rng(self.seed)
        shape = (self.images, self.conv.height, self.conv.width, self.convolutions[0].in_channels)
        return rng.integers(0, 256, shape, np.uint8), rng.integers(0, CLASSES, self.images)


def convolutions(names: Sequence[str]) -> list[tuple[str, Conv]]:
    """Every shape once, with the first network that has it."""
    found: dict[Conv, tuple[str, Conv]] = {}
    for name in names:
        for layer in NETWORKS[name]():
            if isinstance(layer, Conv) and layer.quantised:
                found.setdefault(replace(layer, name=""), (name, layer))
    return list(found.values())


def train(drawn: Drawn, config: ArrayConfig, device: Device) -> FabricTrainer:
    """A step on ``device``; `AssertionError` with the array that is not the golden trainer's."""
    settings = Settings(seed=drawn.seed, batch_size=drawn.images, micro_batch=drawn.images)
    pair = Pair(drawn.described, settings, config, device)
    pair.begin()
    pair.train_step(drawn.batch(), drawn.bits, RATE)
    return pair.trainer


def on_model(drawn: Drawn, config: ArrayConfig, deadline_s: float = 0) -> str:
    """The step on the exact model, which counts no cycles and waits for nothing."""
    train(drawn, config, StepMachine(config, memory=MEMORY_BYTES, scratch_words=config.scratch_words))
    return "exact"


def on_rtl(drawn: Drawn, config: ArrayConfig, deadline_s: float = DEADLINE_S) -> str:
    """The step on the RTL; `AssertionError` too for a list that takes other cycles than the estimate."""
    stalls = Stalls(drawn.stall, drawn.seed) if drawn.stall else None
    options = {"memory": MEMORY, "stalls": stalls, "deadline_s": deadline_s}
    with Observed(config, memory_bytes=MEMORY_BYTES, **options) as device:
        trainer = train(drawn, config, device)
        seen = device.seen(trainer.lists)
    taken = "exact; " + ", ".join(f"{one.name} {one.cycles:,} cycles" for one in seen)
    if stalls:
        return f"{taken}, with stalls"
    lists = estimated(config, MEMORY, trainer, seen, drawn.bits)
    found = f"{taken}; estimate {' and '.join(f'{one.difference:+.1f}' for one in lists)} %"
    if any(abs(one.difference) > 100 * TOLERANCE for one in lists):
        raise AssertionError(f"{found}; allowed: {100 * TOLERANCE:g} %")
    return found


DEVICES = {"model": on_model, "rtl": on_rtl}


def draw(options: argparse.Namespace) -> Iterator[Drawn]:
    """Every convolution once, or ``count`` of them; everything else by the seed."""
    rng = random.Random(options.seed)
    every = convolutions(options.networks)
    for name, conv in rng.sample(every, options.count) if options.count else every:
        yield Drawn(
            name,
            conv,
            options.images,
            (rng.randint(3, 8), rng.randint(4, 8)),
            STALL if rng.random() < STALLED else 0.0,
            rng.getrandbits(16),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each; 1 if one differs, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m cpt.sim.step.layers", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--preset", default="zc706", help="array configuration (zc706)")
    parser.add_argument("--device", default="model", choices=DEVICES)
    parser.add_argument("--images", type=int, default=2, metavar="N", help="of the step (2)")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="drawn ones (0: every shape)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--from", dest="first", type=int, default=1, metavar="N", help="begin with the Nth (1)"
    )
    parser.add_argument(
        "--deadline", type=float, default=DEADLINE_S, metavar="S", help=f"of a step on RTL ({DEADLINE_S:g} s)"
    )
    options = parser.parse_args(arguments)
    try:
        config = preset(options.preset, STEP)
    except ContractError as error:
        parser.error(str(error))
    exact, passes, refused, differ = 0, 0, 0, 0
    if options.device == "rtl":
        print(
            f"simulated cycles of a step's lists: {config.name} at {config.clock_mhz:g} MHz, memory {MEMORY}"
        )
    for drawn in itertools.islice(draw(options), options.first - 1, None):
        begun = time.monotonic()
        try:
            found = DEVICES[options.device](drawn, config, options.deadline)
            exact += 1
            passes += drawn.passes
        except ContractError as error:
            found = f"refused: {error}"
            refused += 1
        except (AssertionError, DeviceTimeout) as error:
            found = " ".join(str(error).split())
            differ += 1
        print(f"{drawn}: {found} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(
        f"{exact} convolutions, {passes} passes ({', '.join(PASSES)}) exact on the "
        f"{options.device} of {config.name}; {refused} refused, {differ} differ"
    )
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
