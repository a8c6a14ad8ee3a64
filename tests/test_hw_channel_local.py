"""Local memory: what is written is read, whoever asks first is served first."""

import random

import pytest
from hw_streams import simulate

from cpt.hw.channel.local import LocalMemory
from cpt.hw.channel.ports import PAIR


@pytest.mark.parametrize("groups", [((PAIR, PAIR, PAIR),), ((8, PAIR, 4),), ((8, PAIR), (4,))])
@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_every_port_reads_what_all_ports_have_written(stall, groups):
    rng = random.Random(int(stall * 10))
    words = [count for group in groups for count in group]
    places = [place for group in groups for place in range(len(group))]
    before = [range(n - place, n) for n, place in enumerate(places)]
    """Ports of the same group that are served first."""
    block = LocalMemory(reads=groups, writes=words)
    reads, writes = ([getattr(block, f"{name}_{n}") for n in range(len(words))] for name in ("read", "write"))
    held, checked = [0] * 32, []

    async def bench(ctx):
        due = {}
        may_read, may_write = ([False for _ in words] for _ in range(2))
        for cycle in range(250):
            reading, writing = (
                [may and rng.random() >= stall / 2 for may in ports] for ports in (may_read, may_write)
            )
            reads_next, writes_next = ([rng.random() >= stall for _ in words] for _ in range(2))
            at, to = ([rng.randrange(len(held) // count) for count in words] for _ in range(2))
            numbers = [[rng.randrange(1 << 32) for _ in range(count)] for count in words]
            enables = [rng.randrange(1 << count) for count in words]
            for n, (read, write) in enumerate(zip(reads, writes, strict=True)):
                ctx.set(read.next, reads_next[n])
                ctx.set(write.next, writes_next[n])
                ctx.set(read.valid, reading[n])
                ctx.set(read.addr, at[n])
                ctx.set(write.valid, writing[n])
                ctx.set(write.addr, to[n])
                ctx.set(write.en, enables[n])
                for word, number in enumerate(numbers[n]):
                    ctx.set(write.data[word], number)
            for n, (read, write) in enumerate(zip(reads, writes, strict=True)):
                assert ctx.get(read.ready) == (not any(may_read[k] for k in before[n]))
                assert ctx.get(write.ready) == (not any(may_write[:n]))
                if reading[n] and ctx.get(read.ready):
                    value = held[at[n] * words[n] :][: words[n]]
                    due.setdefault(cycle + block.latency_cycles, []).append((n, value))
            for n, count in enumerate(words):
                if writing[n] and not any(may_write[:n]):
                    for word in range(count):
                        if enables[n] >> word & 1:
                            held[to[n] * count + word] = numbers[n][word]
            for n, expected in due.pop(cycle, []):
                assert [ctx.get(word) for word in reads[n].data] == expected
                checked.append(n)
            may_read, may_write = reads_next, writes_next
            await ctx.tick()

    simulate(block, bench)
    assert set(checked) == ({0, 1, 2} if stall else {n for n, lower in enumerate(before) if not lower})
