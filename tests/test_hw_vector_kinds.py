"""cpt.hw.vector.kinds: settings of every kind at every width."""

from __future__ import annotations

from typing import Any

import pytest
from hw_streams import simulate
from vector_words import settings_of

from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.passes import CODES, MASKS, Apply, Drain
from cpt.hw.vector.kinds import APPLIES, DRAINS, SETTINGS, Decode


@pytest.mark.parametrize("kinds", [DRAINS, APPLIES])
def test_an_instruction_is_decoded_by_its_kind_and_bits(kinds: Any) -> None:
    block = Decode(kinds)
    asked: list[tuple[Drain | Apply, int, bool]] = [
        (kind, bits, alone) for kind in kinds for bits in range(1, MAX_BITS + 1) for alone in (False, True)
    ]

    async def bench(ctx: Any) -> None:
        for cycle in range(len(asked) + block.latency_cycles):
            if cycle < len(asked):
                kind, bits, alone = asked[cycle]
                ctx.set(block.kind, kind)
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


def test_kinds_write_codes_as_the_contract_says() -> None:
    assert [kind for kind in Apply if APPLIES[kind].codes] == sorted(CODES)
    assert [kind for kind in Apply if APPLIES[kind].masks] == sorted(MASKS)


def test_a_kind_that_is_none_does_nothing() -> None:
    block = Decode(DRAINS)

    async def bench(ctx: Any) -> None:
        ctx.set(block.kind, len(Drain))
        await ctx.tick().repeat(block.latency_cycles)
        does = [
            name for name, field in SETTINGS if field.width == 1 and ctx.get(getattr(block.settings, name))
        ]
        assert does == []

    simulate(block, bench)
