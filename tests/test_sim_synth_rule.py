"""The timing rule on small designs of 7-series cells: each part of it is broken once, and is found."""

import re
from itertools import pairwise

import pytest
from amaranth import Cat, Module, Signal
from amaranth.back import verilog

from cpt.hw.matrix.copies import MOST_LOADS, copies
from cpt.sim.synth.__main__ import main
from cpt.sim.synth.graph import flatten
from cpt.sim.synth.kept import lost
from cpt.sim.synth.rule import breaches
from cpt.sim.synth.walk import Length, walk
from cpt.sim.synth.yosys import mapped, numbered, synthesise

PORTS = "input clk, input rst, input [127:0] i, output [127:0] o"
REGISTER = "FDRE {name} (.C(clk), .CE({ce}), .R({r}), .D({d}), .Q({q}));"


def register(name, d, q, ce="1'b1", r="1'b0"):
    return REGISTER.format(name=name, d=d, q=q, ce=ce, r=r)


def luts(count, first, last):
    """``count`` LUTs in a row from net ``first`` to net ``last``."""
    nets = [first, *(f"{last}_{n}" for n in range(count - 1)), last]
    wires = "".join(f"wire {net}; " for net in nets[1:])
    return wires + " ".join(
        f"LUT2 #(.INIT(4'h8)) {last}_lut{n} (.I0({a}), .I1(1'b1), .O({b}));"
        for n, (a, b) in enumerate(pairwise(nets))
    )


def design(name, body):
    return f"module {name}({PORTS});\n{body}\nendmodule\n"


def inside(name, count):
    """A block whose one path has ``count`` LUTs."""
    return design(
        name, f"wire q; {register('a', 'i[0]', 'q')} {luts(count, 'q', 'n')} {register('b', 'n', 'o[0]')}"
    )


def loads(name, count, pin):
    """A register with ``count`` readers at data or at reset."""
    readers = [
        register(f"r{n}", f"i[{n}]" if pin == "r" else "q", f"o[{n}]", **({"r": "q"} if pin == "r" else {}))
        for n in range(count)
    ]
    one = "".join(register(f"x{n}", "1'b1", f"z[{n}]", r="rst") for n in range(count + 1))
    wires = f"wire q; wire [{count}:0] z;" if pin == "r" else "wire q;"
    return design(
        name, f"{wires} {register('a', 'i[0]', 'q')} {' '.join(readers)} {one if pin == 'r' else ''}"
    )


def dsp(name, registers=1, opmode="7'b0101100", first="i[0]", body="", more=""):
    ports = f".C({{45'b0, {first}}}), .OPMODE({opmode}), .ALUMODE(4'b0), .CARRYINSEL(3'b0), .CLK(clk), .P(p)"
    parameters = f'.USE_MULT("NONE"), .PREG({registers}), .MREG(0){more}'
    cell = f"DSP48E1 #({parameters}) d ({ports});"
    return design(name, f"wire [47:0] p; {body} {cell} {register('z', 'p[0]', 'o[0]')}")


def ram(name, follower):
    ports = ".CLKARDCLK(clk), .ENARDEN(1'b1), .ADDRARDADDR(i[13:0]), .DOADO(q)"
    cell = f'RAMB18E1 #(.RAM_MODE("TDP"), .READ_WIDTH_A(18), .DOA_REG(0)) m ({ports});'
    return design(name, f"wire [15:0] q; {cell} {follower}")


CHAIN = " ".join(
    f"CARRY4 c{n} (.CI({f'c[{4 * n - 1}]' if n else chr(49) + chr(39) + 'b0'}), .CYINIT(1'b0), .DI(4'b0), "
    f".S({{3'b0, s{n}}}), .CO(c[{4 * n + 3}:{4 * n}]), .O(x[{4 * n + 3}:{4 * n}]));"
    for n in range(8)
)
LEAF = design("leaf", register("r", "i[0]", "o[0]"))
FIVE = design("five", f"{luts(4, 'i[0]', 'n')} {register('r', 'n', 'o[0]')}")
THROUGH = design("through", f"{luts(1, 'i[0]', 'n')} assign o[0] = n;")
ONE, TWO = register("a", "i[0]", "first"), register("a", "i[0]", "first") + register("b", "i[0]", "second")
BEFORE = register("a", "i[0]", "q")
KEPT = "(* keep = 1 *) wire first; (* keep = 2 *) wire second;"
WORDS = " ".join(register(f"w{n}", f"i[{n}]", f"word[{n}]", r="rst") for n in range(16))


