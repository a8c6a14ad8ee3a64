"""What makes an instruction word wrong by itself, whatever the precision slots hold."""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import FORMATS, Opcode
from cpt.hw.layouts import INSTRUCTION_BITS, instruction_layout
from cpt.hw.matrix.copies import copies

FAULTS = data.StructLayout(
    {
        "axi_read": 1,
        "illegal_opcode": 1,
        "reserved_bits": 1,
        "misaligned": 1,
        "illegal_exec": 1,
        "bad_slot": 1,
        "operand_overflow": 1,
        "result_width": 1,
        "read_window": 1,
        "write_window": 1,
    }
)
"""What an instruction can be refused for; each is a bit of `cpt.hw.contract.Error`."""
OPCODES = data.StructLayout({op.name.lower(): 1 for op in Opcode})
"""A decoded opcode; of an unknown one no bit is 1."""

SEEN_AT_ONCE = 12
"""Bits of a word that meet in one register: two LUTs deep."""


class WordCheck(wiring.Component):
    """Looks at all bits of an instruction word.

    Members: ``word``, stable; ``unreadable``: it came with an error response; ``open``: a result tile waits
    for its last EXEC; ``opcode``: one bit for each `Opcode`, a cycle later; ``opcode_too``: the same, as one
    would have too many loads; ``known``: the opcode is one;
    ``faults``: what is wrong, without what needs the slots. Of an unreadable word, and of one without a known
    opcode, nothing else is said.
    Latency two cycles: first every field by itself, then what of it counts with this opcode.
    """

    latency_cycles = 2

    word: In(INSTRUCTION_BITS)
    unreadable: In(1)
    open: In(1)
    opcode: Out(OPCODES)
    opcode_too: Out(OPCODES)
    known: Out(1)
    faults: Out(FAULTS)

    def elaborate(self, platform):
        m = Module()
        words = {op: data.View(instruction_layout(op), self.word) for op in Opcode}
        decoded = Signal(OPCODES)
        for op, word in words.items():
            m.d.comb += decoded[op.name.lower()].eq(word.opcode == op)
        opcode, opcode_too = copies(m, decoded, 2, "opcode", reset_less=False)
        m.d.comb += [self.opcode.eq(opcode), self.opcode_too.eq(opcode_too)]

        counts, low_bits, reserved = {}, {}, {}
        for op, form in FORMATS.items():
            for item in form.fields[1:]:
                place = (item.offset, item.width)
                if item.minimum:
                    counts.setdefault(place, []).append(op)
                if item.multiple > 1:
                    low_bits.setdefault((item.offset, (item.multiple - 1).bit_length()), []).append(op)
        for bit in range(INSTRUCTION_BITS):
            key = tuple(op for op in Opcode if FORMATS[op].reserved >> bit & 1)
            reserved.setdefault(key, []).append(bit)
        strays = [
            (Cat(self.word[bit] for bit in bits[first : first + SEEN_AT_ONCE]).any(), ops)
            for ops, bits in reserved.items()
            if ops
            for first in range(0, len(bits), SEEN_AT_ONCE)
        ]

        def with_opcode(ops):
            """Whether the opcode is one of ``ops``."""
            return reduce(or_, (self.opcode[op.name.lower()] for op in ops))

        def some(name, bits):
            """Whether one of ``bits`` was 1 a cycle ago."""
            parts = range(0, len(bits), SEEN_AT_ONCE)
            seen = Signal(len(parts), name=name, reset_less=True)
            m.d.sync += seen.eq(Cat(bits[first : first + SEEN_AT_ONCE].any() for first in parts))
            return seen.any()

        def any_with(name, parts):
            """Whether one of ``parts``, a bit and the opcodes that it counts with, is 1."""
            found = {}
            for number, (bit, ops) in enumerate(parts):
                seen = Signal(name=f"{name}_{number}", reset_less=True)
                m.d.sync += seen.eq(bit)
                found.setdefault(tuple(ops), []).append(seen)
            return reduce(
                or_,
                (reduce(or_, bits) & with_opcode(ops) for ops, bits in found.items()),
            )

        zero_count = reduce(
            or_,
            (
                ~some(f"count_{at}", self.word[at : at + width]) & with_opcode(ops)
                for (at, width), ops in counts.items()
            ),
        )
        misaligned = any_with(
            "low", [(self.word[at : at + bits].any(), ops) for (at, bits), ops in low_bits.items()]
        )
        # They are many: in two registers.
        half = len(strays) // 2
        stray, stray_too = any_with("stray", strays[:half]), any_with("stray_too", strays[half:])
        execute = words[Opcode.EXEC]
        several = some("several", Cat(execute.tiles[1:], execute.blocks[1:]))
        partial = Signal(reset_less=True)
        first = Signal(reset_less=True)
        unreadable = Signal(reset_less=True)
        any_opcode = Signal()
        sound = Signal()
        m.d.sync += [
            partial.eq(~(execute.first & execute.last)),
            first.eq(execute.first),
            unreadable.eq(self.unreadable),
        ]
        m.d.comb += [any_opcode.eq(self.opcode.as_value().any()), sound.eq(any_opcode & ~unreadable)]
        faults = Signal(FAULTS)
        reserved_too = Signal()
        m.d.comb += [
            self.faults.eq(faults),
            self.faults.reserved_bits.eq(faults.reserved_bits | reserved_too),
        ]
        m.d.sync += [
            self.known.eq(sound),
            faults.axi_read.eq(unreadable),
            faults.illegal_opcode.eq(~unreadable & (~any_opcode | zero_count)),
            faults.reserved_bits.eq(~unreadable & stray),
            reserved_too.eq(~unreadable & stray_too),
            faults.misaligned.eq(~unreadable & misaligned),
            faults.illegal_exec.eq(
                ~unreadable & self.opcode.exec & ((several & partial) | (first == self.open))
            ),
        ]
        return m
