"""A step of the fabric beside float64, at extremes, by micro-batches, and the same everywhere."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cpt.model import architecture
from cpt.model.architecture.layers import conv_norm
from cpt.model.golden.fabric import apply, step, update
from cpt.model.golden.fabric.network import Block, Layer, Network
from cpt.model.golden.fabric.trainer import Settings, Trainer
from cpt.model.loss import SoftmaxCrossEntropy

ROOT = Path(__file__).parent.parent
FACTOR, OFFSET = np.float32([0.011, 0.02]), np.float32([-1.3, -2.1])
RATE = np.float32(0.1)


def plain(layers=4, width=4, size=6, seed=0):
    """Convolution, batch norm, ReLU, again and again: one block without anything that joins."""
    convs = [conv_norm("c0", 2, width, size)[0]]
    convs += [conv_norm(f"c{i}", width, width, size)[0] for i in range(1, layers)]
    main = tuple(Layer(i, f"conv{i}", f"norm{i}", conv) for i, conv in enumerate(convs))
    stem, rest = Block("stem", main[:1]), Block("rest", main[1:])
    return Network((stem, rest), 3, FACTOR, OFFSET, seed)


def residual(depth=8, width=4, size=(8, 8), seed=0):
    return Network.residual(architecture.cifar_resnet(depth, 3, size, 2, width), FACTOR, OFFSET, seed)


def bottleneck(seed=0):
    """A block of three convolutions, 1x1, 3x3, 1x1, with stride and shortcut, then one with identity."""
    convs = []
    for name, inputs, outputs, size, kernel, stride in [
        ("stem", 2, 4, 7, 3, 1),
        ("a", 4, 3, 7, 1, 1),
        ("b", 3, 3, 7, 3, 2),
        ("c", 3, 6, 4, 1, 1),
        ("s", 4, 6, 7, 1, 2),
        ("d", 6, 3, 4, 1, 1),
        ("e", 3, 6, 4, 3, 1),
    ]:
        convs.append(conv_norm(name, inputs, outputs, size, kernel, stride)[0])
    layer = [Layer(i, f"conv{i}", f"norm{i}", conv) for i, conv in enumerate(convs)]
    blocks = (
        Block("stem", (layer[0],)),
        Block("first", (layer[1], layer[2], layer[3]), layer[4]),
        Block("second", (layer[5], layer[6]), identity=True),
    )
    return Network(blocks, 3, FACTOR, OFFSET, seed)


def inverted(seed=0):
    """Inverted residuals: with a shortcut, with stride 2, with identity; then a head with a ReLU."""
    layers, size, inputs = [*conv_norm("stem", 2, 4, 7)], 7, 4
    for name, outputs, stride in (("first", 6, 1), ("second", 4, 2), ("third", 4, 1)):
        inner = 2 * inputs
        layers += conv_norm(f"{name}.expand", inputs, inner, size, kernel=1)
        layers += conv_norm(f"{name}.depthwise", inner, inner, size, stride=stride, groups=inner)
        if stride == 1 and inputs != outputs:
            layers += conv_norm(f"{name}.shortcut", inputs, outputs, size, kernel=1)
        size, inputs = (size - 1) // stride + 1, outputs
        layers += conv_norm(f"{name}.project", inner, outputs, size, kernel=1)
    layers += [*conv_norm("head", inputs, 8, size, kernel=1), architecture.Linear("classifier", 8, 3)]
    return Network.mobilenet(tuple(layers), FACTOR, OFFSET, seed)


NETWORKS = {"plain": plain, "residual": residual, "bottleneck": bottleneck, "inverted": inverted}


def data(network, count, seed=1):
    rng = np.random.default_rng(seed)
    c = network.layers[0].shape
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 120, (count, c.height, c.width, 2)) + labels[:, None, None, None] * 60
    return images.astype(np.uint8), labels


def perturb(network, seed=4):
    """Gammas and betas as training leaves them, some channels nearly or quite dead."""
    rng = np.random.default_rng(seed)
    for name, value in network.parameters.items():
        if name.endswith(("gamma", "beta")):
            value += rng.normal(0, 0.3, value.shape).astype(np.float32)


def reference(network, images, labels, batch, tape):
    """Logits and gradients of the same network in float64 by torch.

    Its ReLUs pass what those of ``tape`` pass: a value beside 0 that falls to the other side would change
    gradients by more than all rounding.
    """
    tensors = {
        name: torch.tensor(value.astype(np.float64), requires_grad=True)
        for name, value in network.parameters.items()
    }

    def normed(layer, x):
        c = layer.shape
        weight = tensors[f"{layer.convolution}.weight"].permute(0, 3, 1, 2)
        y = F.conv2d(x, weight, stride=c.stride, padding=c.padding, groups=c.groups)
        gamma, beta = tensors[f"{layer.norm}.gamma"], tensors[f"{layer.norm}.beta"]
        return F.batch_norm(y, None, None, gamma, beta, training=True, eps=1e-5)

    def passed(x, mask):
        images, channels, height, width = x.shape
        return x * torch.tensor(mask).reshape(images, height, width, channels).permute(0, 3, 1, 2)

    pixels = images * FACTOR.astype(np.float64) + OFFSET.astype(np.float64)
    x = torch.tensor(pixels).permute(0, 3, 1, 2)
    for left in tape.blocks:
        block, here = left.block, x
        for layer, found in zip(block.main[:-1], left.main, strict=False):
            here = passed(normed(layer, here), apply.relu_mask(found.y, found.relu))
        here = normed(block.main[-1], here)
        if block.shortcut:
            here = here + normed(block.shortcut, x)
        elif block.identity:
            here = here + x
        x = passed(here, left.x > 0)
    logits = x.mean((2, 3)) @ tensors["classifier.weight"].T + tensors["classifier.bias"]
    (F.cross_entropy(logits, torch.tensor(labels), reduction="sum") / batch).backward()
    return logits.detach().numpy(), {name: value.grad.numpy() for name, value in tensors.items()}


def one(network, images, labels, fw, bw, micro=0, batch=None):
    """Logits, gradients and tape of one micro-batch."""
    weights = step.prepare(network, fw)
    logits, tape = step.forward(network, weights, images, step.Pass(fw, RATE))
    gradient = SoftmaxCrossEntropy(batch or len(labels)).gradient(logits, labels)
    return logits, step.backward(network, weights, tape, gradient, bw, step.Noise(7, 3, micro)), tape


def distances(found, want):
    """Per parameter, the distance of gradients relative to the wanted one's length.

    Behind a linear end batch norm takes the mean away, so that beta's gradient is 0: relative to gamma's.
    """
    assert set(found) == set(want)
    lengths = {name: np.linalg.norm(value) for name, value in want.items()}
    nothing = [name for name, length in lengths.items() if length < 1e-9]
    assert all(name.endswith("beta") for name in nothing)
    lengths |= {name: lengths[name.replace("beta", "gamma")] for name in nothing}
    return {name: np.linalg.norm(value - want[name]) / lengths[name] for name, value in found.items()}


@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_are_those_of_float64_to_rounding_and_two_bits_more_quarter_it(kind):
    """What counts channel by channel, as before a depth-wise layer, cancels to a part of what is added up."""
    worst, usual, room = {}, {}, 8 if kind == "inverted" else 1
    for bits in (8, 10, 12):
        network = NETWORKS[kind]()
        perturb(network)
        images, labels = data(network, 24)
        logits, found, tape = one(network, images, labels, bits, bits, batch=48)
        want_logits, want = reference(network, images, labels, 48, tape)
        assert np.abs(logits - want_logits).max() < 16 * 2.0**-bits
        off = list(distances(found, want).values())
        worst[bits], usual[bits] = max(off), np.median(off)
    assert worst[12] < 0.01 * room
    assert worst[10] < 0.04 * room
    assert worst[8] < 0.16 * room
    assert usual[12] < 0.005
    assert usual[10] < 0.02
    assert usual[8] < 0.08


EXTREME_IMAGES = {
    "black": lambda images: images * 0,
    "white": lambda images: images * 0 + 255,
    "equal": lambda images: images[:1].repeat(len(images), 0),
    "one pixel": lambda images: np.where(np.arange(images.size).reshape(images.shape) == 9, 255, 0),
    "checks": lambda images: np.indices(images.shape).sum(0) % 2 * 255,
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("extreme", EXTREME_IMAGES)
def test_extreme_images_overflow_nothing(kind, extreme):
    network = NETWORKS[kind]()
    images, labels = data(network, 4)
    images = EXTREME_IMAGES[extreme](images).astype(np.uint8)
    for fw, bw in ((1, 2), (3, 8), (8, 8)):
        logits, found, _ = one(network, images, labels, fw, bw)
        assert np.isfinite(logits).all()
        assert all(np.isfinite(value).all() for value in found.values())


EXTREME_WEIGHTS = {
    "zero": lambda w: w * 0,
    "equal": lambda w: w * 0 + np.float32(0.3),
    "negative": lambda w: -np.abs(w) - np.float32(0.5),
    "huge": lambda w: w * np.float32(1e6),
    "tiny": lambda w: w * np.float32(1e-8),
    "one channel": lambda w: w * (np.arange(len(w)) == 1).astype(np.float32).reshape(-1, 1, 1, 1),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("extreme", EXTREME_WEIGHTS)
def test_extreme_weights_overflow_nothing(kind, extreme):
    network = NETWORKS[kind]()
    for name, value in network.parameters.items():
        if value.ndim == 4:
            network.parameters[name] = EXTREME_WEIGHTS[extreme](value)
    images, labels = data(network, 4)
    for fw, bw in ((2, 3), (8, 8)):
        logits, found, _ = one(network, images, labels, fw, bw)
        assert np.isfinite(logits).all()
        assert all(np.isfinite(value).all() for value in found.values())


def test_mobilenet_is_inverted_residuals_with_linear_ends_between_stem_and_head():
    network = Network.mobilenet(architecture.mobilenet_v2(image_size=8), np.ones(3), np.zeros(3))
    first, second, third = network.blocks[1:4]
    assert [block.linear for block in network.blocks] == [False, *[True] * 17, False]
    assert (first.shortcut is not None, first.identity) == (True, False)
    assert second.shortcut is not None
    assert third.identity
    assert not any(
        b.identity or b.shortcut for b in network.blocks if b.main[-2:-1] and b.main[1].shape.stride == 2
    )
    assert [layer.index for layer in network.layers] == list(range(len(network.layers)))
    assert network.parameters["stage1.0.depthwise.weight"].shape == (96, 3, 3, 1)
    assert [layer.convolution for layer in network.layers[-2:]] == ["stage6.0.shortcut", "head"]


def test_groups_that_are_not_each_one_channel_are_refused():
    stem = Layer(0, "stem", "stem_norm", conv_norm("stem", 2, 4, 6)[0])
    some = Layer(1, "some", "some_norm", conv_norm("some", 4, 4, 6, groups=2)[0])
    with pytest.raises(ValueError, match=r"groups of some.conv are 2; allowed: 1, or all 4 input channels"):
        Network((Block("a", (stem,)), Block("b", (some,))), 3, FACTOR, OFFSET)


def test_a_network_that_ends_without_relu_is_refused():
    stem = Layer(0, "stem", "stem_norm", conv_norm("stem", 2, 4, 6)[0])
    with pytest.raises(ValueError, match="stem ends without ReLU; allowed: any block but the last"):
        Network((Block("stem", (stem,), linear=True),), 3, FACTOR, OFFSET)


def test_behind_a_linear_end_values_of_both_signs_are_coded_and_all_gradients_pass():
    network = inverted()
    perturb(network)
    images, _ = data(network, 8)
    _, tape = step.forward(network, step.prepare(network, 5), images, step.Pass(5, RATE))
    for left, behind in zip(tape.blocks, tape.blocks[1:], strict=False):
        codes = behind.main[0].columns.astype(int)
        if left.block.linear:
            assert codes.min() < 0 < codes.max()
            assert max(codes.max(), -codes.min()) == 15
            assert left.x.min() > 0
        else:
            assert codes.min() == 0


def test_maps_of_one_pixel_and_micro_batches_of_one_image_train():
    network = residual(size=(4, 4))
    images, labels = data(network, 4)
    trainer = Trainer(network, Settings(batch_size=4, micro_batch=1))
    for _ in range(3):
        report = trainer.train_step(images, labels, (3, 8), 0.01)
    assert np.isfinite(report.loss)
    assert network.layers[-1].shape.out_height == 1


def test_a_step_adds_its_micro_batches_up_in_order_and_moves_each_average_once():
    network, alone = residual(), residual()
    images, labels = data(network, 12)
    trainer = Trainer(network, Settings(seed=7, batch_size=12, micro_batch=4))
    trainer.step = 3
    trainer.train_step(images, labels, (4, 8), 0.05)
    weights = step.prepare(alone, 4)
    totals = {}
    for number in range(3):
        part = slice(4 * number, 4 * number + 4)
        logits, tape = step.forward(alone, weights, images[part], step.Pass(4, trainer.rate))
        gradient = SoftmaxCrossEntropy(12).gradient(logits, labels[part])
        found = step.backward(alone, weights, tape, gradient, 8, step.Noise(7, 3, number))
        totals = {name: update.accumulate(totals.get(name), value) for name, value in found.items()}
    for name, value in alone.parameters.items():
        moved, _ = update.momentum_update(
            value, value * 0, totals[name], np.float32(0.05), np.float32(0.9), np.float32(1e-4)
        )
        assert (network.parameters[name] == moved).all()
    for name, value in alone.buffers.items():
        assert (network.buffers[name] == value).all()


def test_micro_batches_draw_their_own_noise():
    network = residual()
    images, labels = data(network, 4)
    first, second, again = (one(residual(), images, labels, 4, 3, micro)[1] for micro in (0, 1, 0))
    name = "stage0.0.conv1.weight"
    assert (first[name] == again[name]).all()
    assert (first[name] != second[name]).any()


def test_a_batch_that_is_no_whole_number_of_micro_batches_is_refused():
    with pytest.raises(ValueError, match=r"micro-batch is 5; allowed: a divisor of batch-size \(32\)"):
        Settings(batch_size=32, micro_batch=5)


@pytest.fixture(scope="module")
def trained():
    """Sixty steps of three classes of stripes."""
    network = residual(seed=2)
    trainer = Trainer(network, Settings(seed=2, batch_size=16, micro_batch=8))
    reports = []
    for number in range(60):
        images, labels = data(network, 16, seed=number)
        bits = 3 + number % 6
        reports.append(trainer.train_step(images, labels, (bits, 8), 0.05))
    return trainer, reports


def test_training_learns_and_no_width_overflows(trained):
    trainer, reports = trained
    losses = [report.loss for report in reports]
    assert np.mean(losses[-6:]) < 0.5 * np.mean(losses[:6])
    images, labels = data(trainer.network, 60, seed=999)
    assert trainer.evaluate(images, labels, 8) > 0.95


def test_logits_in_evaluation_do_not_depend_on_the_images_beside(trained):
    trainer, _ = trained
    network = trainer.network
    images, _ = data(network, 20, seed=5)
    images[1] = 255
    weights = step.prepare(network, 8, training=False)
    together, _ = step.forward(network, weights, images, step.Pass(8))
    for index in (0, 7):
        alone, _ = step.forward(network, weights, images[index : index + 1], step.Pass(8))
        assert (alone == together[index]).all()


def test_evaluation_before_training_is_refused():
    network = residual()
    with pytest.raises(ValueError, match="range of images has 0 updates; allowed: at least 1 training step"):
        Trainer(network, Settings()).evaluate(*data(network, 4), 8)


def test_a_resumed_run_ends_with_the_same_bits():
    def steps(trainer, numbers):
        for number in numbers:
            trainer.train_step(*data(trainer.network, 8, seed=number), (3 + number, 8), 0.05)

    whole = Trainer(residual(), Settings(batch_size=8, micro_batch=4))
    steps(whole, range(4))
    first = Trainer(residual(), Settings(batch_size=8, micro_batch=4))
    steps(first, range(2))
    resumed = Trainer(residual(seed=9), Settings(batch_size=8, micro_batch=4))
    resumed.load_state(*first.state())
    steps(resumed, range(2, 4))
    assert resumed.network.weights_sha256() == whole.network.weights_sha256()
    for name, value in whole.state()[0].items():
        assert (resumed.state()[0][name] == value).all()
    with pytest.raises(ValueError, match="state has other arrays"):
        Trainer(residual(width=8), Settings()).load_state(*first.state())


CHILD = """
import numpy as np
import test_golden_fabric_step as own
trainer = own.Trainer(own.residual(width=8), own.Settings(batch_size=8, micro_batch=4))
for number in range(3):
    trainer.train_step(*own.data(trainer.network, 8, seed=number), (3 + 2 * number, 8), 0.05)
print(trainer.network.weights_sha256())
"""
DISABLE = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"


def test_other_kernels_and_instruction_sets_train_the_same_weights():
    found = set()
    for settings in (
        {},
        {"OPENBLAS_CORETYPE": "Haswell"},
        {"OPENBLAS_CORETYPE": "Sandybridge", "NPY_DISABLE_CPU_FEATURES": DISABLE},
    ):
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            env={**os.environ, "PYTHONPATH": path, **settings},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop().strip()) == hashlib.sha256().digest_size * 2
