"""Options of ``cpt train`` for training in torch, and the public CPT code's flags as other names for them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpt.data import DIGITS
from cpt.hw.contract import ContractError
from cpt.options import Option

TORCH = (
    Option("method", str, "cpt, static, fp32, ldp, pfq, progressive or random", "NAME"),
    Option("quantiser", str, "sbm, dorefa or wageubn", "NAME"),
    Option("dx_weights", str, "weights in dX: input_channel, or the public code's: forward", "NAME"),
    Option("shape", str, "of a cycle: cosine, triangular or cosine_anneal", "NAME"),
    Option("delay", int, "epochs or steps at the lowest precision before the cycles", "N"),
    Option("every", int, "method random: epochs or steps between changes", "N"),
    Option("ldp_target", float, "cost that ldp aims at, as a share of the static one", "SHARE"),
    Option("ldp_alpha", float, "weight of ldp's cost against the task", "X"),
    Option("ldp_lr", float, "learning rate of ldp's precisions", "RATE"),
    Option("pfq_fw", int, "stages of method pfq, in place of --fw", "BITS", "+"),
    Option("pfq_bw", int, "the same for gradients", "BITS", "+"),
    Option("pfq_eps", float, "change of the loss below which pfq moves on", "X"),
    Option("optimiser", str, "sgd, adam or adamw", "NAME"),
    Option("lr_cycles", int, "restarts of --lr-schedule cyclic", "N"),
    Option("lr_drop_epochs", int, "--lr-schedule step: times 0.1 every N epochs", "N"),
    Option("warmup_steps", int, "steps in which the learning rate rises", "N"),
    Option("clip", float, "largest norm of the gradients; 0: any", "NORM"),
    Option("dropout", float, "of language models", "SHARE"),
    Option("sequence", int, "tokens of a training sequence", "N"),
    Option("swa_start", float, "share of the run after which weights are averaged; 0: never", "SHARE"),
    Option("amp", str, "mixed precision: off or bf16", "NAME"),
)
"""Fields of `cpt.model.training.TorchConfig` that only torch training has."""
MACHINE = (
    "data_dir",
    "scale",
    "workers",
    "threads",
    "compile",
    "save_every",
    "cyclic_bw",
    "arch",
    "automatic_resume",
)
WARMUP_STEPS = 400
"""Of the public code's ``--warm_up``."""
PUBLIC_DEFAULTS = {
    "cifar": {"steps": 64_000, "batch_size": 128, "lr_schedule": "step", "cycles": 1},
    "imagenet": {
        "epochs": 120,
        "batch_size": 256,
        "lr_schedule": "step",
        "lr_drop_epochs": 30,
        "cycles": 32,
        "per": "iteration",
    },
}
"""What the public code's two programs do unless told otherwise; in force where ``--arch`` is given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; all are None unless given."""
    group = parser.add_argument_group("torch (--device cpu or cuda)")
    for option in TORCH:
        option.add_to(group, option.text)
    group.add_argument("--cyclic-bw", nargs=2, type=int, metavar="BITS", help="gradients cycle between these")
    group.add_argument("--data-dir", type=Path, metavar="DIR", help="where the files of --data are")
    group.add_argument("--scale", type=int, metavar="N", help="super-resolution factor (default: 4)")
    group.add_argument("--workers", type=int, metavar="N", help="threads that load data (default: 0)")
    group.add_argument("--threads", type=int, metavar="N", help="threads that compute on a CPU (default: 1)")
    group.add_argument(
        "--compile", action="store_const", const=True, help="run steps through torch.compile (for GPUs)"
    )
    group.add_argument("--save-every", type=int, metavar="N", help="steps between checkpoints inside epochs")
    _add_public_names(parser.add_argument_group("names of the public CPT code"))


def settle(arguments: argparse.Namespace) -> None:
    """Fill in what ``--arch`` of the public code stands for."""
    if arguments.arch is not None:
        data, model = _architecture(arguments.arch)
        arguments.model = arguments.model or model
        for name, default, value in (("data", DIGITS, data), ("run_name", None, arguments.arch)):
            if getattr(arguments, name) == default:
                setattr(arguments, name, value)
        for name, value in PUBLIC_DEFAULTS["imagenet" if data == "imagenet" else "cifar"].items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, value)


