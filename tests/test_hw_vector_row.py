"""cpt.hw.vector.row: every kind of pass gives the golden numbers, a word a cycle, kinds in any order."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import simulate
from vector_words import COEFFICIENTS, DRAINS, LaneWord, drawn, gradient_parts, kind_of, settings_of

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.passes import Apply, Drain
from cpt.hw.vector.row import Row

TINY = preset("tiny")
KINDS = [*DRAINS, *Apply]


def run(config: ArrayConfig, words: list[LaneWord]) -> None:
    """A word in each cycle, each of its parts in the cycle that `Row` wants it in."""
    row = Row(config)
    inputs = [
        (0, ("settings", "coefficients", "part")),
        (row.product_cycles, ("product", "sums")),
        (row.operand_cycles, ("y", "other", "mask")),
        (row.pooled_cycles, ("pooled",)),
        (row.noise_cycles, ("noise",)),
        (row.inside_cycles, ("inside",)),
    ]
    compared = 0
    masks: set[int] = set()

    def value(word: LaneWord, name: str) -> Any:
        if name == "settings":
            return settings_of(word.kind, word.bits, word.alone)
        if name == "product":
            return [number & (1 << 48) - 1 for number in word.product]
        if name == "inside":
            return sum(bit << lane for lane, bit in enumerate(word.inside))
        return getattr(word, name)

    async def bench(ctx: Any) -> None:
        nonlocal compared
        for cycle in range(len(words) + row.joint_cycles + 1):
            for after, names in inputs:
                if 0 <= cycle - after < len(words):
                    word = words[cycle - after]
                    for name in names:
                        ctx.set(getattr(row, name), value(word, name))
            if 0 <= cycle - row.latency_cycles < len(words):
                word = words[cycle - row.latency_cycles]
                # Codes of 16 bits without sign are the same bits.
                wanted = [number - (number >> 15 << 16) if number > 0 else number for number in word.result]
                assert list(ctx.get(row.result)) == wanted, (cycle, word)
                if kind_of(word.kind).masks:
                    mask = sum((number > 0) << lane for lane, number in enumerate(wanted))
                    assert ctx.get(row.above) == mask, (cycle, word)
                    masks.add(mask)
            if 0 <= cycle - row.joint_cycles < len(words):
                word = words[cycle - row.joint_cycles]
                if word.joint is not None:
                    assert list(ctx.get(row.joint)) == word.joint, (cycle, word)
                    compared += 1
            await ctx.tick()

    simulate(row, bench)
    assert compared or all(word.joint is None for word in words)
    assert len(masks) > 1 or not any(kind_of(word.kind).masks for word in words)


def saturating(lanes: int, sign: int) -> LaneWord:
    """Products that no shift of theirs would leave: golden functions raise, lanes clip."""
    word = LaneWord(Drain.FORWARD, 8, lanes, noise=[128] * lanes, inside=[1] * lanes)
    word.coefficients = dict.fromkeys(COEFFICIENTS, 0)
    word.product = [sign << n for n in range(6, 38)][:: 32 // lanes]
    word.sums = word.y = word.other = word.mask = [0] * lanes
    word.result = [sign * min(1 << n + 9, 0x7FFF) for n in range(6, 38)][:: 32 // lanes]
    word.joint = [value * value for value in word.result]
    return word


def test_words_of_every_kind_in_any_order_are_the_golden_functions() -> None:
    """Sixteen lanes: tests/test_hw_vector_lanes.py."""
    rng, config, count = random.Random("tiny"), TINY, 12
    pieces = [[drawn(kind, config.cols, rng)] for kind in KINDS for _ in range(count)]
    pieces += [gradient_parts(rng, config.cols, n % 2 == 0) for n in range(count)]
    pieces += [[saturating(config.cols, sign)] for sign in (-1, 1)]
    rng.shuffle(pieces)
    run(config, [word for piece in pieces for word in piece])
