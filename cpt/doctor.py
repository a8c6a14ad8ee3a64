"""Check software and accelerator step by step: versions, who answers, whether it multiplies correctly.

What is missing and not needed here is marked with dashes, and what it costs is said.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from cpt.devices import DEVICES, check_device, device_name, open_accelerator
from cpt.host.engine import GemmEngine, GemmShape
from cpt.host.errors import DeviceError
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT, PrecisionSlots
from cpt.hw.contract import CONTRACT_HASH, PRESETS, preset
from cpt.hw.contract.config import MAX_BITS
from cpt.model.golden import int_matmul
from cpt.progress import note
from cpt.software import PARTS
from cpt.table import paragraph

if TYPE_CHECKING:
    from cpt.host.driver import Accelerator

BITS = ((1, 1), (3, 8), (8, 8), (7, 16), (16, 16))
CONTIGUOUS_BYTES = 16 << 20
"""About what a step of ResNet-20 on CIFAR needs for its operands and results."""
TIMED = (512, 1024, 576)
"""Product that keeps the array busy for milliseconds, so that the wall clock can be read beside it."""
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
        for bits_a, bits_b in BITS:
            shape = (config.rows + 1, config.cols + 1, 3 * config.word_bits + 5)
            yield f"product {bits_a} x {bits_b} bits", _multiply(accelerator, shape, bits_a, bits_b)
        if arguments.device == "board":
            _multiply(accelerator, TIMED, MAX_BITS, MAX_BITS)
            yield "clocks", accelerator.wall.check(accelerator.clock_mhz)


def _multiply(accelerator: Accelerator, size: tuple[int, int, int], bits_a: int, bits_b: int) -> str:
    """Multiply random codes and compare with exact integers; `DeviceError` if one differs."""
    m, n, k = size
    slots = PrecisionSlots({FORWARD_SLOT: bits_a, BACKWARD_SLOT: bits_b}, accelerator.set_slot)
    slots.set(FORWARD_SLOT, bits_a)
    slots.set(BACKWARD_SLOT, bits_b)
    engine = GemmEngine(accelerator, slots)
    shape = GemmShape(m, n, k, FORWARD_SLOT, BACKWARD_SLOT)
    engine.reserve(shape)
    rng = np.random.default_rng(bits_a * 32 + bits_b)
    a = rng.integers(0, 1 << bits_a, (m, k)).astype(np.uint16)
    b = rng.integers(0, 1 << bits_b, (n, k)).astype(np.uint16)
    wrong = int((engine.run(shape, a, b, "doctor").values != int_matmul(a, b)).sum())
    if wrong:
        raise DeviceError(f"{wrong} of {m * n} results of {shape.name} at {bits_a} x {bits_b} bits are wrong")
    return f"{m} x {n} x {k}, all {m * n:,} results exact"
