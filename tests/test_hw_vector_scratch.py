"""cpt.hw.vector.scratch: banks of words, ports in a fixed order."""

from __future__ import annotations

import random
from collections import deque
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


class Watched:
    """A scratch, what it should hold, and the words that its ports should give."""

    def __init__(self, name: str, early_reads: int, seed: int) -> None:
        self.config, self.rng = preset(name), random.Random(seed)
        self.block = block = Scratch(self.config, WORDS, early_reads=early_reads)
        self.early = [getattr(block, f"early_read_{n}") for n in range(early_reads)]
        self.held = [[0] * self.config.cols for _ in range(WORDS)]
        self.due: list[tuple[int, Any, list[int]]] = []
        self.early_now: list[Any] = []
        """Ports and addresses of the reads that early ports make in this cycle."""
        self.early_next: list[Any] = []
        self.write_now: int | None = None
        self.write_next: int | None = None
        self.free_now = 0
        """Banks that `read` may ask for."""
        self.late: deque[int] = deque()
        """Late reads that are taken and wait."""
        self.refused: set[str] = set()
        self.compared = 0
        self.most_waiting = 0

    def chosen(self, ctx: Any, busy: float) -> None:
        """Sets all ports for a cycle; an offer that was refused stays."""
        rng, block = self.rng, self.block
        banks = rng.sample(range(SCRATCH_BANKS), len(self.early))
        for bank, port in zip(banks, self.early, strict=True):
            ctx.set(port.valid, rng.random() < busy)
            ctx.set(port.addr, bank * BANK + rng.randrange(BANK))
        ctx.set(block.early_write.valid, rng.random() < busy)
        ctx.set(block.early_write.addr, rng.randrange(WORDS))
        ctx.set(block.early_write.data, drawn_word(rng, self.config.cols))
        addr = rng.randrange(WORDS)
        asks = (self.free_now >> addr // BANK & 1) and rng.random() < 0.5
        ctx.set(block.read.valid, -1 if asks else 0)
        ctx.set(block.read.addr, addr)
        for port in (block.late_read, block.write):
            if not ctx.get(port.valid):
                ctx.set(port.valid, rng.random() < 0.7)
                ctx.set(port.addr, rng.randrange(WORDS))
                if port is block.write:
                    ctx.set(port.data, drawn_word(rng, self.config.cols))

    async def cycle(self, ctx: Any, now: int) -> None:
        """Compares what the ports say and give, and goes on by a cycle."""
        block, latency = self.block, self.block.latency_cycles
        for _, port, word in [item for item in self.due if item[0] == now]:
            assert list(ctx.get(port.data)) == word, now
            self.compared += 1
        arrives = any(at == now + 1 and port is block.late_read for at, port, _ in self.due)
        assert ctx.get(block.late_read.arrives) == arrives, now
        self.due = [item for item in self.due if item[0] > now]
        busy = {addr // BANK for _, addr in self.early_now}
        for port, addr in self.early_now:
            self.due.append((now + latency, port, self.held[addr]))
        following = {addr // BANK for _, addr in self.early_next}
        frees = ctx.get(block.read.frees)
        assert frees == sum((bank not in following) << bank for bank in range(SCRATCH_BANKS))
        ended = []
        if ctx.get(block.read.valid):
            addr = ctx.get(block.read.addr)
            assert addr // BANK not in busy
            self.due.append((now + latency, block.read, self.held[addr]))
            ended.append(block.read)
        elif self.late and self.late[0] // BANK not in busy:
            self.due.append((now + latency, block.late_read, self.held[self.late.popleft()]))
        elif self.late:
            self.refused.add("late")
        if ctx.get(block.late_read.valid):
            if ctx.get(block.late_read.ready):
                self.late.append(ctx.get(block.late_read.addr))
                ended.append(block.late_read)
            else:
                self.refused.add("late_queue")
        self.most_waiting = max(self.most_waiting, len(self.late))
        # Writes are seen by reads of the next cycle.
        free = ctx.get(block.write.free)
        taken = set() if self.write_now is None else {self.write_now // BANK}
        assert free == sum((bank not in taken) << bank for bank in range(SCRATCH_BANKS))
        if self.write_now is not None:
            self.held[self.write_now] = list(ctx.get(block.early_write.data))
        if ctx.get(block.write.valid):
            addr = ctx.get(block.write.addr)
            if addr // BANK in taken:
                self.refused.add("write")
            else:
                self.held[addr] = list(ctx.get(block.write.data))
                ended.append(block.write)
        self.free_now = frees
        self.early_now = self.early_next
        self.early_next = [(port, ctx.get(port.addr)) for port in self.early if ctx.get(port.valid)]
        wrote = ctx.get(block.early_write.valid)
        self.write_now = self.write_next
        self.write_next = ctx.get(block.early_write.addr) if wrote else None
        await ctx.tick()
        for port in ended:
            ctx.set(port.valid, 0)


@pytest.mark.parametrize(("name", "early_reads"), [("tiny", 1), ("tiny", 3), ("middle", 3)])
def test_every_port_reads_what_was_written_before_and_early_ones_go_first(
    name: str, early_reads: int
) -> None:
    watched = Watched(name, early_reads, seed=5)

    async def bench(ctx: Any) -> None:
        for now in range(400):
            watched.chosen(ctx, busy=0.6 if now % 100 < 60 else 0.1)
            await watched.cycle(ctx, now)

    simulate(watched.block, bench)
    assert watched.compared > 400
    assert watched.refused == {"late", "late_queue", "write"}
    assert watched.most_waiting == 2


def test_late_reads_are_one_a_cycle_where_nobody_else_reads() -> None:
    config = preset("tiny")
    block = Scratch(config, WORDS, early_reads=1)
    arrived = []

    async def bench(ctx: Any) -> None:
        ctx.set(block.late_read.valid, 1)
        for cycle in range(24):
            ctx.set(block.late_read.addr, cycle)
            assert ctx.get(block.late_read.ready)
            arrived.append(ctx.get(block.late_read.arrives))
            await ctx.tick()

    simulate(block, bench)
    # A cycle in the queue, and told a cycle ahead.
    assert arrived == [0] * block.latency_cycles + [1] * (24 - block.latency_cycles)


@pytest.mark.parametrize("words", [0, 4, 12, 96])
def test_words_that_do_not_fill_the_banks_are_refused(words: int) -> None:
    with pytest.raises(ValueError, match=rf"words are {words}; allowed: a power of two, at least 8"):
        bank_words(words)
    assert bank_words(8) == 2
