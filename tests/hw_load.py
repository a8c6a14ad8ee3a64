"""The engine LOAD before a memory, beside the exact model: what halves of operand A's buffer hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hw_memory import ReadMemory
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.step import Code, Engine, Word, encode
from cpt.hw.contract.tiles import PIECES, Picture
from cpt.hw.load.engine import LoadEngine
from cpt.sim.step.products import Products
from cpt.sim.step.state import Slot, State

START = 0x1000
"""First byte of the window."""


class Rig:
    """The engine, random memory, and blocks that are read, compared and given back in their order."""

    def __init__(self, config: ArrayConfig, seed: int, stall: float, size: int = 1 << 16) -> None:
        self.config, self.rng, self.stall = config, random.Random(seed), stall
        self.engine = LoadEngine(config)
        self.state = State(config, START + size, 4)
        self.state.memory[:] = np.frombuffer(self.rng.randbytes(START + size), np.uint8)
        self.words: list[Word] = []
        self.loaded: list[int] = []
        """Cycle of each block."""
        self.errors = 0
        """Cycles with `error`."""
        ports = ((self.engine.ar_0, self.engine.r_0), (self.engine.ar_1, self.engine.r_1))
        self.memories = [ReadMemory(ar, r, self._beat, self.rng, stall) for ar, r in ports]
        self.release_after = 30
        """Cycles at most that a block stays once it was read."""

    def _beat(self, address: int) -> int:
        return int.from_bytes(self.state.memory[address : address + 8].tobytes(), "little")

    def command(self, word: Word) -> dict[str, Any]:
        """What dispatch hands over."""
        slot = self.state.slots[word.slot]
        return {
            "word": int.from_bytes(encode(word.code, **word.values), "little"),
            "address": self.state.address(word),
            "slot_a": {"bits": slot.bits, "signed": slot.signed},
        }

    def block(self, word: Word) -> list[tuple[list[int], int]]:
        """Words of a block by row of the array, and which bits of them are said."""
        products, config = Products(self.state), self.config
        bits, group = self.state.slots[word.slot].bits, config.group_channels
        if word.code is Code.LOAD_A:
            products.load_weights(word)
            rows = products.blocks[0].reshape(word.tiles, config.rows, word.ksteps, config.word_bits)
            planes = rows[:, None] >> np.arange(bits).reshape(1, bits, 1, 1, 1) & 1
            found = planes.transpose(0, 1, 3, 2, 4).reshape(-1, config.rows, config.word_bits)
            said = (1 << config.word_bits) - 1
        else:
            products.load_errors(word)
            codes = products.errors[0].codes
            images, rows, lanes, _ = codes.shape
            picture = Picture(config, word.height, word.width)
            shape = (rows, picture.set_images, picture.span, word.groups, group)
            placed = np.zeros(shape, np.int64)
            placed[:, :images, :lanes] = codes.transpose(1, 0, 2, 3).reshape(rows, images, lanes, -1, group)
            pixels = placed.transpose(3, 0, 4, 1, 2).reshape(word.groups, 1, rows, group, -1)
            planes = pixels >> np.arange(bits).reshape(1, bits, 1, 1, 1) & 1
            flat = planes.reshape(-1, group, PIECES * group)
            # The last ninth must be zero, or its stale bits would be multiplied.
            found = np.pad(flat, ((0, 0), (0, 0), (0, group)))
            strips = picture.strips * picture.pitch
            beyond = [image * picture.span + x for image in range(images) for x in range(lanes, strips)]
            said = (1 << TAPS * group) - 1 - sum(1 << at for at in beyond)
        packed = np.packbits(found.astype(np.uint8), axis=-1, bitorder="little")
        return [([int.from_bytes(row.tobytes(), "little") & said for row in rows], said) for rows in packed]

    def run(self, mark: tuple[Engine, int, int] | None = None) -> None:
        """All instructions. ``mark``: an engine's, from a cycle on."""
        engine, rng, half = self.engine, self.rng, self.config.half_words("a")
        engine_read = engine.read
        ended = [False]
        expected = [self.block(word) for word in self.words]

        async def put(ctx: Any) -> None:
            ctx.set(engine.window, {"base": START, "limit": len(self.state.memory)})
            await stream_put(ctx, engine.commands, [self.command(word) for word in self.words], rng, 0.1)

        async def watch(ctx: Any) -> None:
            cycle = 0
            while len(self.loaded) < len(expected):
                if mark and cycle == mark[2]:
                    ctx.set(engine.marks[mark[0]], mark[1])
                _, _, loaded, done, error = await ctx.tick().sample(engine.loaded, engine.done, engine.error)
                cycle += 1
                self.errors += error
                assert loaded == done
                if loaded:
                    self.loaded.append(cycle)

        async def execute(ctx: Any) -> None:
            for number, words in enumerate(expected):
                while len(self.loaded) <= number:
                    await ctx.tick()
                base = number % 2 * half
                latency = engine.read_cycles
                for at in range(len(words) + latency):
                    ctx.set(engine_read.addr, base + min(at, len(words) - 1))
                    await ctx.tick()
                    if at >= latency - 1 and at - latency + 1 < len(words):
                        wanted, said = words[at - latency + 1]
                        found = [ctx.get(engine_read.data[row]) & said for row in range(self.config.rows)]
                        assert found == wanted, f"word {at - latency + 1} of block {number}"
                await ctx.tick().repeat(rng.randint(self.release_after // 2, self.release_after))
                assert len(self.loaded) <= number + 2, "a block overwrote one that was still in use"
                ctx.set(engine.release, 1)
                await ctx.tick()
                ctx.set(engine.release, 0)
            await ctx.tick().repeat(10)
            assert ctx.get(engine.idle)
            assert ctx.get(engine.quiet)
            ended[0] = True

        benches = [bench for memory in self.memories for bench in memory.benches(lambda: ended[0])]
        simulate(engine, put, watch, execute, *benches, watch=[engine.ar_0, engine.ar_1])

    def slot(self, number: int, bits: int, *, signed: bool = False) -> None:
        """Set a precision slot."""
        self.state.slots[number] = Slot(bits, signed)
