"""Training with whole steps on the fabric: the host writes images, rings, turns logits into their gradient.

No activation, error, weight or gradient passes the host, but for the parameters at the start and whenever
they are asked for (checkpoints).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cpt.host.compiler.memory import BASES, BATCH, GRADIENT, IMAGES, LOGITS, STATIC, Piece
from cpt.host.compiler.network import compiled
from cpt.host.compiler.plan import ERROR_SLOT, IMAGE_SLOT
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import WORD_BYTES, Code, encode
from cpt.model.golden.fabric.codes import image_bits
from cpt.model.golden.fabric.network import Network
from cpt.model.golden.fabric.trainer import Report
from cpt.model.loss import correct, softmax_cross_entropy
from cpt.model.noise import extended

PROGRAMS = 5
"""Base register of the lists of instructions."""
ALIGNMENT = 4096
"""Bytes: where the memory behind a base register starts."""


class Device(Protocol):
    """What trains: memory, precision slots, and a ring that takes instruction words."""

    def write(self, address: int, values: np.ndarray) -> None:
        """Bytes of ``values`` to memory."""

    def read(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes of memory: uint8."""

    def set_slot(self, slot: int, bits: int, signed: bool) -> None:
        """Bits and sign of the codes of a precision slot."""

    def ring(self, words: bytes) -> None:
        """Execute words and wait for their end."""


class FabricTrainer:
    """A network in training on a device.

    ``batch_size`` is a whole number of micro-batches. Raises `ContractError` for a network, or a
    micro-batch, that the device does not take.
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
    ) -> None:
        self.device, self.network, self.seed, self.step = device, network, seed, 0
        self.batch_size, self.micro_batch = batch_size, micro_batch
        programs = compiled(
            config,
            network,
            images=micro_batch,
            micro_batches=batch_size // micro_batch,
            scratch_words=scratch_words,
            momentum=momentum,
            decay=weight_decay,
        )
        self.layout = programs.layout
        self.lists = {
            name: getattr(programs, name) for name in ("prepare", "forward", "backward", "update", "evaluate")
        }
        self._place()
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
        self.addresses, self.memory_bytes = {}, 0
        for base, size in sizes.items():
            self.addresses[base] = self.memory_bytes
            self.memory_bytes += -(-size // ALIGNMENT) * ALIGNMENT

    def load(self) -> None:
        """Programs, parameters, running statistics and velocities (0) to the device."""
        at, self._offsets = 0, {}
        for name, words in self.lists.items():
            self._offsets[name] = at
            self._write(Piece(PROGRAMS, at, len(words)), np.frombuffer(words, np.uint8))
            at += len(words)
        layout, network = self.layout, self.network
        for name, value in network.parameters.items():
            self._write(layout.parameter(name), value)
        for name, value in network.buffers.items():
            self._write(layout.buffers[name], value)
        for array in (layout.gradients, layout.velocities):
            self._write(array, np.zeros(array.size, np.uint8))
        self._write(layout.normalisation, np.concatenate([network.factor, network.offset]))
        for base, address in self.addresses.items():
            self.device.ring(encode(Code.SET, index=base, value=address))

    def fetch(self) -> None:
        """Parameters and running statistics from the device to the network: for checkpoints."""
        for name, value in self.network.parameters.items():
            value[...] = self._read(self.layout.parameter(name)).view(np.float32).reshape(value.shape)
        for name, value in self.network.buffers.items():
            value[...] = self._read(self.layout.buffers[name]).view(np.float32).reshape(value.shape)

    def train_step(self, images: np.ndarray, labels: np.ndarray, bits: tuple[int, int], lr: float) -> Report:
        """One step on byte ``images`` (batch, H, W, C) with ``bits`` (fw, bw)."""
        fw, bw = bits
        self._set_bits(fw, bw)
        key = extended(extended(0, "seed", self.seed), "step", self.step)
        self.device.ring(encode(Code.SET, kind=1, index=0, value=key) + self._call("prepare"))
        loss, hits = 0.0, 0
        for number in range(self.batch_size // self.micro_batch):
            some = slice(number * self.micro_batch, (number + 1) * self.micro_batch)
            self._write(self.layout.images_piece, self._tiles(images[some]))
            self.device.ring(encode(Code.SET, kind=1, index=1, value=number) + self._call("forward"))
            logits = self._logits()
            share, gradient = softmax_cross_entropy(logits, labels[some], self.batch_size)
            self._write(Piece(GRADIENT, 0, gradient.nbytes), gradient)
            self.device.ring(self._call("backward"))
            loss, hits = loss + share, hits + correct(logits, labels[some])
        self._write(self.layout.numbers, np.array([lr], np.float32))
        self.device.ring(self._call("update"))
        self.step += 1
        return Report(self.step - 1, fw, bw, loss, hits)

    def evaluate(self, images: np.ndarray, labels: np.ndarray, bits: int) -> float:
        """Accuracy (0 .. 1) by the running statistics; the last images are filled up with black ones."""
        self._set_bits(bits, bits)
        self.device.ring(self._call("prepare"))
        hits = 0
        for start in range(0, len(images), self.micro_batch):
            some = images[start : start + self.micro_batch]
            missing = self.micro_batch - len(some)
            whole = np.pad(some, ((0, missing), (0, 0), (0, 0), (0, 0)))
            self._write(self.layout.images_piece, self._tiles(whole))
            self.device.ring(self._call("evaluate"))
            hits += correct(self._logits()[: len(some)], labels[start : start + len(some)])
        return hits / len(images)

    def _logits(self) -> np.ndarray:
        classes = self.network.parameters["classifier.bias"].size
        words = self._read(Piece(LOGITS, 0, 4 * self.micro_batch * classes))
        return words.view(np.float32).reshape(-1, classes)

    def _set_bits(self, fw: int, bw: int) -> None:
        for slot in range(max(layer.index for layer in self.network.layers) + 2):
            self.device.set_slot(slot, fw, False)
        self.device.set_slot(IMAGE_SLOT, image_bits(fw), True)
        self.device.set_slot(ERROR_SLOT, bw, True)

    def _call(self, name: str) -> bytes:
        count = len(self.lists[name]) // WORD_BYTES
        return encode(Code.RUN, base=PROGRAMS, offset=self._offsets[name], count=count) + encode(Code.END)

    def _tiles(self, images: np.ndarray) -> np.ndarray:
        """Bytes as the machine reads them: [image][tile][channel][lane]."""
        picture = self.layout.image_codes.layout.picture
        count, height, width, channels = images.shape
        down, rows = picture.tiles // picture.strips, picture.tile_rows
        whole = np.zeros((count, down * rows, picture.strips * picture.pitch, channels), np.uint8)
        whole[:, :height, :width] = images
        split = whole.reshape(count, down, rows, picture.strips, picture.pitch, channels)
        return np.ascontiguousarray(split.transpose(0, 1, 3, 5, 2, 4))

    def _write(self, piece: Piece, values: np.ndarray) -> None:
        self.device.write(self.addresses[piece.base] + piece.offset, values)

    def _read(self, piece: Piece) -> np.ndarray:
        return self.device.read(self.addresses[piece.base] + piece.offset, piece.size)
