"""What the counter of Arm instructions makes of its marks; the emulation itself is no test."""

import pytest
from arm_instructions import instructions, marks, of_parts

NAMES = ["counted", "idle", "same", "+ring", "+caches", "-caches", "-ring", "+ring", "-ring", "end"]
LOG = "100 0\n900 7\n910 7\n1000 7\n1110 7\n1320 9\n1430 9\n1600 9\n1715 9\n2000 9\n"


def test_a_stretch_ends_at_the_next_mark_that_is_of_no_part():
    found = marks(NAMES, LOG)
    assert instructions(found, "counted") == 800
    assert instructions(found, "same") == 1090


def test_a_part_is_without_the_parts_that_it_calls_and_without_marks():
    assert of_parts(marks(NAMES, LOG), "same") == {"ring": 100 + 100 + 105, "caches": 200}


def test_marks_that_were_not_all_counted_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        marks(NAMES, LOG[:39])
