"""AXI4-Lite slave generated from the register map, and the precision slots."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.bus.axi import AXI_LITE
from cpt.hw.contract.config import SLOTS
from cpt.hw.contract.regs import ADDRESS_BITS, REGISTERS, SLOT_BASE, SLOT_FIELDS
from cpt.hw.layouts import SLOT

PLAIN = tuple(item for item in REGISTERS if not item.name.startswith("SLOT_"))
"""All registers but the slots, which are a memory."""
LOCKED = ("RING_BASE", "RING_LOG2")
"""Written while busy, these are ignored and flagged, and so are the slots."""
KEPT = ("RING_BASE", "RING_LOG2")
"""What soft reset keeps, beside the slots."""


class RegisterFile(wiring.Component):
    """The register map.

    Members: ``bus`` (AXI4-Lite slave); ``values``: by register name in lower case, what ``ro`` registers
    read; ``events``: bits that set a ``w1c`` register; ``state``: contents of ``rw`` and ``w1c`` registers;
    ``commands``: bits written to ``w1s`` registers, for one cycle; ``busy``: slots and ring registers are
    locked; ``busy_write``: such a write was refused; ``soft_reset``: everything but slots and ring geometry
    returns to its reset value; ``slot_a_addr`` and, a cycle later, ``slot_a``; the same for b.
    A write is answered in the cycle after address and data are there, a read two cycles after its address.
    """

    def __init__(self):
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
                "slot_a_addr": In(range(SLOTS)),
                "slot_b_addr": In(range(SLOTS)),
                "slot_a": Out(SLOT),
                "slot_b": Out(SLOT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        word_bits = ADDRESS_BITS - 2
        slot_bits = (SLOTS - 1).bit_length()

        # Writes: address and data are taken together.
        write, write_word = Signal(), Signal(word_bits)
        m.d.comb += [
            write.eq(bus.awvalid & bus.wvalid & ~bus.bvalid),
            bus.awready.eq(write),
            bus.wready.eq(write),
            write_word.eq(bus.awaddr[2:]),
            bus.bresp.eq(0),
            bus.rresp.eq(0),
        ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(write):
            m.d.sync += bus.bvalid.eq(1)
        strobe = Cat(bit.replicate(8) for bit in bus.wstrb)
        written = bus.wdata & strobe

        locked_write = Signal()
        for item in PLAIN:
            name, selected = item.name.lower(), write & (write_word == item.offset >> 2)
            if item.access == "w1s":
                m.d.comb += getattr(self.commands, name).eq(Mux(selected, written & item.mask, 0))
            elif item.access in ("rw", "w1c"):
                state = Signal(32, name=name, init=item.reset)
                m.d.comb += getattr(self.state, name).eq(state)
                if item.access == "w1c":
                    m.d.sync += state.eq(
                        (state & ~Mux(selected, written, 0)) | (getattr(self.events, name) & item.mask)
                    )
                elif item.name in LOCKED:
                    with m.If(selected & ~self.busy):
                        m.d.sync += state.eq(((state & ~strobe) | written) & item.mask)
                    with m.If(selected):
                        m.d.comb += locked_write.eq(1)
                else:
                    with m.If(selected):
                        m.d.sync += state.eq(((state & ~strobe) | written) & item.mask)
                if item.name not in KEPT:
                    with m.If(self.soft_reset):
                        m.d.sync += state.eq(item.reset)

        # Slots: a memory with a copy for each reader.
        slot_base_word = SLOT_BASE >> 2
        slot_write = Signal()
        m.d.comb += slot_write.eq(write & (write_word[slot_bits:] == slot_base_word >> slot_bits))
        m.d.comb += self.busy_write.eq(self.busy & (locked_write | slot_write))

        # Reads: two cycles, as the slot memory needs one.
        read, read_word = Signal(), Signal(word_bits)
        looked_up = Signal()
        m.d.comb += [
            read.eq(bus.arvalid & ~bus.rvalid & ~looked_up),
            bus.arready.eq(read),
        ]
        m.d.sync += looked_up.eq(read)
        with m.If(read):
            m.d.sync += read_word.eq(bus.araddr[2:])

        read_slot = Signal(SLOT)
        for field in SLOT_FIELDS:
            memory = Memory(shape=unsigned(field.width), depth=SLOTS, init=[])
            m.submodules[f"slot_{field.name}"] = memory
            port = memory.write_port()
            m.d.comb += [
                port.en.eq(slot_write & ~self.busy & bus.wstrb[field.offset // 8]),
                port.addr.eq(write_word),
                port.data.eq(bus.wdata[field.offset : field.offset + field.width]),
            ]
            for addr, slot in (
                (self.slot_a_addr, self.slot_a),
                (self.slot_b_addr, self.slot_b),
                (bus.araddr[2:], read_slot),
            ):
                reader = memory.read_port()
                m.d.comb += [reader.addr.eq(addr), slot[field.name].eq(reader.data)]

        value = Signal(32)
        with m.Switch(read_word):
            for item in PLAIN:
                with m.Case(item.offset >> 2):
                    if item.access == "ro":
                        m.d.comb += value.eq(getattr(self.values, item.name.lower()) & item.mask)
                    elif item.access != "w1s":
                        m.d.comb += value.eq(getattr(self.state, item.name.lower()))
            with m.Default(), m.If(read_word[slot_bits:] == slot_base_word >> slot_bits):
                for field in SLOT_FIELDS:
                    m.d.comb += value[field.offset : field.offset + field.width].eq(read_slot[field.name])
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(looked_up):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(value)]
        return m
