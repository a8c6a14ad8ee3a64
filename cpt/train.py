"""Train a network on the accelerator with cyclic precision, and beside it at the static upper bound."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from cpt import public_flags, run_folder, torch_options, torch_train
from cpt.check import RtlCheck, as_json, verdict
from cpt.data import BY_NAME, DIGITS, add_image_size, load_raw
from cpt.devices import (
    DEVICES,
    SIMULATED,
    TORCH_DEVICES,
    check_device,
    check_options,
    device_name,
)
from cpt.host.board import WallClock
from cpt.host.config import TrainConfig, settled
from cpt.host.data import Dataset, Images
from cpt.host.errors import DeviceError
from cpt.host.measure import Measurement
from cpt.host.run import TrainingRun
from cpt.host.trainer import StepReport
from cpt.hw.contract import PRESETS, preset
from cpt.hw.contract.config import STEP
from cpt.measured import as_summary
from cpt.model.run import SUMMARY, write_json
from cpt.model.units import accuracy, duration, precision
from cpt.options import TRAINING, add_options, train_config
from cpt.progress import Progress, note
from cpt.run_folder import STATIC
from cpt.table import MEASURED, paragraph, render
from cpt.trainers import Place

CHECK_FAILED = 1
MAIN = "cpt"
SIMULATION = {"preset": "zc706", "memory": "ps-ddr"}
"""What is simulated unless told otherwise."""
USED_BY = {
    "preset": SIMULATED,
    # on a board, by --check-rtl
    "memory": DEVICES,
    "bitfile": ("board",),
    **dict.fromkeys(
        (*(option.field for option in torch_options.TORCH), *torch_options.MACHINE), TORCH_DEVICES
    ),
    "micro_batch": (*DEVICES, *TORCH_DEVICES),
}
"""Devices that an option is for, where it is not for all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt train``."""
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device",
        type=device_name,
        default="fast",
        metavar="NAME",
        help=f"{', '.join((*DEVICES, *TORCH_DEVICES))} (default: fast)",
    )
    machine.add_argument(
        "--preset", metavar="NAME", help=f"array: {', '.join(PRESETS)} (default: {SIMULATION['preset']})"
    )
    machine.add_argument(
        "--memory", metavar="NAME", help=f"memory model of a simulation (default: {SIMULATION['memory']})"
    )
    machine.add_argument("--bitfile", metavar="PATH", help="bitstream of the board, .hwh beside it")
    parser.add_argument(
        "--data",
        default=DIGITS,
        metavar="NAME",
        help=f"{', '.join(BY_NAME)}, an .npz of pixels and labels, a folder with train/CLASS/*.png, or a "
        "name of docs/training.md",
    )
    add_image_size(parser)
    add_options(parser.add_argument_group("training"), TRAINING, unset=True)
    torch_options.add_arguments(parser)
    run = parser.add_argument_group("run")
    run_folder.add_arguments(run)
    run.add_argument(
        "--compare",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also train at the static upper bound (default: unless --steps is given)",
    )
    run.add_argument(
        "--check-rtl",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="repeat some steps on the compiled RTL (default: for whole runs on the model, if it builds)",
    )
    run.add_argument("--json", action="store_true", help="the summary as one line on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Train, print the table and the summary; returns the exit status."""
    run_folder.check_arguments(arguments)
    check_device(arguments.device, (*DEVICES, *TORCH_DEVICES))
    check_options(arguments, USED_BY)
    public_flags.check_device(arguments, TORCH_DEVICES)
    if arguments.device in TORCH_DEVICES:
        return torch_train.run(arguments)
    for name, default in SIMULATION.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    place = _place(arguments)
    config = settled(train_config(arguments).replace(micro_batch=arguments.micro_batch or 0))
    method = MAIN if config.fw[0] < config.fw[1] else STATIC
    name = run_folder.default_name(arguments.data, config.model, method, arguments.device)
    with (
        run_folder.claimed(arguments, name) as folder,
        contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout),
    ):
        data = load_raw(arguments.data, arguments.image_size)
        print(data.describe())
        summary, status = _Command(arguments, place, config, data, folder).train()
    if arguments.json:
        print(json.dumps(summary, sort_keys=True))
    return status


def _place(arguments: argparse.Namespace) -> Place:
    preset(arguments.preset, STEP)
    return Place(arguments.device, arguments.preset, arguments.memory, arguments.bitfile)


