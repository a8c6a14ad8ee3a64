"""What the host does in a training step, in Arm instructions, beside what the machine takes for the step.

    sudo apt install qemu-user debootstrap gcc
    sudo .venv/bin/python tests/arm_instructions.py

Emulated (`armhf.py`, as a Cortex-A9) and counted (`count_instructions.c`): all that a board without PYNQ's
image does for a step of a run, by the code that runs there: `Trainer`, `FabricTrainer`, `StepDevice`, the
driver, pynq's MMIO and buffers, `LinuxDevice`. In place of the board are files (`linux_board.py`), whose
registers and memory are mapped as the board's are. The registers say that all work is done, so a wait asks
once: waiting is not counted, and the machine's time is the forecast's. Programs are the network's, compiled
here, since the host's steps only name them. Images are random bytes.

Not counted: what the kernel does, above all for lines of the caches; its calls are, in a line of their own.
Exit status 1 if the host's instructions take more than ``--most`` percent of a step.
"""

import argparse
import itertools
import json
import os
import pickle
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arm_steps import BOARD, GIVEN, SPLIT, WARM
from armhf import FOLDER, ROOT, emulated_python, end, run
from linux_board import DEVICE, bit_file, board, bus_words

from cpt.host.compiler.network import compiled
from cpt.host.config import TrainConfig, resnet_depth
from cpt.host.data import Dataset, Images
from cpt.hw.contract import REGISTERS, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.hw.contract.handoff import REGISTER_BASE, REGISTER_BYTES
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import memory_model
from cpt.sim.registers import RegisterFile
from cpt.sim.step.forecast import Forecast

CLOCK_HZ, A_CYCLE = 667e6, 0.5
"""Of a Cortex-A9 on a Zynq-7000, and the instructions that it does in a cycle: an assumption."""
CLASSES, SHAPE = 10, (32, 32, 3)
BITS = ((3, 8), (8, 8))
"""Precisions whose steps the host's instructions stand beside."""
BUFFER_BYTES = 1 << 27
"""The u-dma-buf, as docs/board.md has it loaded."""
TAG = (1 << 31) - 1
"""A DONE_TAG that is behind every tag of a short run."""
NEW_INTERFACE = 9
"""First major version of qemu whose interface of plugins has the number 2."""


@dataclass(frozen=True)
class Mark:
    """What had been executed when a mark was made."""

    name: str
    instructions: int
    calls: int
    """System calls."""


def marks(names: list[str], log: str) -> list[Mark]:
    """The marks ``names`` with the lines of the counter; raises `ValueError` unless each has one."""
    return [
        Mark(name, *(int(number) for number in line.split()))
        for name, line in zip(names, log.splitlines(), strict=True)
    ]


def stretch(found: list[Mark], first: str) -> list[Mark]:
    """From the mark ``first`` to the next that is neither begin (``+``) nor end (``-``) of a part."""
    start = next(index for index, mark in enumerate(found) if mark.name == first)
    end = next(index for index in range(start + 1, len(found)) if found[index].name[0] not in "+-")
    return found[start : end + 1]


def instructions(found: list[Mark], first: str) -> int:
    """Of a stretch."""
    part = stretch(found, first)
    return part[-1].instructions - part[0].instructions


def of_parts(found: list[Mark], first: str) -> Counter[str]:
    """Instructions of each part in a stretch; what one part calls of another is the other's.

    Those of a mark, as long as from the mark ``idle`` to the next, are not in them.
    """
    of_mark = instructions(found, "idle")
    taken: Counter[str] = Counter()
    inside: list[str] = []
    for before, mark in itertools.pairwise(stretch(found, first)):
        if inside:
            taken[inside[-1]] += mark.instructions - before.instructions - of_mark
        if mark.name[0] == "+":
            inside.append(mark.name[1:])
        elif mark.name[0] == "-":
            inside.pop()
    return taken


def plugin() -> Path:
    """The counter, compiled for the qemu at hand."""
    major = re.search(r"version (\d+)\.", run("qemu-arm", "--version"))
    interface = 2 if major and int(major[1]) >= NEW_INTERFACE else 1
    library = FOLDER / "count_instructions.so"
    options = ("-shared", "-fPIC", "-O2", f"-DPLUGIN_API={interface}", "-o", library)
    run("cc", *options, ROOT / "tests" / "count_instructions.c")
    return library


