"""Local memory: what is written is read, whoever asks first is served first."""

import random

import pytest
from hw_streams import simulate

from cpt.hw.channel.local import LocalMemory
from cpt.hw.channel.ports import PAIR


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_every_port_reads_what_all_ports_have_written(stall):
    rng = random.Random(int(stall * 10))
    block = LocalMemory(reads=[PAIR] * 3, writes=[PAIR] * 3)
    held = {address: [0] * PAIR for address in range(8)}
    checked = []

    async def bench(ctx):
        due = {}
        for cycle in range(250):
            reading = [rng.random() >= stall for _ in range(3)]
            writing = [rng.random() >= stall for _ in range(3)]
            addresses = [rng.randrange(8) for _ in range(6)]
            words = [[rng.randrange(1 << 32) for _ in range(PAIR)] for _ in range(3)]
            enables = [rng.randrange(4) for _ in range(3)]
            for n in range(3):
                read, write = getattr(block, f"read_{n}"), getattr(block, f"write_{n}")
                ctx.set(read.valid, reading[n])
                ctx.set(read.addr, addresses[n])
                ctx.set(write.valid, writing[n])
                ctx.set(write.addr, addresses[3 + n])
                ctx.set(write.en, enables[n])
                for word in range(PAIR):
                    ctx.set(write.data[word], words[n][word])
            for n in range(3):
                read, write = getattr(block, f"read_{n}"), getattr(block, f"write_{n}")
                assert ctx.get(read.ready) == (not any(reading[:n]))
                assert ctx.get(write.ready) == (not any(writing[:n]))
                if reading[n] and ctx.get(read.ready):
                    due[cycle + block.latency_cycles] = (n, list(held[addresses[n]]))
            for n in range(3):
                if writing[n] and not any(writing[:n]):
                    for word in range(PAIR):
                        if enables[n] >> word & 1:
                            held[addresses[3 + n]][word] = words[n][word]
            if cycle in due:
                n, expected = due.pop(cycle)
                assert [ctx.get(getattr(block, f"read_{n}").data[word]) for word in range(PAIR)] == expected
                checked.append(n)
            await ctx.tick()

    simulate(block, bench)
    assert set(checked) == ({0, 1, 2} if stall else {0})
