"""Load, fetch and exec: from codes in memory to exact products and column sums."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cpt.hw.contract.config import TAPS, require
from cpt.hw.contract.passes import Kernel, Sampling, gradient_tiles
from cpt.hw.contract.step import Word
from cpt.hw.contract.tiles import CodesLayout, Picture, PixelLayout
from cpt.model.golden.gemm import int_matmul
from cpt.sim.step.codes import codes_bytes, planes_weight, read_codes
from cpt.sim.step.state import State


@dataclass
class Windows:
    """What a FETCH left: windows (images, OH, OW, taps, channels) of codes."""

    codes: np.ndarray
    kernel: Kernel


@dataclass
class Chunk:
    """Operands of a dW product: codes (pixels, channels) and, of inputs, (pixels, taps, channels)."""

    codes: np.ndarray


@dataclass
class Result:
    """A product that waits for its drains, of ``tiles`` tiles of pixels; ``more`` gives its next images, as
    the windows of one FETCH after the other are multiplied.

    Images are products, int64 (images, OH, OW, rows), and column sums (images, OH, OW), or (images, OH, OW,
    rows) where each tile of rows has its own.
    """

    tiles: int
    more: Iterator[tuple[np.ndarray, np.ndarray]]
    parts: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    """That no drain took."""

    @property
    def images(self) -> int:
        """How many are there."""
        return sum(len(sums) for _, sums in self.parts)

    def take(self, images: int, tiles: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``images``, of so many ``tiles`` each."""
        require(
            images * tiles <= self.tiles,
            f"DRAIN takes {images * tiles} tiles of a product; allowed: {self.tiles}",
        )
        while self.images < images:
            self.parts.append(next(self.more))
        values, sums = (np.concatenate(each) for each in zip(*self.parts, strict=True))
        self.parts = [(values[images:], sums[images:])]
        self.tiles -= images * tiles
        return values[:images], sums[:images]


