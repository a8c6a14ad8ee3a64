"""A short sample of ``tests/odd_data.py``: damaged files of every kind are read or refused in one line."""

import warnings

from odd_data import KINDS, draw


def test_forty_damaged_data_files_give_data_or_one_line():
    with warnings.catch_warnings():
        # Pillow's, about images that it still can read
        warnings.simplefilter("ignore")
        found = draw(40, seed=3)
    assert sum(found.values()) == 40
    assert {name.split()[0] for name in found} == {kind.__name__ for kind in KINDS}
    assert {name.split(maxsplit=1)[1] for name in found} == {"read", "refused"}
