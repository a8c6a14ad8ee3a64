"""The Tcl scripts under the stand-in: one build that passes, and designs the gate must refuse."""

import dataclasses
from pathlib import Path

from cpt.hw.vivado.build import DELIVERED, SCRIPTS
from cpt.hw.vivado.settings import Build, settings_tcl
from cpt.model.scratch import Scratch
from cpt.sim.vivado.standin import Scenario, ScriptError, Session, run_script
from cpt.sim.vivado.standin.scenario import VERSIONS

BAD_DESIGNS = {
    "setup slack is -0.113": Scenario(setup_slack_ns=-0.113),
    "hold slack is -0.004": Scenario(hold_slack_ns=-0.004),
    "pulse width slack is -0.2": Scenario(pulse_slack_ns=-0.2),
    "unconstrained_internal_endpoints (3)": Scenario(unconstrained=3),
    "[DRC 23-20] a latch was found": Scenario(critical=("[DRC 23-20] a latch was found",)),
    "checking unconstrained_internal_endpoints (2)": Scenario(unconstrained=2, version=VERSIONS[0]),
    "run impl_1 ended with place_design ERROR": Scenario(failing_run="impl_1"),
    "run synth_1 ended with synth_design ERROR": Scenario(failing_run="synth_1", version=VERSIONS[-1]),
    "Vivado is 2019.1": Scenario(version="2019.1"),
}
"""What the scripts must print, by the scenario that calls for it."""


def run_build(build: Build, scenario: Scenario | None = None, scripts: Path = SCRIPTS) -> Session:
    """Run the scripts for ``build``; `ScriptError` with what they printed if they refuse it."""
    session = Session(build, scenario)
    build.log.touch()
    run_script(scripts / "build.tcl", [str(build.output / "settings.tcl")], session)
    return session


def script_problems(build: Build, scripts: Path = SCRIPTS) -> list[str]:
    """Why the scripts do not deliver a design that meets everything, with each kind of Vivado."""
    for version in VERSIONS:
        try:
            run_build(build, Scenario(version=version), scripts)
        except ScriptError as error:
            return str(error).splitlines()
    return [f"{name} was not delivered" for name in DELIVERED if not (build.output / name).is_file()]


def gate_problems(build: Build, scripts: Path = SCRIPTS) -> list[str]:
    """Bad designs that got through, or were refused without saying why."""
    found = []
    for expected, scenario in BAD_DESIGNS.items():
        with Scratch("gate") as scratch:
            trial = dataclasses.replace(build, output=scratch)
            (trial.output / "settings.tcl").write_text(settings_tcl(trial))
            try:
                run_build(trial, scenario, scripts)
            except ScriptError as error:
                if expected not in str(error):
                    found.append(f"{expected}: refused with {error}")
            else:
                found.append(f"{expected}: not refused")
            if (trial.output / "cpt.bit").exists():
                found.append(f"{expected}: cpt.bit was delivered all the same")
    return found
