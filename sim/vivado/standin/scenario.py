"""How the runs of the stand-in end: what Vivado would report."""

from dataclasses import dataclass

VERSIONS = ("2020.1", "2022.1", "2025.1")
"""One of each kind: what differs between them stands in `Scenario`."""


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
    inferred_block: str = "reg0"
    """Name that the packager gives the inferred address block of the registers; empty: it infers none."""
    infers_spaces: bool = True
    """Whether the packager makes the address spaces of the masters by itself."""

    @property
    def handoff_below(self) -> str:
        """Where this version puts the handoff; it moved in 2020.2."""
        return "srcs" if self.version < "2020.2" else "gen"

    @property
    def counts_in_headings(self) -> bool:
        """Whether check_timing counts beside the names of its checks; 2021.2 does, older ones may not."""
        return self.version >= "2020.2"

    @property
    def waiting_fails(self) -> bool:
        """Whether wait_on_run is an error if the run failed ([Vivado 12-13638]), a warning in 2022."""
        return self.version >= "2024"
