"""The instruction in front of an engine that moves."""

from amaranth import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import KEEP
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, waits

_HELD_BITS = 30
"""Bits of the instruction that share an enable."""


class Front(wiring.Component):
    """Holds an instruction until its marks are there, and until it is given back.

    Members: ``commands`` (in); ``marks``: of all engines; ``command``: the one that is held; ``open``: it may
    start; ``start``: it does; ``release``: with its start or later, the next may come; ``free``:
    none is held.
    Seven cycles from an instruction to ``open`` where it need not wait, and from one to the next.
    """

    def __init__(self):
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "command": Out(COMMAND),
                "open": Out(1),
                "start": In(1),
                "release": In(1),
                "free": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = Gate(once=True)
        held = Signal(COMMAND, reset_less=True)
        free = [Signal(name=f"free_{bit}", init=1, attrs=KEEP) for bit in range(0, COMMAND.size, _HELD_BITS)]
        fresh = Signal()
        waiting = Signal()
        for flag, low in zip(free, range(0, COMMAND.size, _HELD_BITS), strict=True):
            part = slice(low, low + _HELD_BITS)
            with m.If(flag):
                m.d.sync += Value.cast(held)[part].eq(Value.cast(self.commands.payload)[part])
        m.d.comb += [
            self.commands.ready.eq(free[0]),
            self.free.eq(free[0]),
            self.command.eq(held),
            gate.marks.eq(self.marks),
            gate.load.eq(fresh),
            *(gate.waits[index].eq(wait) for index, wait in enumerate(waits(held.word))),
            self.open.eq(waiting & gate.open),
        ]
        m.d.sync += [
            fresh.eq(self.commands.valid & free[0]),
            waiting.eq(fresh | (waiting & ~self.start)),
            *(flag.eq((flag & ~self.commands.valid) | self.release) for flag in free),
        ]
        return m
