"""The accelerator: wires the blocks together."""

from amaranth import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.array import Array
from hw.axi import AXI_LITE, AXI_READ, AXI_WRITE, connect_read, connect_write
from hw.collector import Collector
from hw.contract import CONTRACT_HASH, ArrayConfig, Counter, Error, register
from hw.contract.config import BEAT_BYTES
from hw.contract.regs import MAGIC
from hw.control import Control
from hw.counters import Counters
from hw.dispatch import Dispatch
from hw.drain import Drain
from hw.executor import Executor
from hw.loader import Loader
from hw.operand_buffer import OperandBuffer
from hw.read_arbiter import ReadArbiter
from hw.read_master import MAX_OUTSTANDING
from hw.registers import RegisterFile
from hw.result_buffer import ResultBuffer
from hw.ring import Ring
from hw.watchdog import Watchdog


class Accelerator(wiring.Component):
    """Top level; see ``docs/machine.md``.

    Parameters: ``config``; ``build_id``: what BUILD_ID reads; ``inline``: build the dot-product units in
    place (for Amaranth's simulator) instead of instantiating their module. Members: ``s_axil`` (registers),
    ``m0`` and ``m0_write`` (instructions, operand A, results), ``m1`` (operand B), ``irq``.
    """

    def __init__(self, config: ArrayConfig, *, build_id: int = 0, inline: bool = False):
        self.config, self.build_id, self.inline = config, build_id, inline
        super().__init__(
            {
                "s_axil": In(AXI_LITE),
                "m0": Out(AXI_READ),
                "m0_write": Out(AXI_WRITE),
                "m1": Out(AXI_READ),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.registers = registers = RegisterFile()
        m.submodules.control = control = Control()
        restart = ResetInserter(control.reset)

        def add(name, block):
            m.submodules[name] = restart(block)
            return block

        ring = add("ring", Ring())
        dispatch = add("dispatch", Dispatch(config))
        loader_a = add("loader_a", Loader(config, "a"))
        loader_b = add("loader_b", Loader(config, "b"))
        buffer_a = add("buffer_a", OperandBuffer(config.rows, config.word_bits, config.a_depth_words))
        buffer_b = add("buffer_b", OperandBuffer(config.cols, config.word_bits, config.b_depth_words))
        executor = add("executor", Executor(config))
        array = add("array", Array(config, inline=self.inline))
        collector = add("collector", Collector(config))
        results = add("results", ResultBuffer(config))
        drain = add("drain", Drain(config))
        arbiter = add("arbiter", ReadArbiter(2 * MAX_OUTSTANDING))
        counters = add("counters", Counters())
        watchdog = add("watchdog", Watchdog())

        # Memory ports.
        connect(m, ring.ar, arbiter.ar0)
        connect(m, arbiter.r0, ring.r)
        connect(m, loader_a.ar, arbiter.ar1)
        connect(m, arbiter.r1, loader_a.r)
        connect_read(m, self.m0, arbiter.ar, arbiter.r)
        connect_read(m, self.m1, loader_b.ar, loader_b.r)
        connect_write(m, self.m0_write, drain.aw, drain.w, drain.b)

        # Instructions.
        connect(m, ring.instructions, dispatch.instructions)
        connect(m, dispatch.load_a, loader_a.commands)
        connect(m, dispatch.load_b, loader_b.commands)
        connect(m, dispatch.execute, executor.commands)
        connect(m, dispatch.drain, drain.commands)
        m.d.comb += [
            registers.slot_a_addr.eq(dispatch.slot_a_addr),
            registers.slot_b_addr.eq(dispatch.slot_b_addr),
            dispatch.slot_a.eq(registers.slot_a),
            dispatch.slot_b.eq(registers.slot_b),
        ]

        # Operands, steps, results.
        for loader, buffer in ((loader_a, buffer_a), (loader_b, buffer_b)):
            m.d.comb += [buffer.write_en.eq(loader.write_en), buffer.write_addr.eq(loader.write_addr)]
            m.d.comb += [
                buffer.write_words[n].eq(loader.write_words[n]) for n in range(len(buffer.write_words))
            ]
        m.d.comb += [array.a_words[n].eq(buffer_a.read_words[n]) for n in range(config.rows)]
        m.d.comb += [array.b_words[n].eq(buffer_b.read_words[n]) for n in range(config.cols)]
        m.d.comb += [
            executor.a_loaded.eq(loader_a.loaded),
            executor.b_loaded.eq(loader_b.loaded),
            loader_a.release.eq(executor.a_release),
            loader_b.release.eq(executor.b_release),
            buffer_a.read_addr.eq(executor.step.a_addr),
            buffer_b.read_addr.eq(executor.step.b_addr),
            array.valid.eq(executor.valid),
            array.step.eq(executor.step),
            collector.captured.eq(array.captured),
            collector.collect.eq(array.collect),
            array.row_index.eq(collector.row_index),
            collector.row.eq(array.row),
            results.old_addr.eq(collector.old_addr),
            collector.old_row.eq(results.old_row),
            results.write_en.eq(collector.write_en),
            results.write_addr.eq(collector.write_addr),
            results.write_row.eq(collector.write_row),
            executor.collected.eq(collector.done),
            executor.tile_free.eq(drain.tile_free),
            drain.complete.eq(collector.complete),
            results.drain_en.eq(drain.drain_en),
            results.drain_addr.eq(drain.drain_addr),
            drain.drain_row.eq(results.drain_row),
        ]

        self._wire_registers(m, registers, ring, dispatch, counters, control)

        # State of the machine.
        engines = (loader_a, loader_b, executor, drain)
        ports = (ring, loader_a, loader_b, drain)
        engines_idle, quiet = Signal(), Signal()
        m.d.comb += [
            engines_idle.eq(_all(engine.idle for engine in engines)),
            quiet.eq(_all(port.quiet for port in ports)),
            dispatch.engines_idle.eq(engines_idle),
            control.quiet.eq(quiet),
            control.working.eq(~(ring.idle & dispatch.idle & engines_idle)),
            control.soft_reset.eq(registers.commands.control[_bit("CONTROL", "soft_reset")]),
            registers.soft_reset.eq(control.reset),
            registers.busy.eq(control.busy),
            control.errors[Error.ILLEGAL_OPCODE].eq(dispatch.faults.illegal_opcode),
            control.errors[Error.BAD_SLOT].eq(dispatch.faults.bad_slot),
            control.errors[Error.OPERAND_OVERFLOW].eq(dispatch.faults.operand_overflow),
            control.errors[Error.RESULT_WIDTH].eq(dispatch.faults.result_width),
            control.errors[Error.AXI_READ].eq(ring.error | loader_a.error | loader_b.error),
            control.errors[Error.AXI_WRITE].eq(drain.error),
            control.errors[Error.WATCHDOG].eq(watchdog.expired),
            control.errors[Error.BUSY_WRITE].eq(registers.busy_write),
        ]
        m.d.comb += [block.stop.eq(control.stop) for block in (ring, dispatch, *engines)]

        # Progress and performance.
        def moved(port, channel):
            return port[f"{channel}valid"] & port[f"{channel}ready"]

        def stalled(port, channel):
            return port[f"{channel}valid"] & ~port[f"{channel}ready"]

        m0 = {name: getattr(self.m0, name) for name in AXI_READ.members}
        m1 = {name: getattr(self.m1, name) for name in AXI_READ.members}
        write = {name: getattr(self.m0_write, name) for name in AXI_WRITE.members}
        transfers = [moved(m0, "ar"), moved(m0, "r"), moved(m1, "ar"), moved(m1, "r")]
        transfers += [moved(write, channel) for channel in ("aw", "w", "b")]
        m.d.comb += [
            watchdog.limit.eq(registers.state.watchdog),
            watchdog.busy.eq(control.busy & ~control.halted),
            watchdog.progress.eq(_any([*transfers, executor.busy, collector.write_en, dispatch.dispatched])),
        ]
        increments = {
            Counter.TOTAL: control.busy,
            Counter.EXEC_BUSY: executor.busy,
            Counter.EXEC_WAIT_FETCH: executor.wait_fetch,
            Counter.EXEC_WAIT_DRAIN: executor.wait_drain,
            Counter.BYTES_READ: (moved(m0, "r") + moved(m1, "r")) * BEAT_BYTES,
            Counter.BYTES_WRITTEN: moved(write, "w") * BEAT_BYTES,
            Counter.READ_STALL: stalled(m0, "ar") + stalled(m1, "ar"),
            Counter.WRITE_STALL: stalled(write, "aw") | stalled(write, "w"),
        }
        m.d.comb += [counters.increment[counter].eq(amount) for counter, amount in increments.items()]
        return m

    def _wire_registers(self, m, registers, ring, dispatch, counters, control):
        connect(m, flipped(self.s_axil), registers.bus)
        values, state, events = registers.values, registers.state, registers.events
        config = self.config
        mask = (1 << 32) - 1
        shape = {"rows": config.rows, "cols": config.cols, "word_bits": config.word_bits}
        depth = {"a_depth_words": config.a_depth_words, "b_depth_words": config.b_depth_words}
        m.d.comb += [
            values.magic.eq(MAGIC),
            values.contract_lo.eq(CONTRACT_HASH & mask),
            values.contract_hi.eq(CONTRACT_HASH >> 32),
            values.build_id.eq(self.build_id),
            values.shape.eq(_pack("SHAPE", shape)),
            values.depth.eq(_pack("DEPTH", depth)),
            values.status[_bit("STATUS", "busy")].eq(control.busy),
            values.status[_bit("STATUS", "halted")].eq(control.halted),
            values.error_index.eq(dispatch.index),
            values.ring_head.eq(ring.head),
            values.done_tag.eq(dispatch.done_tag),
            events.error.eq(control.errors),
            events.irq_status[_bit("IRQ_STATUS", "done")].eq(dispatch.done),
            events.irq_status[_bit("IRQ_STATUS", "error")].eq(control.errors.any()),
            ring.base.eq(state.ring_base),
            dispatch.mask.eq(ring.mask),
            ring.log2.eq(state.ring_log2),
            ring.tail.eq(state.ring_tail),
            counters.clear.eq(registers.commands.control[_bit("CONTROL", "clear_counters")]),
            self.irq.eq((state.irq_status & state.irq_enable).any()),
        ]
        for counter in Counter:
            value = counters.value[counter]
            m.d.comb += [
                getattr(values, f"{counter.name.lower()}_lo").eq(value[:32]),
                getattr(values, f"{counter.name.lower()}_hi").eq(value[32:]),
            ]


def _bit(register_name: str, field: str) -> int:
    return register(register_name).field(field).offset


def _pack(register_name: str, fields: dict[str, int]) -> int:
    return sum(value << _bit(register_name, name) for name, value in fields.items())


def _all(bits):
    result = 1
    for bit in bits:
        result = result & bit
    return result


def _any(bits):
    result = 0
    for bit in bits:
        result = result | bit
    return result
