"""Compiled programs train as the golden trainer does, bit for bit, in any order that their marks allow."""

import numpy as np
import pytest
from step_networks import inverted, layer, same_weights, wide, widening

from cpt.host.compiler.builder import Builder
from cpt.host.compiler.lanes import Lanes
from cpt.host.compiler.memory import LOGITS
from cpt.host.fabric import PROGRAMS, FabricTrainer
from cpt.hw.contract import preset
from cpt.hw.contract.passes import CHOICES, COUNTS
from cpt.hw.contract.step import WORD_BYTES, decode
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric import step
from cpt.model.golden.fabric.network import Block, Network
from cpt.model.golden.fabric.trainer import Settings, Trainer
from cpt.sim.step.interleaving import Interleaving
from cpt.sim.step.machine import StepMachine

MEMORY = 1 << 21


def network(seed=1, width=4, size=8, channels=1):
    arch = cifar_resnet(8, classes=3, image_size=size, image_channels=channels, width=width)
    factor = np.full(channels, 0.05, np.float32)
    return Network.residual(arch, factor, np.full(channels, -0.7, np.float32), seed)


def fabric(config, net, micro_batch=2, batch_size=4, scratch_words=4 * 2048):
    machine = StepMachine(config, memory=MEMORY, scratch_words=scratch_words)
    settings = {
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "scratch_words": scratch_words,
        "seed": 5,
    }
    return FabricTrainer(machine, config, net, **settings), machine


def drawn(steps, batch=4, size=8, channels=1):
    rng = np.random.default_rng(3)
    return [
        (rng.integers(0, 40, (batch, size, size, channels)).astype(np.uint8), rng.integers(0, 3, batch))
        for _ in range(steps)
    ]


def golden_sha(net, data, bits, micro_batch=2, batch_size=4):
    trainer = Trainer(net, Settings(seed=5, batch_size=batch_size, micro_batch=micro_batch))
    losses = [trainer.train_step(images, labels, bits, 0.1).loss for images, labels in data]
    return net.weights_sha256(), losses


@pytest.mark.parametrize(
    ("name", "bits", "settings"),
    [
        ("tiny", (3, 8), {}),
        ("tiny", (8, 6), {"size": 7, "channels": 3}),
        ("middle", (5, 8), {"size": 16}),
    ],
)
def test_two_steps_end_with_the_golden_trainers_weights(name, bits, settings):
    drawn_as = {key: settings[key] for key in ("size", "channels") if key in settings}
    data = drawn(2, **drawn_as)
    expected, losses = golden_sha(network(**settings), data, bits)
    net = network(**settings)
    trainer, _ = fabric(preset(name), net)
    assert [trainer.train_step(images, labels, bits, 0.1).loss for images, labels in data] == losses
    trainer.fetch()
    assert net.weights_sha256() == expected


@pytest.mark.parametrize(
    ("name", "width", "inner", "bits", "settings"),
    [
        ("tiny", 4, 8, (3, 8), {}),
        ("tiny", 6, 10, (8, 5), {"size": 7, "channels": 3}),
        ("middle", 8, 24, (5, 8), {"size": 16}),
    ],
)
def test_depth_wise_layers_and_linear_ends_train_as_the_golden_trainer_does(
    name, width, inner, bits, settings
):
    shape = {"size": 8, "channels": 1, **settings}
    blocks = inverted(width, inner, **shape)
    same_weights(name, blocks, bits, batch=4, micro_batch=2, scratch_words=4 * 2048, **shape)


STRIPS = {
    "two strips": (wide(8, 20), 20, 4),
    "three strips": (wide(8, 40), 40, 2),
    "two strips and one": (widening(8, 16, 20), 20, 3),
    "all of two strips": (widening(8, 8, 32), 32, 2),
    "two strips to one": ((Block("stem", (layer(0, "stem", (1, 8), 20, 2),)),), 20, 3),
}
"""Networks of pictures wider than the array's columns, their size, and images."""


@pytest.mark.parametrize("kind", STRIPS)
def test_pictures_in_strips_train_as_the_golden_trainer_does(kind):
    blocks, size, images = STRIPS[kind]
    same_weights(
        "middle", blocks, (3, 5), batch=images, micro_batch=images, scratch_words=4 * 4096, size=size
    )


