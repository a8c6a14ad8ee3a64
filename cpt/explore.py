"""Arrays of other shapes: what they take of a part, by a model, and how long a training step takes on them.

Prints those that no other beats in time, LUTs, block RAMs and DSPs together (the Pareto front).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cpt.command_line import check_figure
from cpt.host.config import MICRO_BATCH, TrainConfig, settled
from cpt.hw.contract import PRESETS, ArrayConfig, ContractError, preset
from cpt.hw.contract.board import BOARDS, Board
from cpt.hw.contract.config import LEAST_GROUP, STEP, TAPS, require
from cpt.kept import Kept, software_key
from cpt.model.bitops import PAPER_ITERATIONS, pass_bitops
from cpt.model.golden.fabric.network import Network
from cpt.model.reproduce import PAPER_CYCLES
from cpt.model.units import percent, precision
from cpt.networks import add_network, check_network, described, step_forecast
from cpt.progress import note
from cpt.sim.area.model import AreaModel, points, preset_errors
from cpt.sim.memory import memory_model
from cpt.sim.synth.resources import Resources
from cpt.table import align, paragraph

FRONT, DOMINATED, OVER, REFUSED = "front", "dominated", "over", "refused"
"""What becomes of a candidate; `OVER`: the part has less; `REFUSED`: the network does not train on it."""
MOST_PERCENT = 85
"""Of each of a part's resources: what `sim/synth/budget.json` allows the presets at most."""
AXES = {
    "group": ([4, 8, 16], "channels of a group: rows of the array, half of its columns, a ninth of a word"),
    "scratch": ([2048, 4096, 8192, 16384, 32768], "words of scratch"),
    "float-lanes": ([2, 4], "lanes of the float engine"),
    "a-depth": ([512], "words of a row's buffer, of weights and errors"),
    "b-depth": ([1024], "words of a column's buffer, of windows"),
}
"""Numbers of a shape that vary: default values, and what they are."""
MOST_CANDIDATES = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt explore``."""
    parts = ", ".join(board.chip for board in BOARDS.values())
    parser.add_argument("--part", default="xc7z045", metavar="NAME", help=f"{parts} (default: xc7z045)")
    add_network(parser)
    parser.add_argument(
        "--micro-batch",
        type=int,
        nargs="+",
        metavar="N",
        help="images of a micro-batch, of several numbers the fastest for each array (default: "
        f"{MICRO_BATCH}, or as many as fit)",
    )
    parser.add_argument(
        "--fw",
        type=int,
        nargs=2,
        default=[3, 8],
        metavar="BITS",
        help="lowest and highest bits of weights and activations (default: 3 8)",
    )
    parser.add_argument("--bw", type=int, default=8, metavar="BITS", help="bits of gradients (default: 8)")
    for name, (values, text) in AXES.items():
        shown = " ".join(map(str, values))
        parser.add_argument(
            f"--{name}", type=int, nargs="+", default=values, metavar="N", help=f"{text} (default: {shown})"
        )
    parser.add_argument(
        "--most",
        type=int,
        default=MOST_PERCENT,
        metavar="PERCENT",
        help=f"of any resource of the part (default: {MOST_PERCENT})",
    )
    parser.add_argument(
        "--all", action="store_true", help="a row for each candidate, not for the front alone"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/explore"),
        metavar="DIR",
        help="where what steps take is kept (default: runs/explore)",
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="the result as one line")


@dataclass
class Candidate:
    """An array, and what is known of it."""

    config: ArrayConfig
    area: Resources
    share: float
    """Of the part's resource that it takes most of."""
    preset: str = ""
    """The preset that has this shape."""
    status: str = DOMINATED
    reason: str = ""
    micro_batch: int = 0
    milliseconds: tuple[float, ...] = ()
    """Of a step at the lowest and at the highest bits, and the mean over the schedule."""
    hours: float = 0.0
    """Of the papers' run."""

    @property
    def costs(self) -> tuple[float, ...]:
        """What a front has less of."""
        return self.milliseconds[-1], self.area.luts, self.area.bram36, self.area.dsp

    @property
    def shape(self) -> str:
        """``16 x 144 x 32``."""
        return f"{self.config.rows} x {self.config.word_bits} x {self.config.cols}"


