"""Registers that follow what was worked out until it is used."""

from amaranth import Signal, Value

from cpt.hw.matrix.copies import KEEP

_HELD_BITS = 24
"""Bits that share an enable."""


def follow(m, target, source, flags) -> None:
    """``target`` takes ``source`` while its flag is set, one for every `_HELD_BITS` bits of it."""
    target, source = Value.cast(target), Value.cast(source)
    for number, low in enumerate(range(0, len(target), _HELD_BITS)):
        with m.If(flags[number]):
            m.d.sync += target[low : low + _HELD_BITS].eq(source[low : low + _HELD_BITS])


def flags_of(shape, name: str) -> list[Signal]:
    """Flags for `follow`, set at first."""
    return [Signal(name=f"{name}_{low}", init=1, attrs=KEEP) for low in range(0, shape.size, _HELD_BITS)]
