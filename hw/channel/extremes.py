"""The larger or smaller of two numbers, or the extreme of a whole row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.number import FLOAT_BITS, INTEGER, chosen, late, negated, parts, twins
from cpt.hw.matrix.copies import copies

_SIGN = FLOAT_BITS - 1


def latency_cycles(lanes: int) -> int:
    """Of `Extremes`."""
    return 5 + _ahead(lanes)


def _ahead(lanes: int) -> int:
    """Cycles of the tree over lanes."""
    return max(2 * (lanes - 1).bit_length(), 1)


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
        m.d.comb += self.done.eq(late(m, self.valid, self.latency_cycles, "valid", reset_less=False))
        # 1, 2: floats as integers of the same order.
        keys = {name: [self._key(m, name, lane) for lane in range(self.lanes)] for name in "ab"}
        # Then the extreme of all b, two by two, where lane 0 takes it: what does not count is not taken.
        counts, found = late(m, self.mask, 2, "mask") & self.chain.replicate(self.lanes), keys["b"]
        while len(found) > 1:
            apart = self.lanes // len(found)
            found = [
                self._better(m, f"{apart}_{at}", found[at + 1], found[at], counts[(at + 1) * apart])
                for at in range(0, len(found), 2)
            ]
            counts = late(m, counts, 2, f"counts_{apart}")
        ahead = _ahead(self.lanes)
        own = found[0] if self.lanes > 1 else late(m, found[0], ahead, "b")
        self._result(m, 0, self._best(m, late(m, keys["a"][0], ahead - 1, "a"), own, ahead))
        for lane in range(1, self.lanes):
            best = self._better(m, f"of_{lane}", keys["b"][lane], keys["a"][lane], 1)
            self._result(m, lane, late(m, best, ahead - 1, f"best_{lane}"))
        return m

    def _key(self, m: Module, name: str, lane: int) -> Signal:
        """A float's or an integer's, two cycles later: first its sign, then the number."""
        value, turns = getattr(self, name)[lane], Signal(name=f"turns_{name}_{lane}", reset_less=True)
        m.d.sync += turns.eq(self.floats & ~(self.magnitude if name == "b" else 0))
        held = late(m, value, 1, f"held_{name}_{lane}")
        signs = twins(m, value[_SIGN] & turns, INTEGER.width, f"sign_{name}_{lane}")
        floats = twins(m, self.floats, INTEGER.width - _SIGN, f"floats_{name}_{lane}")
        upper = chosen(m, floats, 0, held[_SIGN:], INTEGER.width - _SIGN)
        key = Signal(INTEGER, name=f"key_{name}_{lane}", reset_less=True)
        m.d.sync += key.eq(negated(m, signs, Cat(held[:_SIGN], upper)))
        return key

    def _better(self, m: Module, name: str, one, other, counts) -> Signal:
        """``one`` where it is the one that is wanted, and ``counts``, else ``other``; two cycles later."""
        takes = twins(m, ((one < other) == self._least(m, name)) & counts, INTEGER.width, f"takes_{name}")
        better = Signal(INTEGER, name=f"better_{name}", reset_less=True)
        m.d.sync += better.eq(self._chosen(m, name, takes, one, other))
        return better

    def _best(self, m: Module, a, b, ahead: int) -> Signal:
        """Lane 0's, a cycle behind b: of that and what was so far, of the first of a row a, which comes a
        cycle before its b. Compared once for each half of the bits.
        """
        so_far = Signal(INTEGER, name="so_far", reset_less=True)
        first = late(m, self.first & self.valid, ahead, "first_so_far", reset_less=False)
        valid = late(m, self.valid, 1 + ahead, "valid_so_far", reset_less=False)
        firsts, goes = (
            twins(m, value, INTEGER.width, name)
            for name, value in (("first", first), ("goes", valid | first))
        )
        takes = []
        for n, ((of_first, part), go) in enumerate(zip(parts(firsts, INTEGER.width), goes, strict=True)):
            wanted = (b < so_far) == self._least(m, f"of_0_{n}")
            takes += copies(m, wanted, 1, f"takes_of_0_{n}")
            with m.If(go):
                m.d.sync += so_far[part].eq(Mux(of_first, a[part], Mux(wanted, b[part], so_far[part])))
        return self._chosen(m, "of_0", takes, b, so_far)

    def _chosen(self, m: Module, name: str, takes: list, one, other) -> Signal:
        """What ``takes`` was found out about a cycle ago."""
        return chosen(m, takes, late(m, one, 1, f"one_{name}"), late(m, other, 1, f"other_{name}"), INTEGER)

    def _least(self, m: Module, name: str) -> Signal:
        """A copy of `least`: comparisons of the same numbers stay apart by it."""
        return copies(m, self.least, 1, f"least_{name}")[0]

    def _result(self, m: Module, lane: int, found) -> None:
        """Floats again: a cycle for the number found, with copies of its sign, and one for what it is."""
        best = late(m, found, 1, f"found_{lane}")
        signs, floats = (
            twins(m, value, INTEGER.width, f"{name}_{lane}")
            for name, value in (("signs", found[-1]), ("floats", self.floats))
        )
        size = Cat(negated(m, signs, best[:_SIGN]), signs[0])
        m.d.sync += self.result[lane].eq(chosen(m, floats, size, best, INTEGER))