def run(arguments: argparse.Namespace) -> int:
    """Print the front."""
    check_network(arguments)
    board = _board(arguments.part)
    if arguments.figure:
        check_figure(arguments.figure)
    model = AreaModel(points())
    found = candidates(arguments, board, model)
    _time(arguments, board, found)
    mark(found)
    result = _result(arguments, board, found)
    if arguments.figure:
        _draw(arguments, board, found)
    print(json.dumps(result) if arguments.json else _render(arguments, board, found))
    return 0


def _board(name: str) -> Board:
    known = {board.chip.lower(): board for board in BOARDS.values()}
    if name.lower() not in known:
        raise ContractError(f"part is {name!r}; allowed: {', '.join(known)}")
    return known[name.lower()]


def candidates(arguments: argparse.Namespace, board: Board, model: AreaModel) -> list[Candidate]:
    """Every combination of the numbers asked for; raises `ContractError` for one that no array has."""
    axes = [dict.fromkeys(getattr(arguments, name.replace("-", "_"))) for name in AXES]
    count = math.prod(map(len, axes))
    require(count <= MOST_CANDIDATES, f"candidates are {count:,}; allowed: at most {MOST_CANDIDATES:,}")
    require(1 <= arguments.most <= 100, f"most is {arguments.most}; allowed: 1..100")
    named = {_shape(config): config.name for config in _presets()}
    found = []
    for group, scratch, lanes, a_depth, b_depth in itertools.product(*axes):
        power = group >= LEAST_GROUP and group & (group - 1) == 0
        require(power, f"group is {group}; allowed: powers of two from {LEAST_GROUP}")
        require(scratch > 0, f"scratch is {scratch}; allowed: a power of two")
        config = ArrayConfig(
            "candidate", group, TAPS * group, 2 * group, a_depth, b_depth, board.clock_mhz, scratch, lanes
        )
        area = model.whole(config)
        candidate = Candidate(config, area, max(_shares(area, board).values()))
        candidate.preset = named.get(_shape(config), "")
        over = {name: share for name, share in _shares(area, board).items() if share > arguments.most / 100}
        if over:
            candidate.status = OVER
            candidate.reason = ", ".join(f"{name} {share:.0%}" for name, share in over.items())
        found.append(candidate)
    return found


def _presets() -> list[ArrayConfig]:
    return [preset(name, STEP) for name in PRESETS]


def _shape(config: ArrayConfig) -> ArrayConfig:
    """Without name and clock."""
    return replace(config, name="", clock_mhz=1.0)


def _shares(area: Resources, board: Board) -> dict[str, float]:
    """Of each of a part's resources."""
    has = board.capacity
    return {
        "LUT": area.luts / has.luts,
        "FF": area.flip_flops / has.flip_flops,
        "BRAM36": area.bram36 / has.bram36,
        "DSP": area.dsp / has.dsp,
    }


def _time(arguments: argparse.Namespace, board: Board, found: Sequence[Candidate]) -> None:
    """How long steps take on each candidate that has room."""
    plans = [
        TrainConfig(
            fw=(arguments.fw[0], arguments.fw[1]),
            bw=arguments.bw,
            batch_size=arguments.batch,
            micro_batch=size,
            steps=PAPER_ITERATIONS,
            cycles=PAPER_CYCLES,
        )
        for size in arguments.micro_batch or [0]
    ]
    for plan in plans:
        settled(plan)
    weights = _weights(plans[0])
    network = described(arguments.model, arguments.size, arguments.width)
    kept = Kept(arguments.out, software_key(arguments.memory, board.clock_mhz))
    has_room = [candidate for candidate in found if candidate.status != OVER]
    note(
        arguments, paragraph(f"{len(has_room)} of {len(found)} candidates have room; a minute or so for each")
    )
    for candidate, plan in itertools.product(has_room, plans):
        decides = arguments.batch, plan.micro_batch, *plan.fw, plan.bw
        of_network = arguments.model, arguments.size, arguments.width
        name = " ".join(map(str, (_label(candidate.config), *of_network, *decides)))
        if name not in kept.found:
            kept.add(name, _steps(arguments, candidate.config, network, plan))
            note(arguments, _progress(candidate, kept.found[name]))
        _take(candidate, kept.found[name], plan, weights)


