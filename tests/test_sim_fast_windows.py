"""Codes in memory, window words and pixel words: their products are the passes of a convolution."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.tiles import CodesLayout, Picture, PixelLayout, WindowLayout
from cpt.sim.fast.codes import from_tiles, in_tiles, pack_codes, unpack_codes
from cpt.sim.fast.windows import columns_inside, pixel_words, row_words, window_words

TINY, MIDDLE, LARGE = preset("tiny"), preset("middle"), preset("zc706")
SHAPES = [
    (TINY, 8, 8),
    (TINY, 5, 6),
    (TINY, 6, 21),
    (MIDDLE, 9, 12),
    (LARGE, 8, 8),
    (LARGE, 7, 14),
    (LARGE, 3, 40),
]
Codes = NDArray[np.int64]


def drawn(seed: int, images: int, channels: int, height: int, width: int, bits: int, signed: bool) -> Codes:
    low = -(1 << bits - 1) if signed else 0
    return np.random.default_rng(seed).integers(low, low + (1 << bits), (images, channels, height, width))


def value(words: NDArray[np.uint8], bits: int, signed: bool, axis: int) -> NDArray[np.int64]:
    """Codes of planes along ``axis``."""
    weights = np.left_shift(1, np.arange(bits, dtype=np.int64))
    weights[-1] *= -1 if signed else 1
    return np.tensordot(weights, np.moveaxis(words, axis, 0).astype(np.int64), 1)


def convolved(codes: Codes, weights: Codes, stride: int) -> Codes:
    """A plain convolution, padded by half the kernel: (N, Ci, H, W) with (Co, Ci, k, k)."""
    kernel = weights.shape[-1]
    height, width = (-(-size // stride) for size in codes.shape[2:])
    padded = np.pad(codes, [(0, 0), (0, 0), (kernel // 2, kernel), (kernel // 2, kernel)])
    out = np.zeros((len(codes), len(weights), height, width), np.int64)
    for ky in range(kernel):
        for kx in range(kernel):
            rows = slice(ky, ky + stride * height, stride)
            taken = padded[:, :, rows, kx : kx + stride * width : stride]
            out += np.einsum("nchw,oc->nohw", taken, weights[:, :, ky, kx])
    return out


@pytest.mark.parametrize(("config", "height", "width"), SHAPES)
def test_packed_codes_lie_where_the_contract_says_and_come_back(config, height, width):
    layout = CodesLayout(Picture(config, height, width), 2 * config.group_channels - 1, 5)
    codes = drawn(1, 2, layout.channels, height, width, 4, signed=True)
    memory = pack_codes(layout, codes, 4)
    assert memory.size == 2 * layout.image_stride
    for image, channel, y, x, plane in np.random.default_rng(2).integers(
        0, (2, *codes.shape[1:], 4), (50, 5)
    ):
        byte, bit = layout.place(image, channel, y, x, plane)
        assert memory[byte] >> bit & 1 == codes[image, channel, y, x] >> plane & 1
    assert (unpack_codes(layout, memory, 2, 4, signed=True) == codes).all()
    assert int(np.unpackbits(memory).sum()) == sum(int((codes >> plane & 1).sum()) for plane in range(4))


@pytest.mark.parametrize(("config", "height", "width"), SHAPES)
def test_pixels_come_back_from_tiles(config, height, width):
    picture = Picture(config, height, width)
    values = np.arange(height * width).reshape(height, width)
    tiles = in_tiles(picture, values)
    assert tiles.shape == (picture.tiles, config.cols)
    assert (from_tiles(picture, tiles) == values).all()
    for y, x in ((0, 0), (height - 1, width - 1), (height // 2, width // 2)):
        assert tiles[picture.place(y, x)] == values[y, x]


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize(("config", "height", "width"), SHAPES)
def test_window_words_times_weights_are_a_convolution(config, height, width, kernel, stride):
    group, bits = config.group_channels, 3
    groups = 2 if kernel == 3 else 10
    layout = WindowLayout(Picture(config, height, width), groups * group - 1, kernel, stride)
    codes = drawn(3, 2, layout.channels, height, width, bits, signed=False)
    weights = drawn(4, 3, layout.channels, kernel, kernel, 4, signed=True)
    words = window_words(layout, codes, bits)
    assert words.shape == (2, layout.output.tiles, layout.slot_words(bits), config.cols, config.word_bits)
    windows = value(
        words.reshape(2, layout.output.tiles, bits, layout.ksteps, config.cols, -1), bits, False, 2
    )

    padded = np.zeros((3, layout.ksteps * 9 // kernel**2 * group, kernel, kernel), np.int64)
    padded[:, : layout.channels] = weights
    if kernel == 3:
        rows = padded.reshape(3, layout.ksteps, group, 9).transpose(0, 1, 3, 2)
    else:
        rows = padded.reshape(3, layout.ksteps, 9, group)
    products = np.einsum("ntkcb,okb->notc", windows, rows.reshape(3, layout.ksteps, -1))
    assert (from_tiles(layout.output, products) == convolved(codes, weights, stride)).all()
    assert not products[:, :, ~columns_inside(layout.output)].any()


@pytest.mark.parametrize("kernel", [3, 1])
@pytest.mark.parametrize(("config", "height", "width"), SHAPES)
def test_window_words_of_a_spread_picture_are_those_of_one_with_zeros(config, height, width, kernel):
    codes = drawn(7, 2, 5, height, width, 3, signed=False)
    for sizes in ((2 * height, 2 * width - 1), (2 * height - 1, 2 * width)):
        apart = np.zeros((2, 5, *sizes), np.int64)
        apart[:, :, ::2, ::2] = codes
        spread = WindowLayout(Picture(config, height, width), 5, kernel, 1, sizes)
        plain = WindowLayout(Picture(config, *sizes), 5, kernel, 1)
        assert spread.output == plain.output
        assert (window_words(spread, codes, 3) == window_words(plain, apart, 3)).all()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("config", "size", "images", "chunks"),
    [
        (TINY, 8, 6, 1),
        (TINY, 5, 4, 2),
        (MIDDLE, 12, 4, 1),
        (LARGE, 32, 4, 3),
        (LARGE, 8, 16, 1),
        (MIDDLE, 20, 3, 2),
        (MIDDLE, 40, 2, 5),
        (LARGE, 56, 3, 4),
    ],
)
def test_pixel_words_times_error_words_are_the_gradient_of_the_weights(config, size, images, chunks, stride):
    group, bits, error_bits = config.group_channels, 3, 2
    picture = Picture(config, size, size)
    out = Picture(config, -(-size // stride), -(-size // stride))
    rows = -(-out.height // chunks)
    layout = PixelLayout(picture, stride, rows)
    assert (layout.chunks, layout.images) == (chunks, 8 * group // out.span)
    codes = drawn(5, images, group, size, size, bits, signed=False)
    errors = drawn(6, images, group, out.height, out.width, error_bits, signed=True)
    sets = -(-images // layout.images)
    words = pixel_words(layout, codes, bits).reshape(sets, chunks, layout.slot_rows, bits, 3, group, -1)
    x = value(words, bits, False, 3)
    assert not x[..., 8 * group :].any()
    words = row_words(out, rows, errors, error_bits).reshape(sets, chunks, error_bits, rows, group, -1)
    e = value(words, error_bits, True, 2)

    padded = np.pad(codes, [(0, 0), (0, 0), (1, 2), (1, 2)])
    for dy in range(3):
        for dx in range(3):
            product = np.einsum("sqrob,sqrcb->oc", e, x[:, :, dy : dy + stride * rows : stride, dx])
            taken = padded[
                :, :, dy : dy + stride * out.height : stride, dx : dx + stride * out.width : stride
            ]
            assert (product == np.einsum("nohw,nchw->oc", errors, taken)).all(), (dy, dx)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("config", "width", "images"),
    [(MIDDLE, 12, 4), (MIDDLE, 20, 2), (MIDDLE, 40, 1), (LARGE, 56, 2), (LARGE, 104, 1)],
)
def test_a_word_along_k_holds_rows_of_images_each_at_a_multiple_of_a_power_of_two(
    config, width, images, stride
):
    picture = Picture(config, 3, width * stride)
    layout = PixelLayout(picture, stride, -(-3 // stride))
    span = 8 * config.group_channels // images
    assert (layout.images, layout.output.span) == (images, span)
    codes = drawn(8, images + 1, config.group_channels, 3, picture.width, 4, signed=False)
    words = pixel_words(layout, codes, 4)
    rng = np.random.default_rng(9)
    for image, channel, row, x, plane in rng.integers(
        0, (images + 1, config.group_channels, layout.slot_rows, width, 4), (50, 5)
    ):
        for dx in (-1, 0, 1):
            word = row * layout.row_words(4) + plane * 3 + dx + 1
            y, at = row - 1, stride * x + dx
            inside = 0 <= y < 3 and 0 <= at < picture.width
            bit = codes[image, channel, y, at] >> plane & 1 if inside else 0
            assert words[image // images, 0, word, channel, image % images * span + x] == bit


def test_shapes_outside_the_contract_are_refused_with_their_value():
    with pytest.raises(ContractError, match="width is 0; allowed: at least 1"):
        Picture(TINY, 4, 0)
    picture = Picture(TINY, 4, 9)
    with pytest.raises(ContractError, match="kernel is 5; allowed: 1, 3"):
        WindowLayout(picture, 4, 5, 1)
    with pytest.raises(ContractError, match="width spread is 19; allowed of 9: 17, 18"):
        WindowLayout(picture, 4, 3, 1, (8, 19))
    with pytest.raises(ContractError, match="stride is 2; allowed with spread: 1"):
        WindowLayout(picture, 4, 3, 2, (8, 18))
    with pytest.raises(ContractError, match="width is 9; allowed along K: at most 8"):
        PixelLayout(picture, 1, 4)
    with pytest.raises(ContractError, match="width is 65; allowed along K: at most 64"):
        PixelLayout(Picture(MIDDLE, 4, 65), 1, 4)
    with pytest.raises(ContractError, match="width is 40; allowed of a spread picture: at most 32"):
        WindowLayout(Picture(MIDDLE, 4, 20), 8, 3, 1, (8, 40)).require_room(2)
    with pytest.raises(ContractError, match="width is 16; allowed with 8 columns: at most 8"):
        WindowLayout(Picture(TINY, 4, 8), 8, 3, 1, (8, 16)).require_room(2)
    with pytest.raises(ContractError, match="width is 129; allowed along K: at most 128"):
        PixelLayout(Picture(MIDDLE, 4, 129), 2, 2)
    with pytest.raises(ContractError, match="rows are 3; allowed: 8, or fewer where a tile is one row"):
        PixelLayout(Picture(MIDDLE, 8, 8), 1, 3)
