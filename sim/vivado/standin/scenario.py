"""How the runs of the stand-in end: what Vivado would report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """Results of one pretended implementation; the defaults let the design pass the gate."""

    setup_slack_ns: float = 0.214
    hold_slack_ns: float = 0.031
    pulse_slack_ns: float = 0.0
    """Sum of the negative pulse width slacks."""
    unconstrained: int = 0
    """End points without a constraint."""
    critical: tuple[str, ...] = ()
    """Critical warnings in the implementation's log."""
    failing_run: str = ""
    """Run that does not complete."""
    version: str = "2022.1"
    handoff_below: str = "gen"
    """``gen`` or ``srcs``: where this version puts the handoff."""
