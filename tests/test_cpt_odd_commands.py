"""A seeded sample of odd command lines (`tests/odd_commands.py` draws as many as wanted, of all commands)."""

import random

from odd_commands import draw, judge, left, prepare

from cpt.main import main

SEED, DRAWN = 7, 140
QUICK = ("bits", "bitops", "report", "completion", "package", "landscape")
"""Commands that end in a second where they are not refused."""


def test_odd_command_lines_end_in_one_line_and_without_a_traceback(tmp_path, monkeypatch, capsys):
    rng = random.Random(SEED)
    sample = [words for words in (draw(rng) for _ in range(DRAWN)) if words[0] in QUICK]
    assert len(sample) > 40
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    faults = []
    for words in sample:
        before = left(tmp_path)
        try:
            status = main(words)
        except SystemExit as stop:
            status = stop.code
        outcome = judge(words, status, capsys.readouterr().err, left(tmp_path) - before)
        if outcome.fault:
            faults.append(f"{words}: {outcome.fault}")
    assert not faults, "\n".join(faults)
