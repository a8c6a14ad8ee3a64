"""What a pass over tiles may be: windows, drains, applies, moves, and how far each takes an engine's mark."""

import enum
from typing import NamedTuple

from cpt.hw.contract.config import GROUPS_BITS, MOST_GROUPS, TAPS, ArrayConfig, require
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.step import ENGINES, Code, Engine, Word
from cpt.hw.contract.tiles import Picture


class Kernel(enum.IntEnum):
    """Taps of a window."""

    ONE = 0
    THREE = 1


class Sampling(enum.IntEnum):
    """Which input pixel an output pixel stands on."""

    SAME = 0
    STRIDE = 1
    SPREAD = 2


class Drain(enum.IntEnum):
    """What the lanes do with products."""

    FORWARD = 0
    INNER_ERROR = 1
    SHORTCUT_ERROR = 2
    BLOCK_ERROR = 3
    GRADIENT = 4


class Apply(enum.IntEnum):
    """What the lanes do with words of scratch."""

    INNER = 0
    BLOCK = 1
    CODE = 2
    IMAGE = 3
    COUNT = 4
    ERROR = 5
    POOL = 6
    UNPOOL = 7


class Bring(enum.IntEnum):
    """Where numbers from memory go; bytes become numbers of scratch."""

    SCRATCH = 0
    BYTES = 1
    LOCAL = 2


class Store(enum.IntEnum):
    """Where numbers that go to memory come from; PACK: codes of weights in local memory, as planes."""

    SCRATCH = 0
    LOCAL = 1
    PACK = 2


MASKS: tuple[Apply, ...] = (Apply.BLOCK,)
"""Kinds whose codes are masks: of each number whether it is above 0, whatever their slot."""
MASK_BITS = 1
CODES: tuple[Apply, ...] = (Apply.INNER, Apply.CODE, Apply.IMAGE, Apply.ERROR, *MASKS)
"""Kinds that write codes to memory."""
SLOT_KINDS: dict[Code, tuple[enum.IntEnum, ...] | None] = {
    **dict.fromkeys((Code.LOAD_A, Code.LOAD_E, Code.FETCH, Code.FETCH_X, Code.EXEC, Code.EXEC_DW)),
    Code.DRAIN: tuple(kind for kind in Drain if kind is not Drain.GRADIENT),
    Code.APPLY: tuple(kind for kind in CODES if kind not in MASKS),
    Code.STORE: (Store.PACK,),
}
"""Instructions that use the slot they name, and their kinds that do; None: all."""


_TENSOR = ("images", "groups", "strips", "height", "width", "planes")
COUNTS: dict[Code, tuple[str, ...]] = {
    Code.LOAD_A: ("tiles", "ksteps"),
    Code.LOAD_E: (*_TENSOR, "rows"),
    Code.FETCH: (*_TENSOR, "out_strips", "out_height", "out_width"),
    Code.FETCH_X: (*_TENSOR, "out_strips", "rows"),
    Code.EXEC: ("ksteps", "a_tiles", "tiles"),
    Code.EXEC_DW: ("a_tiles", "groups", "rows"),
    Code.DRAIN: ("tiles", "a_tiles", "images"),
    Code.APPLY: ("tiles", "groups", "images"),
    Code.BRING: ("words", "runs"),
    Code.STORE: ("words", "runs"),
    Code.FLOAT: ("n", "reps"),
}
"""Fields of which an instruction has at least 1."""
CHOICES: dict[tuple[Code, str], tuple[int, ...]] = {
    (Code.FETCH, "sampling"): tuple(Sampling),
    (Code.FETCH_X, "sampling"): (Sampling.SAME, Sampling.STRIDE),
    (Code.EXEC_DW, "sampling"): (Sampling.SAME, Sampling.STRIDE),
    (Code.DRAIN, "kind"): tuple(Drain),
    (Code.BRING, "kind"): tuple(Bring),
    (Code.STORE, "kind"): tuple(Store),
    (Code.FLOAT, "op"): tuple(Op),
    (Code.FLOAT, "to_space"): (Space.LOCAL, Space.COEFFICIENTS),
    **{(code, f"wait{n}_engine"): (0, *Engine) for code in ENGINES for n in (0, 1)},
}
"""What fields may hold that could hold more."""


def geometry(picture: Picture) -> dict[str, int]:
    """Fields of DRAIN and APPLY that say which lanes hold pixels of an image."""
    return {
        "pitch_log2": picture.pitch.bit_length() - 1,
        "strips": picture.strips,
        "width": picture.width - (picture.strips - 1) * picture.pitch,
        "rows_last": (picture.height - 1) % picture.tile_rows,
    }


IMAGE_BITS = 16 - GROUPS_BITS
"""Width of the images in an ERROR's `noise_place`."""


def noise_place(image: int, group: int) -> int:
    """`out` of an ERROR over part of a tensor: the images and the groups of channels before its first."""
    require(0 <= image < 1 << IMAGE_BITS, f"image is {image}; allowed: 0..{(1 << IMAGE_BITS) - 1}")
    require(0 <= group <= MOST_GROUPS, f"group is {group}; allowed: 0..{MOST_GROUPS}")
    return image | group << IMAGE_BITS


def gradient_tiles(taps: int, groups: int) -> list[tuple[tuple[int, int] | None, tuple[int, int] | None]]:
    """Column tiles of a dW product in order: (tap, group) of each half, None where it is empty."""
    if groups == 1:
        places: list[tuple[int, int] | None] = [(tap, 0) for tap in range(taps)]
        places += [None] * (taps % 2)
        return list(zip(places[0::2], places[1::2], strict=True))
    return [
        ((tap, first), (tap, first + 1) if first + 1 < groups else None)
        for first in range(0, groups, 2)
        for tap in range(taps)
    ]


class GradientSlot(NamedTuple):
    """What a slot of a FETCH_X gives a dW product."""

    first: int
    """Group of input channels, of so many ``groups``."""
    groups: int
    columns: int
    """Column tiles, a DRAIN's."""
    before: int
    """Column tiles of the slots before it."""


def gradient_slots(taps: int, groups: int) -> list[GradientSlot]:
    """Slots of a FETCH_X in order; of each EXEC_DW makes as many columns of tiles."""
    columns = len(gradient_tiles(taps, min(groups, 2)))
    return [
        GradientSlot(first, min(2, groups - first), columns, number * columns)
        for number, first in enumerate(range(0, groups, 2))
    ]


def units(config: ArrayConfig, word: Word) -> int:
    """By how much an instruction moves its engine's mark."""
    if word.code is Code.FETCH:
        return word.images * Picture(config, word.out_height, word.out_width).tiles
    if word.code is Code.EXEC:
        return word.tiles * word.a_tiles
    if word.code is Code.EXEC_DW:
        return len(gradient_tiles(TAPS if word.kernel else 1, word.groups)) * word.a_tiles
    if word.code is Code.DRAIN:
        return word.images * word.tiles * word.a_tiles
    if word.code is Code.APPLY:
        return word.images * word.tiles
    return 1
