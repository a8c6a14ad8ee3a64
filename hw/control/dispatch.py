"""Decodes and checks instructions and hands them to the engines' queues."""

from functools import reduce
from operator import and_

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import FORMATS, ArrayConfig, Opcode
from cpt.hw.contract.config import BEAT_BYTES, SLOTS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.regs import RING_LOG2_MAX
from cpt.hw.control.checks import FAULTS, WordCheck
from cpt.hw.control.operands import Operands
from cpt.hw.control.queue import Queue
from cpt.hw.control.reach import WINDOW, Reach
from cpt.hw.layouts import (
    INSTRUCTION_BITS,
    SLOT,
    drain_command,
    exec_command,
    instruction_layout,
    load_command,
)
from cpt.hw.matrix.copies import KEEP, copies

ENGINES = (Opcode.LOAD_A, Opcode.LOAD_B, Opcode.EXEC, Opcode.DRAIN)


def _place(name: str) -> slice:
    """Where an instruction names a slot; the same for all that have it."""
    item = next(item for item in FORMATS[Opcode.EXEC].fields if item.name == name)
    return slice(item.offset, item.offset + item.width)


class Dispatch(wiring.Component):
    """Takes an instruction every `cycles_per_instruction`: slots, products, checks, push.

    A LOAD or DRAIN takes a cycle more for each bit of ``blocks - 1``, ``tiles - 1`` and, LOAD, ``bits - 1``:
    `Reach` adds its strides up. The instruction stands at ``instructions`` meanwhile, so all that is worked
    out of it goes through registers without enables, and `Reach` says when everything has arrived.

    Slots are read here, so an engine gets bits and signs, never slot numbers. A faulty instruction reaches
    no engine: like END it waits until everything before it is finished, and is then refused.

    Members: ``instructions`` (in; its ready is a register, the same as ``dispatched``), with ``unreadable``:
    it came with an error response; ``slot_a_addr``, ``slot_b_addr`` and, a cycle later, ``slot_a``,
    ``slot_b``; ``load_a``, ``load_b``, ``execute``, ``drain`` (out); ``engines_idle``: a cycle ago no engine
    or AXI port had anything to do; ``expired``: the watchdog gives up now, so refuse without waiting;
    ``read_window``, ``write_window``: addresses allowed; ``done``: an END completes; ``done_tag``: the tag of
    the last one; ``faults``: why the instruction is refused; ``dispatched``: an instruction leaves or is
    refused; ``mask``: ring size - 1; ``index``: ring position of the last one; ``stop``: hand on nothing,
    from the next cycle on; ``idle``: a cycle ago there was no instruction here or in the queues.
    """

    cycles_per_instruction = MACHINE.dispatch_cycles + 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        slot_addr = range(SLOTS)
        super().__init__(
            {
                "instructions": In(stream.Signature(INSTRUCTION_BITS)),
                "unreadable": In(1),
                "slot_a_addr": Out(slot_addr),
                "slot_b_addr": Out(slot_addr),
                "slot_a": In(SLOT),
                "slot_b": In(SLOT),
                "load_a": Out(stream.Signature(load_command(config, "a"))),
                "load_b": Out(stream.Signature(load_command(config, "b"))),
                "execute": Out(stream.Signature(exec_command(config))),
                "drain": Out(stream.Signature(drain_command())),
                "engines_idle": In(1),
                "expired": In(1),
                "read_window": In(WINDOW),
                "write_window": In(WINDOW),
                "mask": In(RING_LOG2_MAX),
                "index": Out(RING_LOG2_MAX),
                "done": Out(1),
                "done_tag": Out(32),
                "faults": Out(FAULTS),
                "dispatched": Out(1),
                "stop": In(1),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        # A copy of the instruction, a cycle behind the ring's memory. It has no enable: the ring keeps it.
        word = Signal(INSTRUCTION_BITS, reset_less=True)
        unreadable = Signal(reset_less=True)
        m.d.sync += [word.eq(self.instructions.payload), unreadable.eq(self.unreadable)]
        words = {op: data.View(instruction_layout(op), word) for op in Opcode}
        m.d.comb += [self.slot_a_addr.eq(word[_place("slot_a")]), self.slot_b_addr.eq(word[_place("slot_b")])]

        open_tile = Signal()
        m.submodules.word_check = word_check = WordCheck()
        m.submodules.operands = operands = Operands(config)
        m.submodules.reach = reach = Reach()
        m.d.comb += [
            word_check.word.eq(word),
            word_check.unreadable.eq(unreadable),
            word_check.open.eq(open_tile),
            operands.word.eq(word),
            operands.opcode.eq(word_check.opcode_too),
            operands.slot_a.eq(self.slot_a),
            operands.slot_b.eq(self.slot_b),
        ]
        self._wire_reach(m, words, word_check.opcode, operands, reach)
        found, faulty = self._faults(m, word_check, operands, reach)
        queues = self._queues(m, words, operands)

        # What happens to the instruction is decided in one cycle and happens, by registers, in the next.
        opcode = word_check.opcode
        stop = Signal()
        m.d.sync += stop.eq(self.stop)
        begun = Signal()
        began = Signal()
        m.d.sync += [began.eq(begun), reach.start.eq(began)]
        all_empty = Signal()
        were_empty = Signal()
        deciding, drained, refusing, ending, leaving = (
            Signal(name=name) for name in ("deciding", "drained", "refusing", "ending", "leaving")
        )
        m.d.comb += [
            all_empty.eq(reduce(and_, (queue.empty for queue in queues.values()))),
            drained.eq(self.engines_idle & were_empty),
        ]
        m.d.sync += were_empty.eq(all_empty)
        going, has_room, pushing = deciding & ~stop & ~faulty, 0, {}
        for op, queue in queues.items():
            pushes, ready = Signal(name=f"pushes_{op.name.lower()}"), opcode[op.name.lower()] & queue.i.ready
            pushing[op] = going & ready
            has_room |= ready
            m.d.sync += pushes.eq(pushing[op])
            m.d.comb += queue.i.valid.eq(pushes)
        can_leave = (faulty & (drained | self.expired)) | (~faulty & (has_room | (opcode.end & drained)))
        m.d.comb += [
            refusing.eq(deciding & ~stop & faulty & (drained | self.expired)),
            ending.eq(going & opcode.end & drained),
            leaving.eq(deciding & ~stop & can_leave),
        ]
        m.d.sync += [
            self.dispatched.eq(leaving),
            self.instructions.ready.eq(leaving),
            self.done.eq(ending),
            self.faults.eq(found.as_value() & refusing.replicate(len(found.as_value()))),
        ]
        with m.If(pushing[Opcode.EXEC]):
            m.d.sync += open_tile.eq(~words[Opcode.EXEC].last)

        # One instruction at a time: at work until it was pushed, then the next may be looked for.
        at_work = Signal()
        decided = Signal()
        m.d.comb += [
            begun.eq(self.instructions.valid & ~at_work & ~stop),
            deciding.eq(decided & ~self.dispatched),
        ]
        m.d.sync += [
            at_work.eq(begun | (at_work & ~self.dispatched)),
            decided.eq((reach.done & at_work) | deciding),
            self.idle.eq(~self.instructions.valid & ~at_work & all_empty),
        ]

        count = Signal(RING_LOG2_MAX)
        number = Signal(attrs=KEEP)
        m.d.sync += [number.eq(leaving), count.eq(count + number)]
        with m.If(number):
            m.d.sync += self.index.eq(count & self.mask)
        tag = words[Opcode.END].tag
        for half, tagged in enumerate(copies(m, ending, 2, "tagged", reset_less=False)):
            part = slice(len(tag) // 2 * half, len(tag) // 2 * (half + 1))
            with m.If(tagged):
                m.d.sync += self.done_tag[part].eq(tag[part])
        return m

    def _wire_reach(self, m, words, opcode, operands, reach):
        """Addresses of LOAD and DRAIN; any other instruction reaches nowhere, and takes no time for it."""
        load, drain = words[Opcode.LOAD_A], words[Opcode.DRAIN]
        shift = BEAT_BYTES.bit_length() - 1
        is_drain = drain.opcode == Opcode.DRAIN
        is_load = opcode.load_a | opcode.load_b
        for number, name in enumerate(("blocks", "tiles")):
            less = Signal.like(load[name], name=f"{name}_less")
            more_to_load, more_to_drain = (
                Signal(name=f"more_{name}_to_{what}") for what in ("load", "drain")
            )
            m.d.sync += [
                less.eq(Mux(is_drain, (drain[name] - 1)[: len(less)], (load[name] - 1)[: len(less)])),
                more_to_load.eq(load[name] != 1),
                more_to_drain.eq(drain[name] != 1),
            ]
            m.d.comb += [
                reach.counts[number].eq(less),
                reach.zeros[number].eq(~((is_load & more_to_load) | (opcode.drain & more_to_drain))),
            ]
        m.d.comb += [
            reach.counts[2].eq(operands.planes_less),
            reach.zeros[2].eq(operands.one_plane),
            reach.base.eq(load.base >> shift),
            reach.strides[0].eq(load.block_stride >> shift),
            reach.strides[1].eq(load.tile_stride >> shift),
            reach.strides[2].eq(load.plane_stride >> shift),
            reach.run.eq(operands.run),
            reach.read_window.eq(self.read_window),
            reach.write_window.eq(self.write_window),
        ]

    def _faults(self, m, word_check, operands, reach):
        """All that is wrong with the instruction, and whether anything is, a cycle after `Reach` is done."""
        # What follows from slots is only looked at in a word that has some, what follows from bits only when
        # they are allowed, and where an instruction reaches only of one that is otherwise good.
        opcode, known = word_check.opcode, word_check.known
        is_load = opcode.load_a | opcode.load_b
        bad_slots = Signal()
        good = Signal()
        overflow = Signal()
        m.d.sync += [
            bad_slots.eq(operands.bad_slots),
            good.eq(~(word_check.faults.as_value().any() | operands.bad_slots | operands.too_wide)),
        ]
        m.d.comb += overflow.eq(operands.overflow)
        found = Signal(FAULTS)
        faulty = Signal()
        reads, writes = is_load & reach.leaves_read, opcode.drain & reach.leaves_write
        m.d.sync += [
            found.eq(word_check.faults),
            found.bad_slot.eq(known & bad_slots),
            found.operand_overflow.eq(known & overflow & ~bad_slots),
            found.result_width.eq(known & operands.too_wide & ~bad_slots),
            found.read_window.eq(good & ~overflow & reads),
            found.write_window.eq(good & writes),
            faulty.eq(~good | overflow | reads | writes),
        ]
        return found, faulty

    def _queues(self, m, words, operands):
        """The engines' queues, their entries made of the instruction and of what follows from its slots."""
        queues = {}
        ports = (self.load_a, self.load_b, self.execute, self.drain)
        for op, port in zip(ENGINES, ports, strict=True):
            queue = Queue(port.payload.shape(), MACHINE.queue_instructions)
            m.submodules[f"queue_{op.name.lower()}"] = queues[op] = queue
            connect(m, queue.o, flipped(port))
            for item in FORMATS[op].fields:
                if item.name in port.payload.shape().members:
                    m.d.comb += queue.i.payload[item.name].eq(words[op][item.name])
        for op in (Opcode.LOAD_A, Opcode.LOAD_B):
            m.d.comb += [
                queues[op].i.payload.bits.eq(operands.a.bits),
                queues[op].i.payload.block_words.eq(operands.block_words),
            ]
        entry = queues[Opcode.EXEC].i.payload
        m.d.comb += [
            entry.a.eq(operands.a),
            entry.b.eq(operands.b),
            entry.a_tile_words.eq(operands.a_tile_words),
            entry.b_plane_words.eq(words[Opcode.EXEC].ksteps),
            queues[Opcode.DRAIN].i.payload.bytes.eq(operands.result_bytes),
        ]
        return queues
