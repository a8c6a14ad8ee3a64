"""Takes the ring's words and the lists that they name apart, and hands instructions to the engines."""

from functools import reduce
from operator import and_, or_

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import READ_STREAMS
from cpt.hw.contract.config import SLOTS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import BASES, ENGINES, FORMATS, KEYS, Code, Engine
from cpt.hw.control.queue import Queue
from cpt.hw.control.reach import WINDOW
from cpt.hw.layouts import SLOT
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.program.layouts import COMMAND, WORD_BITS, fields
from cpt.hw.program.list_reader import ListReader
from cpt.hw.program.word_check import FAULTS, WordCheck, one_of

SEEN_CYCLES = 10
"""From a word in its register to everything that follows from it."""
PART_BITS = 16
"""Bits of a word that one copy of where it comes from chooses."""
QUIET_CYCLES = 5
"""Cycles without anything to do after which there is nothing on its way either."""


def queue_instructions(engine: Engine) -> int:
    """Instructions that wait for an engine, beside the one it works on."""
    return MACHINE.float_queue_instructions if engine is Engine.FLOAT else MACHINE.step_queue_instructions


class Runner(wiring.Component):
    """SET, RUN and END from the ring; everything else from lists; an instruction in about ten cycles.

    A word stands still while everything is worked out of it by registers without enables. RUN comes back when
    all engines are idle, so SET, and the next list, meet no instruction under way. A faulty word waits for
    what stands before it and is then refused.

    Members: ``ring`` (in), with ``ring_unreadable``: it came with an error response; ``ar``, ``r`` (AXI):
    lists, inside ``window``; ``leaves``: one is not; ``slot_a_addr``, ``slot_b_addr`` and, a cycle later,
    ``slot_a``, ``slot_b``; a stream of `COMMAND` for every engine, by its name (out); ``engines_idle``: a
    cycle ago no engine or write port had anything to do; ``clear``: a list begins, so marks start from 0;
    ``keys``: numbers for noise; ``done``: an END completes; ``done_tag``: a cycle later, its tag;
    ``faults``: why a word is refused, for one cycle; ``stop``: start nothing; ``quiet``: nothing is in
    flight at ``ar`` and ``r``; ``idle``: a cycle ago there was no word here.
    """

    def __init__(self):
        super().__init__(
            {
                "ring": In(stream.Signature(WORD_BITS)),
                "ring_unreadable": In(1),
                "window": In(WINDOW),
                "leaves": Out(1),
                **READ_STREAMS,
                "slot_a_addr": Out(range(SLOTS)),
                "slot_b_addr": Out(range(SLOTS)),
                "slot_a": In(SLOT),
                "slot_b": In(SLOT),
                **{engine.name.lower(): Out(stream.Signature(COMMAND)) for engine in Engine},
                "engines_idle": In(1),
                "clear": Out(1),
                "keys": Out(32).array(KEYS),
                "done": Out(1),
                "done_tag": Out(32),
                "faults": Out(FAULTS),
                "stop": In(1),
                "quiet": Out(1),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = ListReader()
        m.submodules.check = check = WordCheck()
        connect(m, reader.ar, flipped(self.ar))
        connect(m, flipped(self.r), reader.r)
        listed = Signal()
        leaves = Signal()
        """The word in front goes."""
        word = Signal(WORD_BITS, reset_less=True)
        unreadable = Signal(reset_less=True)
        waits = Mux(listed, reader.instructions.valid, self.ring.valid)
        for number, from_list in enumerate(copies(m, listed, WORD_BITS // PART_BITS, "chosen")):
            part = slice(PART_BITS * number, PART_BITS * (number + 1))
            m.d.sync += word[part].eq(
                Mux(from_list, reader.instructions.payload[part], self.ring.payload[part])
            )
        stopped = Signal()
        engines_idle = Signal()
        m.d.sync += [
            unreadable.eq(Mux(listed, reader.unreadable, self.ring_unreadable)),
            stopped.eq(self.stop),
            engines_idle.eq(self.engines_idle),
        ]
        m.d.comb += [
            reader.stop.eq(self.stop),
            reader.window.eq(self.window),
            self.leaves.eq(reader.leaves),
            self.quiet.eq(reader.quiet),
            self.ring.ready.eq(leaves & ~listed),
            reader.instructions.ready.eq(leaves & listed),
            check.word.eq(word),
            check.listed.eq(listed),
            check.unreadable.eq(unreadable),
            check.slot_a.eq(self.slot_a),
            check.slot_b.eq(self.slot_b),
        ]
        words = {code: fields(code)(word) for code in Code}
        m.submodules.bases = bases = Memory(shape=32, depth=BASES, init=[])
        command = Signal(COMMAND)
        m.d.comb += [
            command.word.eq(word),
            command.address.eq(self._address(m, words, bases.read_port(domain="comb"))),
        ]
        self._slots(m, words, command)

        # A word that has stood for `SEEN_CYCLES` is decided upon; what is decided happens a cycle later.
        standing = Signal(SEEN_CYCLES)
        present = Signal()
        m.d.sync += [
            present.eq(waits & ~leaves),
            standing.eq(Mux(present & ~leaves, (standing << 1) | 1, 0)),
        ]
        deciding = Signal()
        drained = Signal()
        quiet = Signal(QUIET_CYCLES)
        going = Signal()
        faulty = Signal()
        queues = {engine: Queue(COMMAND, queue_instructions(engine)) for engine in Engine}
        empty = Signal()
        m.d.comb += empty.eq(reduce(and_, (queue.empty for queue in queues.values())))
        m.d.sync += [
            quiet.eq(Mux(engines_idle & empty & ~leaves, (quiet << 1) | 1, 0)),
            faulty.eq(check.faults.as_value().any()),
        ]
        decided = Signal()
        """Something was decided, and happens now."""
        m.d.comb += [
            drained.eq(quiet[-1]),
            deciding.eq(standing[-1] & ~decided & ~stopped),
            going.eq(deciding & ~faulty),
        ]
        codes = check.code
        room = Signal()
        pushed = 0
        for engine, queue in queues.items():
            name = engine.name.lower()
            m.submodules[f"queue_{name}"] = queue
            mine, pushes = Signal(name=f"is_{name}"), Signal(name=f"pushes_{name}")
            named = [codes[code.name.lower()] for code, taker in ENGINES.items() if taker is engine]
            m.d.comb += [
                mine.eq(reduce(or_, named) & queue.i.ready),
                queue.i.valid.eq(pushes),
                queue.i.payload.eq(command),
            ]
            m.d.sync += pushes.eq(going & mine)
            pushed |= mine
            connect(m, queue.o, flipped(getattr(self, name)))
        m.d.comb += room.eq(pushed)
        ends, runs, sets, refuses = (Signal(name=name) for name in ("ends", "runs", "sets", "refuses"))
        leaving = Signal()
        m.d.comb += [
            ends.eq(going & codes.end & drained),
            runs.eq(going & codes.run & drained & reader.idle),
            sets.eq(going & codes.set),
            refuses.eq(deciding & faulty & drained),
            leaving.eq((going & room) | ends | runs | sets | refuses),
        ]
        m.d.sync += [
            decided.eq(leaving),
            leaves.eq(leaving),
            self.done.eq(ends),
            self.clear.eq(runs),
            self.faults.eq(Mux(refuses, check.faults.as_value(), 0)),
            self.idle.eq(~waits & ~leaves & ~listed),
        ]
        with m.If(self.done):
            m.d.sync += self.done_tag.eq(words[Code.END].tag)
        self._set(m, words[Code.SET], sets, bases.write_port())

        call = words[Code.RUN]
        m.d.comb += [
            reader.calls.valid.eq(self.clear),
            reader.calls.payload.address.eq(command.address),
            reader.calls.payload.count.eq(call.count),
        ]
        with m.If(self.clear):
            m.d.sync += listed.eq(1)
        with m.Elif(reader.idle & drained & ~waits):
            m.d.sync += listed.eq(0)
        return m

    def _set(self, m, word, sets, write):
        """Base registers and keys, a cycle after ``sets``, while the word still stands."""
        base = Signal()
        keys = Signal(KEYS)
        m.d.sync += [
            base.eq(sets & ~word.kind),
            keys.eq(Cat(sets & word.kind & (word.index == index) for index in range(KEYS))),
        ]
        m.d.comb += [write.addr.eq(word.index), write.data.eq(word.value), write.en.eq(base)]
        for index in range(KEYS):
            with m.If(keys[index]):
                m.d.sync += self.keys[index].eq(word.value)

    def _address(self, m, words, read):
        """Base register and offset of the word, added."""
        base = Signal(32, reset_less=True)
        address = Signal(32, reset_less=True)
        m.d.comb += read.addr.eq(_chosen(m, words, ("base",), "number"))
        m.d.sync += [
            base.eq(read.data),
            address.eq(base + _chosen(m, words, ("offset",), "offset")),
        ]
        return address

    def _slots(self, m, words, command):
        """The slots that the word names, looked up."""
        slot_a, slot_b = (Signal(SLOT, name=name, reset_less=True) for name in ("held_a", "held_b"))
        m.d.comb += [
            self.slot_a_addr.eq(_chosen(m, words, ("slot", "slot_a"), "first_slot")),
            self.slot_b_addr.eq(_chosen(m, words, ("slot_b",), "second_slot")),
            command.slot_a.eq(slot_a),
            command.slot_b.eq(slot_b),
        ]
        m.d.sync += [slot_a.eq(self.slot_a), slot_b.eq(self.slot_b)]


def _chosen(m, words, names, name):
    """The word's field that has one of ``names``, in a register called ``name``, a cycle after its code."""
    places = {}
    for each in Code:
        for item in FORMATS[each]:
            if item.name in names:
                places.setdefault((item.offset, item.width), []).append(each)
    code = copies(m, words[Code.END].code, 1, f"{name}_code")[0]
    value = Signal(max(width for _, width in places), name=name, reset_less=True)
    found = 0
    for number, ((offset, width), codes) in enumerate(places.items()):
        mine = Signal(name=f"{name}_at_{number}", reset_less=True, attrs=KEEP)
        m.d.sync += mine.eq(one_of(code, codes))
        found |= words[codes[0]].as_value()[offset : offset + width] & mine.replicate(width)
    m.d.sync += value.eq(found)
    return value
