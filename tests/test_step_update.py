"""What the update leaves beside parameters: between what the weights of each product's rows lie."""

import numpy as np
import pytest
from step_networks import RATE, drawn, fabric, inverted, network, same_weights, widening

NETWORKS = {"widening": (widening(6, 10, channels=3), 8, 3), "inverted": (inverted(4, 12), 8, 1)}


def ranges_in_memory(trainer):
    """Of all rows, as the device has them and as the host would write them for the weights of now."""
    trainer.fetch()
    for piece, expected in trainer.layout.ranges():
        yield trainer._floats(piece, expected.shape), expected


@pytest.mark.parametrize("updated", [576, 72, 16, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_ranges_are_those_of_the_weights_however_many_are_updated_at_once(name, updated, monkeypatch):
    """All rows at a time, some, one, some taps of one, a part of a tap."""
    monkeypatch.setattr("cpt.host.compiler.update.UPDATED", updated)
    monkeypatch.setattr("cpt.host.compiler.update.RANGED", 8)
    blocks, size, channels = NETWORKS[name]
    trainer = same_weights(
        "tiny",
        blocks,
        (4, 8),
        batch=4,
        micro_batch=2,
        scratch_words=1 << 13,
        size=size,
        channels=channels,
    )
    for found, expected in ranges_in_memory(trainer):
        np.testing.assert_array_equal(found, expected)
        lowest, highest = found.reshape(2, -1)
        assert (lowest <= 0).all()
        assert (highest >= 0).all()
        assert (lowest < highest).all()


def test_ranges_follow_weights_that_the_host_writes():
    data = drawn(4, 8, steps=2)
    trained, _ = fabric("tiny", network(widening(4, 8)), 4, 2, 1 << 13)
    trained.train_step(*data[0], (3, 8), RATE)
    arrays, counters = trained.state()
    resumed, _ = fabric("tiny", network(widening(4, 8), seed=9), 4, 2, 1 << 13)
    resumed.load_state(arrays, counters)
    for trainer in (trained, resumed):
        trainer.train_step(*data[1], (5, 8), RATE)
    for one, other in zip(ranges_in_memory(trained), ranges_in_memory(resumed), strict=True):
        np.testing.assert_array_equal(one[1], other[1])
