"""A FLOAT before it begins: what waits in it, the numbers it holds, its marks."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.channel.arithmetic import OP_BITS
from cpt.hw.channel.number import parts, twins
from cpt.hw.channel.plan import BEFORE, BEHIND_BITS, PLAN, Planner
from cpt.hw.channel.ports import WORD_BITS
from cpt.hw.channel.slot_numbers import SLOT_NUMBERS, WEIGHT_FRACTION, SlotNumbers
from cpt.hw.channel.steps import SOURCES
from cpt.hw.channel.walk import LOOP, OPERAND
from cpt.hw.contract.floats import FLOAT_OPERANDS, Space
from cpt.hw.contract.step import Code
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, WAITS, fields, slot_read, waits

_LOOKUPS = (*SOURCES, "constant")
"""What a slot is looked up for, a cycle each."""
PREPARED = data.StructLayout(
    {
        "word": fields(Code.FLOAT),
        "plan": PLAN,
        "numbers": data.ArrayLayout(WORD_BITS, len(SOURCES)),
        "fraction_bits": range(WEIGHT_FRACTION),
    }
)
"""An instruction that can begin: ``numbers`` of the operands that are some, ``fraction_bits`` of the slot
that its constant names.
"""


def place(word, name: str) -> data.View:
    """Operand ``name`` of an instruction, an `OPERAND`."""
    parts = (word[f"{name}_space"], word[f"{name}_moves"], word[name], word[f"{name}_stride"])
    return data.View(OPERAND, Cat(*parts))


class Preparation(wiring.Component):
    """Prepares an instruction while the one before it is at work, and holds it until its marks are there.

    Parameters: ``lanes``.
    Members: ``commands``: stream of `COMMAND`; ``marks``: of all engines; ``behind``: of the operation
    ``op``, a cycle later, and ``before``: see `Planner`; ``slots`` (`slot_read`); ``prepared``: stream of
    `PREPARED`; ``idle``: there is none.
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "op": Out(OP_BITS),
                "behind": In(BEHIND_BITS),
                "before": In(BEFORE),
                "slots": Out(slot_read()),
                "prepared": Out(stream.Signature(PREPARED)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = Gate(once=True)
        m.submodules.planner = planner = Planner(self.lanes)
        m.submodules.numbers = numbers = SlotNumbers()
        wiring.connect(m, wiring.flipped(self.slots), numbers.slots)
        word = Signal(fields(Code.FLOAT), reset_less=True)
        held_waits = Signal(WAITS, reset_less=True)
        loop = Signal(LOOP)
        full, planned, take, starts, stands = (
            Signal(name=name) for name in ("full", "planned", "take", "starts", "stands")
        )
        prepared = self.prepared
        next_full = Signal()
        m.d.comb += [
            loop.n.eq(word.n),
            loop.reps.eq(word.reps),
            self.commands.ready.eq(~full),
            take.eq(self.commands.valid & ~full),
            next_full.eq(take | (full & ~(prepared.valid & prepared.ready))),
            self.idle.eq(~full),
            prepared.valid.eq(stands),
            prepared.payload.word.eq(word),
            prepared.payload.plan.eq(planner.plan),
        ]
        stood = planned & planner.done & gate.open
        m.d.sync += [full.eq(next_full), stands.eq(stood & full & ~(stands & prepared.ready))]
        # What is offered is held all the time in which there is room for it.
        coming, held = (
            self.commands.payload.word,
            Cat(word.as_value(), *(each.as_value() for each in held_waits)),
        )
        given = Cat(coming, *(each.as_value() for each in waits(coming)))
        rooms = [Signal(name=f"room_{n}", init=1, attrs=KEEP) for n in range(-(-len(held) // MOST_LOADS))]
        m.d.sync += [room.eq(~next_full) for room in rooms]
        for room, bits in parts(rooms, len(held)):
            with m.If(room):
                m.d.sync += held[bits].eq(given[bits])
        m.d.sync += starts.eq(take)
        m.d.comb += [
            gate.marks.eq(self.marks),
            gate.load.eq(starts),
            gate.waits.eq(held_waits),
            self.op.eq(word.op),
            planner.op.eq(word.op),
            planner.behind.eq(self.behind),
            planner.before.eq(self.before),
            planner.loop.eq(loop),
            planner.start.eq(starts),
            *(getattr(planner, name).eq(place(word, name)) for name in ("to", *SOURCES)),
        ]
        self._numbers(m, word, take, starts, planned, numbers)
        return m

    def _numbers(self, m: Module, word, take, starts, planned, numbers) -> None:
        """Numbers of the instruction and of slots, one a cycle."""
        found = Signal(PREPARED["numbers"].shape, reset_less=True)
        fraction = Signal.like(numbers.fraction_bits, reset_less=True)
        m.d.comb += [
            self.prepared.payload.numbers.eq(found),
            self.prepared.payload.fraction_bits.eq(fraction),
        ]
        step = Signal(len(_LOOKUPS) + numbers.latency_cycles + 1)
        m.d.sync += step.eq(Mux(starts, 1, step << 1))
        with m.If(take):
            m.d.sync += planned.eq(0)
        with m.Elif(step[-1]):
            m.d.sync += planned.eq(1)
        of_op = Signal(2, reset_less=True)
        """Whether operand a is a float; whether the others are."""
        m.d.sync += of_op.eq(
            Cat(
                Cat(word.op == op for op in FLOAT_OPERANDS).any(),
                Cat(word.op == op for op, names in FLOAT_OPERANDS.items() if "b" in names).any(),
            )
        )
        addr = Signal.like(numbers.addr, reset_less=True)
        as_float = Signal(reset_less=True)
        m.d.comb += [numbers.addr.eq(addr), numbers.as_float.eq(as_float)]
        for n, name in enumerate(_LOOKUPS):
            with m.If(step[n]):
                if name in SOURCES:
                    m.d.sync += [addr.eq(word[name]), as_float.eq(of_op[min(n, 1)])]
                else:
                    m.d.sync += addr.eq(word.constant[:8] * SLOT_NUMBERS)
            now = step[n + numbers.latency_cycles]
            if name not in SOURCES:
                (takes,) = copies(m, now, 1, "takes_fraction", reset_less=False)
                with m.If(takes):
                    m.d.sync += fraction.eq(numbers.fraction_bits)
                continue
            of_slot = Signal(name=f"{name}_of_slot", reset_less=True)
            m.d.sync += of_slot.eq(word[f"{name}_space"] == Space.SLOT)
            value = Mux(of_slot, numbers.number, word.constant)
            for takes, bits in parts(twins(m, now, WORD_BITS + 1, f"takes_{name}"), WORD_BITS):
                with m.If(takes):
                    m.d.sync += found[n][bits].eq(value[bits])
