"""Baselines of tasks, and parts of the training data held back to choose settings on."""

import math

import numpy as np
import pytest
import torch
from torch_runs import graph, images, language, pictures

from cpt.model.training.tasks import Task
from cpt.model.training.yardsticks import baseline, held_back


def test_the_most_frequent_class_of_the_training_labels():
    task = images()
    common = np.bincount(task.images.train.labels).argmax()
    assert baseline(task).value == (task.images.test.labels == common).mean()


def test_tokens_by_their_frequency():
    task = language()
    train, test, size = task.tokens.train, task.tokens.test, len(task.tokens.vocabulary)
    losses = [-math.log(((train == token).sum() + 1) / (len(train) + size)) for token in test]
    assert baseline(task).value == pytest.approx(math.exp(np.mean(losses)))
    assert baseline(task).name == f"each {task.tokens.unit} by its frequency"


def test_interpolated_pictures_are_what_an_untrained_network_adds_nothing_to():
    task = pictures()

    class Interpolation(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x, scale_factor=task.pictures.scale, mode="bilinear")

    network, sums = Interpolation().eval(), {}
    for number in range(task.test_steps(1)):
        batch = (torch.from_numpy(part) for part in task.test_batch(number, 1))
        for name, value in task.outcome(network, *batch).sums.items():
            sums[name] = sums.get(name, 0) + float(value)
    assert baseline(task).value == pytest.approx(task.metrics(sums)["psnr_db"])


def test_a_graphs_features_by_the_normal_equations():
    found = graph().graph
    x = np.hstack([found.features, np.ones((len(found.features), 1))]).astype(np.float64)
    own = x[found.train]
    side = 2.0 * found.labels[found.train] - 1
    weights = np.linalg.solve(own.T @ own, own.T @ side)
    hits = (x[found.test] @ weights > 0) == found.labels[found.test]
    assert baseline(graph()).value == hits.mean()


@pytest.mark.parametrize("make", [images, language, pictures])
def test_the_test_part_is_of_the_training_part_and_trained_on_by_none(make):
    task = make()
    part = held_back(task, 0.4)
    assert type(part) is type(task)
    assert part.train_count < task.train_count
    assert part.sha256() != task.sha256() == make().sha256()
    assert part.sha256() == held_back(task, 0.4).sha256()


def test_images_held_back_are_the_others():
    task = images()
    part = held_back(task, 0.25).images
    whole = task.images.train.pixels
    both = np.concatenate([part.train.pixels, part.test.pixels])
    assert len(part.test) == round(0.25 * len(whole))
    assert sorted(map(bytes, both)) == sorted(map(bytes, whole))


def test_nodes_held_back_are_training_nodes():
    task = graph()
    whole, part = task.graph, held_back(task, 0.25).graph
    assert len(part.test) == round(0.25 * len(whole.train))
    np.testing.assert_array_equal(np.sort(np.concatenate([part.train, part.test])), whole.train)
    assert part.sha256() == held_back(task, 0.25).sha256() != whole.sha256()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(ValueError, match=rf"^share is {share} of \d+ samples; allowed: between 0 and 1"):
        held_back(images(), share)


def test_other_tasks_have_neither():
    class Other(Task):
        pass

    Other.__abstractmethods__ = frozenset()
    with pytest.raises(ValueError, match=r"^task is Other; allowed: one with a baseline"):
        baseline(Other())
    with pytest.raises(ValueError, match=r"^task is Other; allowed: one whose training part can be"):
        held_back(Other())
