"""What a test figure is held against, and the part of the training data that settings are chosen on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
import torch
from torch import nn

from cpt.model.data import ImageArrays, ImageSet, shuffled
from cpt.model.training.tasks import (
    Classification,
    LanguageModel,
    NodeClassification,
    SuperResolution,
    Task,
    psnr,
)

HELD_BACK = 0.2
SPLIT_SEED = 0
"""Which samples are held back: the same for every training seed."""


@dataclass(frozen=True)
class Baseline:
    """What the task's metric is without a trained network."""

    name: str
    value: float


@singledispatch
def baseline(task: Task) -> Baseline:
    """What is reached by looking at the training labels, or at the input, alone.

    Raises `ValueError` for a task that has none.
    """
    raise ValueError(f"task is {type(task).__name__}; allowed: one with a baseline")


@singledispatch
def held_back(task: Task, share: float = HELD_BACK) -> Task:
    """The same task, tested on ``share`` of its training part and trained on the rest.

    Raises `ValueError` for a task whose data cannot be divided.
    """
    raise ValueError(f"task is {type(task).__name__}; allowed: one whose training part can be divided")


@baseline.register
def _(task: Classification) -> Baseline:
    images = _in_memory(task)
    common = np.bincount(images.train.labels, minlength=images.classes).argmax()
    return Baseline("always the most frequent class", float((images.test.labels == common).mean()))


@baseline.register
def _(task: LanguageModel) -> Baseline:
    tokens = task.tokens
    counts = np.bincount(tokens.train, minlength=len(tokens.vocabulary)) + 1.0
    share = np.log(counts / counts.sum())
    return Baseline(f"each {tokens.unit} by its frequency", math.exp(-float(share[tokens.test].mean())))


@baseline.register
def _(task: NodeClassification) -> Baseline:
    graph = task.graph
    x = np.concatenate((graph.features, np.ones_like(graph.features[:, :1])), 1).astype(np.float64)
    wanted = np.eye(graph.classes)[graph.labels[graph.train]]
    weights, *_ = np.linalg.lstsq(x[graph.train], wanted, rcond=None)
    hits = (x[graph.test] @ weights).argmax(1) == graph.labels[graph.test]
    return Baseline("least squares of the features alone", float(hits.mean()))


@baseline.register
def _(task: SuperResolution) -> Baseline:
    pictures, found = task.pictures, []
    for number in range(len(pictures.test)):
        low, high = (torch.from_numpy(part).permute(0, 3, 1, 2) for part in pictures.test_pair(number))
        larger = nn.functional.interpolate(
            low, scale_factor=pictures.scale, mode="bilinear", align_corners=False
        )
        found.append(psnr(larger, high, pictures.scale))
    return Baseline("bilinear interpolation", float(torch.cat(found).mean()))


@held_back.register
def _(task: Classification, share: float = HELD_BACK) -> Task:
    images = _in_memory(task)
    order = shuffled(len(images.train), SPLIT_SEED, 0)
    cut = _cut(len(order), share)
    train, test = (
        ImageArrays(images.train.pixels[part], images.train.labels[part])
        for part in (np.sort(order[cut:]), np.sort(order[:cut]))
    )
    return Classification(replace(images, train=train, test=test))


@held_back.register
def _(task: LanguageModel, share: float = HELD_BACK) -> Task:
    stream = task.tokens.train
    cut = len(stream) - _cut(len(stream), share)
    tokens = replace(task.tokens, train=stream[:cut], test=stream[cut:])
    return LanguageModel(tokens, task.sequence, task.carries)


@held_back.register
def _(task: NodeClassification, share: float = HELD_BACK) -> Task:
    nodes = task.graph.train
    order = shuffled(len(nodes), SPLIT_SEED, 0)
    cut = _cut(len(order), share)
    train, test = (nodes[np.sort(part)] for part in (order[cut:], order[:cut]))
    return NodeClassification(replace(task.graph, train=train, test=test))


@held_back.register
def _(task: SuperResolution, share: float = HELD_BACK) -> Task:
    pictures = task.pictures
    cut = len(pictures.train) - _cut(len(pictures.train), share)
    return SuperResolution(replace(pictures, train=pictures.train[:cut], test=pictures.train[cut:]))


def _in_memory(task: Classification) -> ImageSet:
    if not isinstance(task.images, ImageSet):
        raise ValueError(f"data is {task.name}; allowed: images held in memory")
    return task.images


def _cut(count: int, share: float) -> int:
    """Samples held back: at least one, and at least one is left."""
    if not 0 < share < 1 or count < 2:
        raise ValueError(f"share is {share} of {count} samples; allowed: between 0 and 1, of at least 2")
    return min(max(round(count * share), 1), count - 1)
