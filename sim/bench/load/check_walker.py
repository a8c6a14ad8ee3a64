"""Bench of `cpt.hw.load.walker`: a run per block, tile and plane, never more blocks than free halves."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import RUN, load_command
from cpt.sim.bench.core import Bench, Sink, Source, option, random_stall, rounds, unpack
from cpt.sim.bench.loads import Load

MEMORY_BYTES = 1 << 20


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def runs_follow_the_instruction_reference(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    layout = load_command(config, "a")
    commands, runs = Source(bench, "commands", layout), Sink(bench, "runs")
    blocks = Sink(bench, "blocks")
    await bench.start()
    held = 0
    for _ in range(rounds()):
        commands.stall, runs.stall, keep = random_stall(), random_stall(), random_stall()
        loads = [Load.random(config, "a", MEMORY_BYTES) for _ in range(2)]
        commands.put(*(load.payload() for load in loads))
        want = [(address, load.run_beats) for load in loads for address in load.runs()]
        words = [load.block_words - 1 for load in loads for _ in range(load.blocks)]
        got: list[tuple[int, int]] = []
        started: list[int] = []
        while len(got) < len(want) or held:
            release = held > 0 and random.random() >= max(keep, 0.5)
            bench.set("release", int(release))
            await bench.step()
            held -= release
            taken = blocks.take()
            held += len(taken)
            started += taken
            bench.board.equal("blocks beyond the buffer's halves", max(0, held - MACHINE.halves), 0)
            for item in runs.take():
                run = unpack(RUN, item)
                got.append((run["addr"], run["beats"]))
        bench.set("release", 0)
        bench.board.equal("runs", got, want)
        bench.board.equal("last words of blocks", started, words)
        await bench.settle()
        bench.board.equal("idle", bench.get("idle"), 1)
    bench.finish()
