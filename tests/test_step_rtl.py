"""The RTL of the machine that does whole steps trains as the golden trainer does."""

from __future__ import annotations

import numpy as np
import pytest
from step_networks import RATE, SEED, drawn, golden, network, wide, widening

from cpt.check import RtlCheck, verdict
from cpt.host.compiler.choice import Way
from cpt.host.config import TrainConfig
from cpt.host.data import Dataset, Images, held_out
from cpt.host.fabric import FabricTrainer
from cpt.hw.contract import preset
from cpt.hw.contract.step import Code, encode
from cpt.model.golden.fabric.network import Block
from cpt.sim.rtl.library import EventKind
from cpt.sim.step.beside import Beside, StepsDiffer
from cpt.sim.step.rtl import MEMORY_BYTES, Case, batches, run
from cpt.trainers import Place

pytestmark = pytest.mark.timeout(1800)
"""Seconds: the first test builds the RTL, some minutes of two processors."""
TINY = preset("tiny", "step")


@pytest.mark.parametrize(
    "case",
    [
        Case(4, 8, 2, 2, (5, 8), before=0, steps=2, stall=0.0, seed=1, way=Way.RECOMPUTE),
        Case(6, 4, 4, 1, (3, 6), before=10, steps=1, stall=0.3, seed=2),
        Case(4, 10, 2, 1, (4, 8), before=5, steps=1, stall=0.1, seed=5, kind="inverted"),
    ],
    ids=["micro-batches", "stalls", "depth-wise"],
)
def test_steps_leave_the_golden_trainers_weights(case: Case) -> None:
    assert run(case, TINY) > 0


@pytest.mark.full
@pytest.mark.parametrize(
    ("blocks", "size", "images", "bits"),
    [(widening(8, 16, 20), 20, 1, (2, 3)), (wide(8, 40), 40, 2, (5, 4))],
    ids=["two strips and one", "three strips"],
)
def test_pictures_in_strips_leave_the_golden_trainers_weights(
    blocks: tuple[Block, ...], size: int, images: int, bits: tuple[int, int]
) -> None:
    """On the array of 16 columns, which builds in minutes: tiny has no strips."""
    config, data = preset("middle", "step"), drawn(images, size)
    reference = golden(network(blocks), data, bits, images)
    with Beside(config, memory_bytes=2 * MEMORY_BYTES) as device:
        trainer = FabricTrainer(
            device,
            config,
            network(blocks),
            batch_size=images,
            micro_batch=images,
            scratch_words=config.scratch_words,
            seed=SEED,
        )
        trainer.train_step(*data[0], bits, RATE)
        found, _ = trainer.state()
    for name, value in reference.state()[0].items():
        np.testing.assert_array_equal(found[name], value, name)


def test_the_host_touches_images_logits_their_gradient_and_the_rate() -> None:
    case = Case(4, 4, 2, 2, (4, 8), before=0, steps=1, stall=0.0, seed=3)
    sizes = {"images": 2 * 64, "logits": 2 * 10 * 4, "gradient": 2 * 10 * 4, "rate": 4}
    with Beside(TINY, memory_bytes=MEMORY_BYTES) as device:
        net = case.network()
        trainer = FabricTrainer(
            device, TINY, net, batch_size=4, micro_batch=2, scratch_words=TINY.scratch_words, seed=1
        )
        touched: dict[str, list[int]] = {"write": [], "read": []}
        write, read = device.write, device.read
        device.write = lambda at, values: (touched["write"].append(values.nbytes), write(at, values))[1]
        device.read = lambda at, size: (touched["read"].append(size), read(at, size))[1]
        device.backend.trace(True)
        trainer.train_step(*batches(case)[0], case.bits, 0.1)
        events = device.backend.take_events()
    assert touched["read"] == 2 * [sizes["logits"]]
    assert sorted(touched["write"]) == sorted(
        [sizes["rate"], *2 * [sizes["images"]], *2 * [sizes["gradient"]]]
    )
    moved = sum(8 * event.value for event in events if event.kind is not EventKind.REGISTER_WRITE)
    assert moved > 20 * sum(sum(sizes) for sizes in touched.values())


def test_a_difference_is_told() -> None:
    with Beside(TINY, memory_bytes=1 << 20) as device:
        base = device.allocate(1 << 12)
        device.model.state.memory[base + 100] ^= 1
        device.ring(encode(Code.END, tag=1))
        with pytest.raises(StepsDiffer, match=f"1 bytes from {base + 100:#x} on"):
            device.wait(1)


def two_classes() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    pixels = rng.integers(0, 128, (20, 8, 8, 1)) + 100 * labels[:, None, None, None]
    return held_out("two", Images(pixels.astype(np.float32), labels.astype(np.int64)))


def test_a_step_of_a_large_batch_is_repeated_with_four_of_its_images() -> None:
    data = two_classes()
    config = TrainConfig(width=4, fw=(3, 5), epochs=3, cycles=1, batch_size=8, micro_batch=4, lr=0.05)
    with (
        Place("fast", "zc706", "ps-ddr").open(config, data) as (trainer, _),
        RtlCheck(config, data, "ps-ddr") as check,
    ):
        while trainer.step < trainer.total_steps:
            batch = next(trainer.epoch_batches())
            check.before_step(trainer, batch)
            trainer.train_step(batch)
            check.after_step(trainer)
        steps = check.results()
    assert [(step.fw, step.images) for step in steps] == [(3, 4), (5, 4)]
    assert all(step.passed for step in steps), verdict(steps)
    assert "2 steps repeated with 4 images (FW3/BW8, FW5/BW8): all weights identical" in verdict(steps)


def test_a_run_on_the_rtl_is_the_golden_functions_and_the_check_says_so() -> None:
    data = two_classes()
    config = TrainConfig(width=4, fw=(4, 4), steps=1, batch_size=4, micro_batch=2, lr=0.05)
    found = {}
    for device in ("fast", "rtl"):
        with Place(device, "tiny", "ps-ddr").open(config, data) as (trainer, _):
            (batch,) = trainer.epoch_batches()
            with RtlCheck(config, data, "ps-ddr") as check:
                if device == "fast":
                    check.before_step(trainer, batch)
                report = trainer.train_step(batch)
                check.after_step(trainer)
                checked = check.results()
            found[device] = (report, trainer.evaluate(), trainer.weights_sha256())
            cycles = trainer.training.total_cycles, trainer.evaluation.total_cycles
        assert all(cycles)
        assert [step.passed for step in checked] == [True] * (device == "fast"), verdict(checked)
        assert all(step.images is None for step in checked)
    assert found["fast"] == found["rtl"]
