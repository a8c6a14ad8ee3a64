"""The float engine with memories around it, and what it leaves in them."""

from __future__ import annotations

import random
import warnings
from collections import deque
from typing import Any

import numpy as np
from amaranth.hdl import UnusedElaboratable
from amaranth.sim import Simulator

from cpt.hw.channel.engine import FloatEngine
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.sim.step.state import State

PERIOD_S = 1e-8
_WORD = 0xFFFF_FFFF


class FloatBench:
    """Runs FLOAT words on the memories of a `State`, which change as the engine writes.

    ``stall``: how often a read of scratch is not accepted.
    """

    def __init__(self, state: State, seed: int = 0, stall: float = 0.0) -> None:
        self.state, self.stall, self.rng = state, stall, random.Random(seed)
        self.cycles: list[int] = []
        """Of each instruction, from its command accepted to its mark, a cycle behind `done`."""
        self.overflows = 0

    def run(
        self,
        words: list[bytes],
        marks: list[int] | None = None,
        deadline: int = 3_000,
        states: list[State] | None = None,
    ) -> None:
        """Execute ``words``, each on its own of ``states`` if given; none may take ``deadline`` cycles."""
        engine = FloatEngine(self.state.config, len(self.state.scratch))

        async def program(ctx: Any) -> None:
            for engine_number, mark in enumerate(marks or []):
                ctx.set(engine.marks[engine_number], mark)
            for number, word in enumerate(words):
                self.state = states[number] if states else self.state
                ctx.set(engine.commands.payload.word, int.from_bytes(word, "little"))
                ctx.set(engine.commands.valid, 1)
                await ctx.tick().until(engine.commands.ready)
                ctx.set(engine.commands.valid, 0)
                cycles = 0
                done = 0
                while not done:
                    assert cycles < deadline, f"instruction {number} is not done after {cycles} cycles"
                    done = ctx.get(engine.done)
                    await ctx.tick()
                    cycles += 1
                    self.overflows += ctx.get(engine.overflow)
                self.cycles.append(cycles)
                await ctx.tick()

        async def memories(ctx: Any) -> None:
            await self._serve(ctx, engine)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)
            simulator = Simulator(engine)
            simulator.add_clock(PERIOD_S)
            simulator.add_testbench(program)
            simulator.add_testbench(memories, background=True)
            simulator.run()

    def run_together(self, words: list[bytes], deadline: int = 30_000) -> list[int]:
        """Execute ``words``, each offered as soon as it is taken; the cycles of their marks.

        Cycle 0 is the one in which the first is taken; none may be left after ``deadline`` cycles.
        """
        engine = FloatEngine(self.state.config, len(self.state.scratch))
        marks: list[int] = []

        async def offer(ctx: Any) -> None:
            for word in words:
                ctx.set(engine.commands.payload.word, int.from_bytes(word, "little"))
                ctx.set(engine.commands.valid, 1)
                await ctx.tick().until(engine.commands.ready)
            ctx.set(engine.commands.valid, 0)

        async def watch(ctx: Any) -> None:
            cycle = 0
            while len(marks) < len(words):
                assert cycle < deadline, f"{len(words) - len(marks)} instructions are not done"
                told = (engine.done, engine.idle, engine.overflow)
                _, _, done, idle, over = await ctx.tick().sample(*told)
                assert not (idle and cycle), "idle before the last is done"
                self.overflows += over
                cycle += 1
                if done:
                    marks.append(cycle)
            await ctx.tick()
            assert ctx.get(engine.idle)

        async def memories(ctx: Any) -> None:
            await self._serve(ctx, engine)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)
            simulator = Simulator(engine)
            simulator.add_clock(PERIOD_S)
            simulator.add_testbench(offer)
            simulator.add_testbench(watch)
            simulator.add_testbench(memories, background=True)
            simulator.run()
        return marks

    async def _serve(self, ctx: Any, engine: FloatEngine) -> None:
        """Every cycle: what the ports ask for, after the latencies that the contract says."""
        local, write, sums, slots = engine.local_read, engine.local_write, engine.sums, engine.slots
        statistics, coefficients = engine.statistics, engine.coefficients
        width, words_of_bank = len(local.data), len(self.state.scratch) // SCRATCH_BANKS
        delays = (
            *(MACHINE.local_cycles, MACHINE.scratch_cycles),
            *(MACHINE.channel_memory_cycles, MACHINE.channel_memory_cycles, MACHINE.slot_cycles),
        )
        under_way: list[deque[int | None]] = [deque([None] * (cycles - 1)) for cycles in delays]
        ctx.set(local.ready, 1)
        ctx.set(write.ready, 1)
        asked = (local.valid, local.addr, sums.valid, sums.addr, statistics.addr, coefficients.addr)
        told = (write.valid, write.addr, write.en, *write.data)
        frees, coming = 0, [0, 0]
        while True:
            free, frees = (
                frees,
                sum((self.rng.random() >= self.stall) << bank for bank in range(SCRATCH_BANKS)),
            )
            ctx.set(sums.frees, frees)
            _, _, local_next, write_next, *seen = await ctx.tick().sample(
                local.next, write.next, *asked, *told, coefficients.write, coefficients.write_data, slots.addr
            )
            assert coming[0] >= seen[0], "a read was not said a cycle before"
            assert coming[1] == seen[len(asked)], "a write was said otherwise a cycle before"
            coming = [local_next, write_next]
            state = self.state
            (wants, at, wants_sums, at_sums, at_statistics, at_coefficients), seen = seen[:6], seen[6:]
            assert not wants_sums or free >> at_sums // words_of_bank & 1
            writes, to, enable, *rest = seen
            values, channel_writes, slot = rest[:width], rest[width:-1], rest[-1]
            answers = (
                self._local(at, width) if wants else None,
                at_sums if wants_sums else None,
                int(state.statistics[at_statistics % len(state.statistics)]),
                int(state.coefficients[at_coefficients % len(state.coefficients)]),
                state.slots[slot].bits,
            )
            found = []
            for line, answer in zip(under_way, answers, strict=True):
                line.append(answer)
                found.append(line.popleft())
            row, word, of_statistics, of_coefficients, bits = found
            if row is not None:
                for number in range(width):
                    ctx.set(local.data[number], row >> 32 * number & _WORD)
            if word is not None:
                ctx.set(sums.data, [int(number) for number in state.scratch[word]])
            ctx.set(statistics.read_data, of_statistics or 0)
            ctx.set(coefficients.read_data, of_coefficients or 0)
            ctx.set(slots.slot.bits, bits or 0)
            if writes:
                for number, value in enumerate(values):
                    if enable >> number & 1:
                        state.local[width * to + number] = np.uint32(value).view(np.int32)
            wanted, value = channel_writes
            if wanted:
                state.coefficients[at_coefficients] = value

    def _local(self, row: int, width: int) -> int:
        words = self.state.local[width * row : width * (row + 1)]
        return sum((int(word) & _WORD) << 32 * number for number, word in enumerate(words))
