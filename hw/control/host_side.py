"""What the host sees of a machine, and what it sets."""

from functools import reduce
from operator import and_, or_

from amaranth import Cat, Signal
from amaranth.lib.wiring import connect, flipped

from cpt.hw.bus.axi import AXI_READ, AXI_WRITE
from cpt.hw.contract import CONTRACT_HASH, Counter, register
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.regs import MAGIC


def wire_registers(m, top, chip, program) -> None:
    """Registers of ``top``, a whole machine of the blocks ``chip``; ``program`` executes END.

    ``program`` has ``done``, ``done_tag``. Not wired here: ERROR_INDEX, windows.
    """
    registers, control, ring, counters = chip.registers, chip.control, chip.ring, chip.counters
    connect(m, flipped(top.s_axil), registers.bus)
    values, state, events = registers.values, registers.state, registers.events
    config = top.config
    raised = Signal(reset_less=True)
    enabled = [item.offset for item in register("IRQ_STATUS").fields]
    m.d.engines += [
        raised.eq(control.errors.any()),
        top.irq.eq(any_of(state.irq_status[bit] & state.irq_enable[bit] for bit in enabled)),
    ]
    mask = (1 << 32) - 1
    shape = {"rows": config.rows, "cols": config.cols, "word_bits": config.word_bits}
    depth = {"a_depth_words": config.a_depth_words, "b_depth_words": config.b_depth_words}
    scratch = {"scratch_words": config.scratch_words}
    m.d.comb += [
        values.magic.eq(MAGIC),
        values.contract_lo.eq(CONTRACT_HASH & mask),
        values.contract_hi.eq(CONTRACT_HASH >> 32),
        values.build_id.eq(top.build_id),
        values.shape.eq(register("SHAPE").pack(**shape)),
        values.depth.eq(register("DEPTH").pack(**depth)),
        values.scratch.eq(register("SCRATCH").pack(**scratch)),
        values.status[bit("STATUS", "busy")].eq(control.busy),
        values.status[bit("STATUS", "halted")].eq(control.halted),
        values.ring_head.eq(ring.head),
        values.done_tag.eq(program.done_tag),
        events.error.eq(control.errors),
        events.irq_status[bit("IRQ_STATUS", "done")].eq(program.done),
        events.irq_status[bit("IRQ_STATUS", "error")].eq(raised),
        ring.base.eq(state.ring_base),
        ring.window.eq(Cat(state.read_base, state.read_limit)),
        ring.log2.eq(state.ring_log2),
        ring.tail.eq(state.ring_tail),
        control.soft_reset.eq(registers.commands.control[bit("CONTROL", "soft_reset")]),
        registers.soft_reset.eq(control.reset),
        registers.busy.eq(control.busy),
        counters.clear.eq(registers.commands.control[bit("CONTROL", "clear_counters")]),
    ]
    for counter in Counter:
        value = counters.value[counter]
        m.d.comb += [
            getattr(values, f"{counter.name.lower()}_lo").eq(value[:32]),
            getattr(values, f"{counter.name.lower()}_hi").eq(value[32:]),
        ]


def wire_counters(m, top, chip, executor, progress) -> None:
    """Performance counters of ``top``, and its watchdog, which transfers and ``progress`` (bits) hold back.

    ``executor`` has ``busy``, ``wait_fetch``, ``wait_drain``.
    """
    control, watchdog, counters = chip.control, chip.watchdog, chip.counters

    def later(value, name):
        # Readies of the ports come late.
        seen = Signal(name=name, reset_less=True)
        m.d.engines += seen.eq(value)
        return seen

    def moved(port, channel):
        return later(port[f"{channel}valid"] & port[f"{channel}ready"], f"moved_{channel}")

    def stalled(port, channel):
        return later(port[f"{channel}valid"] & ~port[f"{channel}ready"], f"stalled_{channel}")

    m0 = {name: getattr(top.m0, name) for name in AXI_READ.members}
    m1 = {name: getattr(top.m1, name) for name in AXI_READ.members}
    ports = [getattr(top, name) for name in ("m0_write", "m1_write") if name in top.signature.members]
    writes = [{name: getattr(port, name) for name in AXI_WRITE.members} for port in ports]
    m0_read, m1_read = moved(m0, "r"), moved(m1, "r")
    written = [moved(write, "w") for write in writes]
    transfers = [m0_read, m1_read, *written, moved(m0, "ar"), moved(m1, "ar")]
    transfers += [moved(write, channel) for write in writes for channel in ("aw", "b")]
    m.d.comb += [
        watchdog.limit.eq(chip.registers.state.watchdog),
        watchdog.busy.eq(control.busy & ~control.halted),
        watchdog.progress.eq(any_of([*transfers, executor.busy, *progress])),
    ]
    increments = {
        Counter.TOTAL: control.busy,
        Counter.EXEC_BUSY: executor.busy,
        Counter.EXEC_WAIT_FETCH: executor.wait_fetch,
        Counter.EXEC_WAIT_DRAIN: executor.wait_drain,
        Counter.BYTES_READ: (m0_read + m1_read) * BEAT_BYTES,
        Counter.BYTES_WRITTEN: sum(written) * BEAT_BYTES,
        Counter.READ_STALL: stalled(m0, "ar") + stalled(m1, "ar"),
        Counter.WRITE_STALL: sum(stalled(write, "aw") | stalled(write, "w") for write in writes),
    }
    m.d.comb += [counters.increment[counter].eq(amount) for counter, amount in increments.items()]


def bit(register_name: str, field: str) -> int:
    """Where a flag lies in its register."""
    return register(register_name).field(field).offset


def all_of(bits):
    """Whether all bits are 1."""
    return reduce(and_, bits, 1)


def any_of(bits):
    """Whether one of the bits is 1."""
    return reduce(or_, bits, 0)
