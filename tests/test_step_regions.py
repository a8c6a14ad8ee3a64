"""cpt.host.compiler.regions: places of channels in two memories, each for as long as it is wanted."""

from __future__ import annotations

import pytest

from cpt.host.compiler.builder import Region
from cpt.host.compiler.lifetimes import Names, Recorder
from cpt.host.compiler.regions import Channels
from cpt.host.compiler.vectors import coefficient, statistic
from cpt.host.compiler.weaving import joined
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.floats import Coefficient, Statistic
from cpt.hw.contract.step import Code, decode

CHANNELS = preset("tiny").channels
BOTH = ("statistics", "coefficients")


def test_regions_go_round() -> None:
    places = Channels(CHANNELS)
    found = []
    for number in range(4):
        found.append(places.take(number, CHANNELS // 3, BOTH))
        for memory in BOTH:
            places.give(number, memory)
    assert found == [0, CHANNELS // 3, CHANNELS // 3 * 2, 0]


def test_a_region_stays_while_it_is_wanted_in_either_memory() -> None:
    places = Channels(CHANNELS)
    assert places.take(0, 64, BOTH) == 0
    places.give(0, "coefficients")
    assert places.take(1, CHANNELS - 64, BOTH) == 64
    assert places.take(2, 64, ("coefficients",)) == 0
    with pytest.raises(ContractError, match=f"coefficients of 1 channels .* allowed: {CHANNELS} in all"):
        places.take(3, 1, ("statistics",))


def test_small_regions_do_not_lie_in_the_way_of_a_large_one_where_they_are_tight() -> None:
    for tight in (False, True):
        places = Channels(CHANNELS, tight)
        for number in range(2):
            places.take(number, 64, BOTH)
        places.give(0, "statistics")
        places.give(0, "coefficients")
        if tight:
            assert places.take(2, CHANNELS - 128, BOTH) == 0
        else:
            with pytest.raises(ContractError, match="have no place beside"):
                places.take(2, CHANNELS - 64, BOTH)


def drained(recorder: Recorder, channel: int) -> None:
    """A DRAIN that takes coefficients of 16 channels and leaves statistics."""
    reads = [coefficient(Coefficient.ZERO, channel, 16).region]
    writes = [statistic(Statistic.TOTAL, channel, 16).region]
    recorder.add(Code.DRAIN, reads, writes, channel=channel, tiles=1, a_tiles=1, images=1)


def channels(recorder: Recorder) -> list[int]:
    """Of every DRAIN."""
    return [word.channel for word in recorder.program().decoded() if word.code is Code.DRAIN]


def test_statistics_that_are_read_late_are_nobody_elses_meanwhile() -> None:
    recorder = Recorder(preset("tiny"), 0, 512)
    first, others = recorder.region(16), [recorder.region(16) for _ in range(3 * CHANNELS // 16)]
    drained(recorder, first)
    for channel in others:
        drained(recorder, channel)
    late = statistic(Statistic.TOTAL, first, 16).region
    recorder.add(Code.FLOAT, [late], [Region("memory", 0, 8)], n=1, reps=1, a=late.start)
    mine, *rest = channels(recorder)
    assert mine not in rest
    assert set(rest) == {16 * n for n in range(CHANNELS // 16)} - {mine}
    last = decode(recorder.program().words[-32:])
    assert last.a == statistic(Statistic.TOTAL, mine, 16).address


def test_lists_that_become_one_keep_their_own_regions() -> None:
    names = Names()
    lists = [Recorder(preset("tiny"), 0, 512, names) for _ in range(2)]
    for recorder in lists:
        for _ in range(2):
            drained(recorder, recorder.region(16))
    assert channels(joined(*lists, before=False)) == [0, 16, 32, 48]
