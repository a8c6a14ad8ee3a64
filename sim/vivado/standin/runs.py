"""Synthesis and implementation: pretended, with the results of the scenario."""

from pathlib import Path
from typing import TYPE_CHECKING

from cpt.sim.vivado.standin.command import Arguments, command
from cpt.sim.vivado.standin.objects import CommandError, Thing

if TYPE_CHECKING:
    from cpt.sim.vivado.standin.session import Session

_STRATEGIES = {
    "synth_1": ("Vivado Synthesis Defaults", "Flow_AreaOptimized_high", "Flow_PerfOptimized_high"),
    "impl_1": (
        "Vivado Implementation Defaults",
        "Performance_Explore",
        "Performance_ExplorePostRoutePhysOpt",
    ),
}
_CHECKS = [
    "no_clock",
    "constant_clock",
    "pulse_width_clock",
    "unconstrained_internal_endpoints",
    "no_input_delay",
    "no_output_delay",
    "multiple_clock",
    "generated_clocks",
    "loops",
    "partial_input_delay",
    "partial_output_delay",
    "latch_loops",
]


class Runs:
    """The two runs of a project and what is read from them."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.opened = False

    def prepare(self, folder: Path) -> None:
        """Fresh runs below ``folder``."""
        for name, strategies in _STRATEGIES.items():
            run = Thing("run", name, {"PROGRESS": "0%", "STATUS": "Not started", "strategy": strategies[0]})
            run.properties["DIRECTORY"] = str(folder / name)
            run.allowed["strategy"] = strategies
            self.session.add(run)

    @command("get_runs", least=0, most=1)
    def get_runs(self, given: Arguments) -> str:
        """One run, or all."""
        self.session.project.require_open()
        return self._run(given.words[0]).handle if given.words else "run:synth_1 run:impl_1"

    @command("launch_runs", "-jobs= -to_step=", least=1)
    def launch_runs(self, given: Arguments) -> str:
        """Start a run; implementation needs a complete synthesis."""
        run = self._run(given.words[0])
        if not given.flags.get("-jobs", "1").isdigit() or given.flags.get("-to_step", "write_bitstream") != (
            "write_bitstream"
        ):
            raise CommandError(f"options {given.flags}")
        if not self.session.project.top or not self.session.diagram.valid:
            raise CommandError("no top module, or the block design was not validated")
        if run.name == "impl_1" and self._run("synth_1").properties["PROGRESS"] != "100%":
            raise CommandError("synth_1 is not complete")
        if run.name == "impl_1" and "cpt.xdc" not in self.session.project.files:
            raise CommandError("the constraints are not in the project")
        run.properties["STATUS"] = "Running"
        return ""

    @command("wait_on_run", least=1)
    def wait_on_run(self, given: Arguments) -> str:
        """Let a launched run end as the scenario says."""
        run = self._run(given.words[0])
        if run.properties["STATUS"] != "Running":
            raise CommandError(f"run {run.name} was not launched")
        scenario = self.session.scenario
        folder = Path(run.properties["DIRECTORY"])
        folder.mkdir(parents=True, exist_ok=True)
        critical = scenario.critical if run.name == "impl_1" else ()
        lines = ["INFO: [Common 17-206] Exiting Vivado", *(f"CRITICAL WARNING: {text}" for text in critical)]
        (folder / "runme.log").write_text("\n".join(lines) + "\n")
        if run.name == scenario.failing_run:
            step = "synth_design" if run.name == "synth_1" else "place_design"
            run.properties.update(PROGRESS="37%", STATUS=f"{step} ERROR")
            if scenario.waiting_fails:
                raise CommandError("[Common 17-39] 'wait_on_runs' failed due to earlier errors.")
            return ""
        step = "synth_design" if run.name == "synth_1" else "write_bitstream"
        run.properties.update(PROGRESS="100%", STATUS=f"{step} Complete!")
        if run.name == "impl_1":
            if min(scenario.setup_slack_ns, scenario.hold_slack_ns, scenario.pulse_slack_ns) < 0:
                run.properties["STATUS"] = f"{step} Complete, Failed Timing!"
            run.properties["STATS.TPWS"] = f"{scenario.pulse_slack_ns:.3f}"
            (folder / f"{self.session.project.top}.bit").write_bytes(b"stand-in")
        return ""

    @command("open_run", least=1)
    def open_run(self, given: Arguments) -> str:
        """Open a complete run for reports."""
        if self._run(given.words[0]).properties["PROGRESS"] != "100%":
            raise CommandError(f"run {given.words[0]} is not complete")
        self.opened = True
        return ""

    @command("get_timing_paths", "-delay_type= -max_paths= -nworst=")
    def get_timing_paths(self, given: Arguments) -> str:
        """The worst paths of setup (max) or hold (min)."""
        self._need_open()
        slack = {"max": self.session.scenario.setup_slack_ns, "min": self.session.scenario.hold_slack_ns}
        kind = given.need("-delay_type")
        if kind not in slack:
            raise CommandError(f"-delay_type is {kind}; allowed: max, min")
        handles = []
        for index in range(2):
            path = Thing(
                "path",
                f"{kind}{index}",
                {
                    "SLACK": f"{slack[kind] + 0.01 * index:.3f}",
                    "STARTPOINT_PIN": f"cpt_accelerator_0/inst/array/unit_{index}/acc_reg[0]/C",
                    "ENDPOINT_PIN": f"cpt_accelerator_0/inst/array/unit_{index}/acc_reg[47]/D",
                },
            )
            handles.append(self.session.add(path))
        return " ".join(handles)

    @command("report_utilization", "-hierarchical -hierarchical_depth= -file=")
    def report_utilization(self, given: Arguments) -> str:
        """A report."""
        return self._report(given, "Utilization\n")

    @command(
        "report_timing_summary",
        "-delay_type= -report_unconstrained -check_timing_verbose -max_paths= -file=",
    )
    def report_timing_summary(self, given: Arguments) -> str:
        """A report with the section on unconstrained paths: a table of contents, then each check."""
        scenario = self.session.scenario
        counts = {name: scenario.unconstrained if name.startswith("unconstr") else 0 for name in _CHECKS}
        headings = [
            f"{index}. checking {name}" + f" ({count})" * scenario.counts_in_headings
            for index, (name, count) in enumerate(counts.items(), 1)
        ]
        sections = [
            f"{heading}\n{'-' * len(heading)}\n There are {count} pins.\n"
            for heading, count in zip(headings, counts.values(), strict=True)
        ]
        return self._report(given, "\n".join(["check_timing report", "", *headings, "", *sections]))

    @command("report_drc", "-file=")
    def report_drc(self, given: Arguments) -> str:
        """A report."""
        return self._report(given, "DRC\n")

    @command("report_power", "-file=")
    def report_power(self, given: Arguments) -> str:
        """A report."""
        return self._report(given, "Power\n")

    @command("write_hw_platform", "-fixed -include_bit -force -file=")
    def write_hw_platform(self, given: Arguments) -> str:
        """The platform for other tools."""
        return self._report(given, "xsa\n")

    def _run(self, name: str) -> Thing:
        """The run with this name or handle."""
        return self.session.thing(name if name.startswith("run:") else f"run:{name}", "run")

    def _need_open(self) -> None:
        if not self.opened:
            raise CommandError("no run is open")

    def _report(self, given: Arguments, text: str) -> str:
        self._need_open()
        Path(given.need("-file")).write_text(text)
        return ""
