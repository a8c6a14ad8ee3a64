"""All lanes side by side; settings and coefficients reach them in the cycle that each is wanted in."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import Coefficient
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SUM_PARTS
from cpt.hw.matrix.copies import KEEP, copies, one_more
from cpt.hw.vector.kinds import SETTINGS, Added, Times
from cpt.hw.vector.lane import CONTROL, CONTROL_CYCLES, MULTIPLIER_BITS, NOISE_BITS, OPERAND_BITS, Lane
from cpt.hw.vector.ports import NUMBER_BITS, scratch_word
from cpt.hw.vector.shift import AMOUNT_BITS

COEFFICIENTS = data.StructLayout(
    {
        Coefficient.ZERO.name.lower(): signed(MULTIPLIER_BITS),
        Coefficient.SHIFT.name.lower(): AMOUNT_BITS,
        Coefficient.MULTIPLIER.name.lower(): signed(MULTIPLIER_BITS),
        Coefficient.SECOND.name.lower(): signed(MULTIPLIER_BITS),
        Coefficient.ADDEND.name.lower(): signed(ACC_BITS),
        Coefficient.TOTAL_SHIFT.name.lower(): AMOUNT_BITS,
    }
)
"""What a channel has, by the names of `Coefficient`."""
SHARE = 10
"""Lanes that share a copy of their control; each takes some of it twice."""
PARTS = SUM_PARTS
"""Parts of a number of 48 bits."""


class Row(wiring.Component):
    """`Lane` for every pixel of a word.

    Members and the cycle in which each is wanted: ``settings``, ``coefficients``, ``part`` (of a GRADIENT's
    numbers): 0; ``product``, ``sums``: `product_cycles`; ``y``, ``other``, ``mask``: `operand_cycles`;
    ``pooled``: `pooled_cycles`; ``noise``: `noise_cycles`; ``inside``: `inside_cycles`; ``result``,
    ``above``: after `latency_cycles`, ``joint`` after `joint_cycles`.
    """

    product_cycles = 1
    operand_cycles = MACHINE.lane_operand_cycles
    latency_cycles = MACHINE.lane_cycles
    pooled_cycles = product_cycles + CONTROL_CYCLES["addend"] - 1
    noise_cycles = product_cycles + Lane.noise_cycles
    inside_cycles = product_cycles + Lane.inside_cycles
    joint_cycles = product_cycles + Lane.joint_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        if (self.operand_cycles, self.latency_cycles) != (
            self.product_cycles + Lane.operand_cycles,
            self.product_cycles + Lane.latency_cycles,
        ):
            raise ValueError("the machine's facts and the lane's latencies differ")
        word = scratch_word(config)
        super().__init__(
            {
                "settings": In(SETTINGS),
                "coefficients": In(COEFFICIENTS),
                "part": In(range(PARTS)),
                "product": In(data.ArrayLayout(ACC_BITS, config.cols)),
                "sums": In(data.ArrayLayout(signed(OPERAND_BITS), config.cols)),
                "y": In(word),
                "other": In(word),
                "mask": In(word),
                "pooled": In(signed(ACC_BITS)),
                "noise": In(data.ArrayLayout(NOISE_BITS, config.cols)),
                "inside": In(config.cols),
                "result": Out(word),
                "above": Out(config.cols),
                "joint": Out(data.ArrayLayout(signed(2 * NUMBER_BITS), config.cols)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        controls = [Signal(CONTROL, name=f"control_{n}") for n in range(-(-self.config.cols // SHARE))]
        wanted = self._wanted()
        wanted["addend"] = self._addend(m)
        for name, late in wanted.items():
            # Sums begin with a number that is chosen late.
            for n in range(CONTROL_CYCLES[name] if name != "addend" else 0):
                step = Signal(CONTROL[name].shape, name=f"{name}_{n}", reset_less=True)
                m.d.sync += step.eq(late)
                late = step
            for n, control in enumerate(controls):
                last = Signal(CONTROL[name].shape, name=f"{name}_of_{n}", reset_less=True, attrs=KEEP)
                m.d.sync += last.eq(late)
                m.d.comb += getattr(control, name).eq(last)
        for n in range(self.config.cols):
            lane = Lane()
            m.submodules[f"lane_{n}"] = lane
            m.d.comb += [
                lane.control.eq(controls[n // SHARE]),
                lane.product.eq(self.product[n].as_signed()),
                lane.sums.eq(self.sums[n]),
                lane.y.eq(self.y[n]),
                lane.other.eq(self.other[n]),
                lane.mask.eq(self.mask[n]),
                lane.noise.eq(self.noise[n]),
                lane.inside.eq(self.inside[n]),
                self.result[n].eq(lane.result),
                self.above[n].eq(lane.above),
                self.joint[n].eq(lane.joint),
            ]
        return m

    def _wanted(self):
        """What the lanes want to know of a word."""
        settings, held = self.settings, self.coefficients
        # Eight bits more where what lies below the point is not kept, or was put there; of a GRADIENT 16 for
        # each part, and the one that a product is shifted up by at least.
        whole = NOISE_BITS.bit_length() - 1

        def more(amount, when):
            """`NOISE_BITS` more: whole eights, so its low bits stay."""
            return Cat(amount[:whole], Mux(when, one_more(amount[whole:]), amount[whole:]))

        of_part = Cat(Const(NOISE_BITS + 1, (NUMBER_BITS - 1).bit_length()), self.part)
        drain = Mux(settings.parts, of_part, more(held.shift, ~settings.wide))[:AMOUNT_BITS]
        shift = Mux(settings.shifted, more(held.total_shift, settings.wide), 0)[:AMOUNT_BITS]

        def times(which, coefficient):
            return Mux(which == Times.COEFFICIENT, coefficient, which == Times.ONE)

        return {
            "left": settings.left,
            "zero": Mux(settings.parts, 0, held.zero),
            "drain_high": drain[4:],
            "drain_middle": drain[2:4],
            "drain_low": drain[:2],
            "exact": settings.parts,
            "use_product": settings.joined,
            "wide": settings.wide,
            "multiplier": times(settings.first, held.multiplier),
            "second": times(settings.second, held.second),
            "shift_high": shift[4:],
            "shift_middle": shift[2:4],
            "shift_low": shift[:2],
            "bypass": settings.product & ~settings.joined,
            "carry": settings.parts & (self.part != 0),
            "highest": settings.highest,
            "lowest": settings.lowest,
            "mask": settings.mask,
            "square": settings.square,
        }

    def _addend(self, m):
        """What sums begin with, in the cycle of what was pooled."""
        addend, added = self.coefficients.addend, self.settings.added
        for n in range(self.pooled_cycles):
            later = Signal(signed(ACC_BITS), name=f"coefficient_{n}", reset_less=True)
            m.d.sync += later.eq(addend)
            addend = later
        for n in range(self.pooled_cycles - 1):
            choice = Signal(Added, name=f"added_{n}", reset_less=True)
            m.d.sync += choice.eq(added)
            added = choice
        half = ACC_BITS // 2
        parts = []
        for n, choice in enumerate(copies(m, Value.cast(added), 2, "added_last")):
            part = slice(n * half, (n + 1) * half)
            of_channel = Mux(choice == Added.COEFFICIENT.value, addend[part], 0)
            parts.append(Mux(choice == Added.POOLED.value, self.pooled[part], of_channel))
        return Cat(parts).as_signed()
