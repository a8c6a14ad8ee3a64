"""A machine's blocks synthesised each on its own: kept when finished, added up."""

import json

import pytest

from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.hw.export import blocks
from cpt.sim.synth import apart
from cpt.sim.synth.apart import HEAD, blocks_apart, line_of, sum_of

TINY = preset("tiny", STEP)
SMALL = [item for item in blocks.top_blocks(TINY) if item[0] in ("marks", "watchdog")]


def test_all_blocks_of_the_top_level_are_synthesised():
    assert {"registers", "control", "array", "lanes", "float"} <= {
        name for name, _ in blocks.top_blocks(TINY)
    }


def test_finished_blocks_are_taken_again_and_changed_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "top_blocks", lambda config: SMALL)
    calls = []
    real = apart.synthesise
    monkeypatch.setattr(apart, "synthesise", lambda *given: calls.append(given[1]) or real(*given))
    first = list(blocks_apart(TINY, "xc7", tmp_path))
    assert [found["block"] for found in first] == ["marks", "watchdog"]
    assert len(calls) == 2
    assert all(found["luts"] > 0 and found["flip_flops"] > 0 for found in first)
    assert list(blocks_apart(TINY, "xc7", tmp_path)) == first
    assert len(calls) == 2
    kept = tmp_path / "marks.json"
    (tmp_path / "watchdog.json").write_text('{"key": "cut sh')
    assert list(blocks_apart(TINY, "xc7", tmp_path)) == first
    assert calls.pop() == "cpt_watchdog"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"key": "another", "luts": 0}))
    assert list(blocks_apart(TINY, "xc7", tmp_path)) == first
    assert calls == [
        "cpt_marks",
        "cpt_watchdog",
        "cpt_marks",
    ]

    whole = sum_of(TINY, first)
    assert whole["preset"] == "tiny-step"
    assert whole["lut"] == sum(found["luts"] for found in first)
    assert whole["timing_rule_held"] == (whole["breaches"] == 0)
    assert whole["lut_percent"] == round(100 * whole["lut"] / 53_200, 2)
    assert all(len(line_of(found)) == len(HEAD) for found in first)


def test_a_machine_of_products_alone_is_refused(tmp_path):
    with pytest.raises(ContractError, match="machine is 'matrix'; allowed: 'step'"):
        next(blocks_apart(preset("tiny"), "xc7", tmp_path))
