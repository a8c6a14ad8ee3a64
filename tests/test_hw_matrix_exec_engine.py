"""cpt.hw.matrix.exec_engine: every step reads the words that the contract's layouts name."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_put

from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.order import tile_steps
from cpt.hw.contract.passes import Kernel, Sampling, gradient_tiles
from cpt.hw.contract.step import Code, Engine, encode
from cpt.hw.contract.tiles import COPIES
from cpt.hw.matrix.exec_engine import ExecEngine

Slot = dict[str, int]


class Program:
    """EXEC and EXEC_DW drawn, with the slots that the fetch would give them."""

    def __init__(self, config: ArrayConfig, seed: int, count: int) -> None:
        self.config, self.draw = config, random.Random(seed)
        self.words: list[bytes] = []
        self.slots: list[tuple[Slot, Slot]] = []
        self.bases: list[int] = []
        self.steps: list[list[int | None]] = []
        """Word of A, words of both halves of B, flags; None: it does not matter."""
        self.releases = 0
        self.half = 1
        for _ in range(count):
            self._add(self.draw.random() < 0.5)

    def _add(self, pixels: bool) -> None:
        draw, config = self.draw, self.config
        a, b = ({"bits": draw.randint(1, 4), "signed": draw.randint(0, 1)} for _ in range(2))
        self.slots.append((a, b))
        if not pixels:
            ksteps, a_tiles, tiles = draw.randint(1, 3), draw.randint(1, 3), draw.randint(1, 4)
            own = draw.random() < 0.4  # a depth-wise layer: a K step for each tile of rows
            words = a_tiles if own else ksteps
            ksteps = 1 if own else ksteps
            self.words.append(encode(Code.EXEC, ksteps=ksteps, a_tiles=a_tiles, tiles=tiles, own=int(own)))
            blocks = [(self._base(b["bits"] * words),) * 2 for _ in range(tiles)]
            self._walk(a, b, ksteps, a_tiles, blocks, words, 1, own=own)
            return
        rows, a_tiles, groups = draw.randint(1, 3), draw.randint(1, 2), draw.choice((1, 2, 3, 4))
        kernel, sampling = draw.choice(list(Kernel)), draw.choice((Sampling.SAME, Sampling.STRIDE))
        step = 2 if sampling is Sampling.STRIDE else 1
        values = {"kernel": int(kernel), "sampling": int(sampling), "rows": rows, "groups": groups}
        self.words.append(encode(Code.EXEC_DW, a_tiles=a_tiles, **values))
        row_words = COPIES * b["bits"]
        words = row_words * (step * (rows - 1) + COPIES)
        if words > config.b_depth_words:
            self.words.pop()
            self.slots.pop()
            return
        slots = [self._base(words) for _ in range(-(-groups // 2))]
        blocks = []
        for places in gradient_tiles(TAPS if kernel is Kernel.THREE else 1, groups):
            found = []
            for place in places:
                # Of a half that takes nothing any word may be read.
                tap, group = place or places[0] or (0, 0)
                dy, dx = divmod(tap, 3) if kernel is Kernel.THREE else (1, 1)
                found.append(slots[group // 2] + dy * row_words + dx if place else None)
            blocks.append(tuple(found))
        self._walk(a, b, rows, a_tiles, blocks, COPIES, step * row_words)

    def _base(self, words: int) -> int:
        self.bases.append(self.draw.randrange(self.config.b_depth_words - words + 1))
        self.releases += 1
        return self.bases[-1]

    def _walk(
        self,
        a: Slot,
        b: Slot,
        ksteps: int,
        a_tiles: int,
        blocks: list[Any],
        plane_words: int,
        stride: int,
        *,
        own: bool = False,
    ) -> None:
        """``own``: each tile of rows takes a K step, its own."""
        self.half ^= 1
        first = self.half * self.config.half_words("a")
        for bases in blocks:
            for tile in range(a_tiles):
                order = list(tile_steps(a["bits"], b["bits"], bool(a["signed"]), bool(b["signed"]), ksteps))
                for number, step in enumerate(order):
                    last = int(number == len(order) - 1)
                    flags = [int(step.clear), int(step.double), int(step.count), int(step.subtract), last]
                    if not step.count:
                        self.steps.append([None, None, None, *flags])
                        continue
                    word_a = first + (tile * a["bits"] + step.plane_a) * ksteps + step.k
                    offset = step.plane_b * plane_words + step.k * stride
                    offset += tile if own else 0
                    self.steps.append(
                        [word_a, *(base if base is None else base + offset for base in bases), *flags]
                    )


@pytest.mark.parametrize("name", ["tiny", "middle"])
@pytest.mark.parametrize("seed", range(3))
def test_words_of_both_operands_come_as_layouts_and_order_say(name: str, seed: int) -> None:
    config = preset(name)
    program = Program(config, seed, 12)
    engine = ExecEngine(config)
    draw = random.Random(seed)
    found: list[list[int]] = []
    counts = {"release": 0, "a_release": 0}
    ended = [False]

    async def commands(ctx: Any) -> None:
        for word, (a, b) in zip(program.words, program.slots, strict=True):
            payload = {"word": int.from_bytes(word, "little"), "slot_a": a, "slot_b": b}
            await stream_put(ctx, engine.commands, [payload], draw, 0.3)

    async def slots(ctx: Any) -> None:
        await stream_put(ctx, engine.tiles, program.bases, draw, 0.3)

    async def weights(ctx: Any) -> None:
        # Both halves are free at first; one is loaded again when it is given back.
        for number in range(len(program.words)):
            while counts["a_release"] < number - 1:
                await ctx.tick()
            ctx.set(engine.a_loaded, 1)
            await ctx.tick()
            ctx.set(engine.a_loaded, 0)

    async def watch(ctx: Any) -> None:
        tiles = 0
        while len(found) < len(program.steps):
            # What is collected and drained follows the tiles after a while.
            await ctx.tick()
            for name in counts:
                counts[name] += ctx.get(getattr(engine, name))
            captured = 0
            if ctx.get(engine.valid):
                step = ctx.get(engine.step)
                captured = step.capture
                addresses = [step.a_addr, *(ctx.get(address) for address in engine.b_addr)]
                found.append([*addresses, step.clear, step.double, step.count, step.subtract, step.capture])
            tiles = (tiles << 1) | captured
            ctx.set(engine.collected, tiles >> 20 & 1)
            ctx.set(engine.tile_free, tiles >> 25 & 1)
        for _ in range(60):
            await ctx.tick()
            for name in counts:
                counts[name] += ctx.get(getattr(engine, name))
            tiles <<= 1
            ctx.set(engine.collected, tiles >> 20 & 1)
            ctx.set(engine.tile_free, tiles >> 25 & 1)
        assert ctx.get(engine.idle)
        ended[0] = True

    simulate(engine, commands, slots, weights, watch)
    for number, (got, want) in enumerate(zip(found, program.steps, strict=True)):
        seen = [value if known is not None else None for value, known in zip(got, want, strict=True)]
        assert seen == want, f"step {number}"
    assert counts == {"release": program.releases, "a_release": len(program.words)}


def test_an_exec_waits_for_its_marks() -> None:
    config = preset("tiny")
    engine = ExecEngine(config)
    word = encode(Code.EXEC, ksteps=1, a_tiles=1, tiles=1, wait0_engine=int(Engine.STORE), wait0_first=3)

    async def bench(ctx: Any) -> None:
        slot = {"bits": 1, "signed": 0}
        payload = {"word": int.from_bytes(word, "little"), "slot_a": slot, "slot_b": slot}
        draw = random.Random(0)
        ctx.set(engine.a_loaded, 1)
        await stream_put(ctx, engine.commands, [payload], draw, 0.0)
        ctx.set(engine.a_loaded, 0)
        ctx.set(engine.tiles.valid, 1)
        for _ in range(60):
            await ctx.tick()
            assert not ctx.get(engine.valid)
        ctx.set(engine.marks[Engine.STORE], 3)
        await ctx.tick().until(engine.valid)

    simulate(engine, bench)