def lay_out(folder: Path, config: TrainConfig, array: ArrayConfig, network: Network, steps: int) -> None:
    """What `arm_steps.py` takes from ``folder``: images, programs, a board that has done all."""
    rng = np.random.default_rng(config.seed)

    def images(count: int) -> Images:
        pixels = rng.integers(0, 256, (count, *SHAPE)).astype(np.float32)
        return Images(pixels, np.arange(count) % CLASSES)

    data = Dataset("random", images(steps * config.batch_size), images(config.micro_batch), CLASSES)
    programs = compiled(
        array,
        network,
        images=config.micro_batch,
        micro_batches=config.batch_size // config.micro_batch,
        scratch_words=array.scratch_words,
        momentum=config.momentum,
        decay=config.weight_decay,
        widest=config.widest,
    )
    (folder / GIVEN).write_bytes(pickle.dumps((config, data, programs)))
    bit_file(folder, array)
    root = board(folder / BOARD, BUFFER_BYTES)
    np.memmap(root / DEVICE, np.float32, "r+")[:] = rng.standard_normal(BUFFER_BYTES // 4, np.float32)
    registers = RegisterFile(array)
    registers["DONE_TAG"] = TAG
    words = bus_words(root, REGISTER_BASE, REGISTER_BYTES)
    for item in REGISTERS:
        words[item.offset // 4] = registers[item.name]


def count(folder: Path, python: Path, counter: Path) -> tuple[list[Mark], str]:
    """Marks of the steps, emulated, and the versions that ran."""
    log = folder / "marks.log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
        "QEMU_CPU": "cortex-a9",
        "QEMU_PLUGIN": f"file={counter}",
        "QEMU_LOG": "plugin",
        "QEMU_LOG_FILENAME": str(log),
    }
    said = json.loads(run(python, ROOT / "tests" / "arm_steps.py", folder, env=environment, cwd=folder))
    return marks(said["marks"], log.read_text()), said["versions"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet74", help="network (default: resnet74)")
    parser.add_argument("--preset", default="zc706", help="array (default: zc706)")
    for name, value, text in (
        ("batch-size", 128, "images of a step"),
        ("micro-batch", 16, "images of a micro-batch"),
        ("max-shift", 4, "pixels by which images are moved"),
        ("steps", 4, "steps that are counted as one"),
        ("most", 20, "percent of a step that the host may take"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, metavar="N", help=f"{text} (default: {value})"
        )
    options = parser.parse_args()
    python = emulated_python(cc="gcc")
    steps = WARM + options.steps + SPLIT
    try:
        array = preset(options.preset, STEP)
        config = TrainConfig(
            model=options.model,
            fw=(max(BITS)[0],) * 2,
            bw=max(BITS)[1],
            steps=steps,
            batch_size=options.batch_size,
            micro_batch=options.micro_batch,
            max_shift=options.max_shift,
        )
        layers = cifar_resnet(resnet_depth(config.model), CLASSES, SHAPE[:2], SHAPE[2], config.width)
        network = Network.residual(layers, *np.ones((2, SHAPE[2]), np.float32))
        forecast = Forecast(array, memory_model("ps-ddr", array.clock_mhz), network, config)
    except ContractError as error:
        end(str(error))
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        lay_out(Path(scratch), config, array, network, steps)
        found, versions = count(Path(scratch), python, plugin())

    drawing = instructions(found, "draw") // steps
    counted = stretch(found, "counted")
    step = (counted[-1].instructions - counted[0].instructions) // options.steps
    split = of_parts(found, "same")
    total = drawing + step
    print(f"{options.model}, {config.batch_size} images in micro-batches of {config.micro_batch}, {versions}")
    rest = step - sum(split.values())
    for name, taken in (("images of the batch", drawing), *split.most_common(), ("the rest", rest)):
        print(f"{taken:>12,}  {100 * taken / total:4.1f} %  {name}")
    other = instructions(found, "other") - instructions(found, "same")
    print(f"{total:>12,}  instructions a step; {other:,} more where the precision changes")
    print(f"{(counted[-1].calls - counted[0].calls) // options.steps:>12,}  system calls, not counted")
    seconds = total / (A_CYCLE * CLOCK_HZ)
    print(f"{1e3 * seconds:12.1f}  ms at {A_CYCLE:g} instructions a cycle of {CLOCK_HZ / 1e6:g} MHz")
    shares = []
    for fw, bw in BITS:
        machine = forecast.trained((fw, bw)).total / (array.clock_mhz * 1e6)
        shares.append(100 * seconds / machine)
        print(f"{1e3 * machine:12.1f}  ms of the machine at {fw} x {bw} bits: {shares[-1]:.1f} %")
    return int(max(shares) > options.most)


if __name__ == "__main__":
    sys.exit(main())
