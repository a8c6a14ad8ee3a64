"""The counter hash of stochastic rounding, 32 bits a cycle."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

HASH_BITS = 32
GOLDEN = 0x9E3779B9
"""Step between the hash inputs of neighbours."""
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
SHIFTS = (16, 15, 16)
_PORT_A, _PORT_B = 24, 17
"""Unsigned bits that a DSP48E1 multiplies."""
_LOW = HASH_BITS - _PORT_A


class Hash(wiring.Component):
    """``hash`` of ``value``, `latency_cycles` later: xor with itself shifted and times a constant, twice.

    Source: docs/numerics.md, "Noise"; `cpt.model.noise.mix` is the golden function.
    """

    latency_cycles = 11

    def __init__(self):
        super().__init__({"value": In(HASH_BITS), "hash": Out(HASH_BITS)})

    def elaborate(self, platform):
        m = Module()
        value = self.value
        for number, (multiplier, shift) in enumerate(zip(MULTIPLIERS, SHIFTS[:2], strict=True)):
            mixed = Signal(HASH_BITS, name=f"mixed_{number}", reset_less=True)
            m.d.sync += mixed.eq(value ^ (value >> shift))
            value = self._times(m, mixed, multiplier, number)
        m.d.sync += self.hash.eq(value ^ (value >> SHIFTS[2]))
        return m

    def _times(self, m, value, multiplier: int, number: int):
        """Lower 32 bits of a product, four cycles later: two multipliers, and adders for eight bits."""
        low, high = multiplier & (1 << _PORT_B) - 1, multiplier >> _PORT_B
        upper_bits = HASH_BITS - _PORT_B

        def register(bits: int, name: str):
            return Signal(bits, name=f"{name}_{number}", reset_less=True)

        most, crossed = register(HASH_BITS, "most"), register(upper_bits, "crossed")
        # What the value's highest bits add: its eight bits times those of the constant, as sums of shifts.
        places = [place for place in range(_LOW) if low >> place & 1]
        top = value[_PORT_A:]
        halves = [register(_LOW, f"half_{n}") for n in range(2)]
        for n, half in enumerate(halves):
            m.d.sync += half.eq(sum((top << place for place in places[n::2]), start=top[:0]))
        # Both registers behind each multiplier.
        times, times_crossed = register(HASH_BITS, "times"), register(upper_bits, "times_crossed")
        m.d.sync += [times.eq(value[:_PORT_A] * low), times_crossed.eq(value[:upper_bits] * high)]
        m.d.sync += [most.eq(times), crossed.eq(times_crossed)]
        both = register(_LOW, "both")
        m.d.sync += both.eq(halves[0] + halves[1])
        below, above, rest = register(_PORT_B, "below"), register(upper_bits, "above"), register(_LOW, "rest")
        m.d.sync += [
            below.eq(most[:_PORT_B]),
            above.eq(most[_PORT_B:] + crossed),
            rest.eq(both),
        ]
        product = register(HASH_BITS, "product")
        m.d.sync += product.eq(Cat(below, above + (rest << _PORT_A - _PORT_B)))
        return product
