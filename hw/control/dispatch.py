"""Decodes and checks instructions and hands them to the engines' queues."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import FORMATS, ArrayConfig, Opcode
from cpt.hw.contract.config import ACC_BITS, BEAT_BYTES, MAX_BITS, SLOTS
from cpt.hw.contract.layout import SUM_ROWS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.regs import RING_LOG2_MAX
from cpt.hw.control.checks import FAULTS, WordCheck
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


class Dispatch(wiring.Component):
    """Takes `cycles_per_instruction` for each instruction: slots, products, check, push.

    A LOAD or DRAIN takes a cycle more for each bit of ``blocks - 1``, ``tiles - 1`` and, LOAD, ``bits - 1``:
    `Reach` adds its strides up.

    Slots are read here, so an engine gets bits and signs, never slot numbers. A faulty instruction reaches
    no engine: like END it waits until everything before it is finished, and is then refused.

    Members: ``instructions`` (in), with ``unreadable``: it came with an error response; ``slot_a_addr``,
    ``slot_b_addr`` and, a cycle later, ``slot_a``, ``slot_b``; ``load_a``, ``load_b``, ``execute``, ``drain``
    (out); ``engines_idle``: no engine or AXI port has anything to do; ``expired``: the watchdog gives up now,
    so refuse without waiting; ``read_window``, ``write_window``: addresses allowed; ``done``: an END
    completes; ``done_tag``: the tag of the last one; ``faults``: why the instruction is refused;
    ``dispatched``: an instruction leaves or is refused; ``mask``: ring size - 1; ``index``: ring position of
    the last one; ``stop``; ``idle``: no instruction here or in the queues.
    """

    cycles_per_instruction = MACHINE.dispatch_cycles

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
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        words = {
            opcode: data.View(instruction_layout(opcode), self.instructions.payload) for opcode in Opcode
        }
        load, execute, drain, end = (
            words[op] for op in (Opcode.LOAD_A, Opcode.EXEC, Opcode.DRAIN, Opcode.END)
        )
        opcode = end.opcode

        slots = {Opcode.LOAD_A: 1, Opcode.LOAD_B: 1, Opcode.EXEC: 2, Opcode.DRAIN: 2, Opcode.END: 0}
        two_slots, any_slot = Signal(), Signal()
        with m.Switch(opcode):
            for op, word in words.items():
                with m.Case(op):
                    m.d.comb += [any_slot.eq(slots[op] > 0), two_slots.eq(slots[op] > 1)]
                    if slots[op] == 1:
                        m.d.comb += self.slot_a_addr.eq(word.slot)
                    elif slots[op] == 2:
                        m.d.comb += [self.slot_a_addr.eq(word.slot_a), self.slot_b_addr.eq(word.slot_b)]

        is_exec = Signal()
        slot_a, slot_b = Signal(SLOT), Signal(SLOT)
        ksteps, tiles = Signal.like(load.ksteps), Signal.like(load.tiles)
        top_a, top_b = Signal(16), Signal(16)
        words_a, words_b = Signal(16), Signal(16)
        block_words = Signal(26)
        result_bits = Signal(7)
        m.d.comb += [
            is_exec.eq(opcode == Opcode.EXEC),
            ksteps.eq(Mux(is_exec, execute.ksteps, load.ksteps)),
            tiles.eq(Mux(is_exec, execute.tiles, load.tiles)),
        ]

        def bad(slot):
            return (slot.bits == 0) | (slot.bits > MAX_BITS)

        m.submodules.word_check = word_check = WordCheck()
        open_tile = Signal()
        m.d.comb += [
            word_check.word.eq(self.instructions.payload),
            word_check.unreadable.eq(self.unreadable),
            word_check.open.eq(open_tile),
        ]

        m.submodules.reach = reach = Reach()
        run = Signal.like(reach.run)
        result_bytes = Signal(range(9))
        shift = BEAT_BYTES.bit_length() - 1
        is_load, is_drain = Signal(), Signal()
        m.d.comb += [
            is_load.eq((opcode == Opcode.LOAD_A) | (opcode == Opcode.LOAD_B)),
            is_drain.eq(opcode == Opcode.DRAIN),
            reach.base.eq(load.base >> shift),
            reach.strides[0].eq(load.block_stride >> shift),
            reach.strides[1].eq(load.tile_stride >> shift),
            reach.strides[2].eq(load.plane_stride >> shift),
            reach.counts[0].eq(Mux(is_drain, drain.blocks, load.blocks) - 1),
            reach.counts[1].eq(Mux(is_drain, drain.tiles, load.tiles) - 1),
            reach.counts[2].eq(Mux(is_drain, 0, (slot_a.bits - 1).as_unsigned())),
            reach.window.eq(Mux(is_drain, self.write_window, self.read_window)),
            reach.run.eq(run),
            result_bytes.eq((result_bits + 7) >> 3),
        ]
        # Beats of one run: planes of a tile, or a tile with the sums that it may carry.
        row_beats = config.cols // BEAT_BYTES
        with m.Switch(opcode):
            for op, operand in ((Opcode.LOAD_A, "a"), (Opcode.LOAD_B, "b")):
                with m.Case(op):
                    m.d.sync += run.eq(load.ksteps * (config.group_bytes(operand) // BEAT_BYTES))
            with m.Case(Opcode.DRAIN):
                rows = Mux(drain.col_sums, config.rows + SUM_ROWS, config.rows)
                m.d.sync += run.eq(result_bytes * rows * row_beats)

        half_a, half_b = config.half_words("a"), config.half_words("b")
        # What follows from slots is only looked at in a word that has some, what follows from bits only when
        # they are allowed.
        found = Signal(FAULTS)
        bad_slots, overflow, width, good = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            found.eq(word_check.faults),
            bad_slots.eq((any_slot & bad(slot_a)) | (two_slots & bad(slot_b))),
            found.bad_slot.eq(word_check.known & bad_slots),
            found.operand_overflow.eq(word_check.known & overflow & ~bad_slots),
            found.result_width.eq(word_check.known & width & ~bad_slots),
            width.eq(is_drain & (result_bits > ACC_BITS)),
            # Where an instruction reaches is only asked of one that is otherwise good.
            good.eq(~(word_check.faults.as_value().any() | bad_slots | overflow | width)),
            found.read_window.eq(good & is_load & reach.outside),
            found.write_window.eq(good & is_drain & reach.outside),
        ]
        with m.Switch(opcode):
            with m.Case(Opcode.LOAD_A):
                m.d.comb += overflow.eq(block_words > half_a)
            with m.Case(Opcode.LOAD_B):
                m.d.comb += overflow.eq(block_words > half_b)
            with m.Case(Opcode.EXEC):
                m.d.comb += overflow.eq((block_words > half_a) | (words_b > half_b))

        queues = {}
        for op, port in (
            (Opcode.LOAD_A, self.load_a),
            (Opcode.LOAD_B, self.load_b),
            (Opcode.EXEC, self.execute),
            (Opcode.DRAIN, self.drain),
        ):
            queue = Queue(port.payload.shape(), MACHINE.queue_instructions)
            m.submodules[f"queue_{op.name.lower()}"] = queues[op] = queue
            connect(m, queue.o, flipped(port))
            for item in FORMATS[op].fields:
                if item.name in port.payload.shape().members:
                    m.d.comb += queue.i.payload[item.name].eq(words[op][item.name])
        for op in (Opcode.LOAD_A, Opcode.LOAD_B):
            m.d.comb += [
                queues[op].i.payload.bits.eq(slot_a.bits),
                queues[op].i.payload.block_words.eq(block_words),
            ]
        m.d.comb += [
            queues[Opcode.EXEC].i.payload.a.eq(slot_a),
            queues[Opcode.EXEC].i.payload.b.eq(slot_b),
            queues[Opcode.EXEC].i.payload.a_top_words.eq(top_a),
            queues[Opcode.EXEC].i.payload.b_top_words.eq(top_b),
            queues[Opcode.EXEC].i.payload.a_tile_words.eq(words_a),
            queues[Opcode.DRAIN].i.payload.bytes.eq(result_bytes),
        ]

        count = Signal(RING_LOG2_MAX)
        m.d.comb += self.instructions.ready.eq(self.dispatched)
        with m.If(self.dispatched):
            m.d.sync += [self.index.eq(count & self.mask), count.eq(count + 1)]
        with m.If(self.done):
            m.d.sync += self.done_tag.eq(end.tag)
        all_empty = 1
        for queue in queues.values():
            all_empty = all_empty & queue.empty
        m.d.comb += self.idle.eq(~self.instructions.valid & all_empty)

        with m.FSM():
            with m.State("WAIT"), m.If(self.instructions.valid & ~self.stop):
                m.d.comb += reach.start.eq(1)
                m.next = "SLOTS"
            with m.State("SLOTS"):
                m.d.sync += [
                    slot_a.eq(self.slot_a),
                    slot_b.eq(self.slot_b),
                    result_bits.eq(self.slot_a.bits + self.slot_b.bits + drain.k_log2),
                ]
                m.next = "PRODUCTS"
            with m.State("PRODUCTS"):
                m.d.sync += [
                    top_a.eq((slot_a.bits - 1).as_unsigned()[:5] * ksteps),
                    top_b.eq((slot_b.bits - 1).as_unsigned()[:5] * ksteps),
                ]
                m.next = "WORDS"
            with m.State("WORDS"):
                m.d.sync += [words_a.eq(top_a + ksteps), words_b.eq(top_b + ksteps)]
                m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.sync += block_words.eq(words_a * tiles)
                with m.If(reach.done | ~(is_load | is_drain)):
                    m.next = "PUSH"
            with m.State("PUSH"), m.If(~self.stop):
                with m.If(found.as_value().any()):
                    m.d.comb += self.dispatched.eq((self.engines_idle & all_empty) | self.expired)
                    with m.If(self.dispatched):
                        m.d.comb += self.faults.eq(found)
                with m.Else(), m.Switch(opcode):
                    for op, queue in queues.items():
                        with m.Case(op):
                            m.d.comb += [queue.i.valid.eq(1), self.dispatched.eq(queue.i.ready)]
                    with m.Case(Opcode.END):
                        m.d.comb += [
                            self.dispatched.eq(self.engines_idle & all_empty),
                            self.done.eq(self.dispatched),
                        ]
                with m.If(self.dispatched):
                    m.next = "WAIT"
                    with m.If(is_exec & ~found.as_value().any()):
                        m.d.sync += open_tile.eq(~execute.last)
        return m