class Products:
    """The matrix unit and its loads, each command at once; blocks and results wait in order."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.blocks: deque[np.ndarray] = deque()
        self.windows: deque[Windows] = deque()
        self.results: deque[Result] = deque()
        self.errors: deque[Chunk] = deque()
        self.inputs: deque[Chunk] = deque()
        self.gradients: deque[np.ndarray] = deque()

    @property
    def images(self) -> int:
        """How many a drain may take, of the oldest result and those behind it."""
        return sum(result.images for result in self.results) + sum(len(each.codes) for each in self.windows)

    def load_weights(self, word: Word) -> None:
        """LOAD_A: rows of weights, int64 (rows, ksteps, word bits)."""
        state, bits = self.state, self.state.slots[word.slot].bits
        self._require_room(word.tiles * word.ksteps * bits)
        step = state.config.group_bytes("a")
        first = state.address(word)
        planes = np.empty((word.tiles, bits, word.ksteps, step), np.uint8)
        for tile in range(word.tiles):
            for plane in range(bits):
                at = first + tile * word.tile_stride + plane * word.plane_stride
                planes[tile, plane] = state.readable(at, word.ksteps * step).reshape(word.ksteps, step)
        self.blocks.append(planes_weight(planes, state.config.rows, state.config.word_bits))

    def fetch(self, word: Word) -> None:
        """FETCH: windows of every output pixel."""
        codes = self._codes(word)
        kernel, sampling = Kernel(word.kernel), Sampling(word.sampling)
        windows = _windows(codes, kernel, sampling, word.pad, word.out_height, word.out_width)
        self.windows.append(Windows(windows, kernel))

    def execute(self, word: Word) -> None:
        """EXEC: every tile of rows times every tile of pixels, as drains ask for them."""
        self.results.append(Result(word.tiles, self._multiplied(word, self.blocks.popleft())))

    def _multiplied(self, word: Word, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The images of one FETCH after the other, until an EXEC's tiles are done."""
        left = word.tiles
        while left:
            require(bool(self.windows), f"EXEC takes {left} tiles that no FETCH has left; allowed: 0")
            windows = self.windows.popleft()
            images, height, width, _, _ = windows.codes.shape
            tiles = images * Picture(self.state.config, height, width).tiles
            require(tiles <= left, f"EXEC takes {left} tiles of the {tiles} of a FETCH; allowed: all")
            left -= tiles
            yield self._product(word, rows, windows)

    def _product(self, word: Word, rows: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Windows of a FETCH times rows of weights."""
        images, height, width, taps, channels = windows.codes.shape
        group = self.state.group
        split = rows.reshape(len(rows), word.ksteps, TAPS, group)
        if windows.kernel is Kernel.THREE:
            wanted = split.transpose(0, 2, 1, 3).reshape(len(rows), TAPS * word.ksteps * group)
        else:
            wanted = split.reshape(len(rows), -1)[:, :channels]
        if word.own:
            return self._own(word, split, windows.codes)
        columns = windows.codes.reshape(images * height * width, taps * channels)
        values = int_matmul(columns, wanted).reshape(images, height, width, len(rows))
        return values, columns.sum(1, dtype=np.int64).reshape(images, height, width)

    def _own(self, word: Word, rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each tile of ``rows`` (rows, K steps, taps, channels) times the K step that is its own."""
        group, shape = self.state.group, codes.shape[:3]
        require(
            word.ksteps == 1 and word.a_tiles == codes.shape[4] // group,
            f"EXEC takes {word.ksteps} of {word.a_tiles} K steps, of each tile of rows its own; "
            f"allowed: 1 of {codes.shape[4] // group}",
        )
        values, sums = [], []
        for tile in range(word.a_tiles):
            first = tile * group
            columns = codes[..., first : first + group].reshape(-1, codes.shape[3] * group)
            wanted = rows[tile * group : (tile + 1) * group].reshape(group, -1)
            values.append(int_matmul(columns, wanted).reshape(*shape, group))
            total = columns.sum(1, dtype=np.int64).reshape(*shape, 1)
            sums.append(np.repeat(total, group, axis=3))
        return np.concatenate(values, 3), np.concatenate(sums, 3)

    def load_errors(self, word: Word) -> None:
        """LOAD_E: a chunk of error codes, (images, rows, pixels, channels)."""
        self._require_room(word.rows * word.groups * self.state.slots[word.slot].bits)
        self.errors.append(Chunk(self._chunk(word, self._codes(word), 1)))

    def fetch_inputs(self, word: Word) -> None:
        """FETCH_X: the inputs' windows of a chunk, (images, rows, pixels, taps, channels)."""
        codes = self._codes(word)
        kernel, sampling = Kernel(word.kernel), Sampling(word.sampling)
        step = 2 if sampling is Sampling.STRIDE else 1
        size = 3 if kernel is Kernel.THREE else 1
        down = (word.height + 2 * word.pad - size) // step + 1
        across = (word.width + 2 * word.pad - size) // step + 1
        whole = _windows(codes, kernel, sampling, word.pad, down, across)
        self.inputs.append(Chunk(self._chunk(word, whole, step)))

    def execute_gradient(self, word: Word) -> None:
        """EXEC_DW: result tiles of a chunk, (tiles of rows, rows, columns) of each column of tiles."""
        errors, inputs = self.errors.popleft().codes, self.inputs.popleft().codes
        group, taps = self.state.group, inputs.shape[-2]
        outputs = errors.reshape(-1, errors.shape[-1]).T
        columns = inputs.reshape(-1, taps * inputs.shape[-1])
        product = int_matmul(np.ascontiguousarray(outputs), np.ascontiguousarray(columns.T))
        split = product.reshape(word.a_tiles, group, taps, word.groups, group)
        for first, second in gradient_tiles(taps, word.groups):
            halves = [np.zeros((word.a_tiles, group, group), np.int64) for _ in range(2)]
            for half, place in zip(halves, (first, second), strict=True):
                if place is not None:
                    half[:] = split[:, :, place[0], place[1]]
            self.gradients.append(np.concatenate(halves, axis=-1))

    def _require_room(self, words: int) -> None:
        """Raise `ContractError` unless half of operand A's buffer holds a block of so many words."""
        half = self.state.config.half_words("a")
        require(words <= half, f"words of a block of operand A are {words}; allowed: at most {half}")

    def _codes(self, word: Word) -> np.ndarray:
        state, slot = self.state, self.state.slots[word.slot]
        picture = Picture(state.config, word.height, word.width)
        require(
            picture.pitch == 1 << word.pitch_log2,
            f"{word.code.name} has pitch {1 << word.pitch_log2}; allowed of {word.width}: {picture.pitch}",
        )
        layout = CodesLayout(picture, word.groups * state.group, word.planes)
        groups = word.values.get("all_groups", 0)
        memory = state.readable(state.address(word), codes_bytes(layout, word.images, groups))
        return read_codes(memory, 0, layout, word.images, slot.bits, slot.signed, groups)

    def _chunk(self, word: Word, values: np.ndarray, stride: int) -> np.ndarray:
        """A word's images and rows of ``values`` (images, rows, ...), which are sampled by ``stride``."""
        source = Picture(self.state.config, word.height, word.width)
        together = PixelLayout(source, stride, -(-source.height // stride)).images
        first = word.image_group * together
        return values[first : first + together, word.row : word.row + word.rows]


def _windows(
    codes: np.ndarray, kernel: Kernel, sampling: Sampling, pad: int, height: int, width: int
) -> np.ndarray:
    """(N, H, W, C) as windows (N, height, width, taps, C); 0 outside, and between pixels of SPREAD."""
    size = 3 if kernel is Kernel.THREE else 1
    images, rows, across, channels = codes.shape
    if sampling is Sampling.SPREAD:
        spread = np.zeros((images, 2 * rows - 1, 2 * across - 1, channels), codes.dtype)
        spread[:, ::2, ::2] = codes
        codes = spread
    step = 2 if sampling is Sampling.STRIDE else 1
    behind_y = max(step * (height - 1) + size - pad - codes.shape[1], 0)
    behind_x = max(step * (width - 1) + size - pad - codes.shape[2], 0)
    padded = np.pad(codes, ((0, 0), (pad, behind_y), (pad, behind_x), (0, 0)))
    parts = [
        padded[:, y : y + step * (height - 1) + 1 : step, x : x + step * (width - 1) + 1 : step]
        for y in range(size)
        for x in range(size)
    ]
    return np.stack(parts, axis=3)
