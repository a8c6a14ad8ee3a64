"""Mutants of the hardware: what is changed, and that the tests notice it."""

from pathlib import Path

import pytest

from cpt.sim.mutate.__main__ import main
from cpt.sim.mutate.judge import HARDWARE, TESTS, Verdict, fingerprint, judge
from cpt.sim.mutate.operators import mutants

SOURCE = '''"""A block."""

WIDTH = 4


class Block:
    """A block."""

    def __init__(self):
        self.width = 2 + 3

    def elaborate(self, platform):
        m = Module()
        left = Signal.like(self.count)
        m.d.comb += [self.a.eq(self.b & ~self.c), self.d.eq(Mux(self.e, self.f, 0))]
        m.d.comb += self.i.eq(Mux(self.e, *self.pair))
        with m.If(left == 1):
            m.d.sync += self.g.eq(self.h.any())
        return m
'''


def test_every_mutant_is_one_change_of_a_method_that_builds_hardware(tmp_path: Path) -> None:
    path = tmp_path / "block.py"
    path.write_text(SOURCE)
    found = mutants(path)
    assert sorted((mutant.line, mutant.before, mutant.after) for mutant in found) == sorted(
        [
            (14, "Signal.like(self.count)", "Signal(len(self.count) - 1)"),
            (15, "self.a.eq(self.b & ~self.c)", "nothing"),
            (15, "self.d.eq(Mux(self.e, self.f, 0))", "nothing"),
            (15, "self.b & ~self.c", "self.b | ~self.c"),
            (15, "~self.c", "self.c"),
            (15, "Mux(self.e, self.f, 0)", "Mux(self.e, 0, self.f)"),
            (15, "0", "1"),
            (16, "self.i.eq(Mux(self.e, *self.pair))", "nothing"),
            (17, "m.If(left == 1)", "m.If(0)"),
            (17, "m.If(left == 1)", "m.If(1)"),
            (17, "left == 1", "left != 1"),
            (17, "1", "2"),
            (17, "1", "0"),
            (18, "self.g.eq(self.h.any())", "nothing"),
            (18, "self.h.any()", "self.h.all()"),
        ]
    )
    assert len({mutant.source for mutant in found}) == len(found)
    assert all("self.width = 2 + 3" in mutant.source for mutant in found)


def mutant_of(room: str, block: str, before: str, after: str):
    """The one mutant of a block whose descriptions begin so."""
    (found,) = [
        m
        for m in mutants(HARDWARE / room / f"{block}.py")
        if m.before.startswith(before) and m.after.startswith(after)
    ]
    return found


@pytest.mark.parametrize(
    ("room", "block", "before", "after", "test"),
    [
        # A slot's sign written with the strobe of its bits.
        (
            "control", "registers", "field.offset // 8", "field.offset % 8",
            "test_hw_control_registers.py::test_a_slot_is_written_by_byte_lane",
        ),
        # A walker that loses count of 65,535 blocks.
        (
            "load", "walker", "Signal.like(command[name]", "Signal(len(command[name]) - 1",
            "test_hw_load_walker.py::test_every_bit_of_a_count_counts",
        ),
    ],
)  # fmt: skip
def test_mutants_that_once_lived_are_killed(
    room: str, block: str, before: str, after: str, test: str
) -> None:
    mutant = mutant_of(room, block, before, after)
    assert judge(mutant, fingerprint(room), [TESTS / test]) is Verdict.KILLED


def test_what_is_no_other_hardware_is_not_counted() -> None:
    known = fingerprint("load")
    nearest = [TESTS / "test_hw_load_operand_buffer.py"]
    removed = mutant_of("load", "operand_buffer", "write.en.eq(enables[lane])", "nothing")
    assert judge(removed, known, nearest) is Verdict.KILLED
    # Tests that do not look at a block do not notice its faults.
    assert judge(removed, known, [TESTS / "test_hw_load_walker.py"]) is Verdict.SURVIVED


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--room", "kitchen"]) == 2
    assert "room is 'kitchen'; allowed: bus, " in capsys.readouterr().err
    assert main(["--count", "0"]) == 2
    assert "count is 0; allowed: 1 and up" in capsys.readouterr().err
