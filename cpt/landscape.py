"""Loss around the weights that a torch run has trained, along filter-normalised random directions.

One direction: a line per run and precision (CPT Fig. 2). Two: contours, a figure each (CPT Fig. 6).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cpt.hw.contract import ContractError
from cpt.model.figures.canvas import save
from cpt.model.figures.history import History
from cpt.model.figures.surface import draw_profile, draw_surface
from cpt.model.files import check_writable, write_atomically
from cpt.model.landscape import Landscape, landscape
from cpt.model.layer_precisions import precision
from cpt.model.training import Task, TorchTrainer
from cpt.torch_device import add_device_options, chosen_device
from cpt.trained import add_run_options, trained_run

RESULT = "landscape.json"


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
    add_run_options(parser)
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
    trained = trained_run(folder, arguments, device)
    history, trainer = trained.history, trained.trainer
    loss = _training_loss(trainer, trained.task, arguments.samples)
    views = []
    for bits in arguments.fw or [trainer.config.evaluation_bits]:
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
