"""Bench of `cpt.hw.load.gearbox`: beats of a group come out as one word per lane."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.load.gearbox import Gearbox
from cpt.sim.bench.core import Bench, option, rounds


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def words_of_a_group_come_out_side_by_side(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    config = preset(option("preset", "tiny"))
    lanes = sum(1 for lane in range(256) if hasattr(dut, f"words__{lane}"))
    group_beats = -(-lanes * config.word_bits // 64)
    for _ in range(10 * rounds()):
        group = random.getrandbits(64 * group_beats)
        for index in range(group_beats):
            while random.random() < 0.3:
                bench.set("beat_valid", 0)
                bench.set("beat", random.getrandbits(64))
                await bench.step()
            bench.set("beat_valid", 1)
            bench.set("beat", group >> 64 * index & (1 << 64) - 1)
            await bench.step()
        bench.set("beat_valid", 0)
        for _ in range(Gearbox.latency_cycles - 1):
            await bench.step()
        bench.board.equal("coming", [bench.get(f"coming__{n}") for n in range(2)], [1, 1])
        await bench.step()
        words = [bench.get(f"words__{lane}") for lane in range(lanes)]
        mask = (1 << config.word_bits) - 1
        bench.board.equal("words", words, [group >> lane * config.word_bits & mask for lane in range(lanes)])
    bench.finish()
