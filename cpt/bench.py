"""Measure quantised training in torch: ``step``, a training step beside the same in float32; ``products``, a
linear layer's, with products of int8 codes among them, beside bfloat16; ``health``, what measuring its
numeric health costs (on a CPU)."""

from __future__ import annotations

import argparse
import json

from cpt.command_line import LONGEST, check_range
from cpt.hw.contract import ContractError
from cpt.model.benchmark import LAYERS, MODELS, StepRow, benchmark_health, benchmark_products, benchmark_step
from cpt.model.run_config import LARGEST
from cpt.model.units import percent
from cpt.table import align, paragraph
from cpt.torch_device import add_device_options, chosen_device

WHAT = ("step", "products", "health")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt bench``."""
    parser.add_argument("what", metavar="WHAT", help=", ".join(WHAT))
    parser.add_argument(
        "--model",
        nargs="+",
        default=MODELS,
        metavar="NETWORK",
        help=f"resnetD with D = 6n+2, or one of the others (default: {' '.join(MODELS)})",
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        default=LAYERS,
        metavar="INxOUT",
        help=f"products: inputs and outputs of linear layers (default: {' '.join(LAYERS)})",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=0,
        metavar="N",
        help="samples of a step (default: each network's own; rows of a layer: 1024)",
    )
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
    check_range("batch", arguments.batch, 0, LARGEST["batch_size"])
    check_range("rounds", arguments.rounds, 1, LONGEST)
    device = chosen_device(arguments)
    if arguments.what == "health":
        return _health(arguments)
    products = arguments.what == "products"
    measure = benchmark_products if products else benchmark_step
    try:
        rows = measure(
            arguments.layers if products else arguments.model,
            arguments.batch,
            arguments.rounds,
            device.type,
            arguments.threads,
            arguments.compile,
        )
    except ValueError as error:
        raise ContractError(str(error)) from None
    if arguments.json:
        settings = {
            "device": device.type,
            "threads": arguments.threads,
            "compiled": arguments.compile,
            "rounds": arguments.rounds,
        }
        print(json.dumps({**settings, "rows": [row.as_dict() for row in rows]}))
    else:
        print(_render(rows, arguments, device.type))
    return 0


def _health(arguments: argparse.Namespace) -> int:
    """``cpt bench health``."""
    try:
        rows = benchmark_health(arguments.model, arguments.batch, arguments.rounds, threads=arguments.threads)
    except ValueError as error:
        raise ContractError(str(error)) from None
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, "rows": [row.as_dict() for row in rows]}))
        return 0
    cells = [("model", "batch", "a measured step, times another", "every", "share of all steps' time")]
    cells += [
        (row.model, str(row.batch), f"{row.ratio:.2f}", f"{row.every} steps", percent(row.share))
        for row in rows
    ]
    print(align(cells))
    return 0


def _render(rows: list[StepRow], arguments: argparse.Namespace, device: str) -> str:
    first = rows[0].rounding
    cells = [("model", "batch", "rounding", "processor", "wall", "memory", f"times {first}")]
    cells += [
        (
            row.model,
            str(row.batch),
            row.rounding,
            f"{1e3 * row.cpu_s:.1f} ms",
            f"{1e3 * row.wall_s:.1f} ms",
            f"{row.peak_bytes / 1e6:.1f} MB",
            f"{row.ratio_cpu:.2f}  {row.ratio_wall:.2f}  {row.ratio_peak:.2f}",
        )
        for row in rows
    ]
    threads = f", {arguments.threads} thread{'s' * (arguments.threads > 1)}" if device == "cpu" else ""
    title = (
        f"a training step at 8 bits; {device}{threads}{', compiled' * arguments.compile}, "
        f"{arguments.rounds} round{'s' * (arguments.rounds > 1)}; memory: most beside weights"
    )
    return f"{paragraph(title)}\n\n{align(cells)}"
