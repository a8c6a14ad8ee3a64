"""Bench of `cpt.hw.matrix.sequencer`: the exact order of steps, tiles and blocks, with pauses anywhere."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.layouts import exec_command, step_layout
from cpt.sim.bench.core import Bench, Every, Source, option, random_stall, rounds, unpack
from cpt.sim.bench.executes import FLAGS, Execute

ENDS = ("tile_last", "block_last", "command_last")


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def steps_follow_the_anti_diagonals(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", exec_command(config))
    pause = 0.0
    got: list[list[int]] = []

    def drive() -> None:
        # `active` is a register: it can be read before the inputs of the cycle are set.
        dut.issue.value = int(bench.get("active") and random.random() >= pause)

    def sample() -> None:
        if bench.get("issue"):
            step = unpack(step_layout(config), bench.get("step"))
            bench.board.equal("capture", step["capture"], bench.get("tile_last"))
            bench.board.equal("first", step["collect"]["first"], bench.get("first"))
            got.append(
                [
                    step["a_addr"] if step["count"] else -1,
                    step["b_addr"] if step["count"] else -1,
                    *(step[name] for name in FLAGS),
                    *(bench.get(n) for n in ENDS),
                ]
            )

    Every(bench, drive, sample)
    await bench.start()
    for _ in range(2 * rounds()):
        commands.stall, pause = random_stall(), random_stall()
        executes = [Execute.random(config) for _ in range(3)]
        commands.put(*(item.payload() for item in executes))
        await bench.settle()
        while bench.get("active"):
            await bench.step()
        want = [
            [step["a_word"], step["b_word"], *(step[name] for name in FLAGS), *(step[name] for name in ENDS)]
            for item in executes
            for step in item.steps()
        ]
        bench.board.equal("steps", got, want)
        got.clear()
    bench.finish()
