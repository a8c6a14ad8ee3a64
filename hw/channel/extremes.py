"""The larger or smaller of two numbers, or the extreme of a whole row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import FLOAT_BITS, INTEGER, chosen, late, twins
from cpt.hw.matrix.copies import MOST_LOADS

_SIGN = FLOAT_BITS - 1


def latency_cycles(lanes: int) -> int:
    """Of `Extremes`."""
    return 3 + (lanes - 1).bit_length()


class Extremes(wiring.Component):
    """MAXIMUM, MINIMUM, LARGEST, and those of integers. Floats are compared as they are, -0 as +0.

    Parameters: ``lanes``, elements at once, a power of two.
    Members: ``floats``, ``least``: the smaller one; ``magnitude``: of b, a float, without its sign;
    ``chain``: lane 0 takes the extreme of all b; these stay while anything is under way; ``valid``,
    ``first``: of a row, else the extreme so far takes the place of lane 0's a; ``mask``: lanes that count,
    from lane 0 on; ``a``, ``b``; ``done``, ``result``.
    Elements of all lanes a cycle, `latency_cycles` later.
    """

    def __init__(self, lanes: int = 1):
        self.lanes = lanes
        self.latency_cycles = latency_cycles(lanes)
        super().__init__(
            {
                "floats": In(1),
                "least": In(1),
                "magnitude": In(1),
                "chain": In(1),
                "valid": In(1),
                "first": In(1),
                "mask": In(lanes, init=1),
                "a": In(INTEGER).array(lanes),
                "b": In(INTEGER).array(lanes),
                "done": Out(1),
                "result": Out(INTEGER).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        levels = self.latency_cycles - latency_cycles(1)
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        # 1: floats as integers of the same order.
        keys = {name: [self._key(m, name, lane) for lane in range(self.lanes)] for name in "ab"}
        # Then the extreme of all b, two by two.
        found, mask, others = keys["b"], late(m, self.mask, 1, "mask"), keys["b"]
        for level in range(levels):
            pairs = []
            for at in range(0, len(found), 2):
                extreme = Signal(INTEGER, name=f"extreme_{level}_{at}", reset_less=True)
                one, other = found[at : at + 2]
                takes = ((other < one) == self.least) & mask[(at + 1) << level]
                m.d.sync += extreme.eq(Mux(takes, other, one))
                pairs.append(extreme)
            others = [late(m, key, 1, f"b_{level}_{lane}") for lane, key in enumerate(others)]
            found, mask = pairs, late(m, mask, 1, f"mask_{level}")
        chains = twins(m, self.chain, INTEGER.width, "chains")
        for lane in range(self.lanes):
            a = late(m, keys["a"][lane], levels, f"a_{lane}")
            b = others[lane] if lane else chosen(m, chains, found[0], others[0], INTEGER)
            self._extreme(m, lane, a, b, levels)
        return m

    def _key(self, m: Module, name: str, lane: int) -> Signal:
        value = getattr(self, name)[lane]
        key = Signal(INTEGER, name=f"key_{name}_{lane}", reset_less=True)
        size = value[:_SIGN]
        positive = ~value[_SIGN] | (self.magnitude if name == "b" else 0)
        floats = twins(m, self.floats, INTEGER.width, f"floats_{name}_{lane}")
        m.d.sync += key.eq(chosen(m, floats, Mux(positive, size, -size), value, INTEGER))
        return key

    def _extreme(self, m: Module, lane: int, a: Signal, b: Signal, levels: int) -> None:
        # 2: the chosen one.
        best, better, held = Signal(INTEGER, reset_less=True), Signal(INTEGER), a
        if lane == 0:
            firsts = twins(m, late(m, self.first, levels, "first_so_far"), INTEGER.width, "first")
            held = chosen(m, firsts, a, best, INTEGER)
        valid = late(m, self.valid, levels, f"valid_{lane}", reset_less=False)
        m.d.comb += better.eq(Mux((b < held) == self.least, b, held))
        for n, chosen_valid in enumerate(twins(m, valid, INTEGER.width, f"chosen_valid_{lane}")):
            part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
            with m.If(chosen_valid):
                m.d.sync += best[part].eq(better[part])
        # 3: floats again.
        negative = best[-1]
        size = Mux(negative, -best[:_SIGN], best)[:_SIGN]
        floats = twins(m, self.floats, INTEGER.width, f"floats_{lane}")
        m.d.sync += self.result[lane].eq(chosen(m, floats, Cat(size, negative), best, INTEGER))
