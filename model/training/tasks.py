"""What is learned: how a batch is made, what its loss is, and what evaluation measures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cpt.model.data import Graph, ImageFolder, ImageSet, PictureSet, TokenSet, shuffled
from cpt.model.training.own_network import OwnNetwork

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass
class Outcome:
    """Sums over a batch, on the device: ``loss``, ``count`` and what `Task.metrics` needs beside them."""

    sums: dict[str, Tensor]
    carried: tuple[Tensor, ...] | None = None
    """State for the next batch (layers, batch, width), without gradients (language models that read on)."""

    def detached(self) -> Outcome:
        """The same without its graph."""
        return Outcome({name: value.detach() for name, value in self.sums.items()}, self.carried)


def joined(parts: Sequence[Outcome]) -> Outcome:
    """One outcome of a batch's parts, their sums added in order."""
    first, *rest = parts
    sums = dict(first.sums)
    for part in rest:
        sums = {name: value + part.sums[name] for name, value in sums.items()}
    if first.carried is None or not rest:
        return Outcome(sums, first.carried)
    states = zip(*(part.carried or () for part in parts), strict=True)
    return Outcome(sums, tuple(torch.cat(state, 1) for state in states))


def parts_of(
    inputs: Tensor, targets: Tensor, carried: tuple[Tensor, ...] | None, count: int
) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, ...] | None]]:
    """Inputs, targets and state of each of ``count`` equal parts of a batch, in order."""
    for number, (x, y) in enumerate(zip(inputs.chunk(count), targets.chunk(count), strict=True)):
        yield x, y, carried and tuple(state.chunk(count, 1)[number] for state in carried)


class Task(ABC):
    """A data set with a loss and a metric."""

    name: str
    metric: str
    """Name of the figure that counts, a key of `metrics`."""
    higher_is_better = True
    network: OwnNetwork | None = None
    """In place of one that the configuration names."""
    carries = False
    """Batches of an epoch continue each other; the network's state goes from one to the next."""

    @property
    @abstractmethod
    def train_count(self) -> int:
        """Samples of an epoch."""

    def steps_per_epoch(self, batch: int) -> int:
        """Whole batches of an epoch; a partial last one is dropped."""
        return self.train_count // batch

    def epoch_order(self, batch: int, seed: int, epoch: int) -> np.ndarray:
        """Samples of every step of the epoch: (steps, batch)."""
        steps = self.steps_per_epoch(batch)
        return shuffled(self.train_count, seed, epoch)[: steps * batch].reshape(steps, batch)

    @abstractmethod
    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> Arrays:
        """Inputs and targets of the samples, as they are in this epoch."""

    @abstractmethod
    def test_steps(self, batch: int) -> int:
        """Batches of the test set."""

    @abstractmethod
    def test_batch(self, number: int, batch: int) -> Arrays:
        """One of them, in order."""

    @abstractmethod
    def outcome(self, model: nn.Module, inputs: Tensor, targets: Tensor, carried: Any = None) -> Outcome:
        """Run the model on a batch."""

    @abstractmethod
    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Figures from the sums of all batches."""

    @abstractmethod
    def example(self) -> Tensor:
        """An input of one sample, for counting work."""

    @abstractmethod
    def split(self) -> str:
        """What is trained and tested on, in words."""

    @abstractmethod
    def sha256(self) -> str:
        """Hash of the data."""

    def describe(self) -> dict[str, Any]:
        """What is recorded about the data, and about the user's own network if there is one."""
        network = self.network.stated() if self.network else {}
        return {"dataset": self.name, "dataset_sha256": self.sha256(), "metric": self.metric, **network}


class Classification(Task):
    """Images to classes; accuracy."""

    metric = "accuracy"

    def __init__(self, images: ImageSet | ImageFolder) -> None:
        self.images, self.name = images, images.name

    @property
    def train_count(self) -> int:
        return len(self.images.train)

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> Arrays:
        return self.images.train_batch(index, seed, epoch)

    def test_steps(self, batch: int) -> int:
        return -(-len(self.images.test) // batch)

    def test_batch(self, number: int, batch: int) -> Arrays:
        end = min((number + 1) * batch, len(self.images.test))
        return self.images.test_batch(np.arange(number * batch, end))

    def outcome(self, model: nn.Module, inputs: Tensor, targets: Tensor, carried: Any = None) -> Outcome:
        logits = model(inputs.permute(0, 3, 1, 2))
        loss = nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        hits = (logits.detach().argmax(1) == targets).sum()
        return Outcome({"loss": loss, "hits": hits, "count": hits.new_tensor(len(targets))})

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"loss": sums["loss"] / sums["count"], "accuracy": sums["hits"] / sums["count"]}

    def example(self) -> Tensor:
        height, width, channels = self.images.shape
        return torch.zeros(1, channels, height, width)

    def split(self) -> str:
        images = self.images
        height, width, channels = images.shape
        return (
            f"{len(images.train)} training and {len(images.test)} test images of "
            f"{height} x {width} x {channels}, {images.classes} classes"
        )

    def sha256(self) -> str:
        return self.images.sha256()


