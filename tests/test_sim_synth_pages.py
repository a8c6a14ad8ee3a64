"""Budgets of open synthesis, its page, and what is made of a router's report."""

import json

import pytest

from cpt.hw.contract import PRESETS, ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.sim.synth import pnr
from cpt.sim.synth.budget import budgets, exceeded
from cpt.sim.synth.page import page
from cpt.sim.synth.report import name_of

BLOCK = {
    "luts": 10,
    "flip_flops": 20,
    "carry4": 1,
    "dsp": 0,
    "bram36": 0,
    "nets_inside": 3,
    "nets_leaving": 2,
    "nets_through": 0,
    "estimate_ps": 2650,
    "max_fanout": 12,
    "timing_rule_held": True,
    "breaches": {},
}
REPORT = {
    "preset": "tiny",
    "program": "Yosys 0.70",
    "part": "xc7z020clg400-1",
    "lut": 900,
    "lut_percent": 1.7,
    "ff": 1000,
    "ff_percent": 1.0,
    "carry4": 10,
    "dsp": 36,
    "dsp_percent": 16.4,
    "bram36": 12,
    "bram36_percent": 8.6,
    "units": 36,
    "lut_unit": 60,
    "ff_unit": 70,
    "lut_per_binmac_unit": 1.67,
    "lut_per_binmac_array": 2.5,
    "worst_path_ps": 2000,
    "worst_lut_levels": 4,
    "worst_nets": 5,
    "max_fanout": 33,
    "timing_rule_held": False,
    "breaches": 1,
    "blocks": {"ring": BLOCK},
    "slowest": {"ring.held": 4450},
    "broken": [
        {"end": "ring.held.D", "line": "ring: more than 4 nets: ring.a -> ring.held.D: 5 nets, 0 CARRY4"}
    ],
}


def test_every_preset_has_a_budget_of_figures_that_exist():
    of_steps = {name_of(preset(name, STEP)) for name in PRESETS}
    assert set(PRESETS) <= set(budgets()) <= {*PRESETS, *of_steps}
    for limits in budgets().values():
        assert set(limits) <= set(REPORT)


def test_a_figure_above_its_budget_is_one_line():
    assert exceeded(REPORT, {"worst_nets": 5, "max_fanout": 33, "breaches": 1}) == []
    assert exceeded(REPORT, {"worst_nets": 4, "max_fanout": 32}) == [
        "tiny: worst_nets is 5; allowed: 4",
        "tiny: max_fanout is 33; allowed: 32",
    ]


def test_a_budget_of_a_figure_that_does_not_exist_is_refused():
    with pytest.raises(ContractError, match="budget names 'luts'"):
        exceeded(REPORT, {"luts": 1})


def test_the_page_shows_both_clocks_and_where_the_rule_is_broken():
    text = page([REPORT], ["tiny: worst_nets is 5; allowed: 4"])
    assert "a rule held is not a clock met" in text
    assert "| ring | 10 | 20 | 1 | 0 | 0 | 3 | 2 | 0 | 12 | 2.65 ns | 53% | 40% | held |" in text
    assert "- ring: more than 4 nets: ring.a -> ring.held.D: 5 nets, 0 CARRY4" in text
    assert "- tiny: worst_nets is 5; allowed: 4" in text


def routed(clock, start="ring.a_TRELLIS_FF_Q_3", end="ring.held_TRELLIS_FF_Q"):
    def step(kind, delay, source, target):
        return {"type": kind, "delay": delay, "from": {"cell": source}, "to": {"cell": target}}

    path = [
        step("clk-to-q", 0.4, start, start),
        step("routing", 1.5, start, "lut"),
        step("logic", 0.2, "lut", "lut"),
        step("routing", 0.0, "lut", end),
        step("setup", 0.0, end, end),
    ]
    late = {"cell": "counters.pending_TRELLIS_FF_Q_1", "event": "posedge clk", "delay": [1.0, 6.5]}
    early = {"cell": "counters.pending_TRELLIS_FF_Q", "event": "posedge clk", "delay": [1.0, 2.0]}
    return {
        "fmax": {"clk": {"achieved": clock, "constraint": 150}},
        "critical_paths": [{"from": "posedge clk", "to": "posedge clk", "path": path}],
        "detailed_net_timings": [{"net": "n", "event": "posedge clk", "endpoints": [early, late]}],
        "utilization": {"TRELLIS_COMB": {"used": 9, "available": 83640}, "GSR": {"used": 0, "available": 1}},
    }


MAPPED = {
    "modules": {
        pnr.TOP: {
            "cells": {
                str(n): {
                    "connections": {"A": [5], "Z": [n + 6]},
                    "port_directions": {"A": "input", "Z": "output"},
                }
                for n in range(3)
            },
            "netnames": {"stop": {"bits": [5]}, "long_name": {"bits": [5]}},
        }
    }
}


def test_the_median_seed_counts_and_paths_that_the_rule_does_not_see_are_listed():
    found = pnr.result(preset("tiny"), MAPPED, {1: routed(120.0), 2: routed(140.0), 3: routed(130.0)})
    assert found["clock_mhz"] == 130
    assert found["critical_paths"][0] == {
        "start": "ring.a",
        "end": "ring.held",
        "ns": pytest.approx(2.1),
        "nets": 1,
        "wires_ns": 1.5,
    }
    assert found["worst"] == [{"end": "counters.pending", "driver": "n", "ns": 6.5}]
    assert found["nets"] == [("stop", 3)]
    text = pnr.page([json.loads(json.dumps(found))], {"tiny": REPORT})
    assert "**130.0 MHz** (median; seed 1 120.0, seed 2 140.0, seed 3 130.0)." in text
    assert "- counters.pending: 6.50 ns, by n; not among the rule's 1 slowest" in text
    text = pnr.page([found], {"tiny": {**REPORT, "slowest": {"counters.pending": 2650}}})
    assert "- counters.pending: 6.50 ns, by n; the rule counts 2.65 ns" in text
    assert pnr.beside_the_rule("ring.held", REPORT) == "the rule is broken there"


def test_a_register_keeps_the_number_of_a_signal_without_a_name_and_loses_that_of_a_cell():
    assert pnr.register("ring.$signal$50_TRELLIS_FF_Q_5") == "ring.$signal$50"
    assert pnr.register("array.unit_0_0.total$auto$alumacc.cc:495:replace_alu$12") == "array.unit_0_0.total"


def test_without_the_router_one_line_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sys.argv", ["pnr", "--preset", "tiny"])
    with pytest.raises(SystemExit) as ended:
        pnr.main()
    assert ended.value.code == 2
    assert "allowed: pip install 'cpt-fpga[pnr]'" in capsys.readouterr().err


def test_the_machine_of_whole_steps_has_files_of_its_own():
    assert name_of(preset("tiny", STEP)) == "tiny-step"
    assert name_of(preset("tiny")) == "tiny"
