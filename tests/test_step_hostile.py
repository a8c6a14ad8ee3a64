"""A sample of spoilt lists, seeded, on the compiled RTL of the machine that does whole steps."""

from __future__ import annotations

import pytest

from cpt.hw.contract import Error, preset, register
from cpt.hw.contract.step import WORD_BYTES, Code, encode
from cpt.sim.faults import Faults, Refusal
from cpt.sim.hostile import steps
from cpt.sim.hostile.__main__ import HostileError, main, run_all
from cpt.sim.hostile.steps import WHOLE_CYCLES, Artist, Machine, begin_whole, ground, whole
from cpt.sim.memory import Channel, memory_model
from cpt.sim.rtl import RtlBackend
from cpt.sim.scoreboard import Scoreboard
from cpt.sim.step.refusals import refusal

pytestmark = pytest.mark.timeout(1800)
"""Seconds: the first test may build the RTL."""
TINY = preset("tiny", "step")
RUNS = 30
"""Four lists each, and one that is whole."""


def test_spoilt_lists_come_to_rest_inside_their_windows_and_leave_no_trace() -> None:
    tally = run_all(TINY, 2, range(RUNS))
    assert tally.acts == steps.ACTS * RUNS
    assert min(tally.finished, tally.refused, tally.expired) >= 5
    assert tally.errors >> Error.ILLEGAL_OPCODE & 1
    assert tally.errors >> Error.READ_WINDOW & 1


@pytest.mark.parametrize("channel", Channel)
def test_a_beat_that_is_refused_on_any_channel_stops_a_list_and_leaves_no_trace(channel: Channel) -> None:
    machine, board = Machine(TINY, Artist(TINY, 1, 0)), Scoreboard()
    try:
        machine.rtl.faults = Faults(refusals=(Refusal((channel,), first=100, count=1),))
        begin_whole(machine)
        assert machine.rest(WHOLE_CYCLES)
        error = Error.AXI_READ if channel in (Channel.READ_0, Channel.READ_1) else Error.AXI_WRITE
        assert machine.read("ERROR") == 1 << error
        machine.rtl.faults = Faults()
        machine.reset()
        whole(machine, board)
    finally:
        machine.rtl.close()
    board.finish()


def test_a_refusal_that_is_not_foreseen_is_said_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "refusal", lambda word, slots: None)
    with pytest.raises(HostileError, match=r"refused without reason(.|\n)*--machine step --seed 2 --run \d+"):
        run_all(TINY, 2, range(RUNS))


def test_a_list_depends_on_seed_and_number_alone() -> None:
    first, second, other = (Artist(TINY, 3, number).act() for number in (5, 5, 6))
    assert first == second
    assert first != other


def test_the_command_counts_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--machine", "step", "--count", "4", "--seed", "3"]) == 0
    assert "hostile tiny step, seed 3: 4 lists: " in capsys.readouterr().out


def test_no_word_of_a_compiled_list_is_refused() -> None:
    base = ground(TINY)
    for words in base.lists.values():
        assert {
            refusal(words[at : at + WORD_BYTES], base.slots) for at in range(0, len(words), WORD_BYTES)
        } == {None}


@pytest.mark.parametrize(
    ("word", "error"),
    [
        (bytes(WORD_BYTES), Error.ILLEGAL_OPCODE),
        (encode(Code.END, tag=1), Error.ILLEGAL_OPCODE),
        (encode(Code.LOAD_A, tiles=1, ksteps=1, slot=9), Error.BAD_SLOT),
        (encode(Code.LOAD_A, tiles=0, ksteps=1), Error.ILLEGAL_OPCODE),
    ],
)
def test_words_are_refused_for_their_first_fault(word: bytes, error: Error) -> None:
    assert refusal(word, {0: 4}) is error


def test_registers_may_be_written_in_every_cycle_from_the_first_on() -> None:
    where = register("RING_LOG2").offset
    for cycle in range(12):
        backend = RtlBackend(TINY, memory_model("ideal", TINY.clock_mhz), 1 << 12, memory_base=0)
        backend.simulation.run(cycle)
        backend.write_register(where, 5)
        assert backend.simulation.read(register("ERROR").offset) == 0
        assert backend.simulation.read(where) == 5
        backend.close()