class LanguageModel(Task):
    """The next token of a text; perplexity.

    ``carries``: the stream is cut into as many rows as a batch has, which are read on from step to step with
    the network's state kept, as usual for LSTMs; else sequences are shuffled and read on their own.
    """

    metric = "perplexity"
    higher_is_better = False

    def __init__(self, tokens: TokenSet, sequence: int, carries: bool = False) -> None:
        for part in ("train", "test"):
            count = len(getattr(tokens, part))
            if count <= sequence:
                raise ValueError(
                    f"sequence is {sequence}; allowed: below the {count} tokens of the {part} text"
                )
        self.tokens, self.name = tokens, tokens.name
        self.sequence, self.carries = sequence, carries

    @property
    def train_count(self) -> int:
        return (len(self.tokens.train) - 1) // self.sequence

    @property
    def _test_count(self) -> int:
        """Whole test sequences."""
        return (len(self.tokens.test) - 1) // self.sequence

    def epoch_order(self, batch: int, seed: int, epoch: int) -> np.ndarray:
        if not self.carries:
            return super().epoch_order(batch, seed, epoch)
        steps = self.steps_per_epoch(batch)
        return np.arange(steps)[:, None] + steps * np.arange(batch)

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> Arrays:
        return self._sequences(self.tokens.train, index)

    def test_steps(self, batch: int) -> int:
        return self._test_count // batch if self.carries else -(-self._test_count // batch)

    def test_batch(self, number: int, batch: int) -> Arrays:
        rows = np.arange(number * batch, min((number + 1) * batch, self._test_count))
        if self.carries:
            steps = self.test_steps(batch)
            rows = number + steps * np.arange(batch)
        return self._sequences(self.tokens.test, rows)

    def outcome(self, model: nn.Module, inputs: Tensor, targets: Tensor, carried: Any = None) -> Outcome:
        if self.carries:
            logits, state = model(inputs, carried)
            carried = tuple(part.detach() for part in state)
        else:
            result = model(inputs)
            logits = result[0] if isinstance(result, tuple) else result
        flat = logits.flatten(0, 1).float()
        loss = nn.functional.cross_entropy(flat, targets.flatten(), reduction="sum")
        hits = (flat.detach().argmax(1) == targets.flatten()).sum()
        return Outcome({"loss": loss, "hits": hits, "count": hits.new_tensor(targets.numel())}, carried)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        loss = sums["loss"] / sums["count"]
        perplexity = math.exp(loss) if loss < 700 else math.inf
        return {"loss": loss, "perplexity": perplexity, "accuracy": sums["hits"] / sums["count"]}

    def example(self) -> Tensor:
        return torch.zeros(1, self.sequence, dtype=torch.int64)

    def split(self) -> str:
        tokens = self.tokens
        return (
            f"{len(tokens.train)} training and {len(tokens.test)} test {tokens.unit}s, "
            f"a vocabulary of {len(tokens.vocabulary)}"
        )

    def sha256(self) -> str:
        return self.tokens.sha256()

    def _sequences(self, stream: np.ndarray, index: np.ndarray) -> Arrays:
        places = index[:, None] * self.sequence + np.arange(self.sequence + 1)
        found = stream[places]
        return found[:, :-1], found[:, 1:]


PASSES = 10
"""Steps of an epoch on a graph."""


