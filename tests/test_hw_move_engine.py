"""cpt.hw.move.bring, store: memory, scratch and local memory end as the exact model's, whatever ports do."""

from __future__ import annotations

import random

import pytest
from hw_move import MEMORY, WORDS, Rig

from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import Engine


def is_local(kind: Bring | Store) -> bool:
    return kind is Bring.LOCAL or kind is Store.LOCAL


@pytest.mark.parametrize(
    ("name", "stall"), [("tiny", 0.0), ("tiny", 0.4), ("middle", 0.0), ("middle", 0.4), ("zc706", 0.1)]
)
def test_words_go_out_and_come_back_elsewhere(name: str, stall: float) -> None:
    rig = Rig(name, 3, stall)
    unit = 2 * rig.state.columns
    rig.add(Store.SCRATCH, offset=0x108, words=21, runs=1, place=17)
    rig.add(Bring.SCRATCH, offset=0x108, words=21, runs=1, place=130)
    rig.add(Store.SCRATCH, offset=0x4000, words=3, runs=4, stride=5 * unit, place=100, place_stride=7)
    rig.add(Bring.SCRATCH, offset=0x5008, words=1, runs=6, stride=-unit, place=3, place_stride=2)
    rig.add(Bring.SCRATCH, offset=0x4000, words=2, runs=3, stride=5 * unit, place=40)
    rig.run()


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_local_words_go_out_and_come_back_elsewhere(stall: float) -> None:
    rig = Rig("tiny", 5, stall)
    rig.add(Store.LOCAL, offset=0x808, words=70, runs=1, place=4000)
    rig.add(Bring.LOCAL, offset=0x808, words=70, runs=1, place=16)
    rig.add(Bring.LOCAL, offset=0x1000, words=4, runs=9, stride=40, place=16300, place_stride=6)
    rig.add(Store.LOCAL, offset=0x3000, words=2, runs=5, stride=24, place=16300, place_stride=8)
    rig.add(Store.LOCAL, offset=0x3100, words=2, runs=1, place=0)
    rig.run()


@pytest.mark.parametrize(("name", "channels"), [("tiny", 3), ("middle", 1)])
def test_bytes_become_numbers_that_are_never_negative(name: str, channels: int) -> None:
    rig = Rig(name, 7, 0.2)
    columns = rig.state.columns
    stride = channels * columns
    rig.add(Bring.BYTES, offset=0x600, words=channels, runs=5, stride=stride, place=9, place_stride=4)
    rig.add(Store.SCRATCH, offset=0x1000, words=20, runs=1, place=9)
    rig.run()


@pytest.mark.parametrize("seed", range(3))
def test_drawn_moves_end_as_the_exact_model_s(seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(("tiny", "middle")[seed % 2], seed, rng.choice((0.1, 0.5)))
    for _ in range(8):
        kind = rng.choice([*Bring, Store.SCRATCH, Store.LOCAL])
        words, runs = rng.randint(1, 8), rng.randint(1, 6)
        if is_local(kind):
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
    rig.add(Store.SCRATCH, offset=0, words=2, runs=1, place=0)
    rig.add(Bring.SCRATCH, offset=0, words=2, runs=1, place=8, **waits)
    rig.run(mark=(Engine.DRAIN, 5, 300))
    assert rig.cycles[Engine.STORE][0] < 100
    assert 300 < rig.cycles[Engine.BRING][0] < 360


@pytest.mark.parametrize("name", ["middle", "zc706"])
@pytest.mark.parametrize("kind", [Store.SCRATCH, Bring.SCRATCH, Store.LOCAL, Bring.LOCAL])
def test_moves_follow_each_other_as_fast_as_their_way_is_wide(name: str, kind: Bring | Store) -> None:
    rig = Rig(name, 1, 0.0)
    units = (2, 2, 2, 2, 40, 40, 80, 2, 120, 120) if is_local(kind) else (1, 1, 1, 1, 4, 4, 20, 20, 1, 1)
    for number, words in enumerate(units):
        rig.add(kind, offset=512 * number, words=words, runs=1, place=2 * number)
    rig.run()
    ((engine, cycles),) = ((engine, cycles) for engine, cycles in rig.cycles.items() if cycles)
    beats = rig.state.columns // 4
    # Both ports bring two beats a cycle, where a word of two parts takes a cycle more.
    parts = beats // 2 + (beats == 4)
    of_word = {Engine.BRING: parts, Engine.STORE: beats}[engine]
    local = {Engine.BRING: 3, Engine.STORE: 4}[engine]
    stated = sum(max(8, words // 2 + local if is_local(kind) else words * of_word) for words in units[1:])
    assert cycles[-1] - cycles[0] == pytest.approx(stated, rel=0.04)


def test_numbers_of_16_bits_come_two_beats_a_cycle() -> None:
    rig = Rig("zc706", 15, 0.0)
    rig.add(Bring.SCRATCH, offset=0, words=100, runs=1, place=0)
    rig.run()
    assert rig.cycles[Engine.BRING][0] < 100 * 8 // 2 + 60


@pytest.mark.parametrize("kind", [Store.SCRATCH, Bring.SCRATCH, Store.LOCAL, Bring.LOCAL])
def test_a_beat_moves_a_cycle(kind: Bring | Store) -> None:
    rig = Rig("middle", 12, 0.0)
    beats = 400
    words = 2 * beats if is_local(kind) else beats // 4
    rig.add(kind, offset=0, words=words, runs=1, place=0)
    rig.run()
    (ended,) = (cycles[0] for cycles in rig.cycles.values() if cycles)
    assert ended < beats + 60


@pytest.mark.parametrize("kind", [Store.SCRATCH, Bring.SCRATCH, Store.LOCAL, Bring.LOCAL])
def test_short_instructions_follow_each_other_while_the_bus_answers(kind: Bring | Store) -> None:
    rig = Rig("middle", 13, 0.0)
    for number in range(10):
        words = 16 if is_local(kind) else 2
        rig.add(kind, offset=256 * number, words=words, runs=1, place=words * number)
    rig.run()
    (cycles,) = (cycles for cycles in rig.cycles.values() if cycles)
    assert cycles[9] - cycles[1] <= 8 * 14


def test_ways_in_and_out_are_used_at_once() -> None:
    rig = Rig("middle", 14, 0.0)
    rig.add(Store.SCRATCH, offset=0, words=100, runs=1, place=0)
    rig.add(Bring.SCRATCH, free=True, offset=0x8000, words=100, runs=1, place=128)
    rig.run()
    assert all(cycles[0] < 400 + 60 for cycles in rig.cycles.values())
