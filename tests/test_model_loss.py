"""Softmax cross-entropy of a batch in parts: its gradient, loss and hits beside float64's."""

import numpy as np
import pytest

from cpt.model.loss import SoftmaxCrossEntropy

IMAGES, CLASSES = 24, 7


def drawn():
    rng = np.random.default_rng(4)
    return (4 * rng.standard_normal((IMAGES, CLASSES))).astype(np.float32), rng.integers(0, CLASSES, IMAGES)


def in_parts(logits, labels, size):
    criterion = SoftmaxCrossEntropy(IMAGES)
    parts = [slice(start, start + size) for start in range(0, IMAGES, size)]
    return criterion, np.concatenate([criterion.gradient(logits[part], labels[part]) for part in parts])


@pytest.mark.parametrize("size", [1, 5, IMAGES])
def test_a_batch_in_parts_has_the_loss_gradient_and_hits_of_float64(size):
    logits, labels = drawn()
    criterion, gradient = in_parts(logits, labels, size)
    powers = np.exp(logits.astype(np.float64))
    shares = powers / powers.sum(axis=1, keepdims=True)
    assert criterion.loss() == pytest.approx(-np.log(shares[np.arange(IMAGES), labels]).mean(), rel=1e-6)
    np.testing.assert_allclose(gradient, (shares - np.eye(CLASSES)[labels]) / IMAGES, atol=1e-7)
    assert criterion.correct() == (logits.argmax(axis=1) == labels).sum()


def test_how_a_batch_is_divided_changes_no_bit():
    logits, labels = drawn()
    one, gradient = in_parts(logits, labels, IMAGES)
    for size in (1, 8):
        criterion, found = in_parts(logits, labels, size)
        assert criterion.loss() == one.loss()
        assert (found == gradient).all()
