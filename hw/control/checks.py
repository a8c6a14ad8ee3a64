"""What makes an instruction word wrong by itself, whatever the precision slots hold."""

from functools import reduce
from operator import or_

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import FORMATS, Opcode
from cpt.hw.layouts import INSTRUCTION_BITS, instruction_layout

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


class WordCheck(wiring.Component):
    """Looks at all bits of an instruction word.

    Members: ``word``; ``unreadable``: it came with an error response; ``open``: a result tile waits for its
    last EXEC; ``known``: the opcode is one; ``faults``: what is wrong, without what needs the slots. Of an
    unreadable word, and of one without a known opcode, nothing else is said.
    Latency one cycle.
    """

    latency_cycles = 1

    word: In(INSTRUCTION_BITS)
    unreadable: In(1)
    open: In(1)
    known: Out(1)
    faults: Out(FAULTS)

    def elaborate(self, platform):
        m = Module()
        words = {op: data.View(instruction_layout(op), self.word) for op in Opcode}
        known, zero_count, reserved, misaligned = (Signal() for _ in range(4))
        with m.Switch(words[Opcode.END].opcode):
            for op, word in words.items():
                with m.Case(op):
                    fields = FORMATS[op].fields[1:]
                    counts = [word[item.name] == 0 for item in fields if item.minimum]
                    low_bits = [word[item.name] & (item.multiple - 1) for item in fields if item.multiple > 1]
                    m.d.comb += [
                        known.eq(1),
                        zero_count.eq(reduce(or_, counts, 0)),
                        reserved.eq((self.word & FORMATS[op].reserved) != 0),
                        misaligned.eq(reduce(or_, low_bits, 0) != 0),
                    ]
        execute = words[Opcode.EXEC]
        several = Signal()
        m.d.comb += several.eq(((execute.tiles >> 1) != 0) | ((execute.blocks >> 1) != 0))
        sound = known & ~self.unreadable
        m.d.sync += [
            self.known.eq(sound),
            self.faults.axi_read.eq(self.unreadable),
            self.faults.illegal_opcode.eq(~self.unreadable & (~known | zero_count)),
            self.faults.reserved_bits.eq(sound & reserved),
            self.faults.misaligned.eq(sound & misaligned),
            self.faults.illegal_exec.eq(
                sound
                & (execute.opcode == Opcode.EXEC)
                & ((several & ~(execute.first & execute.last)) | (execute.first == self.open))
            ),
        ]
        return m