def tied(name, *kinds):
    """Blocks one behind the other."""
    nets = ["i", *(f"n{k}" for k in range(len(kinds) - 1)), "o"]
    parts = [
        f"{kind} b{k} (.clk(clk), .rst(rst), .i({nets[k]}), .o({nets[k + 1]}));"
        for k, kind in enumerate(kinds)
    ]
    return design(name, " ".join(f"wire [127:0] {net};" for net in nets[1:-1]) + " ".join(parts))


DESIGNS = "".join(
    [
        inside("four_luts", 4),
        inside("five_luts", 5),
        design(
            "chain",
            f"wire q; wire [31:0] c, x; {register('a', 'i[0]', 'q')} {luts(1, 'q', 's0')} "
            + "".join(f"wire s{n}; assign s{n} = 1'b0; " for n in range(1, 8))
            + f"{CHAIN} {register('b', 'x[31]', 'o[0]')}",
        ),
        loads("readers_32", 32, "d"),
        loads("readers_33", 33, "d"),
        loads("resets_64", 64, "r"),
        loads("resets_65", 65, "r"),
        LEAF,
        FIVE,
        THROUGH,
        tied("registered", "leaf", "leaf"),
        tied("late", "leaf", "five"),
        tied("straight", "leaf", "through", "leaf"),
        dsp("dsp_good"),
        dsp("dsp_no_register", registers=0, opmode="7'b0001100"),
        dsp("dsp_p_without_register", registers=0),
        dsp("dsp_no_such_mode", opmode="7'b1111100"),
        dsp("dsp_half_multiplier", opmode="{6'b0, i[1]}"),
        dsp("dsp_two_luts", first="n", body=f"wire q; {register('a', 'i[0]', 'q')} {luts(2, 'q', 'n')}"),
        dsp("dsp_one_lut", first="n", body=f"wire q; {register('a', 'i[0]', 'q')} {luts(1, 'q', 'n')}"),
        dsp("dsp_none_before", more=", .CREG(0)"),
        dsp("dsp_flip_flops_before", first="q", body=f"wire q; {BEFORE}", more=", .CREG(0)"),
        dsp("dsp_flip_flop_read", first="q", body=f"wire q; {BEFORE} assign o[1] = q;", more=", .CREG(0)"),
        ram("ram_register_behind", " ".join(register(f"r{n}", f"q[{n}]", f"o[{n}]") for n in range(16))),
        ram("ram_logic_behind", f"{luts(1, 'q[0]', 'n')} {register('r', 'n', 'o[0]')}"),
        design("array", f"wire [15:0] word; {WORDS} assign o[15:0] = word;"),
        design("kept_twice", f"{KEPT} {TWO} assign o[1:0] = {{first, second}};"),
        design("kept_merged", f"{KEPT} {ONE} assign second = first;"),
        design("kept_gone", "(* keep *) wire only; assign only = i[0]; assign o[0] = only;"),
        design("data_reset", "array array (.clk(clk), .rst(rst), .i(i), .o(o));"),
    ]
)


@pytest.fixture(scope="module")
def netlist():
    return mapped(DESIGNS).modules


def broken(netlist, name, as_block=True):
    graph = flatten(netlist, name)
    if as_block:
        for cell in graph.cells:
            cell.block = name
    return [item for item in breaches(walk(graph, {}), {})]


def rules(netlist, name, as_block=True):
    return {item.rule for item in broken(netlist, name, as_block)}


def test_four_nets_between_registers_are_allowed_and_five_are_not(netlist):
    assert broken(netlist, "four_luts") == []
    [found] = broken(netlist, "five_luts")
    assert (found.rule, found.nets, found.start, found.end) == (
        "more than 4 nets",
        5,
        "five_luts.q",
        "five_luts.o.D",
    )


def test_a_carry_chain_is_one_net_and_a_tenth_of_a_nanosecond_for_each_cell(netlist):
    ways = walk(flatten(netlist, "chain"), {})
    assert Length.of(max(code for _, code, at, _, _ in ways.ends if not isinstance(at, str))) == Length(
        2, 8, 1
    )


def test_more_than_32_loads_are_found(netlist):
    assert broken(netlist, "readers_32") == []
    [found] = broken(netlist, "readers_33")
    assert (found.rule, found.loads) == ("more than 32 loads", 33)


def test_a_second_reset_may_have_64_loads_and_the_one_reset_any_number(netlist):
    assert broken(netlist, "resets_64") == []
    [found] = broken(netlist, "resets_65")
    assert (found.rule, found.loads) == ("more than 64 loads", 65)