class _Command:
    """The runs of one command: cyclic, static, and the RTL's check."""

    def __init__(
        self, arguments: argparse.Namespace, place: Place, config: TrainConfig, data: Dataset, folder: Path
    ) -> None:
        self.arguments, self.place, self.config, self.data, self.folder = (
            arguments,
            place,
            config,
            data,
            folder,
        )
        cyclic = config.fw[0] < config.fw[1]
        self.compare = not config.steps if arguments.compare is None else arguments.compare
        self.compare = self.compare and cyclic
        self.check = arguments.check_rtl
        if self.check is None:
            self.check = arguments.device == "fast" and not config.steps and not arguments.resume

    def train(self) -> tuple[dict[str, Any], int]:
        """Train everything and print the table; the summary of all, and the exit status."""
        with RtlCheck(self.config, self.data, self.arguments.memory) as check:
            summary = self._one(MAIN, self.config, self.folder, check if self.check else None)
            if self.compare:
                static = self._one(STATIC, self.config.static(), self.folder / STATIC, None)
                summary["static"] = static
                saved = {"gbitops", "simulated_seconds", *MEASURED} & set(summary) & set(static)
                summary["saving"] = {
                    name: 1 - summary[name] / static[name] if static[name] else 0.0 for name in saved
                }
            line, passed = self._checked(check, summary)
        write_json(self.folder / SUMMARY, summary)
        print(render(summary))
        if line:
            print(line)
        print(f"weights sha256: {summary['weights_sha256']}")
        print(f"files: {self.folder}")
        print(f"next: cpt report {shlex.quote(str(self.folder))} draws what is in them")
        return summary, 0 if passed else CHECK_FAILED

    def _plan(self, memory_bytes: int) -> str:
        """What the command is going to do, now that nothing was refused."""
        config = self.config
        length = f"{config.steps} steps" if config.steps else f"{config.epochs} epochs"
        beside = f", then as long at {precision(config.fw[1], config.bw)} beside it" if self.compare else ""
        check = "; compiled RTL repeats some of the steps, and is built first if it has not been"
        taken = f"; {memory_bytes / 2**20:.1f} MiB of contiguous memory"
        usual = config == TrainConfig() and self.arguments.device == "fast"
        return (
            f"training {config.model} on {self.data.name}: {length} of batches of {config.batch_size} at "
            f"{precision(config.fw, config.bw)}{beside}{check if self.check else ''}"
            f"{taken if self.arguments.device == 'board' else ''}"
            f"{'; in all about 3 minutes on 2 cores' if usual else ''}"
        )

    def _checked(self, check: RtlCheck, summary: dict[str, Any]) -> tuple[str, bool]:
        """The RTL check's line, and whether nothing disagreed; the outcome goes into ``summary``.

        Where the RTL cannot be built, a check that was asked for is an error and any other says so.
        """
        if not self.check:
            return "", True
        try:
            steps = check.results()
        except DeviceError as error:
            if self.arguments.check_rtl:
                raise
            summary["rtl_check"] = {"passed": None, "reason": str(error)}
            return f"RTL check: not run ({error})", True
        summary["rtl_check"] = as_json(steps)
        return verdict(steps), bool(summary["rtl_check"]["passed"])

    def _one(self, name: str, config: TrainConfig, folder: Path, check: RtlCheck | None) -> dict[str, Any]:
        """Train one run and give its summary."""
        arguments = self.arguments
        machine = {"device": arguments.device, "preset": arguments.preset, "memory_model": arguments.memory}
        if arguments.device == "board":
            machine |= {"preset": "bitstream", "memory_model": "board"}
        with self.place.open(config, self.data) as (trainer, accelerator):
            training = TrainingRun(name, trainer, folder, machine)
            run_folder.begin(training, arguments, self.config.static() if self.compare else None)
            if folder == self.folder:
                note(arguments, paragraph(self._plan(trainer.memory_bytes)))
            measurement = Measurement(trainer, accelerator.wall if accelerator else WallClock())
            with Progress(name, trainer.total_steps, trainer.step, arguments.quiet) as bar:

                def before(batch: Images) -> None:
                    if check:
                        check.before_step(trainer, batch)
                    measurement.before_step()

                def after(report: StepReport) -> None:
                    measurement.after_step(report)
                    seconds = trainer.training.seconds(trainer.array)
                    whose = "accelerator" if arguments.device == "board" else "simulated"
                    spent = f"{whose} {duration(seconds)}"
                    bar.step(report.epoch, report.fw, report.bw, report.loss, spent)
                    if check:
                        check.after_step(trainer)

                def epoch_done(row: dict[str, Any]) -> None:
                    bar.epoch(f"accuracy {accuracy(row['accuracy'])}")

                summary = training.train(after, epoch_done, before)
            if accelerator and arguments.device == "board":
                print(f"{name}: {accelerator.wall.check(accelerator.clock_mhz)}")
                print(f"{name}: measured times in {measurement.save(folder)}")
                summary |= as_summary(measurement.as_dict(), arguments.memory)
                training.end(summary)
            return summary
