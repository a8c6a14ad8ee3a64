"""The engine MOVE between memories, beside the exact model."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
from hw_ports import ReadPort, ReadSide, WritePort, WriteSide
from hw_streams import simulate, stream_put

from cpt.hw.contract import preset
from cpt.hw.contract.floats import LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import Move as Kind
from cpt.hw.contract.step import Code, Engine, Word, decode, encode
from cpt.hw.move.engine import Move
from cpt.sim.step.moves import Moves
from cpt.sim.step.state import Slot, State

MEMORY, WORDS = 1 << 16, 256


class Rig:
    """The engine with a state behind its ports, and the same state moved by the exact model."""

    def __init__(self, name: str, seed: int, stall: float) -> None:
        config, rng = preset(name), random.Random(seed)
        self.engine = Move(config, WORDS)
        state = self.state = State(config, MEMORY, WORDS)
        state.memory[:] = np.frombuffer(rng.randbytes(MEMORY), np.uint8)
        state.scratch[:] = np.frombuffer(rng.randbytes(state.scratch.nbytes), np.int16).reshape(WORDS, -1)
        state.local[:] = np.frombuffer(rng.randbytes(4 * LOCAL_WORDS), np.int32)
        self.expected = copy.deepcopy(state)
        self.rng, self.stall = rng, stall
        self.words: list[Word] = []
        self.cycles: list[int] = []
        """When each instruction was finished."""

    def slot(self, number: int, slot: Slot) -> None:
        """Set a precision slot."""
        self.state.slots[number] = self.expected.slots[number] = slot

    def add(self, kind: Kind, **fields: int) -> None:
        """One more instruction; the model executes it at once."""
        word = decode(encode(Code.MOVE, kind=int(kind), **fields))
        Moves(self.expected).move(word)
        self.words.append(word)

    def command(self, word: Word) -> dict[str, Any]:
        """What dispatch hands over."""
        encoded = int.from_bytes(encode(Code.MOVE, **word.values), "little")
        slot = self.state.slots[word.slot]
        return {
            "word": encoded,
            "address": self.state.address(word),
            "slot_a": {"bits": slot.bits, "signed": slot.signed},
        }

    def _store(self, addr: int, enables: int, *values: int) -> None:
        for number, value in enumerate(values):
            if enables >> number & 1:
                self.state.local[2 * addr + number] = np.uint32(value).astype(np.int32)

    def _store_word(self, addr: int, value: Any) -> None:
        self.state.scratch[addr] = list(value)

    def run(self, mark: tuple[Engine, int, int] | None = None) -> None:
        """All instructions; then both states are compared. ``mark``: an engine's, from a cycle on."""
        engine, state, rng, stall = self.engine, self.state, self.rng, self.stall
        reads = ReadSide(engine.read_runs, engine.beat_valid, engine.beat, state.memory, rng, stall)
        writes = WriteSide(engine.write_runs, engine.write_beats, engine.answered, 0, rng, stall)
        writes.memory = state.memory

        def pair(addr: int) -> list[int]:
            return [int(word) & 0xFFFF_FFFF for word in state.local[2 * addr : 2 * addr + 2]]

        def line(addr: int) -> list[int]:
            return [int(lane) for lane in state.scratch[addr]]

        ports = [
            ReadPort(engine.scratch_read, line, MACHINE.scratch_cycles, rng, stall),
            ReadPort(engine.local_read, pair, MACHINE.local_cycles, rng, stall),
            WritePort(engine.scratch_write, self._store_word, rng, stall),
            WritePort(engine.local_write, self._store, rng, stall),
        ]

        async def put(ctx: Any) -> None:
            await stream_put(ctx, engine.commands, [self.command(word) for word in self.words], rng, stall)

        async def watch(ctx: Any) -> None:
            cycle = 0
            while len(self.cycles) < len(self.words):
                _, _, done = await ctx.tick().sample(engine.done)
                cycle += 1
                if mark and cycle == mark[2]:
                    ctx.set(engine.marks[mark[0]], mark[1])
                if done:
                    self.cycles.append(cycle)
            await ctx.tick().repeat(60)
            assert ctx.get(engine.idle)
            reads.over = writes.over = True

        simulate(
            engine,
            put,
            watch,
            *reads.benches(),
            *writes.benches(),
            background=[port.bench for port in ports],
            watch=[engine.read_runs, engine.write_runs, engine.write_beats],
        )
        for part in ("memory", "scratch", "local"):
            np.testing.assert_array_equal(getattr(state, part), getattr(self.expected, part), part)
