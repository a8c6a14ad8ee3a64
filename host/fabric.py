"""Training with whole steps on the fabric: the host writes images, rings, turns logits into their gradient.

No activation, error, weight or gradient passes the host, but for checkpoints: parameters, velocities and
running statistics, written at the start and read when they are asked for. Micro-batches go in the order F(0)
F(1) B(0) F(2) B(1) ..., two of them in memory, so that the machine works on the next forward pass while the
host looks at logits. No order of those changes a bit: running statistics move in forward passes, gradients
add up in backward passes, and both keep their own order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from cpt.host.compiler.choice import WIDEST, Way
from cpt.host.compiler.memory import BASES, BATCH, GRADIENT, IMAGES, LOGITS, STATIC, Piece
from cpt.host.compiler.network import EVALUATE, PREPARE, compiled, of_step
from cpt.host.compiler.plan import ERROR_SLOT, IMAGE_SLOT, MASK_SLOT
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.passes import MASK_BITS
from cpt.hw.contract.step import WORD_BYTES, Code, encode
from cpt.model.golden.fabric.codes import image_bits
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Report
from cpt.model.loss import SoftmaxCrossEntropy, correct
from cpt.model.noise import extended

PROGRAMS = 5
"""Base register of the lists of instructions."""
ALIGNMENT = 4096
"""Bytes: where the memory behind a base register starts."""
HALVES = 2
"""Micro-batches that lie in memory at once."""
OF_MICRO_BATCH = (BATCH, IMAGES, LOGITS, GRADIENT)
"""Base registers that change from one micro-batch to the next."""
_TAGS = 1 << 32


class Device(Protocol):
    """What trains: memory, precision slots, and a ring that takes instruction words."""

    def allocate(self, size: int) -> int:
        """Byte address of ``size`` bytes that are the caller's, a multiple of `ALIGNMENT`."""

    def write(self, address: int, values: np.ndarray) -> None:
        """Bytes of ``values`` to memory."""

    def read(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes of memory: uint8."""

    def set_slots(self, slots: Mapping[int, tuple[int, bool]]) -> None:
        """Bits and sign of the codes of precision slots."""

    def ring(self, words: bytes) -> None:
        """Queue words behind those that were rung before; the last one is an END."""

    def wait(self, tag: int) -> None:
        """Return when the END with ``tag`` was reached; raises `TimeoutError` past the device's deadline."""


def precision_slots(network: Network, fw: int, bw: int) -> dict[int, tuple[int, bool]]:
    """Bits and sign of the codes of every slot that the network's programs name."""
    slots = {slot: (fw, False) for slot in range(max(layer.index for layer in network.layers) + 2)}
    own = {MASK_SLOT: (MASK_BITS, False), IMAGE_SLOT: (image_bits(fw), True), ERROR_SLOT: (bw, True)}
    return {**slots, **own}


class FabricTrainer:
    """A network in training on a device.

    ``batch_size`` is a whole number of micro-batches. ``way``: where y of all convolutions comes from when it
    is wanted again, instead of what is cheaper; ``widest``: bits of codes that are asked for.
    Raises `ContractError` for a network, or a micro-batch, that the device does not take.
    """

    def __init__(
        self,
        device: Device,
        config: ArrayConfig,
        network: Network,
        *,
        batch_size: int,
        micro_batch: int,
        scratch_words: int,
        seed: int = 0,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        way: Way | None = None,
        widest: int = WIDEST,
    ) -> None:
        if micro_batch < 1 or batch_size < 1 or batch_size % micro_batch:
            raise ContractError(
                f"micro-batch is {micro_batch}; allowed: a divisor of batch-size ({batch_size})"
            )
        self.device, self.network, self.seed, self.step = device, network, seed, 0
        self.batch_size, self.micro_batch = batch_size, micro_batch
        self._tag = 0
        programs = compiled(
            config,
            network,
            images=micro_batch,
            micro_batches=batch_size // micro_batch,
            scratch_words=scratch_words,
            momentum=momentum,
            decay=weight_decay,
            way=way,
            widest=widest,
        )
        self.programs, self.layout = programs, programs.layout
        self.lists = {name: listing.words for name, listing in programs.lists.items()}
        self._place()
        self._load_programs()
        self.load()

    def _place(self) -> None:
        """Give every base register its memory."""
        classes = self.network.parameters["classifier.bias"].size
        sizes = {
            STATIC: self.layout.memory.sizes[STATIC],
            BATCH: self.layout.memory.sizes[BATCH],
            IMAGES: self.layout.images_piece.size,
            LOGITS: 4 * self.micro_batch * classes,
            GRADIENT: 4 * self.micro_batch * classes,
            PROGRAMS: sum(len(words) for words in self.lists.values()),
        }
        assert set(BASES) | {PROGRAMS} == set(sizes)
        self.addresses: dict[int, int] = {}
        self._strides: dict[int, int] = {}
        self.memory_bytes = 0
        for base, size in sizes.items():
            self.addresses[base] = self.memory_bytes
            whole = -(-size // ALIGNMENT) * ALIGNMENT
            self._strides[base] = whole
            self.memory_bytes += (HALVES if base in OF_MICRO_BATCH else 1) * whole
        start = self.device.allocate(self.memory_bytes)
        self.addresses = {base: start + offset for base, offset in self.addresses.items()}
        self._halves = [self._bases(half) for half in range(HALVES)]

    def _load_programs(self) -> None:
        """Lists of instructions to the device, and where the memory that stays is."""
        at, self.calls = 0, {}
        """The word that runs each list."""
        for name, words in self.lists.items():
            count = len(words) // WORD_BYTES
            self.calls[name] = encode(Code.RUN, base=PROGRAMS, offset=at, count=count)
            self._write(Piece(PROGRAMS, at, len(words)), np.frombuffer(words, np.uint8))
            at += len(words)
        sets = [encode(Code.SET, index=base, value=self.addresses[base]) for base in (STATIC, PROGRAMS)]
        self._finish(self._ring(b"".join(sets)))

    def load(self, velocities: Mapping[str, np.ndarray] | None = None) -> None:
        """Parameters, running statistics and ``velocities`` (None: 0) to the device."""
        layout, network = self.layout, self.network
        for name, value in network.parameters.items():
            self._write(layout.parameter(name), value)
        for piece, value in layout.ranges():
            self._write(piece, value)
        for name, value in network.buffers.items():
            self._write(layout.buffers[name], value)
        self._write(layout.velocities, np.zeros(layout.velocities.size, np.uint8))
        for name, value in (velocities or {}).items():
            self._write(self._velocity(name), value)
        self._write(layout.identity, layout.identity_planes())
        self._write(layout.normalisation, np.concatenate([network.factor, network.offset]))

    def fetch(self) -> None:
        """Parameters and running statistics from the device to the network: for checkpoints."""
        for name, value in self.network.parameters.items():
            value[...] = self._floats(self.layout.parameter(name), value.shape)
        for name, value in self.network.buffers.items():
            value[...] = self._floats(self.layout.buffers[name], value.shape)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All arrays, read from the device, and the counters: what `load_state` needs to go on bit for bit.

        The golden `Trainer` has the same state; gradients do not outlive a step.
        """
        self.fetch()
        parameters, buffers = self.network.parameters, self.network.buffers
        velocities = {
            name: self._floats(self._velocity(name), value.shape) for name, value in parameters.items()
        }
        groups = {"parameters": parameters, "buffers": buffers, "velocity": velocities}
        arrays = {
            f"{part}.{name}": held.copy() for part, group in groups.items() for name, held in group.items()
        }
        return arrays, {"step": self.step}

    def load_state(self, arrays: Mapping[str, np.ndarray], counters: Mapping[str, Any]) -> None:
        """Return to a state; raises `ContractError` if it is that of another network."""
        parameters, buffers = self.network.parameters, self.network.buffers
        groups = {"parameters": parameters, "buffers": buffers, "velocity": parameters}
        own = {f"{part}.{name}": held.shape for part, group in groups.items() for name, held in group.items()}
        if {name: value.shape for name, value in arrays.items()} != own:
            raise ContractError("state has other arrays; allowed: those of the same network")
        for part, group in (("parameters", parameters), ("buffers", buffers)):
            for name, value in group.items():
                value[...] = arrays[f"{part}.{name}"]
        self.load({name: np.asarray(arrays[f"velocity.{name}"], np.float32) for name in parameters})
        self.step = int(counters["step"])

    def train_step(self, images: np.ndarray, labels: np.ndarray, bits: tuple[int, int], lr: float) -> Report:
        """One step on byte ``images`` (batch, H, W, C) with ``bits`` (fw, bw)."""
        fw, bw = bits
        if len(images) != self.batch_size:
            raise ContractError(f"images are {len(images)}; allowed: batch-size ({self.batch_size})")
        self._set_bits(fw, bw)
        self._write(self.layout.numbers, np.array([lr], np.float32))
        key = extended(extended(0, "seed", self.seed), "step", self.step)
        self._ring(encode(Code.SET, kind=1, index=0, value=key))
        size = self.micro_batch
        forward, backward = of_step(self.batch_size // size)
        parts = [slice(number * size, (number + 1) * size) for number in range(len(forward))]
        forward, backward = (
            [self.programs.named(name, fw) for name in names] for names in (forward, backward)
        )
        tags = [self._forward(forward[0], 0, images[parts[0]])]
        criterion = SoftmaxCrossEntropy(self.batch_size)
        for number, some in enumerate(parts):
            if number + 1 < len(forward):
                tags.append(self._forward(forward[number + 1], number + 1, images[parts[number + 1]]))
            self._finish(tags[number])
            gradient = criterion.gradient(self._logits(number), labels[some])
            self._write(Piece(GRADIENT, 0, gradient.nbytes), gradient, number)
            of_number = encode(Code.SET, kind=1, index=1, value=number)
            done = self._ring(self._halves[number % HALVES] + of_number + self.calls[backward[number]])
        report = Report(self.step, fw, bw, criterion.loss(), criterion.correct())
        self._finish(done)
        self.step += 1
        return report

    def evaluate(self, images: np.ndarray, labels: np.ndarray, bits: int) -> float:
        """Accuracy (0 .. 1) by the running statistics; the last images are filled up with black ones."""
        self._set_bits(bits, bits)
        self._ring(self.calls[PREPARE])
        starts = range(0, len(images), self.micro_batch)
        waiting: list[int] = []
        hits = 0
        for number in range(len(starts) + 1):
            if number < len(starts):
                some = images[starts[number] :][: self.micro_batch]
                whole = np.pad(some, ((0, self.micro_batch - len(some)), (0, 0), (0, 0), (0, 0)))
                waiting.append(self._forward(EVALUATE, number, whole))
            if number:
                self._finish(waiting[number - 1])
                of_these = labels[starts[number - 1] :][: self.micro_batch]
                hits += correct(self._logits(number - 1)[: len(of_these)], of_these)
        return hits / len(images)

    def _forward(self, name: str, number: int, images: np.ndarray) -> int:
        """Images of micro-batch ``number`` to their half, and the list ``name``; the tag of its end."""
        self._write(self.layout.images_piece, self._tiles(images), number)
        return self._ring(self._halves[number % HALVES] + self.calls[name])

    def _logits(self, number: int) -> np.ndarray:
        classes = self.network.parameters["classifier.bias"].size
        piece = Piece(LOGITS, 0, 4 * self.micro_batch * classes)
        return self._floats(piece, (self.micro_batch, classes), number)

    def _velocity(self, name: str) -> Piece:
        return self.layout.beside(self.layout.velocities, self.layout.parameter(name))

    def _set_bits(self, fw: int, bw: int) -> None:
        if max(fw, bw) > self.layout.widest:
            raise ContractError(
                f"bits are {fw} x {bw}; allowed: at most {self.layout.widest}, as compiled for"
            )
        self.device.set_slots(precision_slots(self.network, fw, bw))

    def _bases(self, half: int) -> bytes:
        """Words that set the base registers of a micro-batch."""
        return b"".join(
            encode(Code.SET, index=base, value=self._address(Piece(base, 0, 0), half))
            for base in OF_MICRO_BATCH
        )

    def _ring(self, words: bytes) -> int:
        """Queue words and an END; its tag."""
        self._tag = (self._tag + 1) % _TAGS
        self.device.ring(words + encode(Code.END, tag=self._tag))
        return self._tag

    def _finish(self, tag: int) -> None:
        self.device.wait(tag)

    def _tiles(self, images: np.ndarray) -> np.ndarray:
        """Bytes as the machine reads them: [image][tile][channel][lane]."""
        picture = self.layout.image_codes.layout.picture
        count, height, width, channels = images.shape
        down, rows = picture.tiles // picture.strips, picture.tile_rows
        bottom, right = down * rows - height, picture.strips * picture.pitch - width
        if bottom or right:
            images = np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)))
        split = images.reshape(count, down, rows, picture.strips, picture.pitch, channels)
        return np.ascontiguousarray(split.transpose(0, 1, 3, 5, 2, 4))

    def _address(self, piece: Piece, number: int = 0) -> int:
        """Of a piece; ``number``: of its micro-batch."""
        return self.addresses[piece.base] + number % HALVES * self._strides[piece.base] + piece.offset

    def _write(self, piece: Piece, values: np.ndarray, number: int = 0) -> None:
        self.device.write(self._address(piece, number), values)

    def _floats(self, piece: Piece, shape: tuple[int, ...], number: int = 0) -> np.ndarray:
        read = self.device.read(self._address(piece, number), piece.size)
        return read.view(np.float32).reshape(shape)
