"""The engines BRING and STORE between memories, beside the exact model."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
from amaranth import Module
from amaranth.lib import wiring
from hw_ports import ReadPort, ReadSide, WordSide, WritePort, WriteSide
from hw_streams import simulate, stream_put

from cpt.hw.contract import preset
from cpt.hw.contract.floats import LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import ENGINES, Code, Engine, Word, decode, encode
from cpt.hw.move.bring import Bring as BringEngine
from cpt.hw.move.store import Store as StoreEngine
from cpt.sim.step.moves import Moves
from cpt.sim.step.state import Slot, State

MEMORY, WORDS = 1 << 16, 256
DEADLINE = 20_000
"""Cycles."""
BOTH = (Engine.BRING, Engine.STORE)


class _Both(wiring.Component):
    """Both engines in one design."""

    def __init__(self, bring: BringEngine, store: StoreEngine) -> None:
        self.bring, self.store = bring, store
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.bring, m.submodules.store = self.bring, self.store
        return m


class Rig:
    """Both engines with a state behind their ports, and the same state moved by the exact model.

    Each instruction waits for those of the other engine that were added before it, unless it says otherwise.
    """

    def __init__(self, name: str, seed: int, stall: float) -> None:
        config, rng = preset(name), random.Random(seed)
        self.bring, self.store = BringEngine(config, WORDS), StoreEngine(config, WORDS)
        state = self.state = State(config, MEMORY, WORDS)
        state.memory[:] = np.frombuffer(rng.randbytes(MEMORY), np.uint8)
        state.scratch[:] = np.frombuffer(rng.randbytes(state.scratch.nbytes), np.int16).reshape(WORDS, -1)
        state.local[:] = np.frombuffer(rng.randbytes(4 * LOCAL_WORDS), np.int32)
        self.expected = copy.deepcopy(state)
        self.rng, self.stall = rng, stall
        self.words: dict[Engine, list[Word]] = {engine: [] for engine in BOTH}
        self.cycles: dict[Engine, list[int]] = {engine: [] for engine in BOTH}
        """When each instruction was finished."""

    def slot(self, number: int, slot: Slot) -> None:
        """Set a precision slot."""
        self.state.slots[number] = self.expected.slots[number] = slot

    def add(self, kind: Bring | Store, *, free: bool = False, **fields: int) -> None:
        """One more instruction; the model executes it at once. ``free``: it waits for no other."""
        code = Code.BRING if isinstance(kind, Bring) else Code.STORE
        engine = ENGINES[code]
        (other,) = set(BOTH) - {engine}
        if not free:
            fields = {"wait0_engine": int(other), "wait0_first": len(self.words[other]), **fields}
        word = decode(encode(code, kind=int(kind), **fields))
        moves = Moves(self.expected)
        (moves.bring if code is Code.BRING else moves.store)(word)
        self.words[engine].append(word)

    def command(self, word: Word) -> dict[str, Any]:
        """What dispatch hands over."""
        slot = self.state.slots[word.values.get("slot", 0)]
        return {
            "word": int.from_bytes(encode(word.code, **word.values), "little"),
            "address": self.state.address(word),
            "slot_a": {"bits": slot.bits, "signed": slot.signed},
        }

    def _store_pair(self, addr: int, enables: int, *values: int) -> None:
        for number, value in enumerate(values):
            if enables >> number & 1:
                self.state.local[2 * addr + number] = np.uint32(value).astype(np.int32)

    def _store_word(self, addr: int, value: Any) -> None:
        self.state.scratch[addr] = list(value)

    def run(self, mark: tuple[Engine, int, int] | None = None) -> None:
        """All instructions; then both states are compared. ``mark``: an engine's, from a cycle on."""
        state, rng, stall, bring, store = self.state, self.rng, self.stall, self.bring, self.store
        reads = ReadSide(bring.read_runs, bring.beat_valid, bring.beat, state.memory, rng, stall)
        words = WordSide(bring.stream_runs, bring.stream_words, state.memory, rng, stall)
        writes = WriteSide(store.write_runs, store.write_beats, store.answered, 0, rng, stall)
        writes.memory = state.memory

        def pair(addr: int) -> list[int]:
            return [int(word) & 0xFFFF_FFFF for word in state.local[2 * addr : 2 * addr + 2]]

        def line(addr: int) -> list[int]:
            return [int(lane) for lane in state.scratch[addr]]

        ports = [
            ReadPort(store.scratch, line, 1 + MACHINE.scratch_cycles, rng, stall),
            ReadPort(store.local, pair, MACHINE.local_cycles, rng, stall),
            WritePort(bring.scratch, self._store_word, rng, stall),
            WritePort(bring.local, self._store_pair, rng, stall),
        ]

        def put(engine: Any, words: list[Word]) -> Any:
            async def bench(ctx: Any) -> None:
                await stream_put(ctx, engine.commands, [self.command(word) for word in words], rng, stall)

            return bench

        async def watch(ctx: Any) -> None:
            cycle = 0
            while any(len(self.cycles[engine]) < len(self.words[engine]) for engine in BOTH):
                _, _, *done = await ctx.tick().sample(bring.done, store.done)
                cycle += 1
                assert cycle < DEADLINE, self.cycles
                if mark and cycle == mark[2]:
                    for side in (bring, store):
                        ctx.set(side.marks[mark[0]], mark[1])
                for engine, one in zip(BOTH, done, strict=True):
                    if one:
                        self.cycles[engine].append(cycle)
                        for side in (bring, store):
                            ctx.set(side.marks[engine], len(self.cycles[engine]))
            await ctx.tick().repeat(60)
            assert ctx.get(bring.idle)
            assert ctx.get(store.idle)
            reads.over = words.over = writes.over = True

        simulate(
            _Both(bring, store),
            put(bring, self.words[Engine.BRING]),
            put(store, self.words[Engine.STORE]),
            watch,
            *reads.benches(),
            *words.benches(),
            *writes.benches(),
            background=[port.bench for port in ports],
            watch=[bring.read_runs, bring.stream_runs, store.write_runs, store.write_beats],
        )
        for part in ("memory", "scratch", "local"):
            np.testing.assert_array_equal(getattr(state, part), getattr(self.expected, part), part)
