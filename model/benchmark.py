"""What quantised training costs: a step's time and memory against the same step in float32."""

from __future__ import annotations

import re
import statistics
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cpt.model.config import QuantConfig
from cpt.model.health import NumericHealth
from cpt.model.networks import LstmLM, MobileNetV2, cifar_resnet, deit_tiny
from cpt.model.quantize import quantize_

Kinds = Mapping[str, QuantConfig | None]
"""Kinds of steps by name; None: nothing is quantised."""
ROUNDINGS: Kinds = {
    "float32": None,
    "nearest": QuantConfig(bw=0),
    "stochastic": QuantConfig(),
}
"""The steps compared: float32; weights and activations quantised; gradients too, stochastically."""
PRODUCTS: Kinds = {
    "bfloat16": None,
    "float32": None,
    "emulated": QuantConfig(),
    "int8": QuantConfig(products="int8"),
}
"""Steps of a linear layer: under autocast, in float32, and at 8 bits with products of floats and of codes."""
LAYERS = ("1024x4096", "4096x1024")
"""Inputs and outputs of the linear layers of a Transformer's feed-forward block."""
_WARM_UP = 2
"""Rounds that are not counted."""


@dataclass(frozen=True)
class StepRow:
    """A kind of training step of a network; medians over all rounds.

    Ratios are to the first kind: medians of the rounds' ratios, since steps of a round follow each other, so
    that what slows one slows all.
    """

    model: str
    batch: int
    rounding: str
    cpu_s: float
    """Of the processor, all threads together."""
    wall_s: float
    peak_bytes: int
    """Most memory that a step takes beside weights and what the optimiser keeps."""
    ratio_cpu: float
    ratio_wall: float
    ratio_peak: float

    def as_dict(self) -> dict[str, object]:
        """All fields, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Workload:
    """A network and what it is trained on: ``make(batch)`` gives it with its input and its loss."""

    batch: int
    make: Callable[[int], tuple[nn.Module, Tensor, Callable[[nn.Module, Tensor], Tensor]]]


def workload(name: str) -> Workload:
    """That of a network's name; raises `ValueError` with the choices."""
    if match := re.fullmatch(r"resnet(\d{1,4})", name):
        depth = int(match[1])
        return Workload(64, lambda batch: _images(cifar_resnet(depth), batch, 32))
    if name in _OTHERS:
        return _OTHERS[name]
    raise ValueError(f"model is {name!r}; allowed: resnetD with D = 6n+2, {', '.join(_OTHERS)}")


def benchmark_step(
    models: Sequence[str],
    batch: int = 0,
    rounds: int = 10,
    device: str = "cpu",
    threads: int = 1,
    compiled: bool = False,
) -> list[StepRow]:
    """A row for every rounding of every model: forward, backward and SGD, kinds taking turns.

    ``batch``: 0 for each network's own. Raises `ValueError` naming a setting that cannot be.
    """
    work = {name: workload(name) for name in models}
    return _rows(work, batch, rounds, device, threads, compiled, ROUNDINGS)


def benchmark_products(
    layers: Sequence[str] = LAYERS,
    batch: int = 0,
    rounds: int = 10,
    device: str = "cpu",
    threads: int = 1,
    compiled: bool = False,
) -> list[StepRow]:
    """A row for every kind of product of every linear layer, ``INxOUT``, against bfloat16; else as above."""
    work = {}
    for name in layers:
        match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", name)
        if not match:
            raise ValueError(f"layer is {name!r}; allowed: INxOUT, such as {LAYERS[0]}")
        work[name] = _linear(int(match[1]), int(match[2]))
    return _rows(work, batch, rounds, device, threads, compiled, PRODUCTS)


