"""Flags of the public CPT code (its programs for CIFAR and for ImageNet) as names for our own options.

`FLAGS` says of each whether it means here what it means there; docs/training.md has the same table, and a
test compares the two.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpt.data import DIGITS
from cpt.hw.contract import ContractError
from cpt.progress import note

EQUAL, DIFFERENT, REFUSED = "equal", "different", "refused"
WARM_UP = {"warmup_steps": 400, "warmup_lr": 0.01}
"""Of ``--warm_up``: a constant rate at the start."""
DROPS = (32_000, 48_000)
"""Iterations at which that code's ``piecewise`` rate falls, however long the run is."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "cifar": {"steps": 64_000, "batch_size": 128, "cycles": 1},
    "imagenet": {
        "epochs": 120,
        "batch_size": 256,
        "lr_schedule": "step",
        "lr_drop_epochs": 30,
        "cycles": 32,
        "per": "iteration",
    },
}
"""What the two programs do unless told otherwise; in force where ``--arch`` is given."""


@dataclass(frozen=True)
class Flag:
    """One flag.

    ``field``: of the parsed arguments, ours where the flag is another name of it. ``count``: as argparse's
    ``nargs``; 0: a switch. ``said``: printed where it is ``different``, and the reason where it is
    ``refused``.
    """

    name: str
    status: str
    kind: Callable[[str], Any] = str
    field: str | None = None
    count: int | str | None = None
    said: str = ""


def _unused(name: str, said: str = "has no effect here") -> Flag:
    return Flag(name, DIFFERENT, said=f"{name} {said}")


FLAGS = (
    Flag("--arch", EQUAL, field="arch"),
    Flag("--dataset", EQUAL, field="data"),
    Flag("-d", EQUAL, field="data"),
    Flag("--datadir", EQUAL, Path, "data_dir"),
    Flag("--iters", EQUAL, int, "steps"),
    Flag("--epoch", EQUAL, int, "epochs"),
    Flag("--batch_size", EQUAL, int, "batch_size"),
    Flag("--lr_schedule", EQUAL, field="public_lr_schedule"),
    Flag("--weight_decay", EQUAL, float, "weight_decay"),
    Flag("--step_ratio", EQUAL, float, "lr_drop_ratio"),
    Flag("--warm_up", EQUAL, field="warm_up", count=0),
    Flag("--save_folder", EQUAL, Path, "out"),
    Flag("--num_bits", EQUAL, int, "num_bits"),
    Flag("--num_grad_bits", EQUAL, int, "num_grad_bits"),
    Flag("--is_cyclic_precision", EQUAL, field="is_cyclic_precision", count=0),
    Flag("--cyclic_num_bits_schedule", EQUAL, int, "cyclic_num_bits_schedule", 2),
    Flag("--cyclic_num_grad_bits_schedule", EQUAL, int, "cyclic_num_grad_bits_schedule", 2),
    Flag("--num_cyclic_period", EQUAL, int, "cycles"),
    Flag("--automatic_resume", EQUAL, field="automatic_resume", count=0),
    Flag("--dir", EQUAL, field="dir"),
    Flag("--cmd", EQUAL, field="cmd"),
    Flag(
        "--swa_start",
        DIFFERENT,
        float,
        "public_swa_start",
        said="--swa_start: weights are averaged after every epoch from there, not every 1170 iterations",
    ),
    _unused("--swa_freq", "has no effect here: weights are averaged after every epoch"),
    _unused("--print_freq"),
    _unused("--eval_every", "has no effect here: a run is evaluated after every epoch"),
    Flag("--start_iter", REFUSED, said="allowed: --resume, which knows where the run stopped"),
    Flag("--start_epoch", REFUSED, said="allowed: --resume, which knows where the run stopped"),
    Flag("--pretrained", REFUSED, count=0, said="allowed: training from the start"),
    Flag(
        "--num_bits_schedule",
        REFUSED,
        count="*",
        said="nothing reads it there; allowed: --cyclic_num_bits_schedule, --method progressive",
    ),
    Flag(
        "--num_grad_bits_schedule",
        REFUSED,
        count="*",
        said="nothing reads it there; allowed: --cyclic_num_grad_bits_schedule, --cyclic-bw",
    ),
)
FIELDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        flag.field
        for flag in FLAGS
        if flag.field
        and (
            flag.field in ("arch", "automatic_resume", "warm_up", "num_bits", "num_grad_bits", "dir", "cmd")
            or flag.field.startswith(("public_", "is_", "cyclic_num_"))
        )
    )
)
"""Fields of the parsed arguments that are none of our own options."""


