"""cpt.hw.move.engine: memory, scratch and local memory end as the exact model's, whatever ports do."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
from hw_ports import ReadPort, ReadSide, WritePort, WriteSide
from hw_streams import simulate, stream_put

from cpt.hw.contract import preset
from cpt.hw.contract.floats import LOCAL_WORDS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import Move as Kind
from cpt.hw.contract.step import Code, Engine, Word, decode, encode
from cpt.hw.move.engine import Move
from cpt.sim.step.moves import Moves
from cpt.sim.step.state import State

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


@pytest.mark.parametrize("name", ["tiny", "middle"])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_words_go_out_and_come_back_elsewhere(name: str, stall: float) -> None:
    rig = Rig(name, 3, stall)
    unit = 2 * rig.state.columns
    rig.add(Kind.SCRATCH_OUT, offset=0x108, words=21, runs=1, place=17)
    rig.add(Kind.SCRATCH_IN, offset=0x108, words=21, runs=1, place=130)
    rig.add(Kind.SCRATCH_OUT, offset=0x4000, words=3, runs=4, stride=5 * unit, place=100, place_stride=7)
    rig.add(Kind.SCRATCH_IN, offset=0x5008, words=1, runs=6, stride=-unit, place=3, place_stride=2)
    rig.add(Kind.SCRATCH_IN, offset=0x4000, words=2, runs=3, stride=5 * unit, place=40)
    rig.run()


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_local_words_go_out_and_come_back_elsewhere(stall: float) -> None:
    rig = Rig("tiny", 5, stall)
    rig.add(Kind.LOCAL_OUT, offset=0x808, words=70, runs=1, place=4000)
    rig.add(Kind.LOCAL_IN, offset=0x808, words=70, runs=1, place=16)
    rig.add(Kind.LOCAL_IN, offset=0x1000, words=4, runs=9, stride=40, place=16300, place_stride=6)
    rig.add(Kind.LOCAL_OUT, offset=0x3000, words=2, runs=5, stride=24, place=16300, place_stride=8)
    rig.add(Kind.LOCAL_OUT, offset=0x3100, words=2, runs=1, place=0)
    rig.run()


@pytest.mark.parametrize(("name", "channels"), [("tiny", 3), ("middle", 1)])
def test_bytes_become_numbers_that_are_never_negative(name: str, channels: int) -> None:
    rig = Rig(name, 7, 0.2)
    columns = rig.state.columns
    stride = channels * columns
    rig.add(Kind.BYTES_IN, offset=0x600, words=channels, runs=5, stride=stride, place=9, place_stride=4)
    rig.add(Kind.SCRATCH_OUT, offset=0x1000, words=20, runs=1, place=9)
    rig.run()


@pytest.mark.parametrize("seed", range(3))
def test_drawn_moves_end_as_the_exact_model_s(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(("tiny", "middle")[seed % 2], seed, rng.choice((0.1, 0.5)))
    for _ in range(8):
        kind = rng.choice([kind for kind in Kind if kind is not Kind.PACK])
        words, runs = rng.randint(1, 8), rng.randint(1, 6)
        if kind in (Kind.LOCAL_IN, Kind.LOCAL_OUT):
            words *= 2
            place, place_stride = 2 * rng.randrange(7000), rng.choice((0, words + 2 * rng.randrange(9)))
        else:
            place, place_stride = rng.randrange(WORDS - 100), rng.choice((0, words + rng.randrange(9)))
        fields = {
            "words": words,
            "runs": runs,
            "place": place,
            "place_stride": place_stride,
            "stride": 8 * rng.randint(32, 80),
            "offset": 8 * rng.randrange(MEMORY // 16),
        }
        rig.add(kind, **fields)
    rig.run()


def test_an_instruction_waits_for_the_marks_that_it_names() -> None:
    rig = Rig("tiny", 11, 0.0)
    waits = {"wait1_engine": int(Engine.DRAIN), "wait1_first": 5}
    rig.add(Kind.SCRATCH_OUT, offset=0, words=2, runs=1, place=0)
    rig.add(Kind.SCRATCH_IN, offset=0, words=2, runs=1, place=8, **waits)
    rig.run(mark=(Engine.DRAIN, 5, 300))
    assert rig.cycles[0] < 100
    assert 300 < rig.cycles[1] < 360


@pytest.mark.parametrize("kind", [Kind.SCRATCH_OUT, Kind.SCRATCH_IN, Kind.LOCAL_OUT, Kind.LOCAL_IN])
def test_a_beat_moves_a_cycle(kind: Kind) -> None:
    rig = Rig("middle", 12, 0.0)
    beats = 400
    words = 2 * beats if kind in (Kind.LOCAL_OUT, Kind.LOCAL_IN) else beats // 4
    rig.add(kind, offset=0, words=words, runs=1, place=0)
    rig.run()
    assert rig.cycles[0] < beats + 60
