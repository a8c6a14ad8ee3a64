"""One bit-serial dot-product unit: AND, count, accumulate."""

from amaranth import Cat, ClockSignal, Instance, Module, Mux, Signal
from amaranth.hdl import Assert
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.config import ACC_BITS, MAX_BITS
from cpt.hw.contract.machine import count_latency_cycles
from cpt.hw.matrix.compressors import count_netlist
from cpt.hw.matrix.popcount import Popcount
from cpt.hw.matrix.xc7 import ENABLE_LOADS, accumulator, place_netlist, register

MODULE_NAME = "cpt_matrix_unit"
FORMS = ("portable", "xc7")
"""How the unit can be built: from operators, for simulators and any part; from cells of 7-series parts."""
CONTROLS = ("clear", "double", "count", "subtract", "capture")
"""What a unit is told with each pair of words; all low: nothing happens."""


def result_bits(config: ArrayConfig) -> int:
    """Bits, sign included, of the largest sum that one tile in the buffers can give.

    The planes of a tile lie in half a buffer: an operand of ``b`` bits leaves room for ``half_words / b``
    words along K, and a unit multiplies no more of them than the narrower side holds.
    """
    half = min(config.half_words("a"), config.half_words("b"))
    largest = half // MAX_BITS * config.word_bits * ((1 << MAX_BITS) - 1) ** 2
    return min(largest.bit_length() + 1, ACC_BITS)


def unit_signature(word_bits: int, bits: int = ACC_BITS) -> wiring.Signature:
    """Ports of the unit in either form; ``bits``: width of the result."""
    return wiring.Signature(
        {
            "a": In(word_bits),
            "b": In(word_bits),
            **{name: In(1) for name in CONTROLS},
            "result": Out(bits),
        }
    )


class Unit(wiring.Component):
    """Accumulates the number of ones of ``a & b``, as its controls say, and keeps what it captured.

    The controls come in the same cycle as the words they belong to. P becomes ``Z + X + Y``, or ``Z - X - Y``
    with ``subtract``, where Z is P (0 with ``clear``), X is 0 (P with ``double``), Y is 0 (the count with
    ``count``): a step is one of 0, C, -C, P + C, P - C, 2P + C, 2P, or P as it was. ``double`` comes neither
    with ``subtract`` nor with ``clear``: one adder of three terms cannot do 2P - C. ``capture`` copies to
    ``result`` what P is after the step it came with.

    Parameters: ``word_bits``; ``form``: one of `FORMS`, same bits in the same cycles; ``bits``: width of the
    result, `ACC_BITS` or less (`result_bits`); ``checked``: forbidden controls end a simulation.
    Members: ``a``, ``b`` (``word_bits``), controls as above, ``result`` (``bits``, two's complement).
    Latency `count_latency_cycles` to the count, `latency_cycles` to the result; one step per cycle. There is
    no reset: the first step after one clears.
    """

    def __init__(
        self, word_bits: int, form: str = "portable", bits: int = ACC_BITS, *, checked: bool = False
    ):
        if form not in FORMS:
            raise ContractError(f"form is {form!r}; allowed: {', '.join(FORMS)}")
        if not 1 <= bits <= ACC_BITS:
            raise ContractError(f"bits is {bits}; allowed: 1 to {ACC_BITS}")
        self.word_bits = word_bits
        self.form = form
        self.bits = bits
        self._checked = checked
        self.count_latency_cycles = count_latency_cycles(word_bits)
        self.latency_cycles = self.count_latency_cycles + 2
        """Cycles from words with ``capture`` to ``result``: count, P, result."""
        super().__init__(unit_signature(word_bits, bits))

    def elaborate(self, platform):
        m = Module()
        if self._checked:
            m.d.sync += Assert(~(self.double & (self.subtract | self.clear)), "double with subtract or clear")
        if self.form == "xc7":
            self._from_cells(m)
        else:
            self._from_operators(m)
        return m

    def _from_operators(self, m):
        m.submodules.popcount = popcount = Popcount(self.word_bits, self.count_latency_cycles)
        m.d.comb += [popcount.a.eq(self.a), popcount.b.eq(self.b)]

        def delayed(name, cycles):
            signal = getattr(self, name)
            for n in range(cycles):
                later = Signal(name=f"{name}_{n + 1}", reset_less=True)
                m.d.sync += later.eq(signal)
                signal = later
            return signal

        before = self.count_latency_cycles - 1
        clear, double, count, subtract = (
            delayed(name, before) for name in ("clear", "double", "count", "subtract")
        )
        # One adder for all steps: twice P is P a place higher, and -count is ~count with a carry. A doubled
        # P that is subtracted takes itself away, as in the slice: nobody gets 2P - C here and -C there.
        zero, shift, take, negative = (
            Signal(name=name, reset_less=True) for name in ("zero", "shift", "take", "negative")
        )
        m.d.sync += [
            zero.eq((clear & ~double) | (double & subtract)),
            shift.eq(double & ~clear),
            take.eq(count),
            negative.eq(subtract),
        ]
        total = Signal(ACC_BITS, reset_less=True)
        result = Signal(self.bits, reset_less=True)
        base = Mux(zero, 0, Mux(shift, total << 1, total))
        addend = Mux(take, popcount.count, 0) ^ negative.replicate(ACC_BITS)
        m.d.sync += total.eq(addend + base + negative)
        with m.If(delayed("capture", self.count_latency_cycles + 1)):
            m.d.sync += result.eq(total)
        m.d.comb += self.result.eq(result)

    def _from_cells(self, m):
        def delayed(name, cycles):
            signal = getattr(self, name)
            for n in range(cycles):
                signal = register(m, signal, f"{name}_{n + 1}")
            return signal

        before = self.count_latency_cycles - 1  # the last register is inside the accumulator
        total = accumulator(
            m,
            place_netlist(m, count_netlist(self.word_bits), Cat(self.a, self.b)),
            delayed("clear", before),
            delayed("double", before),
            delayed("count", before),
            delayed("subtract", before),
        )
        capture = delayed("capture", self.count_latency_cycles)
        for start in range(0, self.bits, ENABLE_LOADS):
            part = slice(start, min(start + ENABLE_LOADS, self.bits))
            enable = register(m, capture, f"capture_from_{start}")
            m.d.comb += self.result[part].eq(register(m, total[part], f"result_from_{start}", enable))


def unit_instance(ports: wiring.PureInterface) -> Instance:
    """A reference to the separately emitted Verilog module, wired to ``ports`` (`unit_signature`).

    A design with hundreds of units elaborates in seconds this way. Amaranth's simulator does not see
    inside an `Instance`, so simulation there uses `Unit` itself.
    """
    wires = {
        ("i_" if member.flow == In else "o_") + path[0]: value
        for path, member, value in ports.signature.flatten(ports)
    }
    return Instance(MODULE_NAME, i_clk=ClockSignal(), **wires)
