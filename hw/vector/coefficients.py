"""Coefficients of every channel: written by the float engine, read by the lanes."""

from amaranth import Array, Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import FIELD, Coefficient
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.channel_numbers import ChannelNumbers
from cpt.hw.vector.ports import channel_memory
from cpt.hw.vector.row import COEFFICIENTS

_CHOSEN_BITS = 8
"""Bits of a number that share a choice."""


class Coefficients(wiring.Component):
    """A memory for each field.

    Members: ``float``: `channel_memory`; ``channel``: of the lanes, ``coefficients``: its fields,
    `latency_cycles` later. A number written is read in any later cycle.
    """

    latency_cycles = MACHINE.channel_memory_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "float": In(channel_memory(len(Coefficient))),
                "channel": In(range(config.channels)),
                "coefficients": Out(COEFFICIENTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        names = {which: which.name.lower() for which in Coefficient}
        parts = {name: COEFFICIENTS[name].shape for name in names.values()}
        m.submodules.numbers = numbers = ChannelNumbers(self.config.channels, parts, 2)
        inner = (FIELD - 1).bit_length()
        field = self.float.addr[inner:]
        channel = self.float.addr[: len(numbers.into)]
        beyond = numbers.beyond(channel)
        writes = [self.float.write & (field == which) for which in Coefficient]
        m.d.comb += [
            numbers.addr_0.eq(self.channel),
            numbers.addr_1.eq(channel),
            numbers.into.eq(channel),
            *(getattr(numbers.data, name).eq(self.float.write_data) for name in parts),
            numbers.write.eq(
                Cat(
                    write & ~beyond if numbers.splits(names[which]) else write
                    for which, write in zip(Coefficient, writes, strict=True)
                )
            ),
            numbers.write_beyond.eq(Cat(write & beyond for write in writes)),
        ]
        m.d.sync += self.coefficients.eq(numbers.found_0)
        asked = Signal(range(len(Coefficient)), reset_less=True)
        m.d.sync += asked.eq(field)
        pieces = range(0, ACC_BITS, _CHOSEN_BITS)
        chosen = copies(m, asked, len(pieces), "chosen")
        wides = []
        for name in parts:
            wide = Signal(signed(ACC_BITS), name=f"{name}_wide")
            m.d.comb += wide.eq(getattr(numbers.found_1, name))
            wides.append(wide)
        for low, choice in zip(pieces, chosen, strict=True):
            piece = slice(low, low + _CHOSEN_BITS)
            m.d.sync += self.float.read_data[piece].eq(Array(wide[piece] for wide in wides)[choice])
        return m
