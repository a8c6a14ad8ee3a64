"""A stand-in for Vivado: it knows the commands and properties the scripts use and refuses all others.

It checks control flow, names, connections, addresses and the gate, not what Vivado makes of them.
"""

from cpt.sim.vivado.standin.interpreter import ScriptError, run_script
from cpt.sim.vivado.standin.scenario import Scenario
from cpt.sim.vivado.standin.session import Session

__all__ = ["Scenario", "ScriptError", "Session", "run_script"]
