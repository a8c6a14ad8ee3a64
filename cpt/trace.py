"""A timeline of a training step's lists: what each engine did in every cycle, and what it waited for."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpt.command_line import check_range
from cpt.host.config import TrainConfig, settled
from cpt.hw.contract import PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.files import check_writable, write_atomically
from cpt.model.run_config import LARGEST
from cpt.progress import note
from cpt.sim.memory import MEMORY_MODELS, memory_model
from cpt.sim.step.trace import BUSY, IDLE, OWN, STATES, UNDER_WAY
from cpt.table import align, paragraph
from cpt.trace_files import events, fitted, picture
from cpt.trace_lists import Step, Traced

MODEL, RTL = "model", "rtl"
DEFAULTS = {
    MODEL: {"preset": "zc706", "size": 32, "width": 16, "micro_batch": 4},
    RTL: {"preset": "tiny", "size": 8, "width": 4, "micro_batch": 2},
}
"""By device: what takes seconds on the model, a minute on the RTL."""
PLAIN = 3
"""Micro-batches, of which one at least does nothing that a step does once."""
FILES = ("trace.json", "trace.html", "trace.svg")
SIZES = (4, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt trace``."""
    parser.add_argument(
        "--model", default="resnet8", metavar="RESNET", help="resnetD with D = 6n+2 (default: resnet8)"
    )
    parser.add_argument(
        "--device", default=MODEL, metavar="NAME", help="model, or rtl: the compiled RTL (default: model)"
    )
    for name, of_model, of_rtl, text in (
        ("width", 16, 4, "channels of the first stage"),
        ("size", 32, 8, "height and width of an image"),
        ("micro-batch", 4, 2, "images of a micro-batch"),
    ):
        parser.add_argument(
            f"--{name}", type=int, metavar="N", help=f"{text} (default: {of_model}; rtl: {of_rtl})"
        )
    parser.add_argument(
        "--batch", type=int, metavar="N", help=f"images of a step (default: {PLAIN} micro-batches)"
    )
    parser.add_argument(
        "--preset", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: zc706; rtl: tiny)"
    )
    parser.add_argument(
        "--memory", default="ps-ddr", metavar="NAME", help=f"{', '.join(MEMORY_MODELS)} (default: ps-ddr)"
    )
    parser.add_argument(
        "--fw", type=int, default=8, metavar="BITS", help="bits of weights and activations (default: 8)"
    )
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="bits of gradients (default: 8)")
    parser.add_argument(
        "--list",
        nargs="+",
        dest="lists",
        metavar="NAME",
        help="lists of a step, such as 'first forward' (default: a plain one of each direction)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/trace"), metavar="DIR", help="(default: runs/trace)"
    )
    parser.add_argument("--json", action="store_true", help="cycles of each engine as one line")


def run(arguments: argparse.Namespace) -> int:
    """Write the files, print what each engine's cycles were."""
    array, config, size = _asked(arguments)
    for name in FILES:
        check_writable(arguments.out / name)
    step = Step(array, arguments.memory, config, size)
    on_rtl = arguments.device == RTL
    names = step.names(arguments.lists, run_by_step=on_rtl)
    note(arguments, paragraph(_wait(on_rtl, array, names)))
    about = _about(arguments, step)
    lists, page = fitted(list(step.on_rtl(names) if on_rtl else step.modelled(names)), about)
    contents = (events(lists, about), page, picture(lists, about))
    for name, content in zip(FILES, contents, strict=True):
        write_atomically(arguments.out / name, content)
    if arguments.json:
        print(json.dumps({**about, "lists": [_as_dict(one) for one in lists]}))
        return 0
    print(paragraph(f"{about['title']}; {about['machine']}"))
    for one in lists:
        print(f"\n{paragraph(_headline(one, array))}\n{align(_rows(one))}", end="")
    print(f"\nfiles: {', '.join(str(arguments.out / name) for name in FILES)}")
    return 0


def _asked(arguments: argparse.Namespace) -> tuple[ArrayConfig, TrainConfig, int]:
    """Array, step and image size of the options."""
    if arguments.device not in DEFAULTS:
        raise ContractError(f"device is {arguments.device!r}; allowed: {', '.join(DEFAULTS)}")
    for name, value in DEFAULTS[arguments.device].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    array = preset(arguments.preset, STEP)
    memory_model(arguments.memory, array.clock_mhz)
    check_range("size", arguments.size, *SIZES)
    check_range("micro-batch", arguments.micro_batch, 1, LARGEST["batch_size"])
    batch = PLAIN * arguments.micro_batch if arguments.batch is None else arguments.batch
    check_range("batch", batch, 1, LARGEST["batch_size"])
    config = TrainConfig(
        model=arguments.model,
        width=arguments.width,
        fw=(arguments.fw, arguments.fw),
        bw=arguments.bw,
        batch_size=batch,
        micro_batch=arguments.micro_batch,
    )
    return array, settled(config), arguments.size


def _wait(on_rtl: bool, array: ArrayConfig, names: Sequence[str]) -> str:
    if not on_rtl:
        return f"working out {', '.join(names)}: seconds for resnet8, a minute or two for resnet74"
    return (
        f"one step on compiled RTL: {array.name} is compiled first where it has not been (a minute for tiny, "
        "many for zc706); the step takes a minute or more"
    )


def _about(arguments: argparse.Namespace, step: Step) -> dict[str, Any]:
    """What all files say of themselves."""
    config, array = step.config, step.array
    source = "simulated by the model" if arguments.device == MODEL else "simulated, compiled RTL"
    title = (
        f"{config.model} of width {config.width}, images of {step.size} x {step.size} in micro-batches of "
        f"{config.micro_batch}, {config.fw[1]} x {config.bw} bits"
    )
    machine = f"{array.name} array at {array.clock_mhz:g} MHz, memory {arguments.memory}; {source}"
    return {
        "title": title,
        "machine": machine,
        "device": arguments.device,
        "array": array.as_dict(),
        "clock_mhz": array.clock_mhz,
        "memory_model": arguments.memory,
    }


def _headline(traced: Traced, array: ArrayConfig) -> str:
    of = ", ".join(traced.coarse)
    short = f"; of each instruction of {of} work is shown first, then its waits" if of else ""
    return (
        f"{traced.name}: {traced.cycles:,} cycles, {traced.cycles / array.clock_mhz:,.1f} µs, "
        f"{len(traced.labels):,} instructions{short}"
    )


def _rows(traced: Traced) -> list[tuple[str, ...]]:
    """Shares of all cycles, and whom each waits for most."""
    at_work = UNDER_WAY if any(UNDER_WAY in track.sums() for track in traced.tracks) else BUSY
    rows: list[tuple[str, ...]] = [("engine", at_work, "waiting", "latency", "idle", "waits most for")]
    for track in traced.tracks:
        sums = track.sums()
        waits = Counter({what: cycles for what, cycles in sums.items() if what not in STATES})
        shown = (sums[BUSY] + sums[UNDER_WAY], waits.total(), sums[OWN], sums[IDLE])
        most = [f"{what} {_percent(cycles, traced)}" for what, cycles in waits.most_common(2)]
        rows.append((track.name, *(_percent(cycles, traced) for cycles in shown), ", ".join(most)))
    return rows


def _percent(cycles: int, traced: Traced) -> str:
    return f"{100 * cycles / traced.cycles:.1f} %"


def _as_dict(traced: Traced) -> dict[str, Any]:
    """Cycles of each engine, which add up to the list's."""
    return {
        "list": traced.name,
        "cycles": traced.cycles,
        "engines": {track.name: dict(track.sums()) for track in traced.tracks},
    }
