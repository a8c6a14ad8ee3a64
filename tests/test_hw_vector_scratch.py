"""cpt.hw.vector.scratch: banks of words, ports in a fixed order."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import preset
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.vector.ports import NUMBER_BITS
from cpt.hw.vector.scratch import Scratch, bank_words

WORDS = 64
BANK = WORDS // SCRATCH_BANKS


def drawn_word(rng: random.Random, lanes: int) -> list[int]:
    most = 1 << NUMBER_BITS - 1
    return [rng.choice((-most, most - 1, rng.randrange(-most, most))) for _ in range(lanes)]


@pytest.mark.parametrize(("name", "reads", "writes"), [("tiny", 3, 2), ("middle", 4, 2)])
def test_every_port_reads_what_was_accepted_before(name: str, reads: int, writes: int) -> None:
    config, rng = preset(name), random.Random(5)
    block = Scratch(config, WORDS, reads=reads, writes=writes)
    held = [[0] * config.cols for _ in range(WORDS)]
    due: list[tuple[int, int, list[int]]] = []
    refused, compared = set(), 0

    async def bench(ctx: Any) -> None:
        nonlocal due, compared
        readers = [getattr(block, f"read_{n}") for n in range(reads)]
        writers = [getattr(block, f"write_{n}") for n in range(writes)]
        for cycle in range(300):
            for _, port, word in [item for item in due if item[0] == cycle]:
                assert list(ctx.get(readers[port].data)) == word, (cycle, port)
                compared += 1
            due = [item for item in due if item[0] > cycle]
            for port in (*readers, *writers):
                if not ctx.get(port.valid):
                    ctx.set(port.valid, rng.random() < 0.7)
                    ctx.set(port.addr, rng.randrange(WORDS))
                    if port in writers:
                        ctx.set(port.data, drawn_word(rng, config.cols))
            ended = []
            for ports in (readers, writers):
                busy: set[int] = set()
                for number, port in enumerate(ports):
                    bank = ctx.get(port.addr) // BANK
                    valid, ready = ctx.get(port.valid), ctx.get(port.ready)
                    assert ready == (bank not in busy), (cycle, number)
                    if valid and ready:
                        ended.append(port)
                        busy.add(bank)
                        if ports is readers:
                            due.append((cycle + block.latency_cycles, number, held[ctx.get(port.addr)]))
                    elif valid:
                        refused.add((ports is readers, number))
            for port in writers:
                if port in ended:
                    held[ctx.get(port.addr)] = list(ctx.get(port.data))
            await ctx.tick()
            for port in ended:
                ctx.set(port.valid, 0)

    simulate(block, bench)
    assert compared > 300
    assert refused == {(True, n) for n in range(1, reads)} | {(False, n) for n in range(1, writes)}


def test_a_word_written_is_read_in_the_next_cycle_by_all_ports_in_their_banks() -> None:
    config = preset("tiny")
    block = Scratch(config, WORDS, reads=2, writes=1)

    async def bench(ctx: Any) -> None:
        ctx.set(block.write_0.valid, 1)
        ctx.set(block.write_0.addr, 3)
        ctx.set(block.write_0.data, list(range(1, config.cols + 1)))
        await ctx.tick()
        ctx.set(block.write_0.valid, 0)
        ctx.set(block.read_0.valid, 1)
        ctx.set(block.read_0.addr, 3)
        ctx.set(block.read_1.valid, 1)
        ctx.set(block.read_1.addr, BANK + 3)
        assert ctx.get(block.read_1.ready)
        await ctx.tick().repeat(block.latency_cycles)
        assert list(ctx.get(block.read_0.data)) == list(range(1, config.cols + 1))
        assert not any(ctx.get(block.read_1.data))

    simulate(block, bench)


@pytest.mark.parametrize("words", [0, 4, 12, 96])
def test_words_that_do_not_fill_the_banks_are_refused(words: int) -> None:
    with pytest.raises(ValueError, match=rf"words are {words}; allowed: a power of two, at least 8"):
        bank_words(words)
    assert bank_words(8) == 2