def _take(candidate: Candidate, taken: dict[str, Any], plan: TrainConfig, weights: dict[int, float]) -> None:
    """Note what steps take, if they are the fastest of the candidate so far, or why there are none."""
    if REFUSED in taken:
        if not candidate.milliseconds:
            candidate.status, candidate.reason = REFUSED, taken[REFUSED]
        return
    clock_mhz = candidate.config.clock_mhz
    bounds = [taken["cycles"][str(bits)] / clock_mhz / 1e3 for bits in plan.fw]
    mean = sum(weight * between(plan.fw, plan.bw, bounds, bits) for bits, weight in weights.items())
    if not candidate.milliseconds or mean < candidate.milliseconds[-1]:
        candidate.milliseconds = (*bounds, mean)
        candidate.hours = mean * PAPER_ITERATIONS / 3.6e6
        candidate.micro_batch = taken["micro_batch"]
        candidate.status, candidate.reason = DOMINATED, ""


def _weights(plan: TrainConfig) -> dict[int, float]:
    """Share of a run's steps at each of the bits."""
    schedule = plan.plan(plan.steps)
    counts = Counter(schedule.bits(step)[0] for step in range(plan.steps))
    return {bits: count / plan.steps for bits, count in counts.items()}


def between(fw: tuple[int, int], bw: int, bounds: Sequence[float], bits: int) -> float:
    """What a step takes at ``bits``, between the two bounds as its bit operations are."""
    low, here, high = (pass_bitops(1, width, bw).total for width in (fw[0], bits, fw[1]))
    share = (here - low) / (high - low) if high > low else 0.0
    return bounds[0] + share * (bounds[1] - bounds[0])


def _label(config: ArrayConfig) -> str:
    return (
        f"{config.group_channels} {config.scratch_words} {config.float_lanes} "
        f"{config.a_depth_words} {config.b_depth_words}"
    )


def _steps(
    arguments: argparse.Namespace, config: ArrayConfig, network: Network, plan: TrainConfig
) -> dict[str, Any]:
    """Cycles of a step at both bounds, or why there is none."""
    try:
        forecast, size = step_forecast(
            config, memory_model(arguments.memory, config.clock_mhz), network, plan
        )
    except ContractError as error:
        return {REFUSED: str(error)}
    every = [(bits, plan.bw) for bits in dict.fromkeys(plan.fw)]
    forecast.together(every)
    return {"micro_batch": size, "cycles": {str(bits[0]): forecast.trained(bits).total for bits in every}}


def _progress(candidate: Candidate, taken: dict[str, Any]) -> str:
    if REFUSED in taken:
        return f"{candidate.shape}, {candidate.config.scratch_words} words: refused"
    cycles = ", ".join(f"{count:,} at {bits} bits" for bits, count in taken["cycles"].items())
    return f"{candidate.shape}, {candidate.config.scratch_words} words: cycles of a step {cycles}"


def mark(found: Iterable[Candidate]) -> None:
    """Say of each candidate with times whether another is as good in all and better in something."""
    timed = [candidate for candidate in found if candidate.milliseconds]
    for candidate in timed:
        beaten = any(dominates(other.costs, candidate.costs) for other in timed)
        candidate.status = DOMINATED if beaten else FRONT


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether ``one`` is nowhere more than ``other``, and somewhere less."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def _result(arguments: argparse.Namespace, board: Board, found: Sequence[Candidate]) -> dict[str, Any]:
    """All as JSON has it."""
    return {
        "part": board.chip,
        "model": arguments.model,
        "size": arguments.size,
        "batch": arguments.batch,
        "fw": arguments.fw,
        "bw": arguments.bw,
        "clock_mhz": board.clock_mhz,
        "memory_model": arguments.memory,
        "iterations": PAPER_ITERATIONS,
        "most_percent": arguments.most,
        "area_errors": preset_errors(),
        "candidates": [_of_candidate(candidate) for candidate in found],
    }


def _of_candidate(candidate: Candidate) -> dict[str, Any]:
    low, high, mean = candidate.milliseconds or (None, None, None)
    return {
        "array": candidate.config.as_dict(),
        "preset": candidate.preset or None,
        "status": candidate.status,
        "reason": candidate.reason or None,
        **asdict(candidate.area),
        "share_of_part": candidate.share,
        "micro_batch": candidate.micro_batch or None,
        "milliseconds_lowest": low,
        "milliseconds_highest": high,
        "milliseconds_mean": mean,
        "hours": candidate.hours or None,
    }