class NodeClassification(Task):
    """Nodes of one graph to classes; accuracy. A sample is the whole graph, and so is a batch.

    Targets are labels, `LEFT_OUT` for nodes that do not count.
    """

    metric = "accuracy"
    LEFT_OUT = -1

    def __init__(self, graph: Graph) -> None:
        self.graph, self.name = graph, graph.name

    @property
    def train_count(self) -> int:
        return PASSES

    def steps_per_epoch(self, batch: int) -> int:
        if batch != 1:
            raise ValueError(f"batch-size is {batch}; allowed for {self.name}: 1, the whole graph")
        return PASSES

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> Arrays:
        return self._arrays(self.graph.train)

    def test_steps(self, batch: int) -> int:
        return 1

    def test_batch(self, number: int, batch: int) -> Arrays:
        return self._arrays(self.graph.test)

    def outcome(self, model: nn.Module, inputs: Tensor, targets: Tensor, carried: Any = None) -> Outcome:
        logits = model(inputs).flatten(0, 1).float()
        wanted = targets.flatten()
        loss = nn.functional.cross_entropy(logits, wanted, reduction="sum", ignore_index=self.LEFT_OUT)
        hits = (logits.detach().argmax(1) == wanted).sum()
        return Outcome({"loss": loss, "hits": hits, "count": (wanted != self.LEFT_OUT).sum()})

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"loss": sums["loss"] / sums["count"], "accuracy": sums["hits"] / sums["count"]}

    def example(self) -> Tensor:
        return torch.zeros(1, *self.graph.features.shape)

    def split(self) -> str:
        graph = self.graph
        _, numbers = graph.neighbours()
        nodes, features = graph.features.shape
        return (
            f"{len(graph.train)} training and {len(graph.test)} test nodes of {nodes}, "
            f"{(len(numbers) - nodes) // 2} edges, {features} features, {graph.classes} classes"
        )

    def sha256(self) -> str:
        return self.graph.sha256()

    def _arrays(self, nodes: np.ndarray) -> Arrays:
        """Features of all nodes, and the labels of these: (1, N, F), (1, N)."""
        targets = np.full_like(self.graph.labels, self.LEFT_OUT)
        targets[nodes] = self.graph.labels[nodes]
        return self.graph.features[None], targets[None]


class SuperResolution(Task):
    """Whole pictures from reduced ones; mean absolute error, PSNR of the brightness in dB."""

    metric = "psnr_db"

    def __init__(self, pictures: PictureSet) -> None:
        self.pictures, self.name = pictures, pictures.name

    @property
    def train_count(self) -> int:
        return self.pictures.train_count

    def train_batch(self, index: np.ndarray, seed: int, epoch: int) -> Arrays:
        return self.pictures.train_batch(index, seed, epoch)

    def test_steps(self, batch: int) -> int:
        return len(self.pictures.test)

    def test_batch(self, number: int, batch: int) -> Arrays:
        return self.pictures.test_pair(number)

    def outcome(self, model: nn.Module, inputs: Tensor, targets: Tensor, carried: Any = None) -> Outcome:
        found, wanted = model(inputs.permute(0, 3, 1, 2)), targets.permute(0, 3, 1, 2)
        each = (found.float() - wanted).abs().mean((1, 2, 3))
        sums = {"loss": each.sum(), "count": torch.tensor(len(each), device=each.device)}
        if not model.training:
            sums["psnr_db"] = psnr(found.float(), wanted, self.pictures.scale).sum()
        return Outcome(sums)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        found = {"loss": sums["loss"] / sums["count"]}
        if "psnr_db" in sums:
            found["psnr_db"] = sums["psnr_db"] / sums["count"]
        return found

    def example(self) -> Tensor:
        side = self.pictures.patch
        return torch.zeros(1, 3, side, side)

    def split(self) -> str:
        pictures = self.pictures
        return (
            f"{len(pictures.train)} training and {len(pictures.test)} test pictures, times {pictures.scale}"
        )

    def sha256(self) -> str:
        return self.pictures.sha256()


_BRIGHTNESS = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Of red, green and blue in 0..1 (ITU-R BT.601, as MATLAB's rgb2ycbcr); its constant cancels."""


def psnr(found: Tensor, wanted: Tensor, border: int) -> Tensor:
    """Peak signal-to-noise ratio in dB of the brightness: (N, 3, H, W) in 0..1 -> (N,).

    As published: rounded to 8 bits, ``border`` pixels at each edge not counted.
    """
    weights = wanted.new_tensor(_BRIGHTNESS)[:, None, None]
    rounded = (found.clamp(0, 1) * 255).round() / 255
    error = ((rounded - wanted) * weights).sum(1)[:, border:-border, border:-border]
    return -10 * torch.log10(error.square().mean((1, 2)).clamp_min(1e-12))
