"""cpt.hw.program.product: sums of a start and a product, a bit of the count a cycle."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import simulate

from cpt.hw.program.product import FACTOR_BITS, Product

COUNT_BITS = 10


def test_products_add_to_a_start_or_go_on_from_the_total() -> None:
    block, draw = Product(COUNT_BITS), random.Random(4)

    async def bench(ctx: Any) -> None:
        total = 0
        for number in range(60):
            count = draw.getrandbits(draw.randint(0, COUNT_BITS))
            start, factor, on = draw.getrandbits(32), draw.getrandbits(32), draw.randrange(2)
            for name, value in {"start": start, "factor": factor, "count": count, "on": on}.items():
                ctx.set(getattr(block, name), value)
            ctx.set(block.go, 1)
            await ctx.tick()
            ctx.set(block.go, 0)
            cycles = 1
            while not ctx.get(block.done):
                await ctx.tick()
                cycles += 1
                if cycles == 2:  # what was taken may change
                    ctx.set(block.factor, draw.getrandbits(32))
            total = ((total if on else start) + factor * count) % (1 << FACTOR_BITS)
            assert ctx.get(block.total) == total, number
            assert cycles == Product.latency_cycles + count.bit_length()
            await ctx.tick().repeat(draw.randint(1, 3))

    simulate(block, bench)
