"""Check software and accelerator step by step: versions, who answers, whether it trains correctly.

What is missing and not needed here is marked with dashes, and what it costs is said.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from cpt.devices import DEVICES, check_device, device_name, open_accelerator
from cpt.host.board import CHECKED_S
from cpt.host.config import TrainConfig, settled
from cpt.host.errors import DeviceError
from cpt.host.step_device import StepDevice
from cpt.host.trainer import Machine
from cpt.hw.contract import CONTRACT_HASH, PRESETS, preset
from cpt.hw.contract.config import MAX_BITS
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.progress import note
from cpt.software import PARTS
from cpt.table import paragraph
from cpt.trainers import golden_trainer, of_device

if TYPE_CHECKING:
    from cpt.host.driver import Accelerator

STEPS = ((2, 4), (3, 8), (8, 8), (7, 16), (16, 16))
"""Bits (fw, bw) of the training steps."""
DEPTH, WIDTH, SIZE, CLASSES, IMAGES, RATE = 8, 4, 8, 10, 4, 0.05
"""Of the network that it trains, its images, and the learning rate."""
TIMED_S = 2 * CHECKED_S
"""Wall time that they are repeated for, so that it can be read beside the cycle counter."""
CONTIGUOUS_BYTES = 16 << 20
"""About what a step of ResNet-20 on CIFAR needs for its operands and results."""
Check = tuple[str, str]
"""What was looked at, and what was found."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt doctor``."""
    parser.add_argument(
        "--device", type=device_name, default="fast", metavar="NAME", help=f"{', '.join(DEVICES)}"
    )
    parser.add_argument("--preset", default="tiny", metavar="NAME", help=f"array: {', '.join(PRESETS)}")
    parser.add_argument("--bitfile", metavar="PATH", help="bitstream of the board, .hwh beside it")
    parser.add_argument("--json", action="store_true", help="the findings as one line")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; the first fault ends it with one line and exit status 2."""
    check_device(arguments.device)
    preset(arguments.preset)
    found: list[Check] = []
    for what, value in findings(arguments):
        found.append((what, value))
        if not arguments.json:
            mark = "--" if value.startswith("missing: ") else "ok"
            print(paragraph(f"{mark}  {what:20} {value}", " " * 25), flush=True)
    if arguments.json:
        print(json.dumps(dict(found)))
    return 0


def findings(arguments: argparse.Namespace) -> Iterator[Check]:
    """Every check in turn; raises `cpt.host.errors.HostError` at the first fault."""
    yield "Python", f"{platform.python_version()} on {platform.machine()}"
    yield "numpy", np.__version__
    for part in PARTS:
        yield part.name, part.look() or part.absence()
    if arguments.device == "rtl":
        note(arguments, "compiling the RTL where it has not been: about a minute for preset tiny")
    yield "pynq", metadata.version("pynq")
    yield "contract", f"{CONTRACT_HASH:016x}"
    with open_accelerator(arguments.device, arguments.preset, "ps-ddr", arguments.bitfile) as accelerator:
        config = accelerator.config
        yield "device", f"{arguments.device}, build {accelerator.ip.read('BUILD_ID'):08x}"
        yield "array", f"{config.name}: {config.rows} x {config.word_bits} x {config.cols}"
        yield "fabric clock", f"{accelerator.clock_mhz:g} MHz"
        accelerator.free(accelerator.allocate((CONTIGUOUS_BYTES,), np.uint8))
        yield "contiguous memory", f"{CONTIGUOUS_BYTES >> 20} MiB"
        yield from _steps(accelerator, timed=arguments.device == "board")


def _steps(accelerator: Accelerator, timed: bool) -> Iterator[Check]:
    """Training steps of a small network beside the golden functions; `DeviceError` if a weight differs."""
    described = cifar_resnet(DEPTH, CLASSES, SIZE, 1, WIDTH)
    factor, offset = np.full(1, 1 / 64, np.float32), np.full(1, -2, np.float32)
    device = StepDevice(accelerator)
    config = settled(TrainConfig(batch_size=IMAGES, fw=(MAX_BITS, MAX_BITS), bw=MAX_BITS))
    makers: list[Callable[[Network, TrainConfig], Machine]] = [
        of_device(device, accelerator.config),
        golden_trainer,
    ]
    machine, golden = (make(Network.residual(described, factor, offset), config) for make in makers)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 1 << 8, (IMAGES, SIZE, SIZE, 1), np.uint8)
    labels = rng.integers(0, CLASSES, IMAGES)
    for bits in STEPS:
        for trainer in (machine, golden):
            trainer.train_step(images, labels, bits, RATE)
        found, expected = machine.state()[0], golden.state()[0]
        wrong = sum(int((found[name] != value).sum()) for name, value in expected.items())
        count = sum(value.size for value in expected.values())
        what = f"step at {bits[0]} x {bits[1]} bits"
        if wrong:
            raise DeviceError(f"{wrong} of {count} numbers are wrong after a {what}")
        yield what, f"{described.name}, {IMAGES} images, all {count:,} numbers exact"
    if timed:
        while accelerator.wall.seconds < TIMED_S:
            machine.train_step(images, labels, STEPS[-1], RATE)
            device.counters()
        yield "clocks", accelerator.wall.check(accelerator.clock_mhz)