def test_running_statistics_are_the_golden_ones_too():
    data = drawn(1)
    other = network()
    golden_sha(other, data, (4, 8))
    net = network()
    trainer, _ = fabric(preset("tiny"), net)
    trainer.train_step(*data[0], (4, 8), 0.1)
    trainer.fetch()
    for name, value in other.buffers.items():
        np.testing.assert_array_equal(net.buffers[name], value, name)


@pytest.mark.parametrize("seed", range(3))
def test_any_order_that_the_marks_allow_ends_with_the_same_weights(seed):
    data = drawn(1)
    expected, _ = golden_sha(network(), data, (3, 8))
    net = network()
    trainer, machine = fabric(preset("tiny"), net)
    order = Interleaving(machine, seed)
    trainer.train_step(*data[0], (3, 8), 0.1)
    trainer.fetch()
    assert net.weights_sha256() == expected
    assert order.chosen > 1000


def drop_all_waits(monkeypatch):
    monkeypatch.setattr(Builder, "_needed", lambda *_: {})


def say_an_image_too_early_that_a_turn_is_done(monkeypatch):
    pieces = Lanes._pieces

    def early(lanes, picture, part):
        found = pieces(lanes, picture, part)
        return [turn._replace(units=max(turn.units - picture.tiles, 1)) for turn in found]

    monkeypatch.setattr(Lanes, "_pieces", early)


@pytest.mark.parametrize("spoil", [drop_all_waits, say_an_image_too_early_that_a_turn_is_done])
def test_a_dropped_wait_is_seen(monkeypatch, spoil):
    data = drawn(1)
    expected, _ = golden_sha(network(), data, (3, 8))
    spoil(monkeypatch)
    found = set()
    for seed in range(2):
        net = network()
        trainer, machine = fabric(preset("tiny"), net)
        Interleaving(machine, seed)
        try:
            trainer.train_step(*data[0], (3, 8), 0.1)
        except (ArithmeticError, ValueError):
            found.add("refused")
            continue
        trainer.fetch()
        found.add(net.weights_sha256())
    assert expected not in found


def test_evaluation_by_running_statistics_says_what_the_golden_one_says():
    data = drawn(2)
    other = network()
    reference = Trainer(other, Settings(seed=5, batch_size=4, micro_batch=2))
    net = network()
    trainer, machine = fabric(preset("tiny"), net)
    for images, labels in data:
        reference.train_step(images, labels, (4, 8), 0.1)
        trainer.train_step(images, labels, (4, 8), 0.1)
    images, labels = (np.concatenate(part) for part in zip(*data, strict=True))
    assert trainer.evaluate(images[:7], labels[:7], 6) == reference.evaluate(images[:7], labels[:7], 6)
    weights = step.prepare(other, 6, training=False)
    logits, _ = step.forward(other, weights, images[4:6], step.Pass(6))
    trainer.evaluate(images[4:6], labels[4:6], 6)
    found = machine.read(trainer.addresses[LOGITS], logits.nbytes).view(np.float32)
    np.testing.assert_array_equal(found, logits.ravel())


def test_programs_do_not_know_the_precision():
    net = network()
    trainer, machine = fabric(preset("tiny"), net)
    before = machine.read(trainer.addresses[PROGRAMS], 1 << 16).tobytes()
    trainer.train_step(*drawn(1)[0], (3, 8), 0.1)
    trainer.train_step(*drawn(1)[0], (7, 6), 0.1)
    assert machine.read(trainer.addresses[PROGRAMS], 1 << 16).tobytes() == before


@pytest.mark.parametrize("name", ["tiny", "middle"])
def test_compiled_words_hold_what_words_must(name):
    trainer, _ = fabric(preset(name), network())
    for words in trainer.lists.values():
        for at in range(0, len(words), WORD_BYTES):
            word = decode(words[at : at + WORD_BYTES])
            empty = [field for field in COUNTS[word.code] if not word.values[field]]
            assert not empty, word
            for (code, field), allowed in CHOICES.items():
                assert code is not word.code or word.values[field] in allowed, word
