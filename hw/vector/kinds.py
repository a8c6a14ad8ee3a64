"""What each kind of DRAIN and APPLY is to the lanes: which operands, coefficients, bounds and counts."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from amaranth import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.passes import Apply, Drain
from cpt.hw.layouts import BITS_WIDTH
from cpt.hw.matrix.copies import KEEP
from cpt.hw.vector.lane import LEFT_BITS, LIMIT_BITS, Mask
from cpt.hw.vector.ports import NUMBER_BITS


class Times(enum.Enum, shape=2):
    """What an operand is multiplied with."""

    NOTHING = 0
    ONE = 1
    COEFFICIENT = 2


class Added(enum.Enum, shape=2):
    """What a sum begins with."""

    NOTHING = 0
    COEFFICIENT = 1
    POOLED = 2
    """The number of the image and channel that `Pool` holds."""


class Bounds(enum.Enum, shape=3):
    """Between what results are clipped."""

    WORD = 0
    """-32767 .. 32767"""
    STREAM = 1
    """0 .. 32767"""
    UNSIGNED = 2
    """0 .. 2^bits - 1"""
    SIGNED = 3
    """-(2^(bits-1) - 1) .. 2^(bits-1) - 1"""
    WHOLE = 4
    """Not at all: a number of 16 bits, with or without sign."""


@dataclass(frozen=True)
class Kind:
    """One kind; the golden function of each is in docs/fabric.md."""

    bounds: Bounds
    first: Times = Times.NOTHING
    """Of y, or of the product if it is ``joined``."""
    second: Times = Times.NOTHING
    added: Added = Added.NOTHING
    shifted: bool = False
    """By the coefficient, rounded."""
    product: bool = False
    """Drains a product."""
    joined: bool = False
    """The product is part of the sum; else it is the result."""
    wide: bool = False
    """Product and stream have 8 fraction bits."""
    mask: Mask = Mask.NONE
    noise: bool = False
    reads_y: bool = False
    reads_other: bool = False
    reads_mask: bool = False
    swapped: bool = False
    """The APPLY's first operand is `other`, its second y."""
    writes: bool = False
    """Results go to scratch."""
    codes: bool = False
    """Results go to memory."""
    masks: bool = False
    """... but of each, a bit, whether it is above 0."""
    counts: bool = False
    """Total, lowest and highest are counted."""
    highest_alone: bool = False
    """... but only the highest; the others are 0."""
    joint: bool = False
    """The product with y is counted."""
    square: bool = False
    """... with itself, rather."""
    one_channel: bool = False
    """The first channel's coefficients serve all."""
    pools: bool = False
    parts: bool = False
    """Numbers of 48 bits, a part of 16 in each of the first three banks."""


_C, _ONE = Times.COEFFICIENT, Times.ONE
DRAINS: dict[Drain, Kind] = {
    Drain.FORWARD: Kind(Bounds.WORD, product=True, writes=True, counts=True, joint=True, square=True),
    Drain.INNER_ERROR: Kind(
        Bounds.WORD,
        _C,
        added=Added.COEFFICIENT,
        product=True,
        mask=Mask.SUM,
        reads_y=True,
        writes=True,
        counts=True,
        joint=True,
    ),
    Drain.SHORTCUT_ERROR: Kind(Bounds.WORD, product=True, writes=True, counts=True),
    Drain.BLOCK_ERROR: Kind(
        Bounds.WORD,
        _C,
        _C,
        shifted=True,
        product=True,
        joined=True,
        wide=True,
        mask=Mask.OPERAND,
        reads_y=True,
        reads_other=True,
        reads_mask=True,
        writes=True,
        counts=True,
        joint=True,
    ),
    Drain.GRADIENT: Kind(
        Bounds.WHOLE, _ONE, _ONE, product=True, joined=True, reads_other=True, writes=True, parts=True
    ),
}
APPLIES: dict[Apply, Kind] = {
    Apply.INNER: Kind(Bounds.UNSIGNED, _C, added=Added.COEFFICIENT, shifted=True, reads_y=True, codes=True),
    Apply.BLOCK: Kind(
        Bounds.STREAM,
        _C,
        _C,
        Added.COEFFICIENT,
        shifted=True,
        reads_y=True,
        reads_other=True,
        writes=True,
        codes=True,
        masks=True,
        counts=True,
        highest_alone=True,
    ),
    Apply.CODE: Kind(Bounds.UNSIGNED, _C, shifted=True, reads_y=True, codes=True, one_channel=True),
    Apply.IMAGE: Kind(Bounds.SIGNED, _C, added=Added.COEFFICIENT, shifted=True, reads_y=True, codes=True),
    Apply.COUNT: Kind(
        Bounds.WHOLE,
        second=_ONE,
        reads_y=True,
        reads_other=True,
        swapped=True,
        counts=True,
        joint=True,
    ),
    Apply.ERROR: Kind(
        Bounds.SIGNED,
        _C,
        _C,
        Added.COEFFICIENT,
        shifted=True,
        noise=True,
        reads_y=True,
        reads_other=True,
        codes=True,
    ),
    Apply.POOL: Kind(Bounds.WHOLE, _ONE, reads_y=True, pools=True),
    Apply.UNPOOL: Kind(
        Bounds.WORD,
        added=Added.POOLED,
        mask=Mask.OPERAND,
        reads_y=True,
        reads_mask=True,
        writes=True,
        counts=True,
        joint=True,
    ),
}

