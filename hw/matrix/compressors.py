"""AND and count of two words in 7-series cells: a netlist as data, built from a plan of carry chains.

The products of the words' bits are added three at a time in two LUTs, or two at a time in one. From there on
layers of carry chains reduce the bits of each weight to one. A chain is a row of *atoms*, each a LUT per
carry position:

====  =========  ================================  ====
atom  positions  reads, beside the carry           LUTs
====  =========  ================================  ====
6     2          6 bits of its weight              2
4     2          4 bits, and 1 of the next weight  2
2     1          2 bits                            1
1     1          1 bit                             1
====  =========  ================================  ====

It gives a bit per position and its last carry; `c` in front of the atoms reads one more bit as its first
carry. Seven bits become three in two LUTs that way (`c6`), eight bits fewer per four LUTs in any longer row
of `6`. Every layer ends in registers, so that a LUT and a carry chain lie between two of them.

The idea of atoms on carry chains: T. B. Preusser, "Generic and universal parallel matrix summation with a
flexible compression goal for Xilinx FPGAs", FPL 2017. LUT6_2 gives two functions (UG474): O6 of six inputs,
O5 of the lower five and the lower half of the table. A carry position passes its carry on where its select is
high and takes its data otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from cpt.hw.contract.config import require

ZERO, ONE = 0, 1
"""Signals that never change; the bits of A follow, then those of B, then what the cells drive."""
POSITIONS = {"6": 2, "4": 2, "2": 1, "1": 1}
"""Carry positions of each atom."""
CHAIN = 4
"""Carry positions of a CARRY4."""


@dataclass(frozen=True)
class Cell:
    """One primitive: ``kind``, its input and output signals in the order of `PINS`, a LUT's table."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    init: int = 0


PINS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "LUT6": (tuple(f"I{n}" for n in range(6)), ("O",)),
    "LUT6_2": (tuple(f"I{n}" for n in range(6)), ("O6", "O5")),
    "CARRY4": (
        ("CI", "CYINIT", *(f"DI[{n}]" for n in range(CHAIN)), *(f"S[{n}]" for n in range(CHAIN))),
        (*(f"O[{n}]" for n in range(CHAIN)), *(f"CO[{n}]" for n in range(CHAIN))),
    ),
    "FDRE": (("D",), ("Q",)),
}
"""Pins of the primitives by kind, without what all registers have in common."""


@dataclass(frozen=True)
class Plan:
    """``triples``, ``pairs``: products added three and two at a time; ``layers``: chains by weight."""

    triples: int
    pairs: int
    layers: tuple[tuple[tuple[int, str], ...], ...]

    @property
    def word_bits(self) -> int:
        """Products that it counts."""
        return 3 * self.triples + 2 * self.pairs


PLANS = (
    Plan(3, 0, (((0, "c26"),),)),
    Plan(4, 3, (((0, "c6"), (1, "c6")), ((1, "c121"),))),
    Plan(10, 3, (((0, "c6"), (1, "c6")), ((0, "c62"), (1, "c6")), ((1, "c224"),))),
    Plan(
        22,
        3,
        (
            ((0, "c26"), (0, "c6"), (0, "c6"), (0, "c6"), (1, "6"), (1, "6"), (1, "c6")),
            ((1, "c64"), (2, "c6")),
            ((0, "c42221"),),
        ),
    ),
    Plan(
        46,
        3,
        (
            ((0, "c6"),) * 7 + ((1, "c6"),) * 7,
            ((0, "c66"), (1, "c62"), (1, "c66"), (2, "c6")),
            ((1, "c264"),),
            ((3, "c411"),),
        ),
    ),
)
"""By rising width. Found by integer programming: fewest LUTs, then fewest registers, in that many layers."""


def plan(word_bits: int) -> Plan:
    """The plan for words of ``word_bits``: the narrowest that is wide enough; missing bits count as zero."""
    widest = PLANS[-1].word_bits
    require(1 <= word_bits <= widest, f"word_bits is {word_bits}; allowed: 1 to {widest}")
    return next(item for item in PLANS if item.word_bits >= word_bits)


