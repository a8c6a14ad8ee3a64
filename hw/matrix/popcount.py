"""Number of ones in a word, by a pipelined tree of full adders."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract.machine import count_latency_cycles


def adder_levels(word_bits: int) -> int:
    """Full-adder levels that reduce a word to at most two bits of every weight."""
    heights, levels = [word_bits], 0
    while max(heights) > 2:
        carries = [height // 3 for height in heights]
        rows = zip([*heights, 0], [*carries, 0], [0, *carries], strict=True)
        heights = [height - 2 * carry + below for height, carry, below in rows]
        levels += 1
    return levels


class Popcount(wiring.Component):
    """Counts the ones of ``a & b``.

    Bits of equal weight are kept as one vector and reduced three to two, a whole vector at a time: the
    widths never grow, and a simulator handles many adders with one operation.

    Parameters: ``word_bits``; ``latency_cycles``: registers on the way, over which the levels are spread.
    Members: ``a``, ``b`` (``word_bits``), ``count``.
    Latency `latency_cycles`, one result per cycle.
    """

    def __init__(self, word_bits: int, latency_cycles: int | None = None):
        self.word_bits = word_bits
        self.levels = adder_levels(word_bits)
        self.latency_cycles = latency_cycles or count_latency_cycles(word_bits)
        super().__init__({"a": In(word_bits), "b": In(word_bits), "count": Out(bits_for(word_bits))})

    def elaborate(self, platform):
        m = Module()
        weights = [self.a & self.b]
        inner = min(self.latency_cycles - 1, self.levels)
        for level in range(self.levels):
            reduced = [[] for _ in range(len(weights) + 1)]
            for weight, bits in enumerate(weights):
                adders = len(bits) // 3
                if adders:
                    x, y, z = (bits[n * adders : (n + 1) * adders] for n in range(3))
                    reduced[weight].append(x ^ y ^ z)
                    reduced[weight + 1].append((x & y) | (z & (x ^ y)))
                reduced[weight].append(bits[3 * adders :])
            registered = (level + 1) * inner // self.levels > level * inner // self.levels
            weights = []
            for weight, parts in enumerate(reduced):
                bits = Cat(parts)
                if len(bits):
                    kept = Signal(len(bits), name=f"level{level}_weight{weight}", reset_less=True)
                    m.d["sync" if registered else "comb"] += kept.eq(bits)
                    weights.append(kept)
        first = Cat(bits[0] for bits in weights)
        second = Cat(bits[1] if len(bits) > 1 else 0 for bits in weights)
        total = first + second
        for n in range(self.latency_cycles - inner):
            count = Signal(len(self.count), name=f"count_{n}", reset_less=True)
            m.d.sync += count.eq(total)
            total = count
        m.d.comb += self.count.eq(total)
        return m
