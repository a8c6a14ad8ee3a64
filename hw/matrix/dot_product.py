"""One bit-serial dot-product unit."""

from amaranth import ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.machine import count_latency_cycles
from cpt.hw.matrix.popcount import Popcount

MODULE_NAME = "cpt_dot_product"


def dot_product_signature(word_bits: int) -> wiring.Signature:
    """Ports of the unit, however it is built."""
    return wiring.Signature(
        {
            "a": In(word_bits),
            "b": In(word_bits),
            "enable": In(1),
            "count": In(1),
            "clear": In(1),
            "double": In(1),
            "negative": In(1),
            "capture": In(1),
            "result": Out(ACC_BITS),
        }
    )


class DotProductUnit(wiring.Component):
    """AND, count, accumulate.

    ``enable``: the accumulator becomes ``(0 if clear else 2*acc if double else acc) + count``, or minus the
    count with ``negative``, or neither without ``count``. These flags belong to the words presented
    `count_latency_cycles` before. ``capture`` copies the accumulator to ``result``; one may accumulate
    in the same cycle.

    Parameters: ``word_bits``.
    Members: ``a``, ``b`` (``word_bits``); flags as above; ``result`` (48 bits, two's complement).
    """

    def __init__(self, word_bits: int):
        self.word_bits = word_bits
        self.count_latency_cycles = count_latency_cycles(word_bits)
        super().__init__(dot_product_signature(word_bits))

    def elaborate(self, platform):
        m = Module()
        m.submodules.popcount = popcount = Popcount(self.word_bits)
        m.d.comb += [popcount.a.eq(self.a), popcount.b.eq(self.b)]

        acc = Signal(ACC_BITS, reset_less=True)
        result = Signal(ACC_BITS, reset_less=True)
        base = Mux(self.clear, 0, Mux(self.double, acc << 1, acc))
        # -count is ~count + 1; the one goes in as the adder's carry. The addend stands first: above the
        # count it is one signal, so the carry chain's data input needs no LUT.
        counted = popcount.count & self.count.replicate(len(popcount.count))
        addend = counted ^ self.negative.replicate(ACC_BITS)
        with m.If(self.enable):
            m.d.sync += acc.eq(addend + base + self.negative)
        with m.If(self.capture):
            m.d.sync += result.eq(acc)
        m.d.comb += self.result.eq(result)
        return m


def dot_product_instance(ports: wiring.PureInterface) -> Instance:
    """A reference to the separately emitted Verilog module, wired to ``ports`` (`dot_product_signature`).

    A design with hundreds of units elaborates in seconds this way. Amaranth's simulator does not see
    inside an `Instance`, so simulation there uses `DotProductUnit` itself.
    """
    wires = {
        ("i_" if member.flow == In else "o_") + path[0]: value
        for path, member, value in ports.signature.flatten(ports)
    }
    return Instance(MODULE_NAME, i_clk=ClockSignal(), **wires)