def table(function: Callable[..., int], inputs: int) -> int:
    """Truth table of ``function`` of ``inputs`` bits, the first the lowest bit of the index."""
    return sum(
        (function(*(index >> n & 1 for n in range(inputs))) & 1) << index for index in range(1 << inputs)
    )


@dataclass
class Netlist:
    """Cells in an order in which every signal is driven before a LUT or chain reads it.

    ``inputs``: signals that nothing drives; ``signals``: how many there are; ``outputs``: the bits that are
    left, by weight.
    """

    inputs: int
    signals: int = 0
    cells: list[Cell] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signals = 2 + self.inputs

    def _add(self, kind: str, inputs: Sequence[int], init: int = 0) -> list[int]:
        width = len(PINS[kind][1])
        driven = list(range(self.signals, self.signals + width))
        self.signals += width
        self.cells.append(Cell(kind, tuple(inputs), tuple(driven), init))
        return driven

    def lut(self, inputs: Sequence[int], function: Callable[..., int]) -> int:
        """A function of six signals."""
        return self._add("LUT6", inputs, table(function, 6))[0]

    def two(self, inputs: Sequence[int], upper: Callable[..., int], lower: Callable[..., int]) -> list[int]:
        """Two functions of the same signals, at most five of them."""
        count = len(inputs)
        padded = [*inputs, *[ZERO] * (5 - count), ONE]
        init = table(lambda *bits: upper(*bits[:count]), 5) << 32 | table(
            lambda *bits: lower(*bits[:count]), 5
        )
        return self._add("LUT6_2", padded, init)

    def parity(self, inputs: Sequence[int]) -> list[int]:
        """Parity of six signals, and of the first five."""
        return self._add("LUT6_2", inputs, table(lambda *bits: sum(bits), 6))

    def register(self, signal: int) -> int:
        """The signal a cycle later."""
        return self._add("FDRE", [signal])[0]

    def carries(self, first: int, selects: Sequence[int], data: Sequence[int]) -> tuple[list[int], int]:
        """A chain of any length: its sums and its last carry."""
        sums: list[int] = []
        carry = first
        for start in range(0, len(selects), CHAIN):
            select, given = (list(part[start : start + CHAIN]) for part in (selects, data))
            used = len(select)
            spare = [ZERO] * (CHAIN - used)
            entry = [carry, ZERO] if start else [ZERO, carry]
            driven = self._add("CARRY4", [*entry, *given, *spare, *select, *spare])
            sums += driven[:used]
            carry = driven[CHAIN + used - 1]
        return sums, carry

    def evaluate(self, values: Sequence[int], width: int = 1) -> list[int]:
        """What the outputs become once ``values`` have stood long enough, for ``width`` samples at a time.

        Bit ``n`` of every value belongs to sample ``n``.
        """
        full = (1 << width) - 1
        state = [0] * self.signals
        state[ONE] = full
        state[2 : 2 + self.inputs] = values
        for cell in self.cells:
            given = [state[signal] for signal in cell.inputs]
            for signal, value in zip(cell.outputs, _evaluate(cell, given, full), strict=True):
                state[signal] = value
        return [state[signal] for signal in self.outputs]


def _evaluate(cell: Cell, given: list[int], full: int) -> list[int]:
    """Outputs of one cell, registers passing on what they get."""
    if cell.kind == "FDRE":
        return given
    if cell.kind == "CARRY4":
        carry, sums, carries = given[0] | given[1], [], []
        for data, select in zip(given[2 : 2 + CHAIN], given[2 + CHAIN :], strict=True):
            sums.append(select ^ carry)
            carry = (select & carry) | (~select & data & full)
            carries.append(carry)
        return sums + carries
    rows = [full if cell.init >> index & 1 else 0 for index in range(64)]
    lower = rows[:32]
    for level, value in enumerate(given):
        rows = [
            (high & value) | (low & ~value & full) for low, high in zip(rows[::2], rows[1::2], strict=True)
        ]
        if level < 5:
            lower = [
                (high & value) | (low & ~value & full)
                for low, high in zip(lower[::2], lower[1::2], strict=True)
            ]
    return [rows[0], lower[0]] if cell.kind == "LUT6_2" else [rows[0]]


