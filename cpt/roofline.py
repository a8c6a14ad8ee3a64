"""Roofline of a training step: what each pass of each layer does on the array, against array and memory.

An operation is a multiplication or an addition of two numbers, whatever their bits.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.command_line import check_figure
from cpt.host.config import MICRO_BATCH, TrainConfig
from cpt.hw.contract import PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.units import percent
from cpt.networks import add_network, check_network, convolutions, described, step_forecast
from cpt.progress import note
from cpt.sim.memory import MemoryModel, memory_model
from cpt.sim.step.by_layer import AGAIN, ALL, ARRAY, CHANNEL, CONTROL, D_W, D_X, FORWARD, MEMORY, VECTOR
from cpt.sim.step.roofline import OF_A_DSP, Point, dsp_gops, mean, memory_bytes, points
from cpt.sim.synth.report import board_of
from cpt.table import align, paragraph

PASSES = (FORWARD, AGAIN, D_X, D_W)
EVERY = "every"
LOW = 0.6
"""Share of the roof below which a pass is listed with what it waits for."""
BOUNDS = (ARRAY, MEMORY, VECTOR, CHANNEL, CONTROL)
MOST_BITS = 8
CONV = ".conv"
"""What names of layers end in, and tables leave out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt roofline``."""
    parser.add_argument(
        "--preset", default="zc706", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: zc706)"
    )
    add_network(parser)
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help=f"images of a micro-batch (default: {MICRO_BATCH}, or as many as fit)",
    )
    parser.add_argument(
        "--bits",
        nargs="+",
        default=["3x8", "4x8", "6x8", "8x8"],
        metavar="FWxBW",
        help="bits of weights and activations, and of gradients (default: 3x8 4x8 6x8 8x8)",
    )
    parser.add_argument("--layers", action="store_true", help="a row per layer and pass, with its reason")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="the result as one line")


@dataclass(frozen=True)
class Step:
    """A whole step at one precision."""

    fw: int
    bw: int
    cycles: int
    points: list[Point]

    def of(self, which: str) -> list[Point]:
        """Points of a pass, or of all of them."""
        return [
            point for point in self.points if which == point.which or (which == EVERY and point.operations)
        ]

    @property
    def rest(self) -> int:
        """Cycles of what is of no layer: update, codes of weights, what begins and ends a list."""
        return sum(point.cycles for point in self.of(ALL))

    def at_peak_ms(self) -> float:
        """Of an array that never waits, for what training needs: without `AGAIN`."""
        needed = [point for point in self.of(EVERY) if point.which != AGAIN]
        return sum(point.operations / point.roof.array_gops for point in needed) / 1e6

    def by_dsps_ms(self, gops: float) -> float:
        """The same of multipliers that take as long for any bits."""
        return sum(point.operations for point in self.of(EVERY) if point.which != AGAIN) / gops / 1e6


def run(arguments: argparse.Namespace) -> int:
    """Print the shares of the roofs."""
    check_network(arguments)
    asked = [_bits(text) for text in arguments.bits]
    if arguments.figure:
        check_figure(arguments.figure)
    config = preset(arguments.preset, STEP)
    model = memory_model(arguments.memory, config.clock_mhz)
    steps, micro_batch = _steps(arguments, config, model, asked)
    found = _result(arguments, config, model, micro_batch, steps)
    if arguments.figure:
        _draw(arguments, config, steps, found)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(_render(arguments, config, steps, found))
    return 0


def _bits(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-8])x([1-8])", text)
    if not match:
        raise ContractError(f"bits is {text!r}; allowed: FWxBW, each 1..{MOST_BITS}, as in 3x8")
    return int(match[1]), int(match[2])


def _steps(
    arguments: argparse.Namespace, config: ArrayConfig, model: MemoryModel, asked: Sequence[tuple[int, int]]
) -> tuple[list[Step], int]:
    """A step at each precision, and the images of its micro-batches."""
    network = described(arguments.model, arguments.size, arguments.width)
    widest = max(map(max, asked))
    plan = TrainConfig(
        fw=(widest, widest), bw=widest, batch_size=arguments.batch, micro_batch=arguments.micro_batch or 0
    )
    forecast, micro_batch = step_forecast(config, model, network, plan)
    unique = list(dict.fromkeys(asked))
    note(
        arguments,
        paragraph(f"simulating a step at {len(unique)} precisions: up to a minute each and processor"),
    )
    forecast.together(unique)
    steps = []
    for bits in unique:
        found = points(config, model, forecast.parts(bits), convolutions(network), arguments.batch, bits)
        steps.append(Step(*bits, forecast.trained(bits).total, found))
    return steps, micro_batch


def _result(
    arguments: argparse.Namespace,
    config: ArrayConfig,
    model: MemoryModel,
    micro_batch: int,
    steps: list[Step],
) -> dict[str, Any]:
    """All as JSON has it."""
    board = board_of(config)
    dsps, rate = board.capacity.dsp, dsp_gops(board.capacity.dsp, config.clock_mhz)
    return {
        "model": arguments.model,
        "size": arguments.size,
        "batch": arguments.batch,
        "micro_batch": micro_batch,
        "array": config.as_dict(),
        "clock_mhz": config.clock_mhz,
        "memory_model": arguments.memory,
        "memory_gbytes_per_s": memory_bytes(model) * config.clock_mhz / 1e3,
        "dsp_design": {
            "part": board.chip,
            "dsps": dsps,
            "multiplications_a_dsp": OF_A_DSP,
            "gops": rate,
            "break_even_bits": config.binary_macs / (OF_A_DSP * dsps),
        },
        "steps": [_of_step(step, config, rate) for step in steps],
    }


def _of_step(step: Step, config: ArrayConfig, dsps_gops: float) -> dict[str, Any]:
    return {
        "fw": step.fw,
        "bw": step.bw,
        "cycles": step.cycles,
        "milliseconds": step.cycles / config.clock_mhz / 1e3,
        "milliseconds_of_array_at_peak": step.at_peak_ms(),
        "milliseconds_of_dsps_at_peak": step.by_dsps_ms(dsps_gops),
        "cycles_of_no_layer": step.rest,
        "passes": [_of_pass(which, found) for which in (*PASSES, EVERY) if (found := step.of(which))],
        "points": [_of_point(point) for point in step.of(EVERY)],
    }


def _of_pass(which: str, found: list[Point]) -> dict[str, Any]:
    lowest = min(found, key=lambda point: point.of_roof)
    return {
        "pass": which,
        "points": len(found),
        "cycles": sum(point.cycles for point in found),
        "array_works": mean(found, lambda point: point.array_works),
        "of_peak": mean(found, lambda point: point.of_peak),
        "of_roof": mean(found, lambda point: point.of_roof),
        "lowest_of_roof": lowest.of_roof,
        "lowest_layer": lowest.layer,
        "lowest_pass": lowest.which,
        "lowest_reason": lowest.reason,
        "below": sum(point.of_roof < LOW for point in found),
    }


def _of_point(point: Point) -> dict[str, Any]:
    return {
        "layer": point.layer,
        "pass": point.which,
        "bits": list(point.bits),
        "operations": point.operations,
        "bytes": point.bytes,
        "cycles": point.cycles,
        "spent": point.spent,
        "operations_per_byte": point.intensity,
        "gops": point.gops,
        "roof_gops": point.roof.gops(point.intensity),
        "peak_gops": point.roof.array_gops,
        "array_works": point.array_works,
        "of_peak": point.of_peak,
        "of_roof": point.of_roof,
        "array_filled": point.filled,
        "bound": point.bound,
        "reason": point.reason,
    }


def _render(
    arguments: argparse.Namespace, config: ArrayConfig, steps: list[Step], found: dict[str, Any]
) -> str:
    """Tables for reading."""
    where = (
        f"{arguments.model}, steps of {arguments.batch} images of {arguments.size} x {arguments.size} in "
        f"micro-batches of {found['micro_batch']}; {config.name} array at {config.clock_mhz:g} MHz, memory "
        f"{arguments.memory}, {found['memory_gbytes_per_s']:g} GB/s; simulated, whole steps (docs/fabric.md)"
    )
    texts = [paragraph(where), align([_HEAD, *_rows(found)]), paragraph(_words(steps)), *_low(steps)]
    if arguments.layers:
        texts.append(align([_LAYER_HEAD, *_layers(steps)]))
    return "\n\n".join([*texts, align(_against(found)).rstrip(), paragraph(_dsp_words(config, found))])


_HEAD = ("bits", "pass", "ms", "works", "of peak", "of roof", "lowest", "layer", "bound by")
_LAYER_HEAD = ("layer and pass", "bits", "ops per byte", "GOPS", "roof", "of roof", "why not more")


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for step in found["steps"]:
        bits = f"{step['fw']}x{step['bw']}"
        bounds = {(point["layer"], point["pass"]): point["bound"] for point in step["points"]}
        for row in step["passes"]:
            yield (
                bits,
                row["pass"],
                f"{row['cycles'] / found['clock_mhz'] / 1e3:.2f}",
                percent(row["array_works"]),
                percent(row["of_peak"]),
                percent(row["of_roof"]),
                percent(row["lowest_of_roof"]),
                row["lowest_layer"].removesuffix(CONV),
                bounds[row["lowest_layer"], row["lowest_pass"]],
            )


def _words(steps: Sequence[Step]) -> str:
    rest = ", ".join(f"{percent(step.rest / step.cycles)} at {step.fw} x {step.bw}" for step in steps)
    return (
        "Shares are means over layers, weighted by cycles: those in which the array works; of the array's "
        "peak at the bits of both operands; of the roof, which is that peak, or what memory allows by the "
        "bytes of the pass if that is less. Lowest: of the layer farthest below its roof. `y again`: a "
        "forward product made once more in the backward pass, work that training as such does not "
        f"need. What is of no layer (update, codes of weights, ends of lists) takes further cycles: {rest}."
    )


def _low(steps: Sequence[Step]) -> Iterator[str]:
    """How many passes are far below their roofs, and what they wait for."""
    rows: list[tuple[str, ...]] = [(f"below {percent(LOW)}", "passes", "of cycles", *BOUNDS)]
    for step in steps:
        low = [point for point in step.of(EVERY) if point.of_roof < LOW]
        spent = sum(point.spent for point in step.of(EVERY))
        counts = Counter(point.bound for point in low)
        share = sum(point.spent for point in low) / spent
        rows.append(
            (
                f"{step.fw}x{step.bw}",
                f"{len(low)} of {len(step.of(EVERY))}",
                percent(share),
                *(str(counts[bound]) for bound in BOUNDS),
            )
        )
    yield align(rows).rstrip()


def _layers(steps: Sequence[Step]) -> Iterator[tuple[str, ...]]:
    for step in steps:
        for point in step.of(EVERY):
            yield (
                f"{point.layer.removesuffix(CONV)} {point.which}",
                f"{point.bits[0]}x{point.bits[1]}",
                f"{point.intensity:.0f}",
                f"{point.gops:.0f}",
                f"{point.roof.gops(point.intensity):.0f}",
                percent(point.of_roof),
                point.reason,
            )


def _against(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """A step beside what array and DSPs would take that never wait."""
    rows: list[tuple[str, ...]] = [("bits", "step, simulated", "array at its peak", "DSPs at theirs")]
    for step in found["steps"]:
        rows.append(
            (
                f"{step['fw']}x{step['bw']}",
                f"{step['milliseconds']:.1f} ms",
                f"{step['milliseconds_of_array_at_peak']:.1f} ms",
                f"{step['milliseconds_of_dsps_at_peak']:.1f} ms",
            )
        )
    return rows


def _dsp_words(config: ArrayConfig, found: dict[str, Any]) -> str:
    design = found["dsp_design"]
    return (
        f"DSPs: a design that multiplies 8 x 8 bits in the {design['dsps']} DSP48E1 of the {design['part']}, "
        f"not built here. Assumed: {OF_A_DSP} multiplications a DSP and cycle, where they share an operand, "
        f"{config.clock_mhz:g} MHz, and that nothing ever waits: {design['gops']:g} GOPS, as many at fewer "
        "bits. "
        f"The array's peak is higher where the product of both operands' bits is below "
        f"{design['break_even_bits']:.0f}. Both columns are of forward, dX and dW alone."
    )


def _draw(
    arguments: argparse.Namespace, config: ArrayConfig, steps: Sequence[Step], found: dict[str, Any]
) -> None:
    from cpt.model.figures.canvas import save
    from cpt.model.figures.roofline import Panel, draw_roofline

    panels = []
    for step in steps:
        peaks = {
            f"{a} x {b}": point.roof.array_gops for point in step.of(EVERY) for a, b in [sorted(point.bits)]
        }
        by_pass = {
            which: [(point.intensity, point.gops) for point in step.of(which)]
            for which in PASSES
            if step.of(which)
        }
        panels.append(Panel(f"{step.fw} x {step.bw} bits", peaks, by_pass))
    design = found["dsp_design"]
    other = f"{design['dsps']} DSPs, {OF_A_DSP} products of 8 bits each, never waiting", design["gops"]
    machine = f"{config.name} array at {config.clock_mhz:g} MHz, memory {arguments.memory}"
    title = f"{arguments.model}, {machine}; simulated"
    save(draw_roofline(panels, found["memory_gbytes_per_s"], other, title), arguments.figure)
