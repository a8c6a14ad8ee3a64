"""Loss around the weights that a torch run has trained, along filter-normalised random directions.

One direction: a line per run and precision (CPT Fig. 2). Two: contours, a figure each (CPT Fig. 6).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from cpt.hw.contract import ContractError
from cpt.model.checkpoint import load_newest
from cpt.model.figures.canvas import save
from cpt.model.figures.history import History, load_history
from cpt.model.figures.surface import draw_profile, draw_surface
from cpt.model.files import check_writable, write_atomically
from cpt.model.landscape import Landscape, landscape
from cpt.model.layer_precisions import precision
from cpt.model.run import CHECKPOINT
from cpt.model.training import Task, TorchConfig, TorchTrainer
from cpt.model.training.distributed import Processes
from cpt.model.training.own_file import OwnFile
from cpt.model.training.own_network import OwnNetwork
from cpt.model.training.own_quantiser import OwnQuantiser
from cpt.torch_device import add_device_options, chosen_device
from cpt.torch_train import open_data

RESULT = "landscape.json"
Own = TypeVar("Own", bound=OwnFile)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt landscape``."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR", help="folders of cpt train's torch runs")
    parser.add_argument("--axes", type=int, default=1, metavar="N", help="directions: 1 or 2 (default: 1)")
    parser.add_argument(
        "--span", type=float, default=1.0, metavar="X", help="how far to go, in weights' norms (default: 1)"
    )
    parser.add_argument(
        "--points", type=int, default=21, metavar="N", help="per direction, odd (default: 21)"
    )
    parser.add_argument(
        "--fw", type=int, nargs="+", metavar="BITS", help="precisions; 0: full (default: that of evaluation)"
    )
    parser.add_argument(
        "--samples", type=int, default=512, metavar="N", help="training samples in the loss (default: 512)"
    )
    parser.add_argument("--direction-seed", type=int, default=0, metavar="N", help="which directions")
    parser.add_argument(
        "--network", metavar="FILE.py:FUNCTION", help="the run's, where it trained a network of yours"
    )
    parser.add_argument(
        "--quantiser", metavar="FILE.py:CLASS", help="the run's, where it trained with a quantiser of yours"
    )
    parser.add_argument("--data", metavar="NAME", help="as of cpt train (default: the run's)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the files of the data are")
    parser.add_argument("--scale", type=int, metavar="N", help="super-resolution factor (default: 4)")
    add_device_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/landscape"), metavar="DIR", help="(default: runs/landscape)"
    )
    parser.add_argument("--json", action="store_true", help="the result as one line")


@dataclass(frozen=True)
class _View:
    """The landscape of one run at one precision."""

    run: History
    bits: int | None
    found: Landscape

    @property
    def label(self) -> str:
        shown = {None: "the learned bits", 0: "full precision"}.get(self.bits, f"FW{self.bits}")
        return f"{self.run.label} ({self.run.folder.name}), at {shown}"


def run(arguments: argparse.Namespace) -> int:
    """Compute, draw and list."""
    device = chosen_device(arguments)
    if arguments.samples < 1:
        raise ContractError(f"samples is {arguments.samples}; allowed: at least 1")
    check_writable(arguments.out / RESULT)
    try:
        views = [view for folder in arguments.runs for view in _views(folder, arguments, device)]
    except ValueError as error:
        raise ContractError(str(error)) from None
    figures = _draw(views, arguments.out)
    result = {
        "span": arguments.span,
        "points": arguments.points,
        "samples": arguments.samples,
        "direction_seed": arguments.direction_seed,
        "positions": views[0].found.positions.tolist(),
        "views": [_as_dict(view) for view in views],
        "figures": [str(path) for path in figures],
    }
    write_atomically(arguments.out / RESULT, (json.dumps(result) + "\n").encode())
    if arguments.json:
        print(json.dumps(result))
        return 0
    for view in views:
        losses = view.found.losses
        centre = losses[tuple(size // 2 for size in losses.shape)]
        print(f"{view.label}: loss {centre:.4g} at the weights, {losses.max():.4g} at most")
    print(f"files: {', '.join(map(str, [arguments.out / RESULT, *figures]))}")
    return 0


def _views(folder: Path, arguments: argparse.Namespace, device: torch.device) -> list[_View]:
    """A view per precision of the run in ``folder``."""
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
    loss = _training_loss(trainer, task, arguments.samples)
    views = []
    for bits in arguments.fw or [config.evaluation_bits]:
        # A learned precision (None) stays what was learned.
        with precision(trainer.model, fw=bits):
            found = landscape(
                trainer.model,
                loss,
                arguments.axes,
                arguments.span,
                arguments.points,
                arguments.direction_seed,
            )
        views.append(_View(history, bits, found))
    return views


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


def _training_loss(trainer: TorchTrainer, task: Task, samples: int) -> Callable[[], float]:
    """Mean loss of the first whole batches of training data, in evaluation mode."""
    config, device = trainer.config, trainer.processes.device
    order = task.epoch_order(config.batch_size, config.seed, 0)[: -(-samples // config.batch_size)]
    batches = [
        tuple(
            torch.from_numpy(np.ascontiguousarray(array)).to(device)
            for array in task.train_batch(index, config.seed, 0)
        )
        for index in order
    ]
    trainer.model.eval()

    def loss() -> float:
        total, count, carried = 0.0, 0.0, None
        for inputs, targets in batches:
            outcome = task.outcome(trainer.model, inputs, targets, carried)
            carried = outcome.carried
            total += float(outcome.sums["loss"])
            count += float(outcome.sums["count"])
        return total / count

    return loss


def _draw(views: list[_View], folder: Path) -> list[Path]:
    first = views[0]
    if first.found.losses.ndim == 1:
        losses = {view.label: view.found.losses for view in views}
        figure = draw_profile(first.found.positions, losses, first.run.experiment)
        return [save(figure, folder / "landscape.png")]
    limits = (
        min(float(view.found.losses.min()) for view in views),
        max(float(view.found.losses.max()) for view in views),
    )
    paths = []
    for number, view in enumerate(views):
        title = f"{view.run.experiment}\n{view.label}"
        path = folder / f"landscape-{number}.png"
        paths.append(save(draw_surface(view.found.positions, view.found.losses, limits, title), path))
    return paths


def _as_dict(view: _View) -> dict[str, Any]:
    return {
        "run": str(view.run.folder),
        "label": view.run.label,
        "fw": view.bits,
        "losses": view.found.losses.tolist(),
    }
