"""Bench of `cpt.hw.matrix.sequencer`: the exact order of plane pairs, with pauses anywhere."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import preset
from cpt.hw.layouts import exec_command, pair_layout
from cpt.sim.bench.core import Bench, Every, Source, option, random_stall, rounds, unpack
from cpt.sim.bench.executes import FLAGS, Execute

ENDS = ("tile_last", "block_last", "command_last")


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def pairs_follow_the_anti_diagonals(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", exec_command(config))
    pause, finished = 0.0, 0
    got: list[list[int]] = []

    def drive() -> None:
        dut.pairs__ready.value = int(random.random() >= pause)
        dut.finished.value = finished

    def sample() -> None:
        nonlocal finished
        finished = 0
        if bench.get("pairs__valid") and bench.get("pairs__ready"):
            pair = unpack(pair_layout(config), bench.get("pairs__payload"))
            finished = int(pair["command_last"])
            got.append(
                [
                    pair["a_word"] if pair["count"] else -1,
                    pair["b_word"] if pair["count"] else -1,
                    1 if pair["single"] else pair["more"] + 2,
                    *(pair[name] for name in (*FLAGS, *ENDS)),
                ]
            )

    Every(bench, drive, sample)
    await bench.start()
    for _ in range(2 * rounds()):
        commands.stall, pause = random_stall(), random_stall()
        executes = [Execute.random(config) for _ in range(3)]
        commands.put(*(item.payload() for item in executes))
        await bench.settle()
        await bench.until(lambda: bool(bench.get("none")), "the end of all commands")
        want = [
            [pair["a_word"], pair["b_word"], pair["steps"], *(pair[name] for name in (*FLAGS, *ENDS))]
            for item in executes
            for pair in item.pairs()
        ]
        bench.board.equal("pairs", got, want)
        got.clear()
    bench.finish()
