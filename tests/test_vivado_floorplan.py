"""The checked-in constraint files that place the array's units."""

import re

import pytest

from cpt.hw.contract.board import BOARDS
from cpt.hw.vivado.floorplan import SITES, floorplan, path, sites


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_checked_in_file_is_what_the_array_needs(board):
    assert path(board).read_text(encoding="utf-8") == floorplan(board)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_column_of_units_has_one_place_and_no_two_places_overlap(board):
    text = floorplan(board)
    columns = [int(number) for number in re.findall(r"array/unit_\*_(\d+)/", text)]
    assert columns == list(range(board.config.cols))
    taken = [
        (x, y)
        for area in SITES[board.name]
        for x0, y0, x1, y1 in [map(int, re.findall(r"\d+", area.replace("DSP48", "")))]
        for x in range(x0, x1 + 1)
        for y in range(y0, y1 + 1)
    ]
    assert len(taken) == len(set(taken)) == sum(sites(area) for area in SITES[board.name])
    assert len(taken) <= board.capacity.dsp
