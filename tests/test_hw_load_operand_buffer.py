"""cpt.hw.load.operand_buffer: a word of every lane at each address, written in one cycle, read in three."""

from __future__ import annotations

import random
from typing import Any

from hw_streams import simulate

from cpt.hw.load.operand_buffer import OperandBuffer

LANES, WORD_BITS, DEPTH = 3, 20, 16


def test_every_lane_keeps_what_was_written_until_it_is_written_again() -> None:
    block, rng = OperandBuffer(LANES, WORD_BITS, DEPTH), random.Random(1)
    held = [[0] * LANES for _ in range(DEPTH)]

    async def bench(ctx: Any) -> None:
        reads: list[list[int]] = []
        late = [0] * LANES
        for _ in range(300):
            write, read = rng.randrange(DEPTH), rng.randrange(DEPTH)
            words = [rng.getrandbits(WORD_BITS) for _ in range(LANES)]
            enable = int(write != read and rng.random() < 0.6)  # a word that is being written is not read
            ctx.set(block.write.en, enable)
            ctx.set(block.write.addr, write)
            ctx.set(block.read.addr, read)
            for lane, word in enumerate(late):
                ctx.set(block.write.data[lane], word)
            late = words
            await ctx.tick()
            if len(reads) >= block.latency_cycles - 1:
                found = [ctx.get(block.read.data[lane]) for lane in range(LANES)]
                assert found == reads[1 - block.latency_cycles]
            reads.append(list(held[read]))
            if enable:
                held[write] = words

    simulate(block, bench)