def add_products(net: Netlist, a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Two or three products ``a[n] & b[n]``: the bits of their sum, of weight 1 and 2."""
    inputs = [signal for pair in zip(a, b, strict=True) for signal in pair]

    def products(bits: Sequence[int]) -> int:
        return sum(x & y for x, y in zip(bits[::2], bits[1::2], strict=True))

    if len(a) == 2:
        return net.two(inputs, lambda *bits: products(bits), lambda *bits: products(bits) >> 1)
    return [net.lut(inputs, lambda *bits, n=n: products(bits) >> n) for n in range(2)]


def add_chain(net: Netlist, columns: Sequence[list[int]], weight: int, atoms: str) -> dict[int, list[int]]:
    """A chain that starts at ``weight`` and takes its bits from ``columns``; what it gives, by weight.

    Where a column has no bit left, the atom adds a zero.
    """

    def take(place: int, count: int) -> list[int]:
        column = columns[place] if place < len(columns) else []
        taken = [column.pop(0) for _ in range(min(count, len(column)))]
        return taken + [ZERO] * (count - len(taken))

    first = take(weight, 1)[0] if atoms[0] == "c" else ZERO
    selects: list[int] = []
    data: list[int] = []
    place = weight
    for atom in atoms.removeprefix("c"):
        bits = take(place, int(atom))
        if atom == "6":
            # Where the parity of six is low, the sixth bit equals the parity of five: O5 serves as data.
            positions = [
                net.parity(bits),
                net.two(bits[:5], lambda *bit: sum(bit) >> 1, lambda *bit: sum(bit) >> 2),
            ]
        elif atom == "4":
            upper = [*bits[:3], *take(place + 1, 1)]
            positions = [
                net.two(bits, lambda *bit: sum(bit), lambda *bit: bit[3]),
                net.two(upper, lambda *bit: (sum(bit[:3]) >> 1) + bit[3], lambda *bit: bit[3]),
            ]
        elif atom == "2":
            positions = [net.two(bits, lambda *bit: sum(bit), lambda *bit: bit[0])]
        else:
            positions = [[bits[0], ZERO]]
        selects += [select for select, _ in positions]
        data += [given for _, given in positions]
        place += POSITIONS[atom]
    sums, last = net.carries(first, selects, data)
    return {weight + n: [bit] for n, bit in enumerate([*sums, last])}


@cache
def count_netlist(word_bits: int) -> Netlist:
    """Cells that count the ones of ``a & b``: inputs are the bits of A, then of B; outputs the count's bits.

    The registers in front of the accumulator are its own and no cells of the netlist.
    """
    chosen = plan(word_bits)
    net = Netlist(2 * word_bits)
    spare = [ZERO] * (chosen.word_bits - word_bits)
    a = [*range(2, 2 + word_bits), *spare]
    b = [*range(2 + word_bits, 2 + 2 * word_bits), *spare]
    weights = chosen.word_bits.bit_length()
    columns: list[list[int]] = [[] for _ in range(weights)]
    start = 0
    for size in [3] * chosen.triples + [2] * chosen.pairs:
        for weight, bit in enumerate(add_products(net, a[start : start + size], b[start : start + size])):
            columns[weight].append(bit)
        start += size
    for layer in chosen.layers:
        columns = [[net.register(bit) for bit in column] for column in columns]
        given: list[list[int]] = [[] for _ in range(weights)]
        for weight, atoms in layer:
            for place, bits in add_chain(net, columns, weight, atoms).items():
                if place < weights:  # a carry beyond is never set: the count is not that large
                    given[place] += bits
        columns = [new + old for new, old in zip(given, columns, strict=True)]
    assert all(len(column) == 1 for column in columns), "the plan leaves several bits of one weight"
    net.outputs = [column[0] for column in columns][: word_bits.bit_length()]
    return net
