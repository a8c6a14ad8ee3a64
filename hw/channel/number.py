"""float32 as the float engine's units see it, and how values travel beside a pipeline."""

from collections.abc import Iterator

from amaranth import Cat, Mux, Shape, Signal, signed
from amaranth.lib import data

from cpt.hw.contract.config import ACC_BITS
from cpt.hw.matrix.copies import MOST_LOADS, copies

FRACTION_BITS = 23
MANTISSA_BITS = FRACTION_BITS + 1
"""With the first one, which is not stored."""
BIAS = 127
LEAST_EXPONENT = 2
"""Of 2^-125: smaller results are 0."""
NOT_FINITE = 255
EXPONENT = signed(12)
"""Exponents on their way, of results that may not be numbers yet."""
FLOAT = data.StructLayout({"fraction": FRACTION_BITS, "exponent": 8, "negative": 1})
"""float32. Whose exponent is 0 counts as 0 in every operand."""
FLOAT_BITS = FLOAT.size
INTEGER = signed(ACC_BITS)
"""The widest integers of statistics, coefficients and sums."""


def late(m, value, cycles: int, name: str, *, reset_less: bool = True) -> Signal:
    """``value``, ``cycles`` later."""
    for cycle in range(cycles):
        held = Signal(value.shape(), name=f"{name}_{cycle + 1}", reset_less=reset_less)
        m.d.sync += held.eq(value)
        value = held
    return value


def twins(m, value, width: int, name: str, uses: int = 1) -> list:
    """Registers that follow ``value``, each for its part of a word of ``width`` bits that it chooses.

    ``uses``: loads that a bit of the word is for its register.
    """
    return copies(m, value, -(-width * uses // MOST_LOADS), name)


def parts(flags: list, width: int) -> Iterator[tuple]:
    """Each of ``flags`` (`twins`) with its part of a word of ``width`` bits."""
    size = -(-width // len(flags))
    for n, flag in enumerate(flags):
        yield flag, slice(n * size, min((n + 1) * size, width))


def chosen(m, flags: list, yes, no, shape) -> Signal:
    """``yes`` where ``flags`` (`twins`), else ``no``, each flag for its bits, in ``shape``."""
    one = Signal(shape)
    other = Signal(shape)
    found = Signal(shape)
    m.d.comb += [one.eq(yes), other.eq(no)]
    for flag, part in parts(flags, Shape.cast(shape).width):
        m.d.comb += found[part].eq(Mux(flag, one[part], other[part]))
    return found


def inverted(m, flags: list, value) -> Signal:
    """``~value`` where ``flags`` (`twins`), else ``value``."""
    found = Signal(value.shape())
    for flag, part in parts(flags, len(value)):
        m.d.comb += found[part].eq(value[part] ^ flag.replicate(part.stop - part.start))
    return found


def negated(m, flags: list, value) -> Signal:
    """``-value`` where ``flags`` (`twins`), else ``value``: one adder, whose carry in is a flag."""
    found = Signal(value.shape())
    m.d.comb += found.eq((Cat(1, inverted(m, flags, value)) + Cat(flags[0], 0))[1:])
    return found


def first_set(flags: list):
    """Number of the first of ``flags``, of the last one where none is; as plain logic."""
    found = [0] * (len(flags) - 1).bit_length()
    before = 0
    for n, flag in enumerate(flags):
        mine = (flag if n < len(flags) - 1 else 1) & ~before if n else flag
        found = [bit | mine if n >> place & 1 else bit for place, bit in enumerate(found)]
        before = before | flag
    return Cat(found)


def mantissa(number) -> Cat:
    """Of a float that is not 0: 24 bits, the first one set."""
    return Cat(number.fraction, 1)


def settled(m, negative, exponent, rounded, zero) -> tuple:
    """The float32 of a rounded mantissa, two cycles later: small ones and -0 are +0.

    ``rounded``: of `MANTISSA_BITS` + 1 bits, the last set where rounding has carried; ``exponent``: without
    that carry. The second value says that the number is not finite; the first is infinity then.
    """
    carried = Signal(EXPONENT, reset_less=True)
    fraction = Signal(FRACTION_BITS, reset_less=True)
    sign, none, large = (Signal(name=name, reset_less=True) for name in ("sign", "none", "large"))
    result = Signal(FLOAT, reset_less=True)
    over = Signal(reset_less=True)
    carry, below = rounded[MANTISSA_BITS], exponent < 0
    # As plain logic: below LEAST_EXPONENT, and NOT_FINITE or more, with the carry.
    small = below | (~exponent[1:].any() & ~(exponent[0] & carry))
    most = exponent[1:8].all() & (exponent[0] | carry)
    m.d.sync += [
        carried.eq(exponent + carry),
        fraction.eq(rounded[:FRACTION_BITS]),
        sign.eq(negative),
        none.eq(zero | small),
        large.eq(~zero & ~below & (exponent[8:].any() | most)),
        result.fraction.eq(Mux(none | large, 0, fraction)),
        result.exponent.eq(Mux(none, 0, Mux(large, NOT_FINITE, carried[:8]))),
        result.negative.eq(sign & ~none),
        over.eq(large),
    ]
    return result, over


SETTLED_CYCLES = 2
assert (LEAST_EXPONENT, NOT_FINITE) == (2, 255)
