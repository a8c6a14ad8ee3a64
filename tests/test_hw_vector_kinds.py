"""cpt.hw.vector.kinds: settings of every kind at every width."""

from __future__ import annotations

from typing import Any

from hw_streams import simulate
from vector_words import settings_of

from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.passes import Apply, Drain
from cpt.hw.vector.kinds import SETTINGS, Decode, number_of


def test_an_instruction_is_decoded_by_its_kind_and_bits() -> None:
    block = Decode()
    asked: list[tuple[Drain | Apply, int, bool]] = [
        (kind, bits, alone)
        for kind in (*Drain, *Apply)
        for bits in range(1, MAX_BITS + 1)
        for alone in (False, True)
    ]

    async def bench(ctx: Any) -> None:
        for cycle in range(len(asked) + block.latency_cycles):
            if cycle < len(asked):
                kind, bits, alone = asked[cycle]
                ctx.set(block.kind, number_of(kind))
                ctx.set(block.bits, bits)
                ctx.set(block.alone, alone)
            if cycle >= block.latency_cycles:
                wanted = settings_of(*asked[cycle - block.latency_cycles])
                found = ctx.get(block.settings)
                assert {name: getattr(found, name) for name in wanted} == wanted, asked[
                    cycle - block.latency_cycles
                ]
            await ctx.tick()

    simulate(block, bench)


def test_a_kind_that_is_none_does_nothing() -> None:
    block = Decode()

    async def bench(ctx: Any) -> None:
        ctx.set(block.kind, len(Drain))
        await ctx.tick().repeat(block.latency_cycles)
        does = [
            name for name, field in SETTINGS if field.width == 1 and ctx.get(getattr(block.settings, name))
        ]
        assert does == []

    simulate(block, bench)
