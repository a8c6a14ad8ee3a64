"""Train on the golden functions of the fabric's step, alone or seed by seed beside the float path."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from cpt.data import DIGITS, load_raw
from cpt.host.config import TrainConfig
from cpt.host.counters import Counters
from cpt.host.data import Dataset, Images, training_batches
from cpt.host.engine import GemmShape, OperandProduct
from cpt.host.layers import StepContext
from cpt.host.network import ResNet, resnet_depth
from cpt.host.optimiser import Sgd, learning_rate
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT, PrecisionSlots
from cpt.host.step_trainer import StepTrainer, affine, with_bytes
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import cifar_resnet
from cpt.model.golden import int_matmul
from cpt.model.loss import correct, softmax_cross_entropy
from cpt.options import TRAINING, add_options, train_config
from cpt.progress import note
from cpt.results_page import interval
from cpt.trainers import golden_trainer

BESIDE = {
    "none": "nothing",
    "float": "the float path of `cpt train`",
    "whole": "whole batches instead of micro-batches",
}
"""What each seed may be compared with."""
RUNS = "fabric.jsonl"
MOST_SEEDS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt fabric``."""
    parser.add_argument(
        "--data", default=DIGITS, metavar="NAME", help=f"{DIGITS}, or an .npz of byte pixels and labels"
    )
    add_options(parser, TRAINING)
    fabric = parser.add_argument_group("fabric")
    fabric.add_argument(
        "--micro-batch", type=int, default=16, metavar="N", help="images of a micro-batch (default: 16)"
    )
    fabric.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="runs, with seeds from --seed on (default: 1)"
    )
    fabric.add_argument(
        "--beside",
        choices=BESIDE,
        default="none",
        metavar="WHAT",
        help=f"train each seed also with it: {', '.join(BESIDE)} (default: none)",
    )
    fabric.add_argument(
        "--out", type=Path, metavar="DIR", help=f"keep finished runs in DIR/{RUNS}, and skip those kept there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, print each run and, beside another way, the mean difference with its 95 % interval."""
    config = train_config(arguments)
    if not 1 <= arguments.seeds <= MOST_SEEDS:
        raise ContractError(f"seeds is {arguments.seeds}; allowed: 1..{MOST_SEEDS}")
    data = with_bytes(load_raw(arguments.data))
    gains = []
    for seed in range(config.seed, config.seed + arguments.seeds):
        own = dataclasses.replace(config, seed=seed)
        ways = [("fabric", arguments.micro_batch)]
        if arguments.beside != "none":
            ways.append((arguments.beside, config.batch_size))
        found = [_run(way, micro, own, data, arguments) for way, micro in ways]
        line = f"seed {seed}: " + ", ".join(
            f"{way} {100 * one['accuracy']:.2f} %" for (way, _), one in zip(ways, found, strict=True)
        )
        if len(found) > 1:
            gains.append(100 * (found[0]["accuracy"] - found[1]["accuracy"]))
            line += f", difference {gains[-1]:+.2f}"
        print(f"{line}; weights {found[0]['weights_sha256'][:12]}", flush=True)
    ends = interval(gains)
    if ends:
        mean, low, high = ends
        print(
            f"fabric minus {arguments.beside}: {mean:+.3f} points, "
            f"95 % interval {low:+.3f} .. {high:+.3f} ({len(gains)} pairs)"
        )
    return 0


def train_fabric(config: TrainConfig, micro_batch: int, data: Dataset) -> dict[str, Any]:
    """A run on the golden functions: accuracy, mean loss of the last epoch, hash of the weights."""
    config = config.replace(micro_batch=micro_batch)
    trainer = StepTrainer(config, data, preset("zc706", STEP), golden_trainer, lambda *_: _NoClock())
    losses: list[float] = []
    while trainer.step < trainer.total_steps:
        losses += [report.loss for report in trainer.train_epoch()]
    last = losses[-trainer.steps_per_epoch :]
    return {
        "accuracy": trainer.evaluate(),
        "loss": sum(last) / len(last),
        "weights_sha256": trainer.weights_sha256(),
    }


def train_float(config: TrainConfig, data: Dataset) -> dict[str, Any]:
    """The same run as `cpt train` computes it, its products in numpy instead of on a device."""
    most = {FORWARD_SLOT: max(config.fw[1], config.evaluation_bits), BACKWARD_SLOT: config.bw}
    slots = PrecisionSlots(most, lambda slot, bits: None)
    engine: Any = _Products(slots)
    network = ResNet(_description(config, data), config.seed)
    network.plan((config.batch_size, *data.train.pixels.shape[1:]), engine)
    optimiser = Sgd(
        dict(network.named_parameters()), momentum=config.momentum, weight_decay=config.weight_decay
    )
    step_number = 0
    factor, offset = affine(data)

    def step(batch: Images, bits: tuple[int, int], lr: float) -> float:
        nonlocal step_number
        slots.set(FORWARD_SLOT, bits[0])
        slots.set(BACKWARD_SLOT, bits[1])
        context = StepContext(training=True, seed=config.seed, step=step_number)
        logits = network.forward(batch.pixels * factor + offset, context)
        loss, gradient = softmax_cross_entropy(logits, batch.labels)
        network.backward(gradient, context)
        optimiser.step(lr)
        step_number += 1
        return loss

    loss = _train(config, data.train, step)
    slots.set(FORWARD_SLOT, config.evaluation_bits)
    hits, size = 0, config.batch_size
    for start in range(0, len(data.test), size):
        some = data.test.take(np.arange(start, min(start + size, len(data.test))))
        padded = np.zeros((size, *some.pixels.shape[1:]), np.float32)
        padded[: len(some)] = some.pixels * factor + offset
        logits = network.forward(padded, StepContext(training=False))
        hits += correct(logits[: len(some)], some.labels)
    return {"accuracy": hits / len(data.test), "loss": loss, "weights_sha256": network.weights_sha256()}


class _NoClock:
    """Counts nothing."""

    def trained(self, bits: tuple[int, int]) -> Counters:
        """Of a step."""
        return Counters()

    def evaluated(self, bits: int, images: int) -> Counters:
        """Of an evaluation."""
        return Counters()


class _Products:
    """Stands where layers expect the accelerator's engine: the same exact products, at once."""

    def __init__(self, slots: PrecisionSlots) -> None:
        self.slots = slots

    def reserve(self, shape: GemmShape) -> None:
        """Nothing to prepare."""

    def run(self, shape: GemmShape, codes_a: np.ndarray, codes_b: np.ndarray, label: str) -> OperandProduct:
        """The product and B's sums over K."""
        del shape, label
        return OperandProduct(int_matmul(codes_a, codes_b), codes_b.sum(1, dtype=np.int64))


def _train(config: TrainConfig, train: Images, step: Any) -> float:
    """All steps of a run; mean loss of the last epoch."""
    per_epoch = len(train) // config.batch_size
    if not per_epoch:
        raise ContractError(f"batch-size is {config.batch_size}; allowed: 1..{len(train)} (training images)")
    plan, total = config.plan(per_epoch), config.total_steps(per_epoch)
    losses: list[float] = []
    while len(losses) < total:
        epoch = len(losses) // per_epoch
        batches = training_batches(
            train, config.batch_size, seed=config.seed, epoch=epoch, max_shift=config.max_shift
        )
        for batch in batches:
            done = len(losses)
            if done == total:
                break
            bits = plan.bits(epoch if config.per_epoch() else done)
            losses.append(step(batch, bits, learning_rate(config.lr_schedule, config.lr, done / total)))
    return sum(losses[-per_epoch:]) / len(losses[-per_epoch:])


def _description(config: TrainConfig, data: Dataset) -> Any:
    height, width, channels = data.train.pixels.shape[1:]
    return cifar_resnet(resnet_depth(config.model), data.classes, (height, width), channels, config.width)


def _run(
    way: str, micro_batch: int, config: TrainConfig, data: Dataset, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One run, or what is kept of it."""
    named = {"way": "float" if way == "float" else "fabric", "micro_batch": micro_batch}
    key = {"data": arguments.data, **config.as_dict(), **named}
    path = arguments.out / RUNS if arguments.out else None
    if path and path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            kept = json.loads(line)
            if kept["key"] == key:
                return dict(kept["found"])
    begun = time.monotonic()
    found = train_float(config, data) if way == "float" else train_fabric(config, micro_batch, data)
    note(arguments, f"{way}, seed {config.seed}: loss {found['loss']:.4f}, {time.monotonic() - begun:.0f} s")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "found": found}) + "\n")
    return found