def test_a_path_that_leaves_its_block_may_have_three_nets(netlist):
    assert broken(netlist, "registered", as_block=False) == []
    [found] = broken(netlist, "late", as_block=False)
    assert (found.rule, found.nets, found.block) == ("more than 3 nets from block to block", 4, "b1")


def test_a_combinational_way_through_a_block_is_found(netlist):
    assert rules(netlist, "straight", as_block=False) == {"combinational through a block"}


def test_one_lut_before_a_dsp_is_allowed_and_two_are_not(netlist):
    assert broken(netlist, "dsp_one_lut") == []
    assert rules(netlist, "dsp_two_luts") == {"more than 1 LUT to a hard block"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dsp_good", set()),
        ("dsp_no_register", {"PREG is off"}),
        ("dsp_p_without_register", {"PREG is off", "OPMODE 0101100: P is fed back without its register"}),
        ("dsp_no_such_mode", {"OPMODE 1111100: Z has no such input"}),
        ("dsp_none_before", {"CREG is off"}),
        ("dsp_flip_flops_before", set()),
        ("dsp_flip_flop_read", {"CREG is off"}),
        ("dsp_half_multiplier", {"OPMODE 0000001: the multiplier needs X and Y both"}),
    ],
)
def test_modes_and_registers_of_a_dsp_are_checked(netlist, name, expected):
    assert rules(netlist, name) == expected


def test_a_block_ram_needs_its_output_register_or_flip_flops_that_become_it(netlist):
    assert broken(netlist, "ram_register_behind") == []
    assert rules(netlist, "ram_logic_behind") == {"the output register is off"}


def test_a_reset_on_a_wide_register_of_data_is_found(netlist):
    assert rules(netlist, "data_reset", as_block=False) == {"a reset on data"}


def test_kept_registers_that_share_a_flip_flop_or_have_none_are_found(netlist):
    kept = {"kept_twice", "kept_merged", "kept_gone"}
    found = lost({name: module for name, module in netlist.items() if name in kept})
    assert {(item.block, item.rule, item.start) for item in found} == {
        ("kept_merged", "a kept register was merged", "second"),
        ("kept_gone", "a kept register is no flip-flop", "only"),
    }


def test_another_name_of_a_kept_register_is_no_second_one():
    keep = '(* keep = "true" *)\n'
    text = f'{keep}reg a;\n{keep}wire b;\n{keep}(* src = "x" *)\noutput c;\nreg c;\n{keep}FDRE d ();\n'
    assert re.findall(r"keep = (\S+)", numbered(text)) == ["1", "2", '"true"']


def test_copies_of_a_register_stay_apart_in_synthesis():
    m = Module()
    source, words = Signal(), Signal(2 * MOST_LOADS)
    result = Signal(2 * MOST_LOADS, reset_less=True)
    halves = copies(m, source, 2, "half")
    chosen = Cat(half.replicate(MOST_LOADS) for half in halves)
    m.d.sync += result.eq(words & chosen)
    text = verilog.convert(m, name="spread", ports=[source, words, result], emit_src=False)
    assert text.count('(* keep = "true" *)\n  reg half_') == len(halves), "for Vivado, which reads it"
    found = synthesise(text, "spread").modules
    assert list(lost({"spread": found["spread"]})) == []
    graph = flatten(found, "spread")
    registers = [cell for cell in graph.cells if cell.kind == "FDRE"]
    assert len(registers) == 2 * MOST_LOADS + len(halves)
    assert max(len(loads) for net, loads in graph.loads.items() if graph.name(net) != "clk") == MOST_LOADS


def test_a_block_on_its_own_is_synthesised_and_keeps_the_rule(capsys):
    assert main(["--preset", "tiny", "--block", "watchdog"]) == 0
    found = capsys.readouterr().out
    assert found.count("\n") == 1, "a line more for every place that breaks the rule"
    assert "flip_flops 36" in found
    assert "timing_rule_held True" in found


def test_a_machine_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--preset", "tiny", "--machine", "stepp"])
    assert ended.value.code == 2
    assert "machine is 'stepp'; allowed: matrix, step" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "block"), [("matrix", "drain"), ("matrix", "control"), ("step", "reduction")]
)
def test_a_sample_of_the_blocks_keeps_the_rule(machine, block, capsys):
    """The drain holds the write master and its burst generator; `make synth` looks at all its machine's."""
    assert main(["--preset", "tiny", "--machine", machine, "--block", block]) == 0
    found = capsys.readouterr().out
    assert "timing_rule_held True" in found, found
