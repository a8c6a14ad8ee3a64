"""Count bit operations: per layer and per run, or the papers' tables with the published numbers beside."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from typing import Any

from cpt.command_line import LONGEST, MOST_IMAGES, check_range
from cpt.hw.contract import ContractError
from cpt.model.architecture import cifar_resnet, imagenet_resnet, mobilenet_v2
from cpt.model.architecture.layers import Layer, Norm
from cpt.model.architecture.resnet import IMAGENET_DEPTHS
from cpt.model.bitops import PAPER_ITERATIONS, PAPER_SAMPLES, PassBitops, pass_bitops, run_bitops, saving
from cpt.model.cyclic import Repeated
from cpt.model.reproduce import Comparison, compare_all
from cpt.model.schedule import Curve, Plan, Static
from cpt.model.units import change, gbitops, percent, precision
from cpt.table import align, paragraph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", nargs="?", default="resnet74", help="resnetN or mobilenetv2 (default: resnet74)"
    )
    parser.add_argument(
        "--fw", type=int, nargs="+", default=[3, 8], metavar="BITS", help="lowest and highest"
    )
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="bits of gradients (default: 8)")
    parser.add_argument("--cycles", type=int, default=32, metavar="N", help="precision cycles (default: 32)")
    parser.add_argument(
        "--total", type=int, default=PAPER_ITERATIONS, metavar="N", help="schedule steps (default: 64000)"
    )
    parser.add_argument(
        "--samples", type=int, default=PAPER_SAMPLES, metavar="N", help="training images (default: 64000*128)"
    )
    parser.add_argument("--layers", action="store_true", help="a row per layer, at the highest precision")
    parser.add_argument("--paper", action="store_true", help="the papers' tables, computed beside published")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the counts."""
    try:
        return _paper(arguments.json) if arguments.paper else _model(arguments)
    except ContractError:
        raise
    except ValueError as error:
        raise ContractError(str(error)) from None


def _network(name: str) -> Sequence[Layer]:
    """Layers of the network called ``name``."""
    match = re.fullmatch(r"resnet(\d{1,4})", name)
    if match:
        depth = int(match[1])
        return imagenet_resnet(depth).layers if depth in IMAGENET_DEPTHS else cifar_resnet(depth).layers
    if name == "mobilenetv2":
        return mobilenet_v2()
    imagenet = ", ".join(map(str, IMAGENET_DEPTHS))
    raise ContractError(
        f"model is {name!r}; allowed: mobilenetv2, resnetN with N = {imagenet} (ImageNet) or 6n+2 (CIFAR)"
    )


def _model(arguments: argparse.Namespace) -> int:
    """One network at one schedule."""
    layers = _network(arguments.model)
    if not 1 <= len(arguments.fw) <= 2:
        raise ContractError(f"fw is {' '.join(map(str, arguments.fw))}; allowed: one or two bit-widths")
    check_range("samples", arguments.samples, 1, MOST_IMAGES)
    check_range("total", arguments.total, 1, LONGEST)
    top = arguments.fw[-1]
    fw: Curve = Static(top)
    if len(arguments.fw) == 2:
        fw = Repeated(arguments.fw[0], top, arguments.total, arguments.cycles)
    plan, static = Plan(fw, Static(arguments.bw)), Plan(Static(top), Static(arguments.bw))
    cost = run_bitops(layers, plan, arguments.total, arguments.samples)
    static_cost = run_bitops(layers, static, 1, arguments.samples)
    saved = saving(plan, static, arguments.total)
    result: dict[str, Any] = {
        "model": arguments.model,
        "fw": arguments.fw,
        "bw": arguments.bw,
        "samples": arguments.samples,
        "gbitops": cost.total / 1e9,
        "static_gbitops": static_cost.total / 1e9,
        "saving": saved,
        "passes": _giga(cost),
        "static_passes": _giga(static_cost),
        "layers": [_layer(layer, top, arguments.bw) for layer in layers if not isinstance(layer, Norm)],
    }
    if arguments.json:
        print(json.dumps(result))
        return 0
    if arguments.layers:
        names = ("layer", "MACs", "forward", "dX", "dW")
        rows = [
            (row["name"], f"{row['macs']:,}", *(f"{row[key] / 1e6:,.1f}" for key in ("forward", "dx", "dw")))
            for row in result["layers"]
        ]
        print(
            f"million bit operations per image at {precision(top, arguments.bw)}\n\n{align([names, *rows])}"
        )
    rows = [("precision", "GBitOPs", "forward", "dX", "dW")]
    if len(arguments.fw) == 2:
        rows.append(_run(precision(arguments.fw, arguments.bw), cost))
    rows.append(_run(precision(top, arguments.bw), static_cost))
    if len(arguments.fw) == 2:
        both = zip(_passes(cost), _passes(static_cost), strict=True)
        rows.append(("difference", *(change(cyclic / steady - 1) for cyclic, steady in both)))
    title = f"{arguments.model}, {arguments.samples:,} images, schedule of {arguments.total:,} steps"
    print(f"{paragraph(title)}\n\n{align(rows)}")
    return 0


def _giga(cost: PassBitops) -> dict[str, float]:
    """1e9 bit operations of each pass."""
    return {"forward": cost.forward / 1e9, "dx": cost.dx / 1e9, "dw": cost.dw / 1e9}


def _run(name: str, cost: PassBitops) -> tuple[str, ...]:
    """A row of the table of runs."""
    return (name, *(gbitops(part / 1e9) for part in _passes(cost)))


def _passes(cost: PassBitops) -> tuple[float, float, float, float]:
    return (cost.total, cost.forward, cost.dx, cost.dw)


def _layer(layer: Any, fw: int, bw: int) -> dict[str, Any]:
    """One layer's work per image; layers kept in full precision count like the others, as in the papers."""
    work = pass_bitops(layer.macs, fw, bw)
    return {
        "name": layer.name,
        "macs": layer.macs,
        "quantised": layer.quantised,
        "forward": work.forward,
        "dx": work.dx,
        "dw": work.dw,
    }


def _paper(as_json: bool) -> int:
    """Every published row beside what is computed."""
    rows = compare_all()
    if as_json:
        print(json.dumps([row.as_dict() for row in rows]))
        return 0
    notes = list(dict.fromkeys(row.reason for row in rows if not row.reproducible))
    print("million GBitOPs of a whole run, published and counted here; numbers: notes below\n")
    for table in dict.fromkeys(row.table for row in rows):
        names = ("model", "method", "FW/BW", "paper", "here", "off", "paper saves", "here saves", "note")
        print(f"{table}\n{align([names, *(_cells(row, notes) for row in rows if row.table == table)])}")
    print("not reproducible:")
    for number, reason in enumerate(notes, 1):
        print(paragraph(f"{number:2}  {reason}", "    "))
    return 0


def _cells(row: Comparison, notes: Sequence[str]) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "" if value is None else percent(value)

    bits = ("-".join(map(str, bounds)) for bounds in (row.fw, row.bw))
    return (
        row.model,
        row.method,
        "/".join(bits),
        gbitops(row.published / 1e6),
        "" if row.computed is None else gbitops(row.computed / 1e6),
        "" if row.difference is None else f"{100 * row.difference:+.2f} %",
        share(row.published_saving),
        share(row.computed_saving),
        "" if row.reproducible else str(notes.index(row.reason) + 1),
    )
