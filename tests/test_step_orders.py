"""cpt.sim.step.orders: any order of the engines ends with the golden bits; one that lacks a wait is seen."""

from __future__ import annotations

import re

import pytest

from cpt.sim.step import orders
from cpt.sim.step.interleaving import Interleaving


def test_orders_end_with_the_golden_bits_and_dropped_waits_are_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert orders.main(["--count", "2", "--drop", "6", "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert "2 orders of 1 networks on tiny: 2 with the golden bits, 0 without" in told
    (dropped, seen), *_ = re.findall(r"(\d+) waits dropped: (\d+) seen", told)
    assert int(dropped) == 6
    assert int(seen) > 0


def test_an_order_with_other_bits_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Interleaving, "_can", lambda order, word, _: order.machine.has_operands(word))
    assert orders.main(["--count", "2", "--seed", "1"]) == 1
    assert "other bits" in capsys.readouterr().out


def test_an_unknown_preset_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        orders.main(["--preset", "huge"])
    assert "preset is 'huge'" in capsys.readouterr().err
