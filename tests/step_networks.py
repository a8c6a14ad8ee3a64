"""Small networks of blocks, their golden training, and the same on the model of the step machine."""

import numpy as np

from cpt.host.fabric import FabricTrainer
from cpt.hw.contract import preset
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.network import Block, Layer, Network
from cpt.model.golden.fabric.trainer import Settings, Trainer
from cpt.sim.step.machine import StepMachine

CLASSES, SEED, RATE = 3, 5, 0.1


def layer(index, name, channels, size, stride=1, kernel=3, **more):
    """A convolution from ``channels[0]`` to ``channels[1]`` of a square image."""
    conv = Conv(name, *channels, kernel, stride, kernel // 2, size, size, **more)
    return Layer(index, name, f"{name}_norm", conv)


def network(blocks, channels=1, seed=1):
    """A network of ``blocks`` on images of ``channels``."""
    factor, offset = np.full(channels, 0.05, np.float32), np.full(channels, -0.7, np.float32)
    return Network(blocks, CLASSES, factor, offset, seed)


def widening(width, wide, size=8, channels=1):
    """A stem, a block with stride 2 and a shortcut that widens, and one that keeps its input."""
    half = size // 2
    return (
        Block("stem", (layer(0, "stem", (channels, width), size),)),
        Block(
            "down",
            (layer(1, "first", (width, wide), size, 2), layer(2, "second", (wide, wide), half)),
            layer(3, "shortcut", (width, wide), size, 2, 1),
        ),
        Block(
            "same",
            (layer(4, "third", (wide, wide), half), layer(5, "fourth", (wide, wide), half, kernel=1)),
            identity=True,
        ),
    )


def wide(width, size):
    """A stem and a block that keeps its input, all of stride 1."""
    main = (layer(1, "first", (width, width), size), layer(2, "second", (width, width), size, kernel=1))
    return Block("stem", (layer(0, "stem", (1, width), size),)), Block("same", main, identity=True)


def inverted(width, inner, size=8, channels=1):
    """A stem; inverted residuals with stride 2, that keeps its input, with a shortcut; a head."""
    half = -(-size // 2)

    def residual(name, first, inputs, outputs, size, stride, **more):
        behind = -(-size // stride)
        main = (
            layer(first, f"{name}.expand", (inputs, inner), size, kernel=1),
            layer(first + 1, f"{name}.depthwise", (inner, inner), size, stride, groups=inner),
            layer(first + 2, f"{name}.project", (inner, outputs), behind, kernel=1),
        )
        return Block(name, main, linear=True, **more)

    wide = layer(10, "wider.shortcut", (width, 2 * width), half, kernel=1)
    return (
        Block("stem", (layer(0, "stem", (channels, width), size),)),
        residual("down", 1, width, width, size, 2),
        residual("same", 4, width, width, half, 1, identity=True),
        residual("wider", 7, width, 2 * width, half, 1, shortcut=wide),
        Block("head", (layer(11, "head", (2 * width, inner), half, kernel=1),)),
    )


def drawn(batch, size, channels=1, steps=1):
    """Byte images and labels of ``steps`` steps; ``size``: their height and width."""
    rng = np.random.default_rng(3)
    height, width = (size, size) if isinstance(size, int) else size
    shape = (batch, height, width, channels)
    return [
        (rng.integers(0, 40, shape).astype(np.uint8), rng.integers(0, CLASSES, batch)) for _ in range(steps)
    ]


def golden(net, data, bits, micro_batch):
    """The golden trainer after ``data``."""
    trainer = Trainer(net, Settings(seed=SEED, batch_size=len(data[0][1]), micro_batch=micro_batch))
    for images, labels in data:
        trainer.train_step(images, labels, bits, RATE)
    return trainer


def fabric(name, net, batch, micro_batch, scratch_words, memory=1 << 24, way=None):
    """A trainer on the step machine ``name``, and the machine."""
    machine = StepMachine(preset(name, "step"), memory=memory, scratch_words=scratch_words)
    trainer = FabricTrainer(
        machine,
        preset(name, "step"),
        net,
        batch_size=batch,
        micro_batch=micro_batch,
        scratch_words=scratch_words,
        seed=SEED,
        way=way,
    )
    return trainer, machine


def same_weights(
    name, blocks, bits, *, batch, micro_batch, scratch_words, size, channels=1, wrap=None, way=None
):
    """Train both ways, assert the same bits everywhere, and return the fabric's trainer."""
    data = drawn(batch, size, channels)
    reference = golden(network(blocks, channels), data, bits, micro_batch)
    net = network(blocks, channels)
    trainer, machine = fabric(name, net, batch, micro_batch, scratch_words, way=way)
    if wrap:
        wrap(machine)
    for images, labels in data:
        trainer.train_step(images, labels, bits, RATE)
    found, _ = trainer.state()
    for array, value in reference.state()[0].items():
        np.testing.assert_array_equal(found[array], value, array)
    images, labels = data[0]
    assert trainer.evaluate(images, labels, bits[0]) == reference.evaluate(images, labels, bits[0])
    return trainer