_FLAGS = [item.name for item in fields(Kind) if item.type is bool]
SETTINGS = data.StructLayout(
    {
        **dict.fromkeys(_FLAGS, 1),
        "first": Times,
        "second": Times,
        "added": Added,
        "mask": Mask,
        "left": LEFT_BITS,
        "highest": LIMIT_BITS - 1,
        "lowest": signed(LIMIT_BITS),
    }
)
"""A `Kind` as the lanes take it, with the bounds and the shift of a product that its slot's bits give."""


class Decode(wiring.Component):
    """Settings of an instruction from its kind and its slot's bits.

    Parameters: ``kinds``: `DRAINS` or `APPLIES`.
    Members: ``kind``, ``bits``; ``alone``: a GRADIENT starts from 0, COUNT has one operand twice; ``keeps``:
    nothing is counted; ``settings``: `latency_cycles` later. Kinds that are none read and write nothing.
    """

    latency_cycles = 2

    def __init__(self, kinds: Mapping[Drain, Kind] | Mapping[Apply, Kind]):
        self.kinds = {int(kind): item for kind, item in kinds.items()}
        super().__init__(
            {
                "kind": In(range(max(self.kinds) + 1)),
                "bits": In(BITS_WIDTH),
                "alone": In(1),
                "keeps": In(1),
                "settings": Out(SETTINGS),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # A cycle for tables of the kind and for the bits' mask, one for what depends on both.
        def of_kind(name: str, shape, value, attrs=None) -> Signal:
            """``value`` of the kind, in a register."""
            shape = Shape.cast(shape)
            found = Signal(shape, name=name, reset_less=True, attrs=attrs)
            values = {number: Const(value(item), shape).value for number, item in self.kinds.items()}
            for bit in range(shape.width):
                table = sum((values[number] >> bit & 1) << number for number in values)
                m.d.sync += found[bit].eq(Const(table, 1 << len(self.kind)).bit_select(self.kind, 1))
            return found

        flags = {flag: of_kind(flag, 1, lambda item, flag=flag: int(getattr(item, flag))) for flag in _FLAGS}
        choices = {
            name: of_kind(name, shape, lambda item, name=name: getattr(item, name).value)
            for name, shape in (("first", Times), ("second", Times), ("added", Added), ("mask", Mask))
        }
        # Which of the bounds that there are; of more than two a copy for each end.
        ends = sorted({item.bounds for item in self.kinds.values()}, key=lambda item: item.value)
        attrs = KEEP if len(ends) > 2 else None
        bounds = [
            of_kind(f"bounds_{n}", range(len(ends)), lambda item: ends.index(item.bounds), attrs)
            for n in range(2)
        ]
        alone = Signal(reset_less=True)
        keeps = Signal(reset_less=True)
        top = Signal(NUMBER_BITS, reset_less=True)
        left = Signal(LEFT_BITS, reset_less=True)
        m.d.sync += [
            alone.eq(self.alone),
            keeps.eq(self.keeps),
            top.eq(Cat(bit < self.bits for bit in range(NUMBER_BITS))),
            left.eq(NUMBER_BITS - self.bits),
        ]
        settings, half = self.settings, top >> 1
        m.d.sync += [
            *(getattr(settings, name).eq(value) for name, value in (flags | choices).items()),
            settings.counts.eq(flags["counts"] & ~keeps),
            settings.left.eq(Mux(flags["parts"], 0, left)),
        ]
        with m.If(flags["parts"]):
            m.d.sync += settings.second.eq(Mux(alone, Times.NOTHING, Times.ONE))
        with m.If(flags["swapped"]):
            m.d.sync += [
                settings.first.eq(Mux(alone, Times.ONE, Times.NOTHING)),
                settings.second.eq(Mux(alone, Times.NOTHING, Times.ONE)),
                settings.reads_other.eq(~alone),
                settings.square.eq(alone),
            ]
        limits = {
            Bounds.WORD: (-0x7FFF, 0x7FFF),
            Bounds.STREAM: (0, 0x7FFF),
            Bounds.UNSIGNED: (0, top),
            Bounds.SIGNED: (-half, half),
            Bounds.WHOLE: (-(1 << LIMIT_BITS - 1), (1 << LIMIT_BITS - 1) - 1),
        }
        for end, copy in enumerate(bounds):
            m.d.sync += (settings.lowest, settings.highest)[end].eq(
                Array(Value.cast(limits[each][end]) for each in ends)[copy]
            )
        return m
