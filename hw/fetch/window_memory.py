"""The window memories: one for each tap and column, so that the array reads whole windows in a cycle."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.matrix.copies import copies

HALVES = 2
"""Halves of the columns, a group of channels each where K runs along pixels."""
SHIFTS = 3
"""Rows dy, and columns dx, of a 3 x 3 kernel."""
QUAD = 4
"""Neighbouring columns that one enable serves, but for those at the sides of blocks."""
PART_BITS = 8
"""Bits of a memory that are written alone, where it has more."""


def write_parts(config: ArrayConfig) -> int:
    """Parts of a memory's word that have enables of their own."""
    return max(1, config.group_channels // PART_BITS)


def window_write(config: ArrayConfig) -> wiring.Signature:
    """Writes of a cycle: ``en`` by tap and column (a bit for each part), ``data`` by dx and column.

    ``addr`` by tap serves all columns but the first of dx = -1 and the last of dx = 1, which have
    ``addr_first`` and ``addr_last`` by dy: there a step of one tile belongs to its neighbour.
    """
    address = range(config.b_depth_words)
    return wiring.Signature(
        {
            "en": Out(write_parts(config)).array(TAPS, config.cols),
            "data": Out(config.group_channels).array(SHIFTS, config.cols),
            "addr": Out(address).array(TAPS),
            "addr_first": Out(address).array(SHIFTS),
            "addr_last": Out(address).array(SHIFTS),
        }
    )


def window_read(config: ArrayConfig) -> wiring.Signature:
    """Reads a word of every column; both halves of the columns have an address of their own."""
    return wiring.Signature(
        {
            "addr": Out(range(config.b_depth_words)).array(HALVES),
            "data": In(config.word_bits).array(config.cols),
        }
    )


class WindowMemory(wiring.Component):
    """``9 * cols`` memories of ``g`` bits: tap ``t`` is bits ``[t*g, (t+1)*g)`` of a column's word.

    Parameters: ``config``.
    Members: ``write`` (`window_write`), ``read`` (`window_read`).
    A word is read `latency_cycles` after its address: copies of the address, memory, its output register. A
    word written in a cycle can be addressed in the next; addressed in the same one, it is not defined.
    """

    latency_cycles = MACHINE.window_memory_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({"write": In(window_write(config)), "read": In(window_read(config))})

    def elaborate(self, platform):
        m = Module()
        config, width = self.config, self.config.group_channels
        half = config.cols // HALVES
        # A copy for every tap and half: as many loads as a half has columns.
        addresses = [
            copies(m, self.read.addr[number], TAPS, f"read_addr_{number}") for number in range(HALVES)
        ]
        for column in range(config.cols):
            parts = []
            for tap in range(TAPS):
                dy, dx = divmod(tap, SHIFTS)
                memory = Memory(shape=unsigned(width), depth=config.b_depth_words, init=[])
                m.submodules[f"tap_{tap}_{column}"] = memory
                write = memory.write_port(granularity=width // write_parts(config))
                read = memory.read_port()
                addr = self.write.addr[tap]
                if (column, dx) == (0, 0):
                    addr = self.write.addr_first[dy]
                if (column, dx) == (config.cols - 1, SHIFTS - 1):
                    addr = self.write.addr_last[dy]
                m.d.comb += [
                    write.en.eq(self.write.en[tap][column]),
                    write.addr.eq(addr),
                    write.data.eq(self.write.data[dx][column]),
                    read.addr.eq(addresses[column // half][tap]),
                ]
                # Without reset the memory's own output register serves.
                part = Signal(width, name=f"part_{tap}_{column}", reset_less=True)
                m.d.sync += part.eq(read.data)
                parts.append(part)
            m.d.comb += self.read.data[column].eq(Cat(parts))
        return m
