"""cpt.progress: one line of 80 columns on a terminal, plain lines anywhere else."""

import io

import pytest

from cpt.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def trained(stream, name="static", quiet=False):
    with Progress(name, 4, 0, quiet, stream) as bar:
        for step in range(4):
            bar.step(99 + step // 2, 16, 16, 12.3456, "simulated 123.456 s")
            if step % 2:
                bar.epoch("accuracy 98.05 %")
    return stream.getvalue()


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_a_terminal_shows_epoch_bits_accuracy_and_time_in_one_line():
    text = trained(Terminal())
    lines = [line for line in text.split("\r") if line]
    assert all(len(line.rstrip("\n")) < 80 for line in lines)
    assert text.count("\n") == 1
    for word in ("epoch 101", "FW16/BW16", "accuracy 98.05 %", "simulated 123.456 s", "100 %"):
        assert word in lines[-1]


def test_the_bar_takes_what_room_there_is():
    bar = Progress("cpt", 4, 2, stream=Terminal())
    assert "[#####.....]" not in bar.line(30)
    assert "[" + "#" * 10 + "." * 10 + "]" in bar.line(80)


def test_a_file_gets_a_line_an_epoch_and_no_carriage_return():
    text = trained(io.StringIO())
    assert "\r" not in text
    assert len(text.splitlines()) == 2
    assert all(len(line) <= 80 and "accuracy 98.05 %" in line for line in text.splitlines())


def test_a_quiet_run_says_nothing():
    assert trained(io.StringIO(), quiet=True) == trained(Terminal(), quiet=True) == ""