class _Different(argparse.Action):
    """Stores the value, if a field takes it, and notes what differs."""

    def __init__(self, said: str, keeps: bool, **rest: Any) -> None:
        super().__init__(**rest)
        self.said, self.keeps = said, keeps

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        if self.keeps:
            setattr(namespace, self.dest, values)
        namespace.notes = [*(getattr(namespace, "notes", None) or ()), self.said]


class _Refused(argparse.Action):
    """Ends the command in one line that says what to give instead."""

    def __init__(self, said: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.said = said

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        if values not in ("0", 0):
            parser.error(f"{option} of the public CPT code is refused: {self.said}")


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare all `FLAGS`; those that are not given leave their fields as they are."""
    group.set_defaults(**dict.fromkeys(FIELDS))
    for flag in FLAGS:
        own = (flag.field or flag.name.strip("-")).replace("_", "-")
        common: dict[str, Any] = {"dest": flag.field or argparse.SUPPRESS, "default": argparse.SUPPRESS}
        if flag.status == REFUSED:
            group.add_argument(
                flag.name, action=_Refused, said=flag.said, nargs=flag.count, metavar="X", help="refused",
                **common,
            )  # fmt: skip
        elif flag.status == DIFFERENT:
            keeps = flag.field is not None
            group.add_argument(
                flag.name, action=_Different, said=flag.said, keeps=keeps, type=flag.kind, metavar="X",
                help=flag.said.removeprefix(f"{flag.name} "), **common,
            )  # fmt: skip
        elif flag.count == 0:
            group.add_argument(flag.name, action="store_const", const=True, help="as there", **common)
        else:
            text = "as there" if flag.field in FIELDS else f"--{own}"
            group.add_argument(
                flag.name, type=flag.kind, nargs=flag.count, metavar="X", help=text, **common
            )  # fmt: skip


def check_device(arguments: argparse.Namespace, allowed: Sequence[str]) -> None:
    """Raise `ContractError` if one of these flags was given for a device that they are not for."""
    for flag in FLAGS:
        if (
            flag.field in FIELDS
            and getattr(arguments, flag.field) is not None
            and arguments.device not in allowed
        ):
            raise ContractError(
                f"{flag.name} is given for device {arguments.device!r}; allowed: {', '.join(allowed)}"
            )


def settle(arguments: argparse.Namespace) -> None:
    """Fill in what the public code's flags stand for, in whatever order they were given.

    Notes on standard error say where something is not as there. Raises `ContractError` in one line.
    """
    given = _Given(arguments)
    said: list[str] = list(given.notes or ())
    if given.cmd not in (None, "train"):
        raise ContractError(f"cmd is {given.cmd!r}; allowed: train (every run is evaluated as it is trained)")
    if given.arch is not None:
        _settle_architecture(arguments, given.arch)
    said += _settle_bits(arguments, given)
    said += _settle_rate(arguments, given)
    steps, cycles = arguments.steps, arguments.cycles
    if given.public_swa_start is not None:
        if not steps:
            raise ContractError(
                f"swa_start is {given.public_swa_start} steps; allowed: together with --iters or --steps"
            )
        arguments.swa_start = given.public_swa_start / steps
    if given.is_cyclic_precision and steps and cycles and steps % cycles:
        said.append(
            f"--num_cyclic_period: {cycles} does not divide {steps}; cycles are stretched to end at the "
            "upper bound, there a stub of one follows"
        )
    for text in said:
        note(arguments, f"cpt train: {text}")


class _Given:
    """The public code's flags of a command; None where one is not given, or the command has none."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arguments, name, None)


def _settle_architecture(arguments: argparse.Namespace, name: str) -> None:
    data, model = _architecture(name)
    arguments.model = arguments.model or model
    if arguments.data == DIGITS:
        arguments.data = data
    if getattr(arguments, "run_name", None) is None:
        arguments.run_name = name
    for field, value in DEFAULTS["imagenet" if data == "imagenet" else "cifar"].items():
        if getattr(arguments, field) is None:
            setattr(arguments, field, value)


def _settle_bits(arguments: argparse.Namespace, given: _Given) -> Iterator[str]:
    """Cyclic, static or full precision; with cycles the schedules overwrite both numbers, as there.

    Gives the notes.
    """
    fw, bw = given.cyclic_num_bits_schedule, given.cyclic_num_grad_bits_schedule
    if given.is_cyclic_precision:
        if arguments.method not in (None, "cpt"):
            raise ContractError(f"method is {arguments.method!r} with --is_cyclic_precision; allowed: cpt")
        arguments.method, arguments.per = "cpt", "iteration"
        arguments.fw = fw or arguments.fw
        arguments.cyclic_bw = bw or arguments.cyclic_bw
        return
    if fw or bw:
        yield "a cyclic schedule has no effect without --is_cyclic_precision, here as there"
    bits, grad_bits = given.num_bits, given.num_grad_bits
    own = arguments.method is not None or arguments.fw is not None
    if bits is None and (own or given.arch is None):
        arguments.bw = grad_bits or arguments.bw
    elif bits:
        arguments.fw, arguments.bw = [bits], grad_bits or arguments.bw
        if not grad_bits and arguments.bw is None:
            yield f"--num_bits {bits} alone: gradients have 8 bits here, full precision there"
    elif grad_bits:
        raise ContractError(
            f"num_grad_bits is {grad_bits} with num_bits 0 (full precision); allowed: 0, or --num_bits 1..16"
        )
    elif not own:
        arguments.method = "fp32"


def _settle_rate(arguments: argparse.Namespace, given: _Given) -> Iterator[str]:
    """The learning rate's course: that of the CIFAR program, or of ImageNet's, which takes no flag for it.

    Gives the notes.
    """
    name = given.public_lr_schedule
    if arguments.data == "imagenet":
        if name is not None or given.warm_up:
            yield "--lr_schedule and --warm_up have no effect on imagenet, here as there"
        if name is not None and arguments.lr_schedule is None:
            arguments.lr_schedule, arguments.lr_drop_epochs = "step", 30
        return
    if name is None and given.arch is not None and arguments.lr_schedule is None:
        name = "piecewise"
    if name not in (None, "piecewise", "linear", "anneal_cosine"):
        raise ContractError(
            f"lr_schedule is {name!r}; allowed: piecewise, linear, anneal_cosine, or one of --lr-schedule"
        )
    if name is not None:
        arguments.lr_schedule = "step" if name == "piecewise" else name
    if name == "piecewise":
        arguments.lr_drops = DROPS
        steps = arguments.steps
        if steps is not None and steps != DEFAULTS["cifar"]["steps"]:
            yield (
                f"the rate falls at iterations {DROPS[0]} and {DROPS[1]} as there, the run has {steps}; "
                "--lr-schedule step: at 50 and 75 % of the run"
            )
    if given.warm_up and name != "anneal_cosine" and arguments.warmup_steps is None:
        for field, value in WARM_UP.items():
            setattr(arguments, field, value)


def _architecture(name: str) -> tuple[str, str]:
    """(data, model) of ``cifar10_resnet_38``, ``resnet34`` and the like."""
    match = re.fullmatch(r"(cifar100?)_(resnet|mobilenet)_?v?(\d+)", name)
    if match:
        data, family, number = match.groups()
        return data, f"resnet{number}" if family == "resnet" else "mobilenetv2"
    if re.fullmatch(r"resnet\d+", name):
        return "imagenet", name
    raise ContractError(f"arch is {name!r}; allowed: cifar10_resnet_N, cifar100_resnet_N, resnetN")
