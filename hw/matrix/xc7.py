"""The unit's parts as primitives of 7-series parts: compressors, registers, accumulator in a DSP slice."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, Value

from cpt.hw.contract.config import ACC_BITS
from cpt.hw.matrix.compressors import PINS, Netlist

ENABLE_LOADS = 32
"""Registers that one enable may drive."""
DSP48E1 = {
    "USE_MULT": "NONE",
    "USE_DPORT": "FALSE",
    "USE_SIMD": "ONE48",
    "USE_PATTERN_DETECT": "NO_PATDET",
    "A_INPUT": "DIRECT",
    "B_INPUT": "DIRECT",
    **dict.fromkeys(("AREG", "BREG", "ACASCREG", "BCASCREG", "CREG", "DREG", "ADREG", "PREG"), 1),
    **dict.fromkeys(("OPMODEREG", "ALUMODEREG", "CARRYINREG", "CARRYINSELREG", "INMODEREG"), 1),
    "MREG": 0,
    "IS_OPMODE_INVERTED": Const(0b010_0000, 7),
}
"""Attributes of the accumulator: every register on, but that of the multiplier, which is not used.

Bit 5 of OPMODE is inverted at the pin: low means that P takes part, and ``clear`` drives it.
"""


def register(m: Module, value: Value, name: str, enable: Value | None = None) -> Signal:
    """``value`` a cycle later, while ``enable`` is high; one FDRE per bit, without a reset.

    Nothing merges these registers with others or makes shift registers of them, which would take LUTs.
    """
    kept = Signal(len(value), name=name)
    for n in range(len(value)):
        m.submodules[f"{name}_{n}"] = Instance(
            "FDRE",
            a_keep="true",
            a_SHREG_EXTRACT="no",
            p_INIT=Const(0, 1),
            i_C=ClockSignal(),
            i_CE=Const(1, 1) if enable is None else enable,
            i_R=Const(0, 1),
            i_D=value[n],
            o_Q=kept[n],
        )
    return kept


def place_netlist(m: Module, net: Netlist, inputs: Value) -> Value:
    """The cells of ``net``, as instances; its outputs."""
    signals: list[Value] = [Const(0, 1), Const(1, 1), *inputs]
    signals += [Signal(name=f"n{number}") for number in range(len(signals), net.signals)]
    for number, cell in enumerate(net.cells):
        name = f"{cell.kind.lower()}_{number}"
        if cell.kind == "FDRE":
            (source,), (target,) = cell.inputs, cell.outputs
            m.d.comb += signals[target].eq(register(m, signals[source], name))
            continue
        ports: dict[str, list[Value]] = {}
        for letter, pins, ends in zip("io", PINS[cell.kind], (cell.inputs, cell.outputs), strict=True):
            for pin, signal in zip(pins, ends, strict=True):
                ports.setdefault(f"{letter}_{pin.partition('[')[0]}", []).append(signals[signal])
        table = {"p_INIT": Const(cell.init, 64)} if cell.kind.startswith("LUT") else {}
        m.submodules[name] = Instance(cell.kind, **table, **{key: Cat(bits) for key, bits in ports.items()})
    return Cat(signals[signal] for signal in net.outputs)


def accumulator(m: Module, count: Value, clear: Value, double: Value, take: Value, subtract: Value) -> Signal:
    """P of a DSP slice that adds or subtracts ``count`` as the controls beside it say; two cycles later.

    The registers of C, OPMODE and ALUMODE take count and controls, that of P the sum.
    """
    total = Signal(ACC_BITS, name="total")
    enables = ("C", "P", "CTRL", "ALUMODE", "CARRYIN", "INMODE")
    unused = ("A1", "A2", "B1", "B2", "AD", "D", "M")
    resets = ("A", "B", "C", "D", "M", "P", "CTRL", "ALUMODE", "ALLCARRYIN", "INMODE")
    m.submodules.accumulator = Instance(
        "DSP48E1",
        **{f"p_{name}": value for name, value in DSP48E1.items()},
        **{f"i_CE{name}": Const(1, 1) for name in enables},
        **{f"i_CE{name}": Const(0, 1) for name in unused},
        **{f"i_RST{name}": Const(0, 1) for name in resets},
        i_CLK=ClockSignal(),
        i_A=Const(0, 30),
        i_B=Const(0, 18),
        i_C=Cat(count, Const(0, ACC_BITS - len(count))),
        i_D=Const(0, 25),
        # X: 00 zero, 10 P. Y: 00 zero, 11 C. Z: 000 zero, 010 P, with its middle bit inverted at the pin.
        i_OPMODE=Cat(Const(0, 1), double, take, take, Const(0, 1), clear, Const(0, 1)),
        i_ALUMODE=Cat(subtract, subtract, Const(0, 2)),
        i_CARRYIN=Const(0, 1),
        i_CARRYINSEL=Const(0, 3),
        i_INMODE=Const(0, 5),
        **{f"i_{name}": Const(0, width) for name, width in (("ACIN", 30), ("BCIN", 18), ("PCIN", 48))},
        **{f"i_{name}": Const(0, 1) for name in ("CARRYCASCIN", "MULTSIGNIN")},
        o_P=total,
    )
    return total
