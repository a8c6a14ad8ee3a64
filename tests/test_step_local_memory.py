"""Vectors in local memory: what has no room goes through it in pieces, or is refused in one line."""

import numpy as np
import pytest
from step_networks import inverted, same_weights

from cpt.host.compiler.lifetimes import _Places
from cpt.host.compiler.network import EVALUATE, LAST_BACKWARD, OF_FEW, ONLY_FORWARD, PREPARE, compiled
from cpt.host.compiler.work import Work
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.step import WORD_BYTES
from cpt.model.architecture import mobilenet_v2
from cpt.model.golden.fabric.network import Network
from cpt.sim.step.interleaving import Interleaving

FEW_WORDS = 4 * 256
"""Scratch of a machine whose tensors do not fit either."""


def mobile(classes: int) -> Network:
    """MobileNetV2 for CIFAR."""
    return Network.mobilenet(
        mobilenet_v2(classes), np.full(3, 0.05, np.float32), np.full(3, -0.7, np.float32)
    )


@pytest.mark.slow
def test_whole_mobilenet_compiles_for_the_zc706_with_sixteen_images():
    programs = compiled(preset("zc706"), mobile(10), images=16, micro_batches=1, scratch_words=4 * 4096)
    sizes = {name: len(listing.words) // WORD_BYTES for name, listing in programs.lists.items()}
    step = {ONLY_FORWARD, LAST_BACKWARD}
    assert sizes.keys() == {PREPARE, EVALUATE, *step, *(f"{name}{OF_FEW}" for name in step)}
    assert all(5_000 < size < 150_000 for size in sizes.values()), sizes


def test_vectors_that_never_have_room_are_refused_before_any_has_a_place(monkeypatch):
    """In one line, and without trying orders and places."""
    monkeypatch.setattr(_Places, "found", None)
    monkeypatch.setattr("cpt.host.compiler.work.LOCAL_ROOM", 6000)
    with pytest.raises(
        ContractError,
        match=r"^a vector needs \d+ words of local memory beside \d+ of .*; allowed: \d+ in all",
    ):
        compiled(preset("zc706"), mobile(10), images=16, micro_batches=8, scratch_words=4 * 4096)


@pytest.mark.parametrize(
    ("room", "words", "classes", "inputs", "images"),
    [(80, 4 * 2048, 2, 8, 2), (80, FEW_WORDS, 2, 8, 2), (400, 4 * 2048, 1, 2, 1)],
)
def test_classifier_and_errors_in_pieces_leave_the_same_bits(
    monkeypatch, room, words, classes, inputs, images
):
    monkeypatch.setattr(Work, "_classifier_room", lambda _: room)
    monkeypatch.setattr("cpt.host.compiler.backward.CHANNELS_AT_ONCE", 12)
    monkeypatch.setattr("step_networks.CLASSES", 4)
    trainer = same_weights(
        "tiny",
        inverted(8, 32),
        (4, 8),
        batch=6,
        micro_batch=3,
        scratch_words=words,
        size=8,
        wrap=lambda machine: Interleaving(machine, 2),
    )
    work = Work(trainer.layout, 0.1, trainer.layout.forward)
    found = [*work._classifier_pieces(), work._feature_pieces()]
    assert [len(each) for each in found] == [classes, inputs, images]
