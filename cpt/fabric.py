"""Train on the golden functions of the fabric's step, alone or seed by seed beside the float path."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from cpt.data import BY_NAME, DIGITS, load_raw
from cpt.extras import missing
from cpt.host.config import TrainConfig, resnet_depth
from cpt.host.data import Dataset, affine, with_bytes
from cpt.host.trainer import NoClock, Trainer
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.options import TRAINING, add_options, train_config
from cpt.paired import interval
from cpt.progress import note
from cpt.trainers import golden_trainer

BESIDE = {
    "none": "nothing",
    "float": "torch, whole batches and float32 between products",
    "whole": "whole batches instead of micro-batches",
}
"""What each seed may be compared with."""
SHARED = (
    *("model", "width", "fw", "cycles", "per", "eval_bits", "epochs", "steps", "batch_size"),
    *("lr", "lr_schedule", "momentum", "weight_decay", "max_shift", "seed"),
)
"""Fields of a configuration that torch runs have too."""
RUNS = "fabric.jsonl"
MOST_SEEDS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``cpt fabric``."""
    parser.add_argument(
        "--data",
        default=DIGITS,
        metavar="NAME",
        help=f"{', '.join(BY_NAME)}, or an .npz of byte pixels and labels",
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
    trainer = Trainer(config, data, preset("zc706", STEP), golden_trainer, lambda *_: NoClock())
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
    """The same run in torch from the same weights: whole batches, float32 between products."""
    try:
        import torch

        from cpt.model.data import ImageArrays, ImageSet
        from cpt.model.training import Classification, TorchConfig, TorchTrainer
    except ModuleNotFoundError as error:
        raise ContractError(f"beside float: {missing(error)}") from None

    torch.set_num_threads(1)
    factor, offset = affine(data)
    train, test = (
        ImageArrays((part.pixels * factor + offset).astype(np.float32), part.labels)
        for part in (data.train, data.test)
    )
    method = "cpt" if config.fw[0] < config.fw[1] else "static"
    shared = {name: getattr(config, name) for name in SHARED}
    trainer = TorchTrainer(
        TorchConfig(method=method, bw=(config.bw, config.bw), **shared),
        Classification(ImageSet(data.name, train, test, data.classes)),
    )
    _same_weights(trainer.model, _network(config, data))
    while not trainer.finished:
        last = trainer.train_epoch()
    digest = hashlib.sha256()
    for value in trainer.model.state_dict().values():
        digest.update(value.numpy().tobytes())
    return {
        "accuracy": trainer.evaluate()["accuracy"],
        "loss": last["train_loss"],
        "weights_sha256": digest.hexdigest(),
    }


def _network(config: TrainConfig, data: Dataset) -> Network:
    """What the golden functions begin with."""
    height, width, channels = data.train.pixels.shape[1:]
    described = cifar_resnet(
        resnet_depth(config.model), data.classes, (height, width), channels, config.width
    )
    return Network.residual(described, *affine(data), config.seed)


def _same_weights(model: Any, network: Network) -> None:
    """Weights of ``network`` for a torch residual network, whose convolutions come in the same order."""
    from torch import from_numpy, nn, no_grad

    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    given = network.parameters
    with no_grad():
        for layer, convolution in zip(network.layers, convolutions, strict=True):
            weight = from_numpy(given[f"{layer.convolution}.weight"])
            convolution.weight.copy_(weight.permute(0, 3, 1, 2))
        model.classifier.weight.copy_(from_numpy(given["classifier.weight"]))
        model.classifier.bias.copy_(from_numpy(given["classifier.bias"]))


def _run(
    way: str, micro_batch: int, config: TrainConfig, data: Dataset, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One run, or what is kept of it."""
    named = {"way": "torch" if way == "float" else "fabric", "micro_batch": micro_batch}
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
