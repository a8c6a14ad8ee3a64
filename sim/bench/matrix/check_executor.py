"""Bench of `cpt.hw.matrix.executor`: never ahead of operands or result tiles, every cycle counted."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.order import tile_interval_cycles
from cpt.hw.drain.collector import Collector
from cpt.hw.layouts import exec_command, step_layout
from cpt.hw.matrix.array import Array
from cpt.sim.bench.core import Bench, Source, option, random_stall, rounds, unpack
from cpt.sim.bench.executes import FLAGS, Execute
from cpt.sim.scoreboard import Mismatch


class Surroundings:
    """Loaders, collector and drain as the executor sees them, and the rules it must keep."""

    outstanding = 0

    def __init__(self, bench: Bench, config: ArrayConfig) -> None:
        self.bench, self.config, self.dut = bench, config, bench.dut
        self.slow = {"a": 0.0, "b": 0.0, "drain": 0.0}
        self.to_load = {"a": 0, "b": 0}
        self.ready = {"a": 0, "b": 0}
        self.steps: list[dict[str, Any]] = []
        self.counts = {"busy": 0, "wait_fetch": 0, "wait_drain": 0}
        self.undrained = 0
        self._pulse = {"a": 0, "b": 0, "collected": 0, "free": 0}
        self._latency = Array(config, inline=False).latency_cycles + Collector(config).latency_cycles - 1
        self._collecting: deque[tuple[int, int]] = deque()
        self._drainable = 0
        self._last_capture = -1000
        bench.agents.append(self)

    def drive(self) -> None:
        """Give back tokens, at random."""
        for side in ("a", "b"):
            held = self.ready[side]
            give = self.to_load[side] > 0 and held < MACHINE.halves and random.random() >= self.slow[side]
            self._pulse[side] = int(give)
            getattr(self.dut, f"{side}_loaded").value = int(give)
        collected = bool(self._collecting) and self._collecting[0][0] <= self.bench.cycle
        self._pulse["collected"] = int(collected)
        self.dut.collected.value = int(collected)
        free = self._drainable > 0 and random.random() >= self.slow["drain"]
        self._pulse["free"] = int(free)
        self.dut.tile_free.value = int(free)

    def sample(self) -> None:
        """Count tokens and check that none is used before it is there."""
        get = self.bench.get
        for name in self.counts:
            self.counts[name] += get(name)
        if get("busy") and not (self.ready["a"] and self.ready["b"]):
            raise Mismatch("executor took a step without its operand blocks")
        for side in ("a", "b"):
            self.ready[side] += self._pulse[side] - get(f"{side}_release")
            self.to_load[side] -= self._pulse[side]
        if self._pulse["free"]:
            self._drainable -= 1
            self.undrained -= 1
        if self._pulse["collected"]:
            self._drainable += self._collecting.popleft()[1]
        if get("valid"):
            step = unpack(step_layout(self.config), get("step"))
            self.steps.append(step)
            if step["capture"]:
                self._capture(step)

    def _capture(self, step: dict[str, Any]) -> None:
        gap = self.bench.cycle - self._last_capture
        least = tile_interval_cycles(self.config)
        if gap < least:
            raise Mismatch(f"tiles end {gap} cycles apart; expected at least {least}")
        self._last_capture = self.bench.cycle
        self.undrained += step["collect"]["first"]
        if self.undrained > MACHINE.result_tiles:
            raise Mismatch(f"{self.undrained} result tiles in use; expected at most {MACHINE.result_tiles}")
        self._collecting.append((self.bench.cycle + self._latency, step["collect"]["last"]))


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def steps_wait_for_operands_and_result_tiles(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    commands = Source(bench, "commands", exec_command(config))
    around = Surroundings(bench, config)
    await bench.start()
    half_a = half_b = 0
    tile = MACHINE.result_tiles - 1
    for _ in range(rounds()):
        commands.stall = random_stall()
        around.slow = {"a": random_stall(), "b": random_stall(), "drain": random.choice((0.0, 0.9))}
        executes = [_chain(config, index) for index in range(4)]
        around.to_load = {
            "a": sum(item.release_a for item in executes),
            "b": sum(item.blocks for item in executes),
        }
        commands.put(*(item.payload() for item in executes))
        await bench.settle()
        await bench.until(lambda: bool(bench.get("idle")), "the end of all commands")
        await bench.until(lambda: around.undrained == 0, "the last drained tile")
        want = []
        for item in executes:
            for step in item.steps():
                tile ^= step["tile_last"] and item.first
                row = [step["a_word"] + half_a * config.half_words("a")] if step["count"] else [-1]
                row += [step["b_word"] + half_b * config.half_words("b")] if step["count"] else [-1]
                row += [step[name] for name in FLAGS]
                want.append([*row, step["tile_last"], tile if step["tile_last"] else -1])
                half_b ^= step["block_last"]
                half_a ^= step["command_last"] and item.release_a
        got = [_row(step) for step in around.steps]
        bench.board.equal("steps", got, want)
        bench.board.equal("busy", around.counts["busy"], len(want))
        around.steps.clear()
        around.counts["busy"] = 0
    bench.finish()


def _row(step: dict[str, Any]) -> list[int]:
    """The fields of a step that are compared; the result tile only where a tile ends."""
    tile = step["collect"]["tile"] if step["capture"] else -1
    addresses = [step["a_addr"], step["b_addr"]] if step["count"] else [-1, -1]
    return [*addresses, *(step[name] for name in FLAGS), step["capture"], tile]


def _chain(config: ArrayConfig, index: int) -> Execute:
    """Whole products and chains of K chunks in turn: first, then add, then last."""
    if index == 0:
        return Execute.random(config, whole=True)
    part = Execute.random(config)
    fields = {**vars(part), "tiles": 1, "blocks": 1, "release_a": True}
    return Execute(**{**fields, "first": index == 1, "last": index == 3})