def _render(arguments: argparse.Namespace, board: Board, found: Sequence[Candidate]) -> str:
    """A table, and what it stands on."""
    low, high = arguments.fw
    times = f"ms at {low}", f"at {high}", "mean", "hours"
    head = ("array", "scratch/ lanes/ images", "LUT", "BRAM36", "DSP", *times)
    shown = [
        candidate
        for candidate in sorted(found, key=_order)
        if arguments.all or candidate.status == FRONT or (candidate.preset and candidate.milliseconds)
    ]
    counts = Counter(candidate.status for candidate in found)
    table = align([head, *map(_row, shown)]).rstrip() if shown else "no candidate has room and trains"
    words = (
        f"Of {len(found)} combinations {counts[FRONT]} on the front, {counts[DOMINATED]} behind it, "
        f"{counts[OVER]} take more than {arguments.most} % of something, {counts[REFUSED]} do not train "
        "the network."
    )
    where = (
        f"{arguments.model} on {board.chip} at {board.clock_mhz:g} MHz, memory {arguments.memory}: "
        f"steps of {arguments.batch} images of {arguments.size} x {arguments.size}, "
        f"{precision(arguments.fw, arguments.bw)}"
    )
    texts = [paragraph(where), table, paragraph(words), *_refusals(found), paragraph(_assumed(arguments))]
    return "\n\n".join(texts)


def _order(candidate: Candidate) -> tuple[bool, tuple[float, ...]]:
    """By time; without one last."""
    return not candidate.milliseconds, candidate.milliseconds[-1:]


def _row(candidate: Candidate) -> tuple[str, ...]:
    config, area = candidate.config, candidate.area
    times = [f"{value:.1f}" for value in candidate.milliseconds] or ["", "", ""]
    shape = candidate.shape.replace(" ", "")
    status = "" if candidate.status == FRONT else candidate.status
    return (
        " ".join(text for text in (shape, candidate.preset, status) if text),
        f"{config.scratch_words}/{config.float_lanes}/{candidate.micro_batch or ''}".rstrip("/"),
        f"{area.luts:,}",
        f"{area.bram36:g}",
        f"{area.dsp}",
        *times,
        f"{candidate.hours:.2f}" if candidate.hours else "",
    )


def _refusals(found: Sequence[Candidate]) -> Iterator[str]:
    """Why candidates have no times, each reason once."""
    for status, what in ((OVER, "no room"), (REFUSED, "refused")):
        by_shape: dict[str, str] = {}
        for candidate in found:
            if candidate.status == status:
                by_shape.setdefault(candidate.shape, f"{candidate.shape}: {candidate.reason}")
        if by_shape:
            yield paragraph(f"{what}, the first of each array: " + "; ".join(by_shape.values()))


def _assumed(arguments: argparse.Namespace) -> str:
    fitted = preset_errors()
    luts = max(abs(error["luts"]) for error in fitted.values())
    apart = max(abs(error["luts_left_out"]) for error in fitted.values())
    low, high = arguments.fw
    return (
        "Scratch in words, lanes of the float engine, images of a micro-batch. Times are simulated "
        "(docs/fabric.md) with the clock as given, which no shape was shown to reach; "
        f"mean and hours are those of {PAPER_ITERATIONS:,} steps in {PAPER_CYCLES} cycles of precision, with "
        f"steps between {low} and {high} bits taken to grow as bit operations do. Area is a model fitted to "
        f"blocks that Yosys has made, before placement: of LUTs it is within {percent(luts)} of "
        f"{', '.join(fitted)}, and within {percent(apart)} of one of them that it was not fitted to; block "
        "RAMs and DSPs are counted."
    )


def _draw(arguments: argparse.Namespace, board: Board, found: Sequence[Candidate]) -> None:
    from cpt.model.figures.canvas import save
    from cpt.model.figures.front import Mark, draw_front

    marks = [
        Mark(
            candidate.shape,
            candidate.share,
            candidate.milliseconds[-1],
            candidate.status == FRONT,
            candidate.preset,
        )
        for candidate in found
        if candidate.milliseconds
    ]
    title = (
        f"{arguments.model} on {board.chip} at {board.clock_mhz:g} MHz, memory {arguments.memory}\n"
        f"{precision(arguments.fw, arguments.bw)}, {arguments.batch} images; simulated, area by a model"
    )
    save(draw_front(marks, title), arguments.figure)
