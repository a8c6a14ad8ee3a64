"""cpt.hw.bus.write_arbiter: a run and its beats stay together, and who asked hears of the answer."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hw_streams import simulate, stream_put

from cpt.hw.bus.write_arbiter import WRITERS, WriteArbiter


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_runs_keep_their_beats_and_answers(stall: float) -> None:
    rng = random.Random(11)
    arbiter = WriteArbiter(32)
    runs = [[(writer << 28 | 8 * n, rng.randint(1, 5)) for n in range(20)] for writer in range(WRITERS)]
    got: list[tuple[int, int]] = []
    beats: list[int] = []
    answers = [0, 0]
    unanswered: deque[int] = deque()
    total = sum(count for writer in runs for _, count in writer)

    def asks(writer: int) -> Any:
        async def run(ctx: Any) -> None:
            for address, count in runs[writer]:
                payload = {"addr": address, "beats": count}
                await stream_put(ctx, getattr(arbiter, f"runs_{writer}"), [payload], rng, stall)
                data = [address << 8 | n for n in range(count)]
                await stream_put(ctx, getattr(arbiter, f"beats_{writer}"), data, rng, stall)

        return run

    async def take(ctx: Any) -> None:
        while sum(answers) < 2 * len(runs[0]):
            ctx.set(arbiter.runs.ready, int(rng.random() >= stall))
            ctx.set(arbiter.beats.ready, int(rng.random() >= stall))
            oldest = len(got) - len(unanswered)
            written = bool(unanswered) and sum(n for _, n in got[: oldest + 1]) <= len(beats)
            answers_now = written and rng.random() >= stall
            ctx.set(arbiter.answered, int(answers_now))
            whose = ctx.get(arbiter.answered_0), ctx.get(arbiter.answered_1)
            if answers_now:
                assert whose == ((1, 0) if unanswered.popleft() == 0 else (0, 1))
                answers[whose[1]] += 1
            else:
                assert whose == (0, 0)
            _, _, ran, run, sent, beat = await ctx.tick().sample(
                arbiter.runs.valid & arbiter.runs.ready,
                arbiter.runs.payload,
                arbiter.beats.valid & arbiter.beats.ready,
                arbiter.beats.payload,
            )
            if ran:
                got.append((run.addr, run.beats))
                unanswered.append(run.addr >> 28)
            if sent:
                beats.append(beat)
        ctx.set(arbiter.answered, 0)
        await ctx.tick().repeat(2)
        assert ctx.get(arbiter.idle)

    streams = [getattr(arbiter, f"runs_{n}") for n in range(WRITERS)]
    benches = [asks(n) for n in range(WRITERS)]
    for n, bench in enumerate(benches):
        bench.__name__ = f"writer_{n}"
    simulate(arbiter, take, *benches, watch=[*streams, arbiter.runs, arbiter.beats])
    assert sorted(got) == sorted(runs[0] + runs[1])
    assert [run for run in got if run[0] < 1 << 28] == runs[0]
    assert beats == [address << 8 | n for address, count in got for n in range(count)]
    assert len(beats) == total


@pytest.mark.parametrize(("asks", "shares"), [((1, 1), (0.5, 0.5)), ((1, 0), (1, 0)), ((0, 1), (0, 1))])
def test_writers_that_always_ask_take_turns(asks: tuple[int, int], shares: tuple[float, float]) -> None:
    arbiter = WriteArbiter(32)
    taken: list[int] = []

    async def drive(ctx: Any) -> None:
        for n, valid in enumerate(asks):
            ctx.set(getattr(arbiter, f"runs_{n}").payload, {"addr": 0, "beats": 4})
            ctx.set(getattr(arbiter, f"runs_{n}").valid, valid)
            ctx.set(getattr(arbiter, f"beats_{n}").valid, valid)
        ctx.set(arbiter.runs.ready, 1)
        ctx.set(arbiter.beats.ready, 1)
        while len(taken) < 20:
            ports = [getattr(arbiter, f"runs_{n}") for n in range(WRITERS)]
            _, _, *found = await ctx.tick().sample(*(port.valid & port.ready for port in ports))
            taken.extend(n for n, ran in enumerate(found) if ran)

    simulate(arbiter, drive)
    assert tuple(taken.count(n) / len(taken) for n in range(WRITERS)) == shares
