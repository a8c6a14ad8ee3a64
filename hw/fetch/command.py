"""What travels inside the fetch: decoded commands, how they fill, rows, steps."""

from typing import Any

from amaranth.lib import data
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS, require
from cpt.hw.contract.tiles import (
    COPIES,
    PIECES,
    CodesLayout,
    Picture,
    PixelLayout,
    WindowLayout,
    step_bits,
)
from cpt.hw.fetch.window_memory import QUAD, SHIFTS

GROUPS_WIDTH, TILES_WIDTH, IMAGES_WIDTH = 10, 14, 16
ROWS_WIDTH = 3
"""Rows of a tile, and blocks of 8 pixels in a row of it."""
REACH_WIDTH = 3
"""Tiles of outputs that even rows of one tile of the source stand in."""
DONE_WIDTH = 3
"""Slots that are complete with a row."""
STRIPS_WIDTH = 4
"""Strips of a row of pixels along K."""
MOST_OUT_STRIPS = PIECES // 2
"""Of outputs, at most: each is two pieces of a word."""
MOST_STRIPS = 2 * MOST_OUT_STRIPS
"""At most, where the outputs have stride 2."""


def quads(config: ArrayConfig) -> int:
    """Groups of 4 neighbouring columns."""
    return config.cols // QUAD


def window_command(config: ArrayConfig) -> data.StructLayout:
    """A decoded FETCH of windows: the tensor's shape, and slots of ``words``.

    ``down`` x ``strips`` tiles an image, of ``rows`` x ``blocks``; ``outputs`` tiles an image of ``out_rows``
    rows of ``8 << out_pitch`` pixels, ``height`` in all. With ``spread`` a tile's even rows of outputs stand
    in ``reach`` tiles of them, and the last row is an even one if ``odd``; ``source_height`` rows. Where they
    lie in two strips rows are ``halved``: the left half of one and the right half, of ``blocks`` each.
    ``half``: slots lie in half of the memories.
    ``first_slots``: taken at the start of an image, then one more for each tile done with. ``clear_group``:
    the first group of a K step that lacks some, where ``clears``; ``zero_below`` as in
    `cpt.hw.contract.tiles`.
    """
    words = bits_for(config.b_depth_words)
    return data.StructLayout(
        {
            "kernel1": 1,
            "stride2": 1,
            "spread": 1,
            "halved": 1,
            "reach": REACH_WIDTH,
            "odd": 1,
            "source_height": TILES_WIDTH,
            "images": IMAGES_WIDTH,
            "down": TILES_WIDTH,
            "strips": TILES_WIDTH,
            "groups": GROUPS_WIDTH,
            "bits": bits_for(MAX_BITS),
            "ksteps": GROUPS_WIDTH,
            "rows": ROWS_WIDTH,
            "blocks": ROWS_WIDTH,
            "out_rows": ROWS_WIDTH,
            "out_pitch": 2,
            "height": TILES_WIDTH,
            "outputs": TILES_WIDTH,
            "first_slots": TILES_WIDTH,
            "zero_below": 1,
            "clears": 1,
            "clear_group": GROUPS_WIDTH,
            "words": words,
            "half": 1,
        }
    )


def codes_walk(codes: CodesLayout, images: int, bits: int, base: int) -> dict[str, int]:
    """The fields of `cpt.hw.fetch.pixel_walker.PIXEL_WALK` for a whole tensor, tile by tile."""
    return {
        "base": base,
        "bits": bits,
        "strips": 1,
        "planes": 1,
        "groups": codes.groups,
        "tiles": codes.picture.tiles,
        "images": images,
        "strip_stride": codes.tile_stride,
        "group_stride": codes.group_stride,
        "tile_stride": codes.tile_stride,
        "image_stride": codes.image_stride,
    }


def rows_walk(codes: CodesLayout, images: int, bits: int, base: int) -> dict[str, int]:
    """The same along K, row by row of tiles: where those have strips, a run is one plane of a tile."""
    picture = codes.picture
    if picture.strips == 1:
        return codes_walk(codes, images, bits, base)
    return codes_walk(codes, images, 1, base) | {
        "strips": picture.strips,
        "planes": bits,
        "tiles": picture.height,
        "tile_stride": picture.strips * codes.tile_stride,
    }


