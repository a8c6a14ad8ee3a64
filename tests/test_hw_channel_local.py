"""Local memory: what is written is read, whoever asks first is served first."""

import random

import pytest
from hw_streams import simulate

from cpt.hw.channel.local import LocalMemory
from cpt.hw.channel.ports import PAIR


@pytest.mark.parametrize("words", [(PAIR, PAIR, PAIR), (8, PAIR, 4)])
@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_every_port_reads_what_all_ports_have_written(stall, words):
    rng = random.Random(int(stall * 10))
    block = LocalMemory(reads=words, writes=words)
    reads, writes = ([getattr(block, f"{name}_{n}") for n in range(len(words))] for name in ("read", "write"))
    held, checked = [0] * 32, []

    async def bench(ctx):
        due = {}
        for cycle in range(250):
            reading, writing = ([rng.random() >= stall for _ in words] for _ in range(2))
            at, to = ([rng.randrange(len(held) // count) for count in words] for _ in range(2))
            numbers = [[rng.randrange(1 << 32) for _ in range(count)] for count in words]
            enables = [rng.randrange(1 << count) for count in words]
            for n, (read, write) in enumerate(zip(reads, writes, strict=True)):
                ctx.set(read.valid, reading[n])
                ctx.set(read.addr, at[n])
                ctx.set(write.valid, writing[n])
                ctx.set(write.addr, to[n])
                ctx.set(write.en, enables[n])
                for word, number in enumerate(numbers[n]):
                    ctx.set(write.data[word], number)
            for n, (read, write) in enumerate(zip(reads, writes, strict=True)):
                assert ctx.get(read.ready) == (not any(reading[:n]))
                assert ctx.get(write.ready) == (not any(writing[:n]))
                if reading[n] and ctx.get(read.ready):
                    due[cycle + block.latency_cycles] = (n, held[at[n] * words[n] :][: words[n]])
            for n, count in enumerate(words):
                if writing[n] and not any(writing[:n]):
                    for word in range(count):
                        if enables[n] >> word & 1:
                            held[to[n] * count + word] = numbers[n][word]
            if cycle in due:
                n, expected = due.pop(cycle)
                assert [ctx.get(word) for word in reads[n].data] == expected
                checked.append(n)
            await ctx.tick()

    simulate(block, bench)
    assert set(checked) == ({0, 1, 2} if stall else {0})
