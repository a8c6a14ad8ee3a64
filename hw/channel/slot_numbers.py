"""Numbers that follow from a precision slot's bits."""

import struct

from amaranth import Array, Cat, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import FLOAT_BITS, late
from cpt.hw.contract.config import MAX_BITS, SLOTS
from cpt.hw.contract.floats import SlotConstant
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.program.layouts import slot_read

SLOT_NUMBERS = 8
"""Addresses that a slot's numbers take."""
WEIGHT_FRACTION = 17
"""Weights of b bits have 17 - b fraction bits below their code."""


def number(which: int, bits: int, as_float: bool) -> int:
    """The 32 bits of number ``which`` of a slot of ``bits``, 1 .. 16; 0 of what is none."""
    top, largest = (1 << bits) - 1, (1 << bits - 1) - 1
    whole = {
        SlotConstant.BITS: bits,
        SlotConstant.FRACTION_BITS: WEIGHT_FRACTION - bits,
        SlotConstant.TOP: top,
        SlotConstant.LARGEST: largest,
    }
    shares = {SlotConstant.TOP_SHARE: 1 / top, SlotConstant.LARGEST_SHARE: 1 / max(largest, 1)}
    if not as_float:
        return whole.get(which, 0)
    return int.from_bytes(struct.pack("<f", whole.get(which, shares.get(which, 0))), "little")


class SlotNumbers(wiring.Component):
    """Looks a slot's bits up, and what follows from them.

    Members: ``addr``: ``slot * 8 + SlotConstant``; ``as_float``; ``slots`` (`slot_read`); ``number``: 32
    bits, ``fraction_bits``: 17 less the slot's bits, both `latency_cycles` later. One a cycle.
    """

    latency_cycles = MACHINE.slot_cycles + 3

    def __init__(self):
        super().__init__(
            {
                "addr": In(range(SLOTS * SLOT_NUMBERS)),
                "as_float": In(1),
                "slots": Out(slot_read()),
                "number": Out(FLOAT_BITS),
                "fraction_bits": Out(range(WEIGHT_FRACTION)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A cycle for the slot's bits, one for tables of what a LUT can hold, one to choose.
        which = (SLOT_NUMBERS - 1).bit_length()
        place = late(m, self.addr[:which], MACHINE.slot_cycles, "place")
        m.d.comb += self.slots.addr.eq(self.addr[which:])
        bits = self.slots.slot.bits
        address = Cat(bits[: (MAX_BITS - 1).bit_length()], place)
        choice = late(m, Cat(place[-1], late(m, self.as_float, MACHINE.slot_cycles, "as_float")), 2, "choice")
        shared = len(address) - 1
        found = []
        for as_float in range(2):
            for upper in range(2):
                table = [
                    number(value >> 4 | upper << which - 1, value % MAX_BITS or MAX_BITS, bool(as_float))
                    for value in range(1 << shared)
                ]
                (held,) = copies(m, address[:shared], 1, f"address_{as_float}_{upper}")
                m.submodules[f"table_{as_float}_{upper}"] = rom = Memory(
                    shape=unsigned(FLOAT_BITS),
                    depth=len(table),
                    init=table,
                    attrs={"rom_style": "distributed"},
                )
                read = rom.read_port()
                m.d.comb += read.addr.eq(held)
                found.append(read.data)
        m.d.sync += [
            self.number.eq(Array(found)[Cat(choice[0], choice[1])]),
            self.fraction_bits.eq(late(m, WEIGHT_FRACTION - bits, 2, "fraction")),
        ]
        return m
