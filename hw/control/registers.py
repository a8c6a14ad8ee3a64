"""AXI4-Lite slave generated from the register map, and the precision slots."""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.axi import AXI_LITE
from cpt.hw.contract.config import SLOTS
from cpt.hw.contract.regs import ADDRESS_BITS, REGISTERS, SLOT_BASE, SLOT_FIELDS
from cpt.hw.layouts import SLOT
from cpt.hw.matrix.copies import KEEP, copies

PLAIN = tuple(item for item in REGISTERS if not item.name.startswith("SLOT_"))
"""All registers but the slots, which are a memory."""

SLOT_BITS = max(field.offset + field.width for field in SLOT_FIELDS)

SLOT_READERS = 3
"""Of one memory of slots: as many as its LUTs have ports for."""
GATHERED = 12
"""Registers that meet in one step of a read: two LUTs deep."""


class RegisterFile(wiring.Component):
    """The register map.

    Parameters: ``readers`` of the slots, a letter each.
    Members: ``bus`` (AXI4-Lite slave); ``values``: by register name in lower case, what ``ro`` registers
    read; ``events``: bits that set a ``w1c`` register; ``state``: contents of ``rw`` and ``w1c`` registers;
    ``commands``: bits written to ``w1s`` registers, for one cycle; ``busy``: locked registers, the slots
    among them, refuse writes; ``busy_write``: one was refused; ``soft_reset``: every register that is not
    kept returns to its reset value; ``slot_a_addr`` and, a cycle later, ``slot_a``; the same for others.
    Both answer as ``docs/machine.md`` says, one write and one read at a time; a ready is a register that says
    that nothing is held, whatever the valids say. ``busy`` counts in the cycle
    after both parts of a write are accepted.
    """

    def __init__(self, readers: str = "ab"):
        self.readers = readers

        def names(*access):
            return wiring.Signature({item.name.lower(): Out(32) for item in PLAIN if item.access in access})

        super().__init__(
            {
                "bus": In(AXI_LITE),
                "values": In(names("ro")),
                "events": In(names("w1c")),
                "state": Out(names("rw", "w1c")),
                "commands": Out(names("w1s")),
                "busy": In(1),
                "busy_write": Out(1),
                "soft_reset": In(1),
                **{f"slot_{reader}_addr": In(range(SLOTS)) for reader in readers},
                **{f"slot_{reader}": Out(SLOT) for reader in readers},
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        word_bits = ADDRESS_BITS - 2
        slot_bits = (SLOTS - 1).bit_length()

        # Writes: address and data are held as they come, then the register is selected, then it is written.
        word = Signal(word_bits, reset_less=True, attrs=KEEP)
        data = Signal(32, reset_less=True, attrs=KEEP)
        strobes = Signal(4, reset_less=True)
        write = Signal()
        done = Signal()
        awready = Signal(init=1)
        wready = Signal(init=1, attrs=KEEP)
        m.d.comb += [
            bus.awready.eq(awready),
            bus.wready.eq(wready),
            write.eq(~awready & ~wready & ~done & ~bus.bvalid),
            bus.bresp.eq(0),
            bus.rresp.eq(0),
        ]
        m.d.sync += done.eq(write)
        slot_words = [
            Signal(slot_bits, name=f"slot_word_{n}", reset_less=True, attrs=KEEP)
            for n in range(-(-(1 + len(self.readers)) // SLOT_READERS))
        ]
        """For each memory of slots."""
        with m.If(awready):
            m.d.sync += [
                awready.eq(~bus.awvalid),
                word.eq(bus.awaddr[2:]),
                *(slot_word.eq(bus.awaddr[2:]) for slot_word in slot_words),
            ]
        # The same again for the upper half, and the data for the slots: each net has at most 32 loads.
        wready_upper = Signal(init=1, attrs=KEEP)
        slot_data = Signal(SLOT_BITS, reset_less=True, attrs=KEEP)
        slot_strobes = Signal.like(strobes, reset_less=True, attrs=KEEP)
        with m.If(wready):
            m.d.sync += [wready.eq(~bus.wvalid), data[:16].eq(bus.wdata[:16]), strobes.eq(bus.wstrb)]
        with m.If(wready_upper):
            m.d.sync += [
                wready_upper.eq(~bus.wvalid),
                data[16:].eq(bus.wdata[16:]),
                slot_data.eq(bus.wdata),
                slot_strobes.eq(bus.wstrb),
            ]
        with m.If(done):
            m.d.sync += bus.bvalid.eq(1)
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += [bus.bvalid.eq(0), awready.eq(1), wready.eq(1), wready_upper.eq(1)]
        written = data & Cat(bit.replicate(8) for bit in strobes)

        # What a soft reset keeps is cleared by copies of the domain's reset: the net itself has few loads.
        forget = Signal(init=1)
        kept = [item.name for item in PLAIN if item.access == "rw" and item.kept]
        m.d.sync += forget.eq(0)
        clears = dict(zip(kept, copies(m, forget, len(kept), "clear"), strict=True))

        locked = Signal()
        """The register selected next is one of those that are locked while busy."""

        def selects(name, condition):
            """The write that takes effect in this cycle meets ``condition``, a function of ``word``."""
            selected = Signal(name=f"writes_{name}")
            m.d.sync += selected.eq(write & condition)
            return selected

        def selects_locked(name, condition):
            """The same, but never while busy."""
            with m.If(condition):
                m.d.comb += locked.eq(1)
            return selects(name, condition & ~self.busy)

        for item in PLAIN:
            name, here = item.name.lower(), word == item.offset >> 2
            if item.access == "ro":
                continue
            selected = (selects_locked if item.locked else selects)(name, here)
            if item.access == "w1s":
                m.d.comb += getattr(self.commands, name).eq(Mux(selected, written & item.mask, 0))
                continue
            state = Signal(32, name=name, init=item.reset, reset_less=True)
            m.d.comb += getattr(self.state, name).eq(state)
            if item.access == "w1c":
                event = getattr(self.events, name) & item.mask
                m.d.sync += state.eq((state & ~Mux(selected, written, 0)) | event)
            else:
                for lane in range(4):
                    place = slice(8 * lane, 8 * (lane + 1))
                    with m.If(selected & strobes[lane]):
                        m.d.sync += state[place].eq(data[place] & (item.mask >> 8 * lane & 0xFF))
            # Without the other one: a soft reset is in the first cycle, too.
            with m.If(clears[item.name] if item.kept else self.soft_reset):
                m.d.sync += state.eq(item.reset)

        # Slots: memories with some of the readers each.
        slot_base_word = SLOT_BASE >> 2
        slot_write = selects_locked("slot", word[slot_bits:] == slot_base_word >> slot_bits)
        m.d.sync += self.busy_write.eq(write & locked & self.busy)

        # Reads: the address is held, then a register is selected while the slot memory is read, then all are
        # gathered in two steps. Each register has its select: one address would have hundreds of loads.
        read_word = Signal(word_bits, reset_less=True, attrs=KEEP)
        arready = Signal(init=1, attrs=KEEP)
        arready_slots = Signal(init=1, attrs=KEEP)
        looked_up = Signal()
        selected = Signal()
        gathered = Signal(attrs=KEEP)
        gathered_upper = Signal(attrs=KEEP)
        m.d.comb += bus.arready.eq(arready)
        m.d.sync += [
            looked_up.eq(arready & bus.arvalid),
            selected.eq(looked_up),
            gathered.eq(selected),
            gathered_upper.eq(selected),
        ]
        read_slot_words = [
            Signal(slot_bits, name=f"read_slot_word_{field.name}", reset_less=True, attrs=KEEP)
            for field in SLOT_FIELDS
        ]
        read_word_again = Signal(word_bits, reset_less=True, attrs=KEEP)
        with m.If(arready):
            m.d.sync += [
                arready.eq(~bus.arvalid),
                read_word.eq(bus.araddr[2:]),
                read_word_again.eq(bus.araddr[2:]),
            ]
        with m.If(arready_slots):
            m.d.sync += [
                arready_slots.eq(~bus.arvalid),
                *(place.eq(bus.araddr[2:]) for place in read_slot_words),
            ]

        read_slot = Signal(SLOT)
        ports = [(getattr(self, f"slot_{n}_addr"), getattr(self, f"slot_{n}")) for n in self.readers]
        for field, read_slot_word in zip(SLOT_FIELDS, read_slot_words, strict=True):
            all_ports = [*ports, (read_slot_word, read_slot)]
            for number, slot_word in enumerate(slot_words):
                memory = Memory(shape=unsigned(field.width), depth=SLOTS, init=[])
                m.submodules[f"slot_{field.name}_{number}"] = memory
                port = memory.write_port()
                m.d.comb += [
                    port.en.eq(slot_write & slot_strobes[field.offset // 8]),
                    port.addr.eq(slot_word),
                    port.data.eq(slot_data[field.offset : field.offset + field.width]),
                ]
                for addr, slot in all_ports[SLOT_READERS * number : SLOT_READERS * (number + 1)]:
                    reader = memory.read_port()
                    m.d.comb += [reader.addr.eq(addr), slot[field.name].eq(reader.data)]

        def when_read(name, condition, value):
            """``value`` if ``condition``, a function of ``read_word``, holds, else 0."""
            selected = Signal(name=f"reads_{name}", reset_less=True)
            m.d.sync += selected.eq(condition)
            return Mux(selected, value, 0)

        readable = [
            when_read(
                "slot",
                read_word[slot_bits:] == slot_base_word >> slot_bits,
                reduce(or_, (read_slot[field.name] << field.offset for field in SLOT_FIELDS)),
            )
        ]
        for number, item in enumerate(PLAIN):
            if item.access != "w1s":
                place = read_word_again if number % 2 else read_word
                name = item.name.lower()
                source = getattr(self.values if item.access == "ro" else self.state, name)
                readable.append(when_read(name, place == item.offset >> 2, source & item.mask))
        parts = []
        for first in range(0, len(readable), GATHERED):
            part = Signal(32, name=f"part_{first}", reset_less=True)
            m.d.sync += part.eq(reduce(or_, readable[first : first + GATHERED]))
            parts.append(part)
        answer = Signal(32, reset_less=True)
        m.d.comb += bus.rdata.eq(answer)
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), arready.eq(1), arready_slots.eq(1)]
        with m.If(gathered):
            m.d.sync += [bus.rvalid.eq(1), answer[:16].eq(reduce(or_, parts)[:16])]
        with m.If(gathered_upper):
            m.d.sync += answer[16:].eq(reduce(or_, parts)[16:])
        return m
