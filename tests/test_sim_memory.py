"""The memory model's presets and rules that need no simulator."""

from __future__ import annotations

from fractions import Fraction

import pytest

from cpt.hw.contract import ContractError
from cpt.sim.memory import CHANNELS, MEMORY_MODELS, MemoryModel, Stalls, memory_model


def test_ps_ddr_gives_two_beats_per_cycle_at_200_mhz() -> None:
    model = memory_model("ps-ddr", 200.0)
    assert model.beats_per_cycle == 2
    assert model.read_latency_cycles == 40
    assert {model.slots(cycle) for cycle in range(50)} == {2}


def test_bandwidth_is_the_same_in_bytes_per_second_at_every_clock() -> None:
    for clock_mhz in (125.0, 150.0, 175.5, 200.0):
        model = memory_model("ps-ddr", clock_mhz)
        cycles = 1000 * model.slots_den
        beats = sum(model.slots(cycle) for cycle in range(cycles))
        assert Fraction(beats * 8, cycles) * Fraction(clock_mhz) == 3200


def test_no_model_exceeds_a_beat_per_channel_and_cycle() -> None:
    for name in MEMORY_MODELS:
        assert memory_model(name, 10.0).beats_per_cycle <= CHANNELS


def test_an_unknown_model_is_refused_with_the_known_names() -> None:
    with pytest.raises(ContractError, match="ideal, ps-ddr, ps-ddr-low, pl-ddr"):
        memory_model("sram", 200.0)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ContractError, match="max_outstanding is 0"):
        MemoryModel("x", 1, 1, 1, 1, 0)
    with pytest.raises(ContractError, match="stall probability is 1"):
        Stalls(1.0)
