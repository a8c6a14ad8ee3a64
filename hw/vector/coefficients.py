"""Coefficients of every channel: written by the float engine, read by the lanes."""

from amaranth import Array, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import CHANNELS, Coefficient
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.ports import channel_memory
from cpt.hw.vector.row import COEFFICIENTS

_CHOSEN_BITS = 12
"""Bits of a number that share a choice."""


class Coefficients(wiring.Component):
    """A memory for each field.

    Members: ``float``: `channel_memory`; ``channel``: of the lanes, ``coefficients``: its fields,
    `latency_cycles` later. A number written is read in any later cycle.
    """

    latency_cycles = MACHINE.channel_memory_cycles

    def __init__(self):
        super().__init__(
            {
                "float": In(channel_memory(len(Coefficient))),
                "channel": In(range(CHANNELS)),
                "coefficients": Out(COEFFICIENTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inner = (CHANNELS - 1).bit_length()
        channel = Signal.like(self.channel, reset_less=True)
        field = self.float.addr[inner:]
        asked = Signal(range(len(Coefficient)), reset_less=True)
        m.d.sync += [channel.eq(self.channel), asked.eq(field)]
        parts = range(0, ACC_BITS, _CHOSEN_BITS)
        chosen = copies(m, asked, len(parts), "chosen")
        numbers = []
        for which in Coefficient:
            name = which.name.lower()
            shape = COEFFICIENTS[name].shape
            memory = Memory(shape=shape, depth=CHANNELS, init=[])
            m.submodules[name] = memory
            into, out, back = memory.write_port(), memory.read_port(), memory.read_port()
            number = Signal(shape, name=f"{name}_back", reset_less=True)
            m.d.comb += [
                into.addr.eq(self.float.addr),
                into.data.eq(self.float.write_data),
                into.en.eq(self.float.write & (field == which)),
                out.addr.eq(channel),
                back.addr.eq(self.float.addr),
            ]
            # Output registers of block RAM, then of the block.
            m.d.sync += [getattr(self.coefficients, name).eq(out.data), number.eq(back.data)]
            wide = Signal(signed(ACC_BITS), name=f"{name}_wide")
            m.d.comb += wide.eq(number)
            numbers.append(wide)
        for low, choice in zip(parts, chosen, strict=True):
            part = slice(low, low + _CHOSEN_BITS)
            m.d.sync += self.float.read_data[part].eq(Array(number[part] for number in numbers)[choice])
        return m
