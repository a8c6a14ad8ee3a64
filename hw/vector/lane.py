"""One lane: a product, operands and coefficients to a number, in one pipeline for every kind of pass."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import ACC_BITS
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.ports import NUMBER_BITS
from cpt.hw.vector.shift import Shift

MULTIPLIER_BITS = 18
"""Of a coefficient: port B of a DSP48E1."""
OPERAND_BITS = 25
"""Of column sums and of what a coefficient multiplies: port A of a DSP48E1."""
LIMIT_BITS = 18
"""Of the bounds of a result, signed, of which no highest is negative: 16 bits without sign and a carry."""
NOISE_BITS = 8
"""Fraction bits of a sum that noise, or the half that rounds, is added to."""
_LUT_PINS = 6
"""Bits of a number that one LUT looks at."""
LEFT_BITS = 4
"""Of what a product is shifted up by, less 1: 17 - b fraction bits of weights."""


class Mask(enum.Enum, shape=2):
    """What lets a result through; else it is 0."""

    NONE = 0
    SUM = 1
    """The sum is above 0."""
    OPERAND = 2
    """The mask operand is above 0."""


CONTROL = data.StructLayout(
    {
        "left": LEFT_BITS,
        "zero": signed(MULTIPLIER_BITS),
        "drain_high": 2,
        "drain_middle": 2,
        "drain_low": 2,
        "exact": 1,
        "use_product": 1,
        "wide": 1,
        "multiplier": signed(MULTIPLIER_BITS),
        "second": signed(MULTIPLIER_BITS),
        "addend": signed(ACC_BITS),
        "shift_high": 2,
        "shift_middle": 2,
        "shift_low": 2,
        "bypass": 1,
        "carry": 1,
        "highest": LIMIT_BITS - 1,
        "lowest": signed(LIMIT_BITS),
        "mask": Mask,
        "square": 1,
    }
)
"""What all lanes do with a word; `Lane` says what each member is."""

CONTROL_CYCLES = {
    **dict.fromkeys(("left", "zero"), 0),
    "drain_middle": 3,
    "drain_high": 4,
    **dict.fromkeys(("drain_low", "exact"), 5),
    **dict.fromkeys(("use_product", "wide"), 7),
    **dict.fromkeys(("multiplier", "second"), 8),
    "addend": 9,
    "shift_middle": 12,
    "shift_high": 13,
    "shift_low": 14,
    **dict.fromkeys(("bypass", "carry"), 16),
    **dict.fromkeys(("highest", "lowest", "mask"), 17),
    "square": 19,
}
"""Cycles from a product to the cycle in which the lane wants a member of its control."""


class Lane(wiring.Component):
    """Four multiplications, a 48-bit sum, two shifts and a clip; every kind of pass takes the same cycles.

    With f = ``left`` + 1, t is ``(product << f) + zero*sums`` shifted to the right by the drain's amount less
    `NOISE_BITS`, rounded (with ``exact`` cut, and of it and ``other`` 16 bits without sign); the sum is
    ``multiplier*(t or y) + second*(other << 8*wide) + addend``. The result is, with ``bypass``, t, else the
    sum shifted to the right by its amount, plus ``noise``/256, rounded down; with ``carry`` plus the carry of
    the result before, its bit 16; at most ``highest``, at least ``lowest``; 0 where the ``mask`` or
    ``inside`` is not set.

    Members and the cycle in which each is wanted, counted from ``product``: ``product``, ``sums``: 0;
    ``control``: `CONTROL_CYCLES`; ``y``, ``other``, ``mask``: `operand_cycles`; ``noise``: `noise_cycles`;
    ``inside``: `inside_cycles`. ``result``: after `latency_cycles`, with ``above``: it is above 0, if its
    bounds let none below; ``joint``: after `joint_cycles`, the result times y, or itself with ``square``.
    """

    operand_cycles = 8
    noise_cycles = 16
    inside_cycles = 17
    latency_cycles = 20
    joint_cycles = 23

    def __init__(self):
        super().__init__(
            {
                "control": In(CONTROL),
                "product": In(signed(ACC_BITS)),
                "sums": In(signed(OPERAND_BITS)),
                "y": In(signed(NUMBER_BITS)),
                "other": In(signed(NUMBER_BITS)),
                "mask": In(signed(NUMBER_BITS)),
                "noise": In(NOISE_BITS),
                "inside": In(1),
                "result": Out(signed(NUMBER_BITS)),
                "above": Out(1),
                "joint": Out(signed(2 * NUMBER_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        product, cut = self._drained(m)
        total, positive = self._sum(m, product, cut)
        value = self._shifted(m, total, product)
        self._clipped(m, value, positive)
        return m

    def _later(self, m, source, cycles: int, name: str):
        """``source`` so many cycles on."""
        for n in range(cycles):
            late = Signal(source.shape(), name=f"{name}_{n + 1}", reset_less=True)
            m.d.sync += late.eq(source)
            source = late
        return source

    def _held(self, m, name: str, count: int = 1):
        """A control in the lane's own registers, a copy for each part of what it steers."""
        return copies(m, getattr(self.control, name), count, f"held_{name}")

    def _drained(self, m):
        """t, and whether it was cut: in the cycle of the operands."""
        m.submodules.drain = shift = Shift(ACC_BITS, NOISE_BITS + 1, 1, OPERAND_BITS - 1)
        product, moved, addend = (
            Signal(signed(ACC_BITS), name=name, reset_less=True) for name in ("p", "p_moved", "p_addend")
        )
        lefts = copies(m, self.control.left[2:], 2, "held_left")
        (low,) = copies(m, self.control.left[:2], 1, "left_low")
        lows = copies(m, low, 2, "left_low_copy")
        half = ACC_BITS // 2

        def up(value, choices, step):
            """``value`` shifted up by 0 to 3 steps, each half by its own copy.

            Gates where bits become 0, for the reason in `_sum`.
            """
            bits = []
            for place in range(ACC_BITS):
                choice = choices[place // half]
                some = [value[place - n * step] if place >= n * step else None for n in range(4)]
                if some[-1] is not None:
                    high, low = Mux(choice[0], some[3], some[2]), Mux(choice[0], some[1], some[0])
                    bits.append(Mux(choice[1], high, low))
                else:
                    bits.append(
                        Cat(bit & (choice == n) for n, bit in enumerate(some) if bit is not None).any()
                    )
            return Cat(bits)

        m.d.sync += [
            product.eq(self.product),
            moved.eq(up(product, lefts, 4)),
            addend.eq(up(moved, lows, 1) << 1),
        ]
        zero, sums = self._later(m, self.control.zero, 2, "zero"), self._later(m, self.sums, 2, "sums")
        times, corrected = (
            Signal(signed(ACC_BITS), name=name, reset_less=True) for name in ("times", "corrected")
        )
        m.d.sync += [times.eq(sums * zero), corrected.eq(addend + times)]
        m.d.comb += [
            shift.value.eq(corrected),
            shift.high.eq(self.control.drain_high),
            shift.middle.eq(self.control.drain_middle),
            shift.low.eq(self.control.drain_low),
        ]
        (exact,) = copies(m, self._later(m, self.control.exact, 1, "exact"), 1, "exact_late")
        m.d.comb += [shift.exact.eq(self.control.exact), shift.add.eq(~exact)]
        (cut,) = copies(m, exact, 1, "cut")
        return shift.out, cut

    def _sum(self, m, product, cut):
        """The 48-bit sum, five cycles after the operands, and whether it is above 0, two cycles later."""
        use_product, wide = self._held(m, "use_product")[0], self._held(m, "wide")[0]
        extra = OPERAND_BITS - NUMBER_BITS
        part = Cat(product[:NUMBER_BITS], product[NUMBER_BITS:] & ~cut.replicate(extra)).as_signed()
        first, other = (Signal(signed(OPERAND_BITS), name=name, reset_less=True) for name in ("first", "x"))
        # Gates where low bits become 0: a choice would become a reset of theirs alone, and the register none
        # of the multiplier's.
        signed_other = Cat(self.other, (self.other[-1] & ~cut).replicate(extra))
        m.d.sync += [
            first.eq(Mux(use_product, part, self.y)),
            other.eq(
                Cat(
                    self.other[:NOISE_BITS] & ~wide.replicate(NOISE_BITS),
                    Mux(wide, Cat(self.other, self.other[-1]), signed_other[NOISE_BITS:]),
                )
            ),
        ]
        multiplier, second, addend = (
            self._later(m, getattr(self.control, name), 1, name)
            for name in ("multiplier", "second", "addend")
        )
        times, times_other, others, total = (
            Signal(signed(ACC_BITS), name=name, reset_less=True)
            for name in ("times_first", "times_other", "others", "total")
        )
        # A cycle more for the sum of one multiplier on its way to the other.
        first, multiplier = (
            self._later(m, first, 1, "first"),
            self._later(m, multiplier, 1, "multiplier_late"),
        )
        late_others = self._later(m, others, 1, "others")
        m.d.sync += [
            times_other.eq(other * second),
            others.eq(times_other + addend),
            times.eq(
                self._later(m, first, 1, "first_late") * self._later(m, multiplier, 1, "multiplier_last")
            ),
            total.eq(times + late_others),
        ]
        some = Signal(ACC_BITS // 6, reset_less=True)
        positive = Signal(reset_less=True)
        m.d.sync += [
            some.eq(Cat(total[low : low + 6].any() for low in range(0, ACC_BITS, 6))),
            positive.eq(some.any() & ~self._later(m, total[-1], 1, "negative")),
        ]
        return total, positive

    def _shifted(self, m, total, product):
        """The number before its clip: 18 cycles after the product."""
        m.submodules.shift = shift = Shift(ACC_BITS, NOISE_BITS, NOISE_BITS, LIMIT_BITS)
        m.d.comb += [
            shift.value.eq(total),
            shift.high.eq(self.control.shift_high),
            shift.middle.eq(self.control.shift_middle),
            shift.low.eq(self.control.shift_low),
            shift.add.eq(self.noise),
        ]
        bypass, carry = self._held(m, "bypass")[0], self._held(m, "carry")[0]
        product = self._later(m, product, 9, "product")
        value = Signal(signed(OPERAND_BITS + 1), reset_less=True)
        m.d.sync += value.eq(Mux(bypass, product, shift.out) + (carry & value[NUMBER_BITS]))
        return value

    def _clipped(self, m, value, positive):
        """Result and joint product."""
        highest = self._held(m, "highest")[0]
        lowest = self._held(m, "lowest")[0]
        mask = Mask(self._held(m, "mask")[0])
        some = Signal(4, reset_less=True)
        m.d.sync += some.eq(Cat(self.mask[n : n + 4].any() for n in range(0, NUMBER_BITS, 4)))
        above_zero = some.any() & ~self._later(m, self.mask[-1], 1, "mask_sign")
        set_there = self._later(m, above_zero, self.inside_cycles - self.operand_cycles, "set")
        above = self._later(m, positive, 3, "above")
        inside = self._later(m, self.inside, 1, "inside")
        over, under, keep = (Signal(name=name, reset_less=True) for name in ("over", "under", "keep"))
        number = Signal(NUMBER_BITS, reset_less=True)
        ones = Signal(-(-NUMBER_BITS // _LUT_PINS), reset_less=True)
        """There are some among so many bits each."""
        through = Mux(mask == Mask.SUM, above, Mux(mask == Mask.OPERAND, set_there, 1))
        m.d.sync += [
            over.eq(value > highest),
            under.eq(value < lowest),
            number.eq(value),
            ones.eq(
                Cat(value[:NUMBER_BITS][n : n + _LUT_PINS].any() for n in range(0, NUMBER_BITS, _LUT_PINS))
            ),
            keep.eq(inside & through),
        ]
        high, low = (
            self._later(m, limit[:NUMBER_BITS], 1, name)
            for limit, name in ((highest, "highest"), (lowest, "lowest"))
        )
        clipped = Mux(over, high, Mux(under, low, number))
        m.d.sync += [
            self.result.eq(clipped & keep.replicate(NUMBER_BITS)),
            self.above.eq((over | (ones.any() & ~under)) & keep),
        ]
        square = self._held(m, "square")[0]
        y = self._later(m, self.y, self.latency_cycles - self.operand_cycles, "y")
        one, two = (Signal(signed(NUMBER_BITS), name=name, reset_less=True) for name in ("one", "two"))
        product = Signal(signed(2 * NUMBER_BITS), reset_less=True)
        m.d.sync += [
            one.eq(self.result),
            two.eq(Mux(square, self.result, y)),
            product.eq(one * two),
            self.joint.eq(product),
        ]
