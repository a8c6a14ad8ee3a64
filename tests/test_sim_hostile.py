"""A sample of hostile programs, seeded: the compiled RTL and the fast model agree on all that is exact."""

import re

import pytest

from cpt.hw.contract import Error, preset
from cpt.sim.fast.machine import Machine
from cpt.sim.hostile.__main__ import HostileError, main, run_all
from cpt.sim.hostile.draw import Artist

RUNS = 150
"""Two programs each."""


def test_hostile_programs_end_alike_and_nothing_leaves_its_window():
    tally = run_all(preset("tiny"), 2, range(RUNS))
    assert tally.acts == 2 * RUNS
    assert min(tally.finished, tally.refused, tally.stuck, tally.stopped) >= 10
    assert tally.written_bytes > 10_000
    expected = set(Error)
    assert {error for error in Error if tally.errors >> error & 1} == expected


def test_a_difference_is_said_with_the_command_that_replays_it(monkeypatch):
    monkeypatch.setattr(Machine, "_drain", lambda *arguments, **options: False)
    command = r"python -m cpt\.sim\.hostile --preset tiny --machine matrix --seed 2 --run \d+"
    with pytest.raises(HostileError, match=f"replay: {command}"):
        run_all(preset("tiny"), 2, range(20))


def test_a_program_depends_on_seed_and_number_alone():
    first, second, other = (Artist(preset("tiny"), 3, number).act(True) for number in (5, 5, 6))
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "0"], "--count is 0; allowed: 1 and up"),
        (["--run", "-1"], "--run is -1; allowed: 0 and up"),
        (["--preset", "huge"], "preset is 'huge'; allowed: "),
    ],
)
def test_wrong_options_are_one_line(words, message, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_the_command_counts_what_it_ran(capsys):
    assert main(["--count", "4", "--seed", "3"]) == 0
    assert re.search(r"hostile tiny, seed 3: 4 programs: \d+ finished", capsys.readouterr().out)
