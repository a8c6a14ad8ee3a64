"""What an array of any shape takes of a part, by a model: blocks that were synthesised, and how each grows.

Block RAMs and DSPs follow from the shape and are counted. LUT sites and flip-flops of a block are a sum of a
few numbers of the shape (`GROWTH`), whose factors are fitted to `points`
(``python -m cpt.sim.area``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS, TAPS, require
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.sim.synth.resources import Resources

FILE = Path(__file__).with_name("points.json")
FIELDS = ("luts", "flip_flops")
LEAST_DEPTH = 512
"""Words of windows in block RAMs; synthesis puts fewer into LUTs."""
HALF = 0.5
"""Of a RAMB36E1: a RAMB18E1."""
_WIDTHS = {512: (72, 36), 1024: (36, 18), 2048: (18, 9), 4096: (9, 0), 8192: (4, 0), 16384: (2, 0)}
"""Bits of a RAMB36E1, and of a RAMB18E1 where synthesis takes one, by words (UG473, tables 1-11, 1-12)."""
_PLANES_IN_LUTS = 64
"""Words of the buffer of planes that synthesis puts into LUTs, at most."""
_LANES_BRAM36 = (13.0, 20.5)
"""Coefficients, statistics and noise: of 1,024 channels, of more."""
Growth = Callable[[ArrayConfig], tuple[float, ...]]


@dataclass(frozen=True)
class Point:
    """A block that was synthesised for an array."""

    config: ArrayConfig
    block: str
    taken: Resources


def points(file: Path = FILE) -> list[Point]:
    """All that were synthesised."""
    found = json.loads(file.read_text(encoding="utf-8"))
    return [
        Point(ArrayConfig(**item["config"]), block, Resources(**taken))
        for item in found
        for block, taken in item["blocks"].items()
    ]


def _units(config: ArrayConfig) -> int:
    """Dot products of the array, and its column sums."""
    return (config.rows + 1) * config.cols


def _same(config: ArrayConfig) -> tuple[float, ...]:
    return (1,)


def _by_group(config: ArrayConfig) -> tuple[float, ...]:
    """Rows and columns of the array, and bits of a word, are all multiples of the group."""
    return 1, config.group_channels


def _array(config: ArrayConfig) -> tuple[float, ...]:
    """A unit adds ``word_bits`` products, and has an accumulator of one size."""
    return _units(config), _units(config) * config.word_bits


def _results(config: ArrayConfig) -> tuple[float, ...]:
    """Memory in LUTs of 32 places or 64, for three tiles of rows and column sums."""
    return 1, config.cols * -(-3 * (config.rows + 1) // 32)


def _float(config: ArrayConfig) -> tuple[float, ...]:
    return 1, config.group_channels, config.float_lanes


def _lanes_of_float(config: ArrayConfig) -> tuple[float, ...]:
    return 1, config.float_lanes


GROWTH: dict[str, Growth] = {
    **dict.fromkeys(
        ("registers", "control", "ring", "runner", "marks", "exec", "memory", "counters", "watchdog"), _same
    ),
    **dict.fromkeys(
        ("load", "fetch", "collector", "lanes", "packers", "bring", "store", "scratch"), _by_group
    ),
    "array": _array,
    "results": _results,
    "float": _float,
    "local": _lanes_of_float,
}
"""By block: the numbers of a shape that its LUTs and flip-flops are a sum of, each with a factor."""

VARYING = {block for block, growth in GROWTH.items() if growth != _same}
"""Blocks that depend on the shape."""


class AreaModel:
    """Of machines that do whole steps, fitted to ``found``."""

    def __init__(self, found: Sequence[Point]) -> None:
        self._factors = {
            block: _fit(growth, [point for point in found if point.block == block])
            for block, growth in GROWTH.items()
        }

    def block(self, name: str, config: ArrayConfig) -> Resources:
        """What one block takes; raises `ContractError` for an array that the points say nothing of."""
        depth = config.b_depth_words
        require(depth >= LEAST_DEPTH, f"b-depth is {depth}; allowed: at least {LEAST_DEPTH}, in block RAMs")
        growth = np.array(GROWTH[name](config))
        luts, flip_flops = (max(0, round(float(growth @ factors))) for factors in self._factors[name])
        return Resources(luts, flip_flops, bram36(name, config), dsp(name, config))

    def whole(self, config: ArrayConfig) -> Resources:
        """All blocks."""
        return sum((self.block(name, config) for name in GROWTH), Resources())


def _fit(growth: Growth, found: Sequence[Point]) -> np.ndarray:
    """Factors, (fields, numbers): least squares of relative errors; the smallest where points are few."""
    rows = np.array([growth(point.config) for point in found], float)
    fitted = []
    for field in FIELDS:
        taken = np.array([getattr(point.taken, field) for point in found], float)
        weights = 1 / np.maximum(taken, 1)
        fitted.append(np.linalg.lstsq(rows * weights[:, None], taken * weights, rcond=None)[0])
    return np.array(fitted)


def dsp(block: str, config: ArrayConfig) -> int:
    """DSPs of a block."""
    counts = {"array": _units(config), "lanes": 5 * config.cols, "float": 2 * config.float_lanes}
    return counts.get(block, 0)


def bram36(block: str, config: ArrayConfig) -> float:
    """Block RAMs of a block, a RAMB18E1 as a half."""
    found = {
        "load": config.rows * -(-config.word_bits // 72) * -(-config.a_depth_words // 512),
        "fetch": TAPS * config.cols * _of_memory(config.group_channels, config.b_depth_words),
        "scratch": SCRATCH_BANKS * _of_memory(16 * config.cols, config.scratch_words // SCRATCH_BANKS),
        "lanes": _LANES_BRAM36[config.channels > 1024],
        "local": 32,
        "bring": 1,
        "store": _of_memory(8 * BEAT_BYTES, _plane_words(config))
        if _plane_words(config) > _PLANES_IN_LUTS
        else 0,
    }
    return float(found.get(block, 0))


def _plane_words(config: ArrayConfig) -> int:
    """Of the buffer in which STORE makes planes of a K step."""
    return MAX_BITS << (config.group_bytes("a") // BEAT_BYTES - 1).bit_length()


def _of_memory(bits: int, depth: int) -> float:
    """RAMB36E1 of a memory of so many bits and words, in the widest form that is deep enough."""
    deep = min((words for words in _WIDTHS if words >= depth), default=max(_WIDTHS))
    whole, half = _WIDTHS[deep]
    rest = bits % whole
    return (bits // whole + (HALF if 0 < rest <= half else rest > 0)) * -(-depth // deep)


def preset_errors(found: Sequence[Point] | None = None) -> dict[str, dict[str, float]]:
    """How far the model is off, relative, by the arrays whose blocks were all synthesised.

    ``luts``, ``flip_flops``, ``bram36`` and ``dsp``: over all blocks; ``.._left_out``: of a model that is
    fitted without this array, which cannot know what only that one shows.
    """
    known = points() if found is None else list(found)
    model = AreaModel(known)
    errors = {}
    for name in dict.fromkeys(point.config.name for point in known):
        own = [point for point in known if point.config.name == name]
        if VARYING - {point.block for point in own}:
            continue
        others = [point for point in known if point.config.name != name or point.block not in VARYING]
        errors[name] = {
            **_errors(own, model),
            **{
                f"{field}_left_out": value
                for field, value in _errors(own, AreaModel(others)).items()
                if field in FIELDS
            },
        }
    return errors


def _errors(own: Sequence[Point], model: AreaModel) -> dict[str, float]:
    """Relative, by resource."""
    config = own[0].config
    taken = sum((point.taken for point in own), Resources())
    modelled = sum((model.block(point.block, config) for point in own), Resources())
    fields = (*FIELDS, "bram36", "dsp")
    return {name: getattr(modelled, name) / getattr(taken, name) - 1 for name in fields}