def _rows(
    work: Mapping[str, Workload],
    batch: int,
    rounds: int,
    device: str,
    threads: int,
    compiled: bool,
    kinds: Kinds,
) -> list[StepRow]:
    for name, value, least in (("batch", batch, 0), ("rounds", rounds, 1), ("threads", threads, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; allowed: at least {least}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [
            row
            for name, item in work.items()
            for row in _measure(name, item, batch or item.batch, rounds, device, compiled, kinds)
        ]
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class HealthRow:
    """What measuring numeric health costs, in processor time of steps with stochastic gradients."""

    model: str
    batch: int
    ratio: float
    """A step that is measured to one that is not; median over rounds."""
    every: int
    share: float
    """Of the time of all steps, where one in ``every`` is measured."""

    def as_dict(self) -> dict[str, object]:
        """All fields, for JSON."""
        return asdict(self)


def benchmark_health(
    models: Sequence[str], batch: int = 0, rounds: int = 10, every: int = 100, threads: int = 1
) -> list[HealthRow]:
    """A row for each model, on a CPU, kinds taking turns; raises `ValueError` as `benchmark_step` does."""
    work = {name: workload(name) for name in models}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rows = []
    try:
        for name, item in work.items():
            count = batch or item.batch
            plain, measured = (
                _Step(item, count, "cpu", ROUNDINGS["stochastic"], compiled=False) for _ in range(2)
            )
            health = NumericHealth(measured.net, every=1)
            ratios = []
            for _ in range(_WARM_UP + rounds):
                (usual, _), (longer, _) = plain.seconds(), measured.seconds(health.step)
                ratios.append(longer / usual)
            ratio = statistics.median(ratios[_WARM_UP:])
            rows.append(HealthRow(name, count, ratio, every, (ratio - 1) / every))
    finally:
        torch.set_num_threads(before)
    return rows


def _measure(
    name: str, work: Workload, batch: int, rounds: int, device: str, compiled: bool, kinds: Kinds
) -> list[StepRow]:
    steps = [
        _Step(work, batch, device, config, compiled, half=kind == "bfloat16")
        for kind, config in kinds.items()
    ]
    peaks = [step.peak_bytes() for step in steps]
    taken = [[step.seconds() for step in steps] for _ in range(_WARM_UP + rounds)][_WARM_UP:]
    rows = []
    for kind, rounding in enumerate(kinds):
        (cpu, wall), (ratio_cpu, ratio_wall) = _medians(taken, kind), _ratios(taken, kind)
        peak = peaks[kind]
        rows.append(StepRow(name, batch, rounding, cpu, wall, peak, ratio_cpu, ratio_wall, peak / peaks[0]))
    return rows


Rounds = Sequence[Sequence[tuple[float, float]]]
"""(processor, wall) seconds by round and kind of step."""


def _medians(rounds: Rounds, kind: int) -> list[float]:
    """Median seconds of a kind of step."""
    return [statistics.median(row[kind][clock] for row in rounds) for clock in range(2)]


def _ratios(rounds: Rounds, kind: int) -> list[float]:
    """Median ratio of a kind of step to the first."""
    return [statistics.median(row[kind][clock] / row[0][clock] for row in rounds) for clock in range(2)]


class _Step:
    """A training step of a new network; ``config`` None: in float32, or ``half``: in bfloat16 by autocast."""

    def __init__(
        self,
        work: Workload,
        batch: int,
        device: str,
        config: QuantConfig | None,
        compiled: bool,
        half: bool = False,
    ) -> None:
        torch.manual_seed(0)
        net, x, self._loss = work.make(batch)
        if config is not None:
            net = quantize_(net, config)
        if x.dim() == 4:
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            x = x.contiguous(memory_format=torch.channels_last)
        net = net.to(device)
        self._optimiser = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
        self.net = net
        self._run: nn.Module = torch.compile(net) if compiled else net  # type: ignore[assignment]
        self._x, self._device, self._half = x.to(device), device, half

    def __call__(self) -> None:
        self._optimiser.zero_grad()
        with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            loss = self._loss(self._run, self._x)
        loss.backward()
        self._optimiser.step()

    def seconds(self, behind: Callable[[], object] = lambda: None) -> tuple[float, float]:
        """(processor, wall) of a step and what is done ``behind`` it."""
        wall, cpu = time.perf_counter(), time.process_time()
        self()
        behind()
        if self._device != "cpu":
            torch.cuda.synchronize()
        return time.process_time() - cpu, time.perf_counter() - wall

    def peak_bytes(self) -> int:
        """Most memory of tensors that a step has made and that are in use at once."""
        self()
        with _Memory() as memory:
            self()
        return memory.peak


class _Memory(TorchDispatchMode):
    """Bytes of the storages that operations inside make, while these live."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        before = {
            item.untyped_storage().data_ptr()
            for item in tree_leaves((args, kwargs))
            if isinstance(item, Tensor)
        }
        for item in tree_leaves(found):
            if isinstance(item, Tensor):
                storage = item.untyped_storage()
                if storage.data_ptr() not in self._known | before:
                    self._add(storage)
        return found

    def _add(self, storage: torch.UntypedStorage) -> None:
        pointer, size = storage.data_ptr(), storage.nbytes()

        def gone() -> None:
            self._known.discard(pointer)
            self._now -= size

        self._known.add(pointer)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, gone)


def _storages(values: Any) -> list[torch.UntypedStorage]:
    """Of all tensors in nested ``values``."""
    return [item.untyped_storage() for item in tree_leaves(values) if isinstance(item, Tensor)]


def _images(
    net: nn.Module, batch: int, side: int
) -> tuple[nn.Module, Tensor, Callable[[nn.Module, Tensor], Tensor]]:
    target = torch.arange(batch) % 10
    return net, torch.randn(batch, 3, side, side), lambda run, x: _loss(run(x), target)


def _linear(inputs: int, outputs: int) -> Workload:
    """Of a layer inside a network: its input wants a gradient too."""

    def loss(run: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = run(x.detach().requires_grad_())
        return y.float().square().mean()

    return Workload(1024, lambda batch: (nn.Linear(inputs, outputs), torch.randn(batch, inputs), loss))


def _tokens(
    net: nn.Module, batch: int, vocabulary: int, length: int
) -> tuple[nn.Module, Tensor, Callable[[nn.Module, Tensor], Tensor]]:
    target = torch.randint(vocabulary, (batch * length,))
    x = torch.randint(vocabulary, (batch, length))
    return net, x, lambda run, x: _loss(run(x)[0].flatten(0, 1), target)


def _loss(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, target.to(logits.device))


_OTHERS = {
    "mobilenetv2": Workload(16, lambda batch: _images(MobileNetV2(10, 32), batch, 32)),
    "deit-tiny": Workload(4, lambda batch: _images(deit_tiny(10), batch, 224)),
    # Of Penn Treebank's size: words, and the steps and width of Zaremba et al. 2014.
    "lstm2": Workload(20, lambda batch: _tokens(LstmLM(10_000, 650, 2, 0.0), batch, 10_000, 35)),
}
MODELS = ("resnet20", *_OTHERS)
"""Those that are measured unless others are asked for."""
