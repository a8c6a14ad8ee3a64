"""Options of ``cpt train`` for training in torch, and the public CPT code's flags as other names for them."""

from __future__ import annotations

import argparse
from pathlib import Path

from cpt import public_flags
from cpt.options import Option

TORCH = (
    Option(
        "method",
        str,
        "cpt, static, fp32, progressive, random, reversed, shuffled, window; "
        "ldp, pfq, muppet, adapt, fast, snip",
        "NAME",
    ),
    Option("quantiser", str, "one of docs/training.md, or FILE.py:CLASS of yours", "NAME"),
    Option("quantiser_options", str, "of the quantiser, where they are not its defaults", "NAME=VALUE", "+"),
    Option("products", str, "of linear layers: float32, or int8 for products of codes", "NAME"),
    Option("micro_batch", int, "images of each micro-batch of a step; 0: all at once", "N"),
    Option("delay", int, "epochs or steps at the lowest precision before the cycles", "N"),
    Option("window_start", int, "method window: epochs or steps before those of few bits", "N"),
    Option("window_length", int, "method window: epochs or steps of few bits", "N"),
    Option("every", int, "method random: epochs or steps between changes", "N"),
    Option("look_every", int, "methods that adapt: steps from one look to the next", "N"),
    Option("ldp_target", float, "cost that ldp and snip aim at, as a share of the static one", "SHARE"),
    Option("ldp_alpha", float, "weight of ldp's cost against the task", "X"),
    Option("ldp_lr", float, "learning rate of ldp's precisions", "RATE"),
    Option("pfq_fw", int, "stages of method pfq, in place of --fw", "BITS", "+"),
    Option("pfq_bw", int, "the same for gradients", "BITS", "+"),
    Option("pfq_eps", float, "change of the loss below which pfq moves on", "X"),
    Option("optimiser", str, "sgd, adam or adamw", "NAME"),
    Option("lr_cycles", int, "restarts of --lr-schedule cyclic", "N"),
    Option("lr_drop_epochs", int, "--lr-schedule step: times 0.1 every N epochs", "N"),
    Option("lr_drops", int, "--lr-schedule step: falls at these steps", "N", "+"),
    Option("lr_drop_ratio", float, "what the rate is multiplied by at a fall", "X"),
    Option("warmup_lr", float, "constant rate of the warm-up; 0: rises in a straight line", "RATE"),
    Option("warmup_steps", int, "steps in which the learning rate rises", "N"),
    Option("clip", float, "largest norm of the gradients; 0: any", "NORM"),
    Option("dropout", float, "of language models and graph networks", "SHARE"),
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
    "health",
    "cyclic_bw",
    "network",
    "dx_weights",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; all are None unless given."""
    group = parser.add_argument_group("torch (--device cpu or cuda)")
    for option in TORCH:
        option.add_to(group, option.text)
    group.add_argument("--cyclic-bw", nargs=2, type=int, metavar="BITS", help="gradients cycle between these")
    group.add_argument("--dx-weights", metavar="NAME", help="--quantiser-options dx_weights=NAME, for short")
    group.add_argument("--network", metavar="FILE.py:FUNCTION", help="in place of --model: one of yours")
    group.add_argument("--data-dir", type=Path, metavar="DIR", help="where the files of --data are")
    group.add_argument("--scale", type=int, metavar="N", help="super-resolution factor (default: 4)")
    group.add_argument("--workers", type=int, metavar="N", help="threads that load data (default: 0)")
    group.add_argument("--threads", type=int, metavar="N", help="threads that compute on a CPU (default: 1)")
    group.add_argument(
        "--compile", action="store_const", const=True, help="run steps through torch.compile (for GPUs)"
    )
    group.add_argument(
        "--health", type=int, metavar="N", help="measure what quantisation loses, every N steps (100 or so)"
    )
    group.add_argument("--save-every", type=int, metavar="N", help="steps between checkpoints inside epochs")
    public_flags.add_arguments(parser.add_argument_group("flags of the public CPT code (docs/training.md)"))