def fetch_windows(layout: WindowLayout, images: int, bits: int) -> dict[str, int]:
    """The fields of `window_command` for a tensor; raises `ContractError` for what the fetch cannot do."""
    source, output = layout.source, layout.output
    layout.require_room(bits)
    words = layout.slot_words(bits)
    lacking = layout.groups % 9 if layout.kernel == 1 else 0
    halved = int(bool(layout.spread) and output.strips > 1)
    ahead = 1
    if layout.kernel == 3:
        ahead = 2 if output.strips == 1 else output.strips + 2
    return {
        "kernel1": int(layout.kernel == 1),
        "stride2": int(layout.stride == 2),
        "spread": int(bool(layout.spread)),
        "halved": halved,
        "reach": layout.reach if layout.spread else 0,
        "odd": output.height % 2,
        "source_height": source.height,
        "images": images,
        "down": source.tiles // source.strips,
        "strips": source.strips,
        "groups": layout.groups,
        "bits": bits,
        "ksteps": layout.ksteps,
        "rows": source.tile_rows,
        "blocks": source.pitch // 8 >> halved,
        "out_rows": output.tile_rows,
        "out_pitch": (output.pitch // 8).bit_length() - 1,
        "height": output.height,
        "outputs": output.tiles,
        "first_slots": min(ahead, output.tiles),
        "zero_below": int(layout.zero_row_below),
        "clears": int(lacking > 0),
        "clear_group": layout.groups - lacking if lacking else 0,
        "words": words,
        "half": int(layout.in_half(bits)),
    }


def pixel_command(depth: int) -> data.StructLayout:
    """A decoded command that brings pixels along K: ``images`` in sets of ``set_images``, ``words`` for each.

    ``down`` tiles of ``rows`` x ``blocks`` an image, of ``groups``; output rows of ``8 << out_pitch`` pixels.
    Where a row is several ``strips``, each is a tile of one row, ``8 << out_pitch`` are the outputs of one,
    and all strips of a plane come one behind the other. The first row of data is row ``above`` of a slot;
    rows of a slot are ``slot_rows``. Words from one row, plane, group and tile to the next: ``row_words`` ..
    ``tile_words``. Words up to ``clear_above`` and from ``clear_below`` on hold zeros; all of them do first
    where a set lacks images, or rows have ``gaps`` between them. ``half``: slots lie in half of the memories.
    """
    words = bits_for(depth)
    return data.StructLayout(
        {
            "stride2": 1,
            "images": IMAGES_WIDTH,
            "set_images": IMAGES_WIDTH,
            "down": TILES_WIDTH,
            "groups": GROUPS_WIDTH,
            "bits": bits_for(MAX_BITS),
            "rows": ROWS_WIDTH,
            "strips": STRIPS_WIDTH,
            "gaps": 1,
            "blocks": ROWS_WIDTH,
            "out_pitch": 2,
            "above": 1,
            "slot_rows": TILES_WIDTH,
            "row_words": words,
            "plane_words": words,
            "group_words": words,
            "tile_words": words,
            "clear_above": words,
            "clear_below": words,
            "words": words,
            "half": 1,
        }
    )


def fetch_pixels(
    layout: PixelLayout, groups: int, images: int, bits: int, chunk: int = 0, rows: int = 0
) -> dict[str, int]:
    """The fields of `pixel_command` for one or two groups of one chunk of every set of images.

    The chunk has ``rows`` rows of outputs, those of the layout unless given. Its data begin at row
    `first_row` of each image. Raises `ContractError` for what cannot be done.
    """
    source, output, config = layout.source, layout.output, layout.source.config
    require(groups in (1, 2), f"groups are {groups}; allowed: 1, 2")
    slot_rows = layout.slot_rows if rows == 0 else layout.stride * (rows - 1) + COPIES
    row_words = layout.row_words(bits)
    words = row_words * slot_rows
    require(
        words <= config.b_depth_words,
        f"words of a slot are {words}; allowed: at most {config.b_depth_words}",
    )
    first = first_row(layout, chunk)
    above = int(chunk == 0)
    down = source.tiles // source.strips
    if layout.chunks > 1:
        down = min(source.height, first + slot_rows - above) - first
    held = above + down * source.tile_rows
    outputs = output.pitch if source.strips == 1 else source.pitch // layout.stride
    return {
        "stride2": int(layout.stride == 2),
        "images": images,
        "set_images": layout.images,
        "down": down,
        "groups": groups,
        "bits": bits,
        "rows": source.tile_rows,
        "strips": source.strips,
        "gaps": 0,
        "blocks": source.pitch // 8,
        "out_pitch": (outputs // 8).bit_length() - 1,
        "above": above,
        "slot_rows": slot_rows,
        "row_words": row_words,
        "plane_words": COPIES,
        "group_words": 0,
        "tile_words": row_words * source.tile_rows,
        "clear_above": above * row_words,
        "clear_below": min(held * row_words, words),
        "words": words,
        "half": int(words <= config.b_depth_words // 2),
    }


def load_errors(
    picture: Picture, rows: int, groups: int, images: int, bits: int, chunk: int = 0
) -> dict[str, int]:
    """The fields of `pixel_command` for a chunk of ``rows`` rows of errors, at most one set of images.

    Word ``(group * bits + plane) * rows + row`` of a half. The chunk's data begin at row ``chunk * rows`` of
    each image. Raises `ContractError` for what cannot be done.
    """
    layout, config = PixelLayout(picture, 1, rows), picture.config
    held = min(rows, picture.height - chunk * rows)
    words, most = groups * bits * held, config.half_words("a")
    require(words <= most, f"words of errors are {words}; allowed: at most {most}")
    require(images <= layout.images, f"images are {images}; allowed in a word: at most {layout.images}")
    return {
        "stride2": 0,
        "images": images,
        "set_images": layout.images,
        "down": picture.tiles // picture.strips if layout.chunks == 1 else held,
        "groups": groups,
        "bits": bits,
        "rows": picture.tile_rows,
        "strips": picture.strips,
        "gaps": int(picture.strips * picture.pitch < picture.span),
        "blocks": picture.pitch // 8,
        "out_pitch": (picture.pitch // 8).bit_length() - 1,
        "above": 0,
        "slot_rows": held,
        "row_words": 1,
        "plane_words": held,
        "group_words": bits * held,
        "tile_words": picture.tile_rows,
        "clear_above": 0,
        "clear_below": words,
        "words": words,
        "half": 0,
    }


def first_row(layout: PixelLayout, chunk: int) -> int:
    """The first row of the source that a chunk reads."""
    return max(0, layout.stride * layout.rows * chunk - 1)


def fetch_command(config: ArrayConfig) -> data.StructLayout:
    """A command of either kind: ``body.pixels`` where ``pixels``, else ``body.windows``."""
    bodies = {"windows": window_command(config), "pixels": pixel_command(config.b_depth_words)}
    return data.StructLayout({"pixels": 1, "body": data.UnionLayout(bodies)})


def payload(body: dict[str, int]) -> dict[str, Any]:
    """The fields of `fetch_command` for those of `window_command` or `pixel_command`."""
    kind = "windows" if "kernel1" in body else "pixels"
    return {"pixels": int(kind == "pixels"), "body": {kind: body}}


MODE = data.StructLayout(
    {
        "pixels": 1,
        "strips": 1,
        "kernel1": 1,
        "stride2": 1,
        "spread": 1,
        "out_pitch": 2,
        "blocks": ROWS_WIDTH,
        "upper": 1,
    }
)
"""How a command fills the memories: stands from its first row to its last. ``strips``: a row along K is
several."""


def row_layout(config: ArrayConfig) -> data.StructLayout:
    """One row of one plane of a group of a tile, and where its pixels go.

    ``zero``: its pixels are zero and take no data; ``hot``: by dy, the quads of columns of its first block,
    or of all of it if ``zero``; ``dx``: taps that are written; ``addr``, ``addr_first``, ``addr_last`` as in
    `window_write`, by dy; ``starts``, ``ends``: its sides are those of the image; ``flush``: the last row of
    a run; ``done``: slots complete with it.
    """
    address = data.ArrayLayout((config.b_depth_words - 1).bit_length(), SHIFTS)
    return data.StructLayout(
        {
            "zero": 1,
            "hot": data.ArrayLayout(quads(config), SHIFTS),
            "dx": SHIFTS,
            "addr": address,
            "addr_first": address,
            "addr_last": address,
            "starts": 1,
            "ends": 1,
            "flush": 1,
            "done": DONE_WIDTH,
        }
    )


def step_layout(config: ArrayConfig) -> data.StructLayout:
    """One step: 8 pixels of a group and plane, pixel 0 channel 0 first, and where they go, by dy.

    As in `row_layout`, but for one block; ``hot`` is 0 where there is no step. ``starts``, ``ends``: it is
    the first or last of a row, at a side of the image; ``over``, ``under``: its last pixel is also the next
    tile's, its first the one's before.
    """
    row = row_layout(config).members
    fields = {name: row[name] for name in ("hot", "addr", "addr_first", "addr_last")}
    sides = dict.fromkeys(("starts", "ends", "over", "under"), SHIFTS)
    taps = data.ArrayLayout(SHIFTS, SHIFTS)
    return data.StructLayout(
        {"pixels": step_bits(config), **fields, "dx": taps, **sides, "done": row["done"]}
    )
