"""cpt.hw.matrix.dot_product: bit-serial products along the anti-diagonals."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract.order import tile_steps
from cpt.hw.matrix.dot_product import DotProductUnit

WORD_BITS = 24


def signed_value(result: int) -> int:
    return result - (1 << 48) if result >> 47 else result


@pytest.mark.parametrize(("bits_a", "signed_a", "bits_b", "signed_b"), [
    (1, False, 1, False), (1, True, 1, True), (3, True, 5, False), (4, False, 2, True), (16, True, 16, True),
    (16, False, 16, False),
])  # fmt: skip
def test_a_captured_result_is_the_integer_dot_product(
    bits_a: int, signed_a: bool, bits_b: int, signed_b: bool
) -> None:
    rng = random.Random(bits_a * 100 + bits_b)
    block = DotProductUnit(WORD_BITS)
    delay = block.count_latency_cycles

    async def bench(ctx: Any) -> None:
        for _ in range(3):
            ksteps = rng.randint(1, 3)
            low_a, low_b = -(1 << bits_a - 1) * signed_a, -(1 << bits_b - 1) * signed_b
            a = [rng.randint(low_a, low_a + (1 << bits_a) - 1) for _ in range(ksteps * WORD_BITS)]
            b = [rng.randint(low_b, low_b + (1 << bits_b) - 1) for _ in range(ksteps * WORD_BITS)]
            pipeline: list[dict[str, int]] = [{}] * delay
            for step in [*tile_steps(bits_a, bits_b, signed_a, signed_b, ksteps), *[None] * delay]:
                gap = 0 if step is None else rng.choice((0, 0, 1))
                for current in [None] * gap + [step]:
                    pipeline.append({} if current is None else vars(current))
                    flags = pipeline.pop(0)
                    if current is not None:
                        i, j, k = current.plane_a, current.plane_b, current.k
                        words = slice(k * WORD_BITS, (k + 1) * WORD_BITS)
                        ctx.set(block.a, sum((v >> i & 1) << n for n, v in enumerate(a[words])))
                        ctx.set(block.b, sum((v >> j & 1) << n for n, v in enumerate(b[words])))
                    ctx.set(block.enable, int(bool(flags)))
                    for name in ("clear", "double", "count"):
                        ctx.set(getattr(block, name), int(flags.get(name, 0)))
                    ctx.set(block.negative, int(flags.get("subtract", 0)))
                    await ctx.tick()
            ctx.set(block.enable, 0)
            ctx.set(block.capture, 1)
            await ctx.tick()
            ctx.set(block.capture, 0)
            assert signed_value(ctx.get(block.result)) == sum(x * y for x, y in zip(a, b, strict=True))

    simulate(block, bench)


def test_a_capture_takes_the_sum_from_before_the_same_edge() -> None:
    block = DotProductUnit(8)

    async def bench(ctx: Any) -> None:
        ctx.set(block.a, 0xFF)
        ctx.set(block.b, 0xFF)
        ctx.set(block.count, 1)
        await ctx.tick().repeat(block.count_latency_cycles)
        ctx.set(block.enable, 1)
        ctx.set(block.clear, 1)
        await ctx.tick()
        ctx.set(block.capture, 1)
        ctx.set(block.double, 1)
        ctx.set(block.clear, 0)
        await ctx.tick()
        assert ctx.get(block.result) == 8
        await ctx.tick()
        assert ctx.get(block.result) == 24

    simulate(block, bench)
