"""On-chip memory of one operand: two halves, a word for each lane at every address."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies
from cpt.hw.memory_ports import read_port, write_port

ADDRESS_LANES = 4
"""Lanes that share a copy of an address; a lane of zc706 takes four block RAMs, with a pin in each."""


class OperandBuffer(wiring.Component):
    """One memory per lane, all at the same address.

    Every lane has a copy of the write enable, which has up to eight pins in each block RAM; every few lanes
    have copies of the addresses.

    Parameters: ``lanes``, ``word_bits``, ``depth_words`` (both halves); ``parts`` of a word that have enables
    of their own, in all lanes at once.
    Members: ``write``, ``read`` (`cpt.hw.memory_ports`). ``write.data`` comes a cycle behind ``write.en``
    and ``write.addr``.
    Read latency three cycles: copies of the address, the memory and its output register.
    """

    latency_cycles = MACHINE.operand_buffer_cycles

    def __init__(self, lanes: int, word_bits: int, depth_words: int, parts: int = 1):
        self.lanes, self.word_bits, self.depth_words, self.parts = lanes, word_bits, depth_words, parts
        super().__init__(
            {
                "write": In(write_port(depth_words, word_bits, lanes, parts)),
                "read": In(read_port(depth_words, word_bits, lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        groups = -(-self.lanes // ADDRESS_LANES)
        enables = copies(m, self.write.en, self.lanes, "write_en", reset_less=False)
        write_addrs = copies(m, self.write.addr, groups, "write_addr")
        read_addrs = copies(m, self.read.addr, groups, "read_addr")
        for lane in range(self.lanes):
            memory = Memory(shape=unsigned(self.word_bits), depth=self.depth_words, init=[])
            m.submodules[f"lane_{lane}"] = memory
            write = memory.write_port(granularity=self.word_bits // self.parts)
            read = memory.read_port()
            m.d.comb += [
                write.en.eq(enables[lane]),
                write.addr.eq(write_addrs[lane // ADDRESS_LANES]),
                write.data.eq(self.write.data[lane]),
                read.addr.eq(read_addrs[lane // ADDRESS_LANES]),
            ]
            # Without reset the memory's own output register serves.
            word = Signal(self.word_bits, name=f"word_{lane}", reset_less=True)
            m.d.sync += word.eq(read.data)
            m.d.comb += self.read.data[lane].eq(word)
        return m
