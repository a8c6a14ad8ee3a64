"""The precision range test on a task: a short training run of a fresh network while its bits rise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cpt.model.range_test import RangeTest, RangeTestResult
from cpt.model.training import (
    Classification,
    LanguageModel,
    NodeClassification,
    Task,
    TorchConfig,
    TorchTrainer,
)
from cpt.model.training.distributed import Processes


def find_bounds(
    config: TorchConfig, task: Task, settings: RangeTest, processes: Processes | None = None
) -> RangeTestResult:
    """Train ``config.model`` on ``task`` for ``settings.steps`` steps at every precision, lowest first.

    Network, optimiser, batch and seed are those of ``config``; its rate stays as it starts. Raises
    `ValueError` for a task without a training accuracy.
    """
    guessing(task)
    lo, hi = settings.bits
    length = settings.steps * (hi - lo + 1)
    still = dataclasses.replace(
        config,
        method="static",
        fw=settings.bits,
        bw=(settings.bw, settings.bw),
        per="epoch",
        steps=0,
        # Not moved by epochs: only single steps are taken.
        epochs=length,
        lr_schedule="constant",
    )
    trainer = TorchTrainer(still, task, processes)
    batches = _batches(trainer)

    def train_step() -> float:
        hits, count = trainer.sums["hits"], trainer.sums["count"]
        trainer.train_step(*next(batches))
        return float((trainer.sums["hits"] - hits) / (trainer.sums["count"] - count))

    return settings.run(trainer.model, train_step)


def guessing(task: Task) -> float:
    """Accuracy of guessing, 1 / classes; raises `ValueError` for a task without an accuracy."""
    if isinstance(task, Classification):
        return 1 / task.images.classes
    if isinstance(task, NodeClassification):
        return 1 / task.graph.classes
    if isinstance(task, LanguageModel):
        return 1 / len(task.tokens.vocabulary)
    raise ValueError(
        f"data is {task.name!r}; allowed: images, text or graphs, which have a training accuracy"
    )


def _batches(trainer: TorchTrainer) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's part of every batch, epoch after epoch."""
    config, task = trainer.config, trainer.task
    for epoch in range(2**31):
        trainer.carried = None
        for index in task.epoch_order(config.batch_size, config.seed, epoch):
            arrays = task.train_batch(trainer.own_part(index), config.seed, epoch)
            inputs, targets = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
            yield inputs, targets
