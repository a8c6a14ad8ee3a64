"""cpt.table and cpt.model.units: 80 columns, one form for each figure."""

import pytest

from cpt.model.units import accuracy, change, duration, gbitops, metric, precision
from cpt.table import align

ROWS = [
    ("program", "cycles of the RTL", "cycles of the model", "relative difference", "array utilisation"),
    ("conv 16x64x576 8x8", "1,234,567", "1,234,568", "+0.001 %", "12.3 %"),
    ("dense 10x32x64 8x8", "4,567", "4,568", "+0.010 %", "1.3 %"),
]


def widest(text):
    return max(len(line) for line in text.splitlines())


def test_a_table_that_fits_is_one_line_a_row():
    assert align(ROWS, 200).count("\n") == 4


def test_headers_break_before_a_table_folds():
    text = align(ROWS, 80)
    assert widest(text) <= 80
    assert text.count("program") == 1
    assert "cycles of  cycles of  relative" in text


@pytest.mark.parametrize("width", [40, 50, 60])
def test_a_table_that_does_not_fit_is_folded_and_keeps_every_cell(width):
    text = align(ROWS, width)
    assert widest(text) <= width
    assert text.count("conv 16x64x576 8x8") == text.count("program") > 1
    for cell in ("1,234,567", "1,234,568", "+0.001 %", "12.3 %"):
        assert cell in text


def test_a_cell_wider_than_the_terminal_goes_on_below():
    text = align([("what", "note"), ("a", "word " * 40)], 40)
    assert widest(text) <= 40
    assert text.split().count("word") == 40


def test_every_figure_has_one_form():
    assert accuracy(0.98053) == "98.05 %"
    assert metric("accuracy").difference(-0.0028) == "-0.28 points"
    assert metric("psnr_db").text(28.8614) == "28.861 dB"
    assert metric("perplexity").text(4.48) == "4.480"
    assert (gbitops(168978468.2), gbitops(2221.4), gbitops(0.00248)) == ("168,978,468", "2,221", "0.00248")
    assert (duration(1.958), duration(96_300)) == ("1.958 s", "26.75 h")
    assert (change(-0.4107), change(-0.00001)) == ("-41.1 %", "+0.0 %")
    assert (precision((3, 8), 8), precision((8, 8), (6, 8))) == ("FW(3,8)/BW8", "FW8/BW(6,8)")
