"""Tensors to fetch, shared by tests and benches of the fetch: words of memory, and windows that must come."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, TAPS
from cpt.hw.contract.tiles import (
    PIECES,
    STREAM_BYTES,
    STRIP_COLUMNS,
    CodesLayout,
    Picture,
    PixelLayout,
    WindowLayout,
)
from cpt.hw.fetch.command import (
    MOST_OUT_STRIPS,
    codes_walk,
    fetch_pixels,
    fetch_windows,
    first_row,
    load_errors,
    payload,
)
from cpt.hw.fetch.window_memory import write_parts
from cpt.sim.fast.codes import pack_codes
from cpt.sim.fast.windows import columns_inside, pixel_words, row_words, window_words


def stream_words(data: bytes) -> list[int]:
    """Words of the memory stream."""
    starts = range(0, len(data), STREAM_BYTES)
    return [int.from_bytes(data[n : n + STREAM_BYTES], "little") for n in starts]


@dataclass(frozen=True)
class Shape:
    """A tensor and a kernel."""

    height: int
    width: int
    channels: int
    kernel: int
    stride: int
    bits: int
    images: int = 2
    room: int = 0
    """Planes that memory has beyond ``bits``."""
    odd: int | None = None
    """Spread by two: rows and columns of outputs are twice those of the source, less so many (0 or 1)."""

    @classmethod
    def random(cls, config: ArrayConfig) -> Shape:
        """One that a test can afford and the fetch can do."""
        kernel, stride = random.choice((1, 3)), random.choice((1, 2))
        strips = config.cols >= STRIP_COLUMNS
        odd = random.choice((0, 1)) if stride == 1 and random.random() < 0.5 else None
        widest = config.cols
        if odd is not None:
            widest = config.cols if strips else config.cols // 2
        elif strips:
            widest = random.choice((1, 4 - stride)) * config.cols
        groups = random.choice((1, 3) if kernel == 3 else (2, 11))
        shape = cls(
            height=random.randint(1, 12),
            width=random.randint(1, widest),
            channels=random.randint(1, groups * config.group_channels),
            kernel=kernel,
            stride=stride,
            bits=random.randint(1, 8),
            images=random.randint(1, 3),
            room=random.randint(0, 3),
            odd=odd,
        )
        layout = shape.layout(config)
        most = config.b_depth_words // (layout.fewest_slots * layout.ksteps)
        return shape if shape.bits <= most else cls.random(config)

    def layout(self, config: ArrayConfig) -> WindowLayout:
        """What the memories hold of it."""
        source = Picture(config, self.height, self.width)
        spread = () if self.odd is None else (2 * self.height - self.odd, 2 * self.width - self.odd)
        return WindowLayout(source, self.channels, self.kernel, self.stride, spread)


@dataclass(frozen=True)
class WindowFetch:
    """Its command and walk, the bytes of its runs, and what EXEC must find."""

    command: dict[str, int]
    walk: dict[str, int]
    runs: list[tuple[int, bytes]]
    """Address and contents of each, in order."""
    words: NDArray[np.object_]
    """``(tiles, slot words, columns)`` integers."""
    inside: NDArray[np.bool_]
    """``(tiles, columns)``."""

    def stream(self) -> list[int]:
        """Words of the memory stream."""
        return stream_words(b"".join(item for _, item in self.runs))

    def beats(self) -> list[tuple[int, int]]:
        """Address and beats of each run."""
        return [(address, len(item) // BEAT_BYTES) for address, item in self.runs]


def drawn_fetch(config: ArrayConfig, shape: Shape, rng: np.random.Generator, base: int = 0) -> WindowFetch:
    """Random codes of a shape, in memory from ``base`` on."""
    layout = shape.layout(config)
    codes = rng.integers(0, 1 << shape.bits, (shape.images, shape.channels, shape.height, shape.width))
    place = CodesLayout(layout.source, shape.channels, shape.bits + shape.room)
    memory = pack_codes(place, codes, shape.bits).tobytes()
    size = -(-shape.bits * place.plane_bytes // STREAM_BYTES) * STREAM_BYTES
    starts = range(0, shape.images * place.image_stride, place.group_stride)
    found = window_words(layout, codes, shape.bits)
    packed = np.packbits(found, axis=-1, bitorder="little").reshape(-1, -(-config.word_bits // 8))
    words = np.array([int.from_bytes(item.tobytes(), "little") for item in packed], dtype=object)
    outputs = layout.output.tiles
    return WindowFetch(
        fetch_windows(layout, shape.images, shape.bits),
        codes_walk(place, shape.images, shape.bits, base),
        [(base + start, memory[start : start + size]) for start in starts],
        words.reshape(shape.images * outputs, -1, config.cols),
        np.tile(columns_inside(layout.output), (shape.images, 1)),
    )


def widest_strips(config: ArrayConfig, stride: int) -> int:
    """Strips of a picture along K, at most."""
    return 1 if config.cols < STRIP_COLUMNS else stride * MOST_OUT_STRIPS


def rows_along(layout: CodesLayout, memory: NDArray[np.uint8], first: int, down: int) -> bytes:
    """What runs of dW hold of ``down`` rows of tiles from ``first`` on, of all images in ``memory``: whole
    groups, or, where rows are strips, of each plane all strips."""
    strips = layout.picture.strips
    rows = layout.picture.tiles // strips
    tiles = memory.reshape(-1, rows, strips, layout.groups, layout.group_stride)[:, first : first + down]
    if strips == 1:
        return tiles.tobytes()
    planes = tiles.reshape(*tiles.shape[:-1], layout.max_bits, layout.plane_bytes)
    return np.moveaxis(planes, 2, 4).tobytes()


@dataclass(frozen=True)
class PixelShape:
    """A tensor whose pixels go along K: one or two groups of channels."""

    height: int
    width: int
    stride: int
    groups: int
    bits: int
    images: int
    chunks: int = 1
    """That a set is cut into, at most."""

    @classmethod
    def random(cls, config: ArrayConfig) -> PixelShape:
        """One that a test can afford and the fetch can do."""
        stride, bits = random.choice((1, 2)), random.randint(1, 6)
        width = random.randint(1, random.choice((1, widest_strips(config, stride))) * config.cols)
        most = config.b_depth_words // (3 * bits) - 2
        height = random.randint(1, min(most, 9))
        one_row = Picture(config, height, width).tile_rows == 1
        chunks = random.randint(1, -(-height // stride)) if one_row else 1
        return cls(height, width, stride, random.choice((1, 2)), bits, random.randint(1, 10), chunks)

    def layout(self, config: ArrayConfig) -> PixelLayout:
        """What the memories hold of it."""
        rows = -(-self.height // self.stride)
        return PixelLayout(Picture(config, self.height, self.width), self.stride, -(-rows // self.chunks))


@dataclass(frozen=True)
class PixelFetch:
    """A command for each chunk, the words of the memory stream, and what EXEC must find."""

    commands: list[dict[str, int]]
    stream: list[int]
    words: NDArray[np.object_]
    """``(slots, slot words, columns)`` integers."""
    mask: int
    """Bits of a word that are said."""


def drawn_pixels(config: ArrayConfig, shape: PixelShape, rng: np.random.Generator) -> PixelFetch:
    """Random codes of a shape."""
    layout, group = shape.layout(config), config.group_channels
    channels, bits = shape.groups * group, shape.bits
    codes = rng.integers(0, 1 << bits, (shape.images, channels, shape.height, shape.width))
    chunks = range(layout.chunks)
    commands = [fetch_pixels(layout, shape.groups, shape.images, bits, chunk) for chunk in chunks]
    starts = [first_row(layout, chunk) for chunk in chunks]
    place = CodesLayout(layout.source, channels, bits)
    memory = pack_codes(place, codes, bits)
    parts = [
        rows_along(place, memory, start, command["down"])
        for start, command in zip(starts, commands, strict=True)
    ]
    halves = [pixel_words(layout, part, bits) for part in (codes[:, :group], codes[:, -group:])]
    found = np.concatenate(halves, axis=3).swapaxes(0, 1)  # (chunk, set, word, column, bit)
    packed = np.packbits(found, axis=-1, bitorder="little").reshape(-1, -(-config.word_bits // 8))
    words = np.array([int.from_bytes(item.tobytes(), "little") for item in packed], dtype=object)
    inside = np.arange(8 * group) % layout.output.span < layout.output.width
    return PixelFetch(
        commands,
        stream_words(b"".join(parts)),
        words.reshape(-1, found.shape[2], config.cols),
        sum(1 << n for n in np.flatnonzero(inside).tolist()),
    )


@dataclass(frozen=True)
class ErrorShape:
    """Errors of a dW product: at most one set of images."""

    height: int
    width: int
    groups: int
    bits: int
    images: int
    chunks: int = 1
    """That the rows are cut into, at most."""

    @classmethod
    def random(cls, config: ArrayConfig) -> ErrorShape:
        """One that a test can afford and half of operand A's buffer holds."""
        width = random.randint(1, random.choice((1, widest_strips(config, 1))) * config.cols)
        bits, groups = random.randint(1, 4), random.randint(1, 3)
        height = random.randint(1, min(config.half_words("a") // (bits * groups), 9))
        picture = Picture(config, height, width)
        chunks = random.randint(1, height) if picture.tile_rows == 1 else 1
        return cls(height, width, groups, bits, random.randint(1, picture.set_images), chunks)


@dataclass(frozen=True)
class ErrorFetch:
    """A command for each chunk, its words of the memory stream, and what the buffer must hold."""

    commands: list[dict[str, int]]
    streams: list[list[int]]
    words: list[NDArray[np.object_]]
    """Of each chunk ``(words, rows of the array)`` integers, of eight ninths of a word."""


def drawn_errors(config: ArrayConfig, shape: ErrorShape, rng: np.random.Generator) -> ErrorFetch:
    """Random codes of a shape."""
    group, bits = config.group_channels, shape.bits
    picture, rows = Picture(config, shape.height, shape.width), -(-shape.height // shape.chunks)
    codes = rng.integers(0, 1 << bits, (shape.images, shape.groups * group, shape.height, shape.width))
    place = CodesLayout(picture, shape.groups * group, bits)
    memory = pack_codes(place, codes, bits)
    found = [
        row_words(picture, rows, codes[:, first : first + group], bits)[0]
        for first in range(0, shape.groups * group, group)
    ]
    commands, streams, words = [], [], []
    for chunk in range(-(-shape.height // rows)):
        command = load_errors(picture, rows, shape.groups, shape.images, bits, chunk)
        first = chunk * rows // picture.tile_rows
        commands.append(command)
        streams.append(stream_words(rows_along(place, memory, first, command["down"])))
        kept = [
            item[chunk]
            .reshape(bits, rows, group, -1)[:, : command["slot_rows"]]
            .reshape(-1, config.word_bits)
            for item in found
        ]
        packed = np.packbits(np.concatenate(kept), axis=-1, bitorder="little")
        whole = [int.from_bytes(item.tobytes(), "little") for item in packed]
        words.append(np.array(whole, dtype=object).reshape(-1, group))
    return ErrorFetch(commands, streams, words)


class ErrorBuffer:
    """Operand A's buffer as `cpt.hw.fetch.errors` writes it."""

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        self.words = np.zeros((config.a_depth_words, config.rows), dtype=object)
        self.words[:] = (1 << config.word_bits) - 1

    def write(self, addr: int, piece: int, parts: int, data: list[int]) -> None:
        """A write: ``data`` by row of the array into every ninth of ``piece``, in some ``parts`` of it."""
        group = self.config.group_channels
        size = group // write_parts(self.config)
        mask = sum(((1 << size) - 1) << size * n for n in range(group // size) if parts >> n & 1)
        for ninth in range(TAPS):
            if piece >> ninth & 1:
                place = ninth * group
                for row, value in enumerate(data):
                    kept = self.words[addr, row] & ~(mask << place)
                    self.words[addr, row] = kept | (value & mask) << place

    def block(self, base: int, words: int) -> NDArray[np.object_]:
        """Eight ninths of ``words`` words from ``base`` on, of every row of the array."""
        mask = (1 << PIECES * self.config.group_channels) - 1
        return np.array(self.words[base : base + words] & mask, dtype=object)


@dataclass(frozen=True)
class Job:
    """What a fetch of either kind is told, gets, and must leave."""

    commands: list[dict[str, Any]]
    stream: list[int]
    words: list[NDArray[np.object_]]
    """Of each slot ``(words, columns)`` integers."""
    said: list[NDArray[np.object_]]
    """Of each slot, by column, the bits that are said; none outside of the image."""
    places: list[tuple[int, int]]
    """Of each slot its number since its command began, and its words."""


def drawn_job(config: ArrayConfig, shape: Shape | PixelShape, rng: np.random.Generator) -> Job:
    """Random codes of a shape."""
    if isinstance(shape, Shape):
        fetch = drawn_fetch(config, shape, rng)
        whole = (1 << config.word_bits) - 1
        said = [np.array([whole * int(inside) for inside in tile], dtype=object) for tile in fetch.inside]
        places = [(slot, fetch.command["words"]) for slot in range(len(said))]
        return Job([payload(fetch.command)], fetch.stream(), list(fetch.words), said, places)
    pixels = drawn_pixels(config, shape, rng)
    all_columns = np.array([pixels.mask] * config.cols, dtype=object)
    sets = len(pixels.words) // len(pixels.commands)
    places = [(number, command["words"]) for command in pixels.commands for number in range(sets)]
    commands = [payload(command) for command in pixels.commands]
    return Job(commands, pixels.stream, list(pixels.words), [all_columns] * len(pixels.words), places)
