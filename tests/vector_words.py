"""Words for the lanes, drawn, and what the golden functions make of each; all kinds of DRAIN and APPLY."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cpt.hw.contract.passes import Apply, Drain
from cpt.hw.vector import kinds
from cpt.hw.vector.kinds import Bounds, Kind, Times
from cpt.model.golden.fabric import apply as applies
from cpt.model.golden.fabric import drain as drains
from cpt.model.golden.fabric.codes import WeightCodes
from cpt.model.golden.fabric.pool import pool_gradient
from cpt.model.golden.fabric.product import Product

COEFFICIENTS = ("zero", "shift", "multiplier", "second", "addend", "total_shift")
DRAINS = [kind for kind in Drain if kind is not Drain.GRADIENT]


def kind_of(kind: Drain | Apply) -> Kind:
    """What the lanes know of it."""
    return kinds.DRAINS[kind] if isinstance(kind, Drain) else kinds.APPLIES[kind]


def settings_of(kind: Drain | Apply, bits: int, alone: bool = False) -> dict[str, Any]:
    """What `Decode` gives."""
    item, most = kind_of(kind), (1 << bits) - 1
    lowest, highest = {
        Bounds.WORD: (-0x7FFF, 0x7FFF),
        Bounds.STREAM: (0, 0x7FFF),
        Bounds.UNSIGNED: (0, most),
        Bounds.SIGNED: (-(most >> 1), most >> 1),
        Bounds.WHOLE: (-(1 << 17), (1 << 17) - 1),
    }[item.bounds]
    flags = {
        name: int(getattr(item, name)) for name, kind_of in Kind.__annotations__.items() if kind_of is bool
    }
    if alone and item.swapped:
        flags |= {"reads_other": 0, "square": 1}
    return flags | {
        "first": Times.ONE if alone and item.swapped else item.first,
        "second": Times.NOTHING if alone and (item.parts or item.swapped) else item.second,
        "added": item.added,
        "mask": item.mask,
        "left": 0 if item.parts else 16 - bits,
        "highest": highest,
        "lowest": lowest,
    }


@dataclass
class LaneWord:
    """One word of one kind: what goes in, and what must come out."""

    kind: Drain | Apply
    bits: int
    lanes: int
    coefficients: dict[str, int] = field(default_factory=dict)
    product: list[int] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)
    y: list[int] = field(default_factory=list)
    other: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    noise: list[int] = field(default_factory=list)
    inside: list[int] = field(default_factory=list)
    pooled: int = 0
    part: int = 0
    alone: bool = False
    result: list[int] = field(default_factory=list)
    joint: list[int] | None = None


def numbers(rng: random.Random, lanes: int, least: int = -0x7FFF, most: int = 0x7FFF) -> list[int]:
    """Drawn numbers, extremes among them."""
    return [
        rng.choice((least, most, 0, rng.randint(least, most), rng.randint(least, most))) for _ in range(lanes)
    ]


def near(rng: random.Random, lanes: int, size: int) -> list[int]:
    """Numbers of any magnitude up to ``size``, both signs."""
    return [rng.choice((-1, 1)) * (rng.randint(0, size) >> rng.choice((0, 0, 1, 3, 8))) for _ in range(lanes)]


def _multiplier(rng: random.Random) -> int:
    return rng.choice(
        (rng.randint(-(1 << 17), (1 << 17) - 1), rng.randint(-40, 40), -(1 << 17), (1 << 17) - 1)
    )


def drawn(kind: Drain | Apply, lanes: int, rng: random.Random) -> LaneWord:
    """A word that the golden functions accept, expected numbers included."""
    bits = rng.choice((1, 2, 3, 8, 16, rng.randint(1, 16)))
    if kind_of(kind).bounds is Bounds.SIGNED:
        bits = max(bits, 2)
    word = LaneWord(kind, bits, lanes)
    word.y, word.other, word.mask = (numbers(rng, lanes) for _ in range(3))
    word.noise = numbers(rng, lanes, 0, 255) if kind_of(kind).noise else [128] * lanes
    word.inside = [int(rng.random() < 0.8) for _ in range(lanes)]
    word.coefficients = {
        "zero": -rng.choice((0, 1, (1 << 17) - 1, rng.randrange(1 << 17))),
        "shift": rng.choice((0, 1, 32, rng.randint(0, 32))),
        "multiplier": _multiplier(rng),
        "second": _multiplier(rng),
        "addend": rng.choice((-1, 1)) * (rng.randint(0, 1 << 46) >> rng.randint(0, 46)),
        "total_shift": rng.choice((0, 1, 30, rng.randint(0, 30))),
    }
    word.product, word.sums = [0] * lanes, [0] * lanes
    if kind is Drain.GRADIENT:
        raise ValueError("GRADIENT comes in parts")
    if isinstance(kind, Drain):
        _drained(word, rng)
    else:
        _applied(word, rng)
    return word


def _drained(word: LaneWord, rng: random.Random) -> None:
    """A product whose drained number fits: chosen backwards from it."""
    held, fraction = word.coefficients, 17 - word.bits
    held["shift"] = max(held["shift"], fraction - 13)
    size = min((0x7FFF << held["shift"]) - (1 << fraction), 1 << 46)
    word.sums = near(rng, word.lanes, min((1 << 24) - 1, size // max(1, -held["zero"])))
    word.product = [
        (value - held["zero"] * total) >> fraction
        for value, total in zip(near(rng, word.lanes, size), word.sums, strict=True)
    ]
    if word.kind is Drain.BLOCK_ERROR:
        held["total_shift"] = rng.randint(17, 30)
        held["multiplier"] = rng.randint(-(1 << 15), 1 << 15)
        held["second"] = rng.randint(-(1 << 15), 1 << 15)
    column = {
        name: np.array(getattr(word, name), np.int64)[:, None] for name in ("product", "y", "other", "mask")
    }
    one = {name: np.array([value], np.int64) for name, value in held.items()}
    product = Product(column["product"], np.array(word.sums, np.int64))
    weights = WeightCodes(np.zeros((1, 0)), one["zero"], np.zeros(1, np.float32), one["zero"], word.bits)
    if word.kind is Drain.FORWARD:
        out, _ = drains.forward_drain(product, weights, one["shift"])
    elif word.kind is Drain.BLOCK_ERROR:
        coefficients = drains.BlockErrorCoefficients(
            one["shift"], one["multiplier"], one["second"], one["total_shift"]
        )
        mask = column["mask"] > 0
        out, _ = drains.block_error_drain(product, weights, coefficients, column["other"], mask, column["y"])
    elif word.kind is Drain.INNER_ERROR:
        mask = applies.relu_mask(column["y"], _affine(one))
        out, _ = drains.inner_error_drain(product, weights, one["shift"], mask, column["y"])
    else:
        out, _ = drains.inner_error_drain(product, weights, one["shift"])
    _expect(word, out)


def _affine(one: dict[str, np.ndarray], second: bool = False) -> applies.Affine:
    return applies.Affine(
        one["multiplier"], one["addend"], one["total_shift"], one["second"] if second else None
    )


def _applied(word: LaneWord, rng: random.Random) -> None:
    kind, held, bits = Apply(word.kind), word.coefficients, word.bits
    if kind is Apply.ERROR:
        held["total_shift"] = rng.choice((9, 30, rng.randint(9, 30)))
    if kind is Apply.IMAGE:
        word.y = numbers(rng, word.lanes, 0, 255)
    if rng.random() < 0.6:
        # Sums that land among the codes rather than beyond them.
        size = 1 << held["total_shift"] + min(bits, 15)
        held["multiplier"] = max(-(1 << 17), min((1 << 17) - 1, size // 0x7FFF * rng.choice((-1, 1))))
        held["addend"] = rng.randint(-size, size)
        held["second"] = (
            rng.randint(-(1 << 17), 1 << 17) if kind is Apply.BLOCK and size > 1 << 32 else held["second"]
        )
    held["second"] = max(-(1 << 17), min((1 << 17) - 1, held["second"]))
    one = {name: np.array([value], np.int64) for name, value in held.items()}
    y, other, mask = (np.array(values, np.int64)[:, None] for values in (word.y, word.other, word.mask))
    noise = np.array(word.noise, np.uint8)[:, None]
    if kind is Apply.INNER:
        out = applies.inner_apply(y, _affine(one), bits)
    elif kind is Apply.CODE:
        out = applies.code_apply(y, held["multiplier"], held["total_shift"], bits)
    elif kind is Apply.IMAGE:
        out = applies.image_apply(y, _affine(one), bits)
    elif kind is Apply.BLOCK:
        out, _, _ = applies.block_apply(y, _affine(one, second=True), other)
    elif kind is Apply.ERROR:
        out = applies.error_apply(y, other, _affine(one, second=True), noise, bits)
    elif kind is Apply.UNPOOL:
        word.pooled = numbers(rng, 1)[0]
        out = pool_gradient(np.array([[word.pooled]]), mask.reshape(1, 1, -1, 1) > 0)
    else:
        out = other if kind is Apply.COUNT else y
    _expect(word, out)


def _expect(word: LaneWord, out: np.ndarray) -> None:
    inside = np.array(word.inside)
    result = out.ravel().astype(np.int64) * inside
    word.result = [int(value) for value in result]
    if kind_of(word.kind).joint:
        beside = result if kind_of(word.kind).square else np.array(word.y, np.int64)
        word.joint = [int(value) for value in result * beside]


def gradient_parts(rng: random.Random, lanes: int, first: bool) -> list[LaneWord]:
    """A word of a GRADIENT: three parts of sums of 48 bits."""
    product = near(rng, lanes, (1 << 46) - 1)
    old = near(rng, lanes, (1 << 46) - 1)
    if rng.random() < 0.3:
        old = [-value + rng.choice((-1, 0, 1)) for value in product]
    total = [value + (0 if first else before) for value, before in zip(product, old, strict=True)]
    parts = []
    for part in range(3):
        word = LaneWord(Drain.GRADIENT, rng.randint(1, 16), lanes, part=part, alone=first)
        word.coefficients = {name: rng.randrange(1 << 6) for name in COEFFICIENTS}
        word.product, word.sums, word.noise = product, near(rng, lanes, 1 << 23), [128] * lanes
        word.inside, word.y, word.mask = [1] * lanes, numbers(rng, lanes), numbers(rng, lanes)
        word.other = [signed_part(value, part) for value in old]
        word.result = [signed_part(value, part) for value in total]
        parts.append(word)
    return parts


def signed_part(value: int, part: int) -> int:
    """16 bits of a number as scratch holds them."""
    bits = value >> 16 * part & 0xFFFF
    return bits - (bits >> 15 << 16)
