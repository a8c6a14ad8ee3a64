"""What a word's results come to over all lanes: sum, sum of products, smallest, largest."""

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import Statistic
from cpt.hw.vector.lane import Lane
from cpt.hw.vector.ports import NUMBER_BITS, scratch_word


def sums(config: ArrayConfig) -> dict[str, Shape]:
    """What a word adds to its channel's statistics, by their names."""
    levels = (config.cols - 1).bit_length()
    return {
        Statistic.TOTAL.name.lower(): signed(NUMBER_BITS + levels),
        Statistic.PRODUCT.name.lower(): signed(2 * NUMBER_BITS + levels),
        Statistic.LOWEST.name.lower(): signed(NUMBER_BITS),
        Statistic.HIGHEST.name.lower(): signed(NUMBER_BITS),
    }


class Reduction(wiring.Component):
    """Trees over the lanes, a register behind each level.

    Members: ``result``, ``inside`` (which lanes hold a pixel; others' results are 0); ``joint``,
    `joint_cycles` later; ``total``, ``product``, ``lowest``, ``highest``: `latency_cycles` after the result.
    """

    joint_cycles = Lane.joint_cycles - Lane.latency_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.latency_cycles = self.joint_cycles + (config.cols - 1).bit_length()
        super().__init__(
            {
                "result": In(scratch_word(config)),
                "inside": In(config.cols),
                "joint": In(data.ArrayLayout(signed(2 * NUMBER_BITS), config.cols)),
                **{name: Out(shape) for name, shape in sums(config).items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes, least, most = range(self.config.cols), -(1 << NUMBER_BITS - 1), (1 << NUMBER_BITS - 1) - 1
        lows, highs = [], []
        for n in lanes:
            low, high = (
                Signal(signed(NUMBER_BITS), name=f"{name}_{n}", reset_less=True) for name in ("low", "high")
            )
            m.d.sync += [
                low.eq(Mux(self.inside[n], self.result[n], most)),
                high.eq(Mux(self.inside[n], self.result[n], least)),
            ]
            lows.append(low)
            highs.append(high)
        results, products = ([source[n] for n in lanes] for source in (self.result, self.joint))
        ends = {
            "total": (self._tree(m, results, "total", lambda a, b: a + b), self.joint_cycles),
            "product": (self._tree(m, products, "product", lambda a, b: a + b), 0),
            "lowest": (self._tree(m, lows, "lowest", lambda a, b: Mux(a < b, a, b)), self.joint_cycles - 1),
            "highest": (
                self._tree(m, highs, "highest", lambda a, b: Mux(a > b, a, b)),
                self.joint_cycles - 1,
            ),
        }
        for name, (value, cycles) in ends.items():
            for n in range(cycles):
                late = Signal(value.shape(), name=f"{name}_late_{n}", reset_less=True)
                m.d.sync += late.eq(value)
                value = late
            m.d.comb += getattr(self, name).eq(value)
        return m

    def _tree(self, m, values, name, joined):
        """``values`` joined in pairs, a level a cycle."""
        level = 0
        while len(values) > 1:
            nodes = []
            for n, (a, b) in enumerate(zip(values[0::2], values[1::2], strict=True)):
                node = Signal(joined(a, b).shape(), name=f"{name}_{level}_{n}", reset_less=True)
                m.d.sync += node.eq(joined(a, b))
                nodes.append(node)
            values, level = nodes, level + 1
        return values[0]
