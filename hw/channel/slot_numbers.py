"""Numbers that follow from a precision slot's bits."""

import struct

from amaranth import Cat, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import FLOAT_BITS, late
from cpt.hw.contract.config import MAX_BITS, SLOTS
from cpt.hw.contract.floats import SlotConstant
from cpt.hw.contract.machine import MACHINE
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

    latency_cycles = MACHINE.slot_cycles + 1

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
        table = [
            number(which, bits or MAX_BITS, bool(as_float))
            for as_float in range(2)
            for which in range(SLOT_NUMBERS)
            for bits in range(MAX_BITS)
        ]
        m.submodules.table = rom = Memory(
            shape=unsigned(FLOAT_BITS), depth=len(table), init=table, attrs={"rom_style": "distributed"}
        )
        read = rom.read_port()
        which = (SLOT_NUMBERS - 1).bit_length()
        place = Cat(self.addr[:which], self.as_float)
        held = late(m, place, MACHINE.slot_cycles, "place")
        bits = self.slots.slot.bits
        m.d.comb += [
            self.slots.addr.eq(self.addr[which:]),
            read.addr.eq(Cat(bits[: (MAX_BITS - 1).bit_length()], held)),
            self.number.eq(read.data),
        ]
        m.d.sync += self.fraction_bits.eq(WEIGHT_FRACTION - bits)
        return m
