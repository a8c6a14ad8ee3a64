"""LUT sites of mapped netlists, against counts done by hand."""

import pytest

from cpt.sim.synth.lut_sites import FANOUT, lut_sites


def lut(output, *inputs):
    return {"type": f"LUT{len(inputs)}", "connections": {"O": [output], **_ports(inputs)}}


def _ports(inputs):
    return {f"I{number}": [signal] for number, signal in enumerate(inputs)}


def carry(selects, data):
    return {"type": "CARRY4", "connections": {"S": selects, "DI": data, "O": [90, 91, 92, 93]}}


@pytest.mark.parametrize(
    ("cells", "sites"),
    [
        ([lut(10, 1, 2, 3), lut(11, 1, 2, 3)], 1),  # a full adder
        ([lut(10, 1, 2, 3), lut(11, 3, 4, 5)], 1),  # five inputs in all
        ([lut(10, 1, 2, 3), lut(11, 3, 4, 5, 6)], 2),  # six
        ([lut(10, 1, 2), lut(11, 3, 4)], 2),  # nothing in common
        ([lut(10, 1, 2, 3, 4, 5, 6), lut(11, 1)], 2),
        ([lut(10, 1, 2, 3, 4, "1"), lut(11, 1, 5)], 1),  # a constant is no input
        ([{"type": "INV", "connections": {"I": [1], "O": [10]}}, lut(11, 1, 2)], 1),
        ([{"type": "FDRE", "connections": {"D": [1], "Q": [2]}}], 0),
    ],
)
def test_two_functions_share_a_site_if_they_have_five_inputs_and_one_in_common(cells, sites):
    assert lut_sites(cells) == sites


def test_of_three_functions_two_share():
    """11 fits with both others, which do not fit with each other: they choose first."""
    assert lut_sites([lut(10, 1, 2, 3), lut(11, 3, 4), lut(12, 4, 5, 6)]) == 2
    four = [lut(10, 1, 2, 3), lut(11, 3, 4), lut(12, 4, 5, 6), lut(13, 5, 6, 7)]
    assert lut_sites(four) == 2


@pytest.mark.parametrize(
    ("cells", "sites"),
    [
        ([carry([1, 2, 3, "0"], ["0"] * 4)], 3),  # selects from registers: a LUT passes each on
        ([lut(10, 1, 2), carry([10, "0", "0", "0"], [5, "0", "0", "0"])], 1),
        ([lut(10, 1, 2), lut(11, 1, 3), carry([10, "0", "0", "0"], [11, "0", "0", "0"])], 1),
        ([lut(10, 1, 2, 3), lut(11, 4, 5, 6), carry([10, "0", "0", "0"], [11, "0", "0", "0"])], 2),
        ([lut(10, 1, 2), lut(11, 1, 2), carry([10, "0", "0", "0"], [5, "0", "0", "0"])], 2),
    ],
)
def test_a_site_in_front_of_a_carry_computes_nothing_foreign(cells, sites):
    assert lut_sites(cells) == sites


def test_a_signal_that_is_read_everywhere_brings_nothing_together():
    assert lut_sites([lut(100 + n, 1, 10 + n) for n in range(FANOUT)]) == FANOUT // 2
    assert lut_sites([lut(100 + n, 1, 10 + n) for n in range(FANOUT + 1)]) == FANOUT + 1