class InSteps(float):
    """Steps, where the option is a share of the run."""


class _Rename(argparse.Action):
    """Stores what ``translate`` makes of the value: fields and their values."""

    def __init__(self, translate: Callable[[Any], dict[str, Any]], **rest: Any) -> None:
        super().__init__(**{**rest, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS})
        self.translate = translate

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        for name, value in self.translate(values).items():
            setattr(namespace, name, value)


def _add_public_names(group: argparse._ArgumentGroup) -> None:
    """Flags of the public CPT code for CIFAR and ImageNet, as its README and scripts use them."""

    def same(flag: str, field: str, kind: Any, nargs: int | None = None) -> None:
        group.add_argument(
            flag, action=_Rename, translate=lambda v: {field: v}, type=kind, nargs=nargs, metavar="X",
            help=f"--{field.replace('_', '-')}",
        )  # fmt: skip

    def other(flag: str, translate: Callable[[Any], dict[str, Any]], kind: Any, text: str) -> None:
        group.add_argument(flag, action=_Rename, translate=translate, type=kind, metavar="X", help=text)

    def switch(flag: str, fields: dict[str, Any], text: str) -> None:
        group.add_argument(flag, action=_Rename, translate=lambda _: fields, nargs=0, help=text)

    for flag, field, kind in (
        ("--dataset", "data", str),
        ("--datadir", "data_dir", Path),
        ("--iters", "steps", int),
        ("--epoch", "epochs", int),
        ("--batch_size", "batch_size", int),
        ("--weight_decay", "weight_decay", float),
        ("--wd", "weight_decay", float),
        ("--save_folder", "out", Path),
        ("--num_grad_bits", "bw", int),
        ("--num_cyclic_period", "cycles", int),
    ):
        same(flag, field, kind)
    same("--cyclic_num_bits_schedule", "fw", int, 2)
    same("--cyclic_num_grad_bits_schedule", "cyclic_bw", int, 2)
    switch("--is_cyclic_precision", {"method": "cpt", "per": "iteration"}, "--method cpt --per iteration")
    switch("--warm_up", {"warmup_steps": WARMUP_STEPS}, f"--warmup-steps {WARMUP_STEPS}")
    other("--num_bits", _static_bits, int, "--fw X; 0: --method fp32")
    group.add_argument("--arch", metavar="X", help="--model, --data and --run-name, and that code's defaults")
    group.add_argument(
        "--automatic_resume", action="store_const", const=True, help="--resume where there is a checkpoint"
    )
    other("--lr_schedule", _lr_schedule, str, "--lr-schedule; piecewise: step")
    other("--swa_start", lambda v: {"swa_start": InSteps(v)}, float, "--swa-start, in steps")
    for flag in (
        "--print_freq",
        "--eval_every",
        "--swa_freq",
        "--start_iter",
        "--start_epoch",
        "--step_ratio",
        "--dir",
    ):
        other(flag, _without_effect(flag), str, "taken, without effect")


def _static_bits(bits: int) -> dict[str, Any]:
    return {"fw": [bits]} if bits else {"method": "fp32"}


def _architecture(name: str) -> tuple[str, str]:
    """(data, model) of ``cifar10_resnet_38``, ``resnet34`` and the like."""
    match = re.fullmatch(r"(cifar100?)_(resnet|mobilenet)_?v?(\d+)", name)
    if match:
        data, family, number = match.groups()
        return data, f"resnet{number}" if family == "resnet" else "mobilenetv2"
    if re.fullmatch(r"resnet\d+", name):
        return "imagenet", name
    raise ContractError(f"arch is {name!r}; allowed: cifar10_resnet_N, cifar100_resnet_N, resnetN")


def _lr_schedule(name: str) -> dict[str, Any]:
    return {"lr_schedule": "step" if name == "piecewise" else name}


def _without_effect(flag: str) -> Callable[[Any], dict[str, Any]]:
    def note(value: Any) -> dict[str, Any]:
        print(f"cpt train: {flag} has no effect here", file=sys.stderr)
        return {}

    return note
