"""What a torch run has trained, as commands on finished runs take it up."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from cpt.model.checkpoint import load_newest
from cpt.model.figures.history import History, load_history
from cpt.model.run import CHECKPOINT
from cpt.model.training import Task, TorchConfig, TorchTrainer
from cpt.model.training.distributed import Processes
from cpt.model.training.own_file import OwnFile
from cpt.model.training.own_network import OwnNetwork
from cpt.model.training.own_quantiser import OwnQuantiser
from cpt.torch_train import open_data

Own = TypeVar("Own", bound=OwnFile)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what a run does not record whole: files of the user's, and where the data are."""
    parser.add_argument(
        "--network", metavar="FILE.py:FUNCTION", help="the run's, where it trained a network of yours"
    )
    parser.add_argument(
        "--quantiser", metavar="FILE.py:CLASS", help="the run's, where it trained with a quantiser of yours"
    )
    parser.add_argument("--data", metavar="NAME", help="as of cpt train (default: the run's)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the files of the data are")
    parser.add_argument("--scale", type=int, metavar="N", help="super-resolution factor (default: 4)")


@dataclass(frozen=True)
class Trained:
    """A run, its data, and the trainer with the weights of its newest checkpoint."""

    history: History
    task: Task
    trainer: TorchTrainer


def trained_run(folder: Path, arguments: argparse.Namespace, device: torch.device) -> Trained:
    """The run in ``folder``, with the options of `add_run_options`; raises `ValueError` in one line."""
    history = load_history(folder)
    if history.on_accelerator:
        raise ValueError(
            f"run {folder} is one of the accelerator; allowed: of cpt train --device cpu or cuda"
        )
    data = arguments.data or history.summary["dataset"]
    if quantiser := _as_trained(history, arguments.quantiser, OwnQuantiser):
        quantiser.load()
    config = TorchConfig.from_dict(history.config)
    task = open_data(data, arguments.data_dir, arguments.scale, config)
    if task.sha256() != history.summary["dataset_sha256"]:
        raise ValueError(f"data of {folder} are others than {data!r}; allowed: what the run was trained on")
    task.network = _as_trained(history, arguments.network, OwnNetwork)
    trainer = TorchTrainer(config, task, Processes(device))
    arrays, meta = load_newest(folder / CHECKPOINT)
    trainer.load_state(arrays, meta["counters"])
    return Trained(history, task, trainer)


def _as_trained(history: History, spelled: str | None, kind: type[Own]) -> Own | None:
    """What of the user's the run was trained with, or None; `ValueError` unless ``spelled`` is the same."""
    trained = history.summary.get(kind.kind)
    if trained is None:
        if spelled:
            raise ValueError(
                f"{kind.kind} is given, and {history.folder} trained none of yours; allowed: neither"
            )
        return None
    if not spelled:
        option = f"--{kind.kind} FILE.py:{kind.called.upper()}"
        raise ValueError(f"run {history.folder} trained {trained}; allowed: with {option}")
    own = kind(spelled)
    if own.stated() != {key: history.summary.get(key) for key in own.stated()}:
        raise ValueError(
            f"{kind.kind} {spelled} is another than {trained} of {history.folder}; "
            "allowed: the file as it was"
        )
    return own
