"""Measure quantised training in torch: ``step``, a training step of a CIFAR ResNet beside float32."""

from __future__ import annotations

import argparse
import json
import re

from cpt.command_line import LONGEST, check_range
from cpt.hw.contract import ContractError
from cpt.model.benchmark import StepTimes, benchmark_step
from cpt.model.run_config import LARGEST
from cpt.table import align, paragraph
from cpt.torch_device import add_device_options, chosen_device

WHAT = ("step",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt bench``."""
    parser.add_argument("what", metavar="WHAT", help=", ".join(WHAT))
    parser.add_argument("--model", default="resnet20", metavar="RESNET", help="resnetD with D = 6n+2")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images per step (default: 64)")
    parser.add_argument(
        "--rounds", type=int, default=10, metavar="N", help="repeats, kinds of steps in turn (default: 10)"
    )
    add_device_options(parser)
    parser.add_argument("--compile", action="store_true", help="all steps under torch.compile")
    parser.add_argument("--json", action="store_true", help="the result as one line")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.what not in WHAT:
        raise ContractError(f"what is {arguments.what!r}; allowed: {', '.join(WHAT)}")
    check_range("batch", arguments.batch, 1, LARGEST["batch_size"])
    check_range("rounds", arguments.rounds, 1, LONGEST)
    device = chosen_device(arguments)
    try:
        times = benchmark_step(
            _depth(arguments.model),
            arguments.batch,
            arguments.rounds,
            device.type,
            arguments.threads,
            arguments.compile,
        )
    except ValueError as error:
        raise ContractError(str(error)) from None
    print(json.dumps(times.as_dict()) if arguments.json else _render(times))
    return 0


def _depth(name: str) -> int:
    depth = name.removeprefix("resnet")
    if not re.fullmatch(r"[0-9]{1,4}", depth) or depth == name:
        raise ContractError(f"model is {name!r}; allowed: resnetD with D = 6n+2")
    return int(depth)


def _render(times: StepTimes) -> str:
    rows = [("training step", "median", "ratio to float32")]
    rows.append(("float32", _ms(times.float_s), "1.00"))
    rows.append(("FW8, nearest", _ms(times.nearest_s), f"{times.nearest_ratio:.2f}"))
    rows.append(("FW8/BW8, stochastic gradients", _ms(times.stochastic_s), f"{times.stochastic_ratio:.2f}"))
    threads = f", {times.threads} thread{'s' * (times.threads > 1)}" if times.device == "cpu" else ""
    title = (
        f"resnet{times.depth}, {times.batch} images of 32x32, channels-last, {times.device}{threads}"
        f"{', compiled' * times.compiled}, {times.rounds} round{'s' * (times.rounds > 1)}"
    )
    return f"{paragraph(title)}\n\n{align(rows)}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"
