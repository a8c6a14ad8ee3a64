"""cpt.hw.bus.write_master: beats land where their runs say, with every burst's end marked."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate, stream_put

from cpt.hw.bus.write_master import WriteMaster


class WritePort:
    """The memory's side of a write port: takes addresses and data at its own pace, answers bursts in order.

    Parameters: ``codes``: response codes of the bursts, over and over. ``stop()`` true ends its testbenches.
    """

    def __init__(self, master: Any, rng: random.Random, stall: float, codes: tuple[int, ...] = (0,)) -> None:
        self.master, self.rng, self.stall, self.codes = master, rng, stall, codes
        self.bursts: list[tuple[int, int]] = []
        self.beats: list[list[int]] = [[]]
        """Data of the bursts, the last one unfinished."""
        self.answered = 0
        self.errors = 0
        """Cycles in which the master reported one."""
        self.most_open = 0
        self.silent = False
        """Answer no burst."""

    @property
    def ended(self) -> int:
        return min(len(self.beats) - 1, len(self.bursts))

    def benches(self, stop: Any) -> list[Any]:
        """Testbenches for the three channels, and one for what the master says."""
        master = self.master

        async def addresses(ctx: Any) -> None:
            while not stop():
                ctx.set(master.aw.ready, int(self.rng.random() >= self.stall))
                _, _, valid, ready, address = await ctx.tick().sample(
                    master.aw.valid, master.aw.ready, master.aw.payload
                )
                if valid and ready:
                    assert address.addr % 8 == 0
                    assert address.addr % 128 + 8 * (address.len + 1) <= 128
                    self.bursts.append((address.addr, address.len + 1))
                    self.most_open = max(self.most_open, len(self.bursts) - self.answered)

        async def data(ctx: Any) -> None:
            while not stop():
                ctx.set(master.w.ready, int(self.rng.random() >= self.stall))
                _, _, valid, ready, beat = await ctx.tick().sample(
                    master.w.valid, master.w.ready, master.w.payload
                )
                if valid and ready:
                    self.beats[-1].append(beat.data)
                    if beat.last:
                        self.beats.append([])

        async def responses(ctx: Any) -> None:
            while not stop():
                may = self.answered < self.ended and not self.silent
                answers = may and self.rng.random() >= self.stall
                code = self.codes[self.answered % len(self.codes)]
                # Without an answer the code says anything: it does not count.
                ctx.set(master.b.payload, code if answers else 3)
                ctx.set(master.b.valid, int(answers))
                _, _, ready = await ctx.tick().sample(master.b.ready)
                assert ready
                self.answered += answers
            ctx.set(master.b.valid, 0)

        async def state(ctx: Any) -> None:
            while not stop():
                unanswered = len(self.bursts) > self.answered
                _, _, error, idle, quiet = await ctx.tick().sample(master.error, master.idle, master.quiet)
                self.errors += error
                assert not (unanswered and (idle or quiet))

        return [addresses, data, responses, state]


def cut(address: int, beats: int) -> list[tuple[int, int]]:
    """Address and beats of every burst of a run, from the rule."""
    bursts = []
    while beats:
        count = min(beats, (128 - address % 128) // 8)
        bursts.append((address, count))
        address, beats = address + 8 * count, beats - count
    return bursts


def _noise(seed: int, count: int) -> tuple[list[dict[str, int]], list[int]]:
    """Runs of 1 to 40 beats, and their beats one after the other."""
    rng = random.Random(seed)
    runs = [{"addr": 8 * rng.randrange(1 << 20), "beats": rng.randint(1, 40)} for _ in range(count)]
    return runs, [rng.getrandbits(64) for run in runs for _ in range(run["beats"])]


@pytest.mark.parametrize(("stall", "codes"), [(0.0, (0, 1, 2, 3)), (0.5, (0,)), (0.5, (0, 1, 2, 3))])
def test_bursts_and_beats_are_those_of_the_runs(stall: float, codes: tuple[int, ...]) -> None:
    runs, values = _noise(3, 12)
    want = [burst for run in runs for burst in cut(run["addr"], run["beats"])]
    master = WriteMaster()
    port = WritePort(master, random.Random(1), stall, codes)
    over = []

    async def put_runs(ctx: Any) -> None:
        await stream_put(ctx, master.runs, runs, random.Random(5), stall)

    async def put_beats(ctx: Any) -> None:
        await stream_put(ctx, master.beats, values, random.Random(6), stall)

    async def wait(ctx: Any) -> None:
        assert ctx.get(master.idle)
        assert ctx.get(master.quiet)
        await ctx.tick().until(master.aw.valid)
        while port.answered < len(want):
            await ctx.tick()
        await ctx.tick().repeat(4)
        assert ctx.get(master.idle)
        assert ctx.get(master.quiet)
        over.append(1)

    simulate(
        master,
        put_runs,
        put_beats,
        wait,
        *port.benches(lambda: bool(over)),
        watch=[master.aw, master.w],
    )
    assert port.bursts == want
    assert port.beats == [*_split(values, want), []]
    assert port.errors == sum(codes[number % len(codes)] >= 2 for number in range(len(want)))


def _split(values: list[int], bursts: list[tuple[int, int]]) -> list[list[int]]:
    rest = iter(values)
    return [[next(rest) for _ in range(count)] for _, count in bursts]


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_a_run_is_answered_with_its_last_burst(stall: float) -> None:
    runs, values = _noise(7, 20)
    ends: list[int] = []
    for run in runs:
        ends.append((ends[-1] if ends else 0) + len(cut(run["addr"], run["beats"])))
    master = WriteMaster()
    port = WritePort(master, random.Random(2), stall)
    found: list[int] = []

    async def put_runs(ctx: Any) -> None:
        await stream_put(ctx, master.runs, runs, random.Random(5), stall)

    async def put_beats(ctx: Any) -> None:
        await stream_put(ctx, master.beats, values, random.Random(6), stall)

    async def watch(ctx: Any) -> None:
        # Ahead of the port's benches, so of what is answered in this cycle nothing is counted yet.
        while len(found) < len(runs):
            _, _, answered = await ctx.tick().sample(master.answered)
            if answered:
                found.append(port.answered)

    simulate(master, watch, put_runs, put_beats, *port.benches(lambda: len(found) == len(runs)))
    assert found == ends


@pytest.mark.parametrize("limit", [2, 4, 8])
def test_no_more_bursts_are_in_flight_than_agreed(limit: int) -> None:
    master = WriteMaster(limit)
    port = WritePort(master, random.Random(1), 0.0)
    port.silent = True
    beats = 16 * 3 * limit
    over: list[int] = []

    async def put_runs(ctx: Any) -> None:
        await stream_put(ctx, master.runs, [{"addr": 0, "beats": beats}], random.Random(1), 0)

    async def put_beats(ctx: Any) -> None:
        await stream_put(ctx, master.beats, list(range(beats)), random.Random(1), 0)

    async def watch(ctx: Any) -> None:
        await ctx.tick().repeat(beats + 20)
        assert len(port.bursts) == port.ended == limit
        assert not ctx.get(master.quiet)
        port.silent = False
        while port.answered < 3 * limit:
            await ctx.tick()
        over.append(1)

    simulate(master, put_runs, put_beats, watch, *port.benches(lambda: bool(over)))
    assert port.most_open == limit


@pytest.mark.parametrize("after", [1, 7, 20, 45])
def test_stop_lets_what_has_begun_end_and_nothing_begin(after: int) -> None:
    master = WriteMaster()
    port = WritePort(master, random.Random(after), 0.3)
    over: list[int] = []

    async def put_runs(ctx: Any) -> None:
        await stream_put(ctx, master.runs, [{"addr": 8, "beats": 600}], random.Random(1), 0)

    async def feed(ctx: Any) -> None:
        """Whatever is asked for: beats do not stop."""
        ctx.set(master.beats.valid, 1)
        for value in range(800):
            ctx.set(master.beats.payload, value)
            await ctx.tick().until(master.beats.ready | master.stop & master.quiet)
            if over:
                return

    async def watch(ctx: Any) -> None:
        await ctx.tick().until(master.aw.valid)
        await ctx.tick().repeat(after)
        ctx.set(master.stop, 1)
        await ctx.tick().until(master.quiet)
        begun = len(port.bursts)
        assert begun == port.ended == port.answered
        await ctx.tick().repeat(40)
        assert len(port.bursts) == begun
        assert not ctx.get(master.aw.valid)
        assert ctx.get(master.quiet)
        assert not ctx.get(master.idle)
        over.append(begun)

    simulate(master, put_runs, watch, feed, *port.benches(lambda: bool(over)), watch=[master.aw, master.w])
    assert [len(burst) for burst in port.beats[:-1]] == [count for _, count in port.bursts]
    assert 0 < over[0] < 38
