"""Write what a torch run has trained as an ONNX file, at stated bits (docs/library.md)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from cpt.hw.contract import ContractError
from cpt.model.export import to_onnx
from cpt.model.files import check_writable
from cpt.trained import add_run_options, trained_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt export``."""
    parser.add_argument("run", type=Path, metavar="DIR", help="folder of one of cpt train's torch runs")
    parser.add_argument(
        "--bits", type=int, metavar="N", help="of weights and activations; 0: full (default: of evaluation)"
    )
    parser.add_argument(
        "--double-sums", action="store_true", help="sums in float64: the same outputs to the bit everywhere"
    )
    add_run_options(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE.onnx", help="(default: network.onnx in the run's folder)"
    )
    parser.add_argument("--json", action="store_true", help="the result as one line")


def run(arguments: argparse.Namespace) -> int:
    """Write the file."""
    path = arguments.out or arguments.run / "network.onnx"
    check_writable(path)
    try:
        trained = trained_run(arguments.run, arguments, torch.device("cpu"))
        bits = trained.trainer.config.evaluation_bits if arguments.bits is None else arguments.bits
        sample = trained.task.example()
        example = torch.cat((sample, sample))  # of one, the file would take one at a time
        layers = to_onnx(trained.trainer.model, example, path, bits, arguments.double_sums)
    except ValueError as error:
        raise ContractError(str(error)) from None
    if arguments.json:
        print(json.dumps({"file": str(path), "bytes": path.stat().st_size, "layers": layers}))
        return 0
    shown = " ".join(map(str, sorted(set(layers.values()))))
    print(f"{len(layers)} quantised layers, bits: {shown}")
    print(f"files: {path} ({path.stat().st_size:,} bytes)")
    return 0
