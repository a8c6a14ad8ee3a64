"""The accelerator: wires the blocks together."""

from types import SimpleNamespace

from amaranth import Cat, ClockDomain, DomainRenamer, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from cpt.hw.bus.axi import AXI_LITE, AXI_READ, AXI_WRITE, connect_read, connect_write
from cpt.hw.bus.read_arbiter import ReadArbiter
from cpt.hw.contract import ArrayConfig, Error
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.checks import FAULTS
from cpt.hw.control.control import Control
from cpt.hw.control.counters import Counters
from cpt.hw.control.dispatch import Dispatch
from cpt.hw.control.host_side import all_of, wire_counters, wire_registers
from cpt.hw.control.registers import RegisterFile
from cpt.hw.control.ring import Ring
from cpt.hw.control.watchdog import Watchdog
from cpt.hw.drain.collector import Collector
from cpt.hw.drain.drain import Drain
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.hw.drain.wiring import wire_results
from cpt.hw.load.loader import Loader
from cpt.hw.load.operand_buffer import OperandBuffer
from cpt.hw.matrix.array import Array
from cpt.hw.matrix.copies import copies
from cpt.hw.matrix.executor import Executor


class Accelerator(wiring.Component):
    """Top level; see ``docs/machine.md``.

    Parameters: ``config``; ``build_id``: what BUILD_ID reads; ``inline``: build the dot-product units in
    place (for Amaranth's simulator) instead of instantiating their module. Members: ``s_axil`` (registers),
    ``m0`` and ``m0_write`` (instructions, operand A, results), ``m1`` (operand B), ``irq``.
    ``domain``: clock and reset.
    """

    def __init__(self, config: ArrayConfig, *, build_id: int = 0, inline: bool = False):
        self.config, self.build_id, self.inline = config, build_id, inline
        self.domain = ClockDomain("sync")
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
        m.domains += self.domain
        # The engines have the same clock and, for their reset, one register's net.
        m.domains.engines = engines = ClockDomain(reset_less=True)
        engines.clk = self.domain.clk
        m.submodules.registers = registers = RegisterFile()
        m.submodules.control = control = Control()

        def restart(block):
            return DomainRenamer("engines")(ResetInserter(control.reset)(block))

        blocks = {
            "ring": Ring(),
            "dispatch": Dispatch(config),
            "loader_a": Loader(config, "a"),
            "loader_b": Loader(config, "b"),
            "buffer_a": OperandBuffer(config.rows, config.word_bits, config.a_depth_words),
            "buffer_b": OperandBuffer(config.cols, config.word_bits, config.b_depth_words),
            "executor": Executor(config),
            "array": Array(config, inline=self.inline),
            "collector": Collector(config),
            "results": ResultBuffer(config),
            "drain": Drain(config),
            "arbiter": ReadArbiter(2 * MACHINE.outstanding_bursts),
            "counters": Counters(),
            "watchdog": Watchdog(),
        }
        for name, block in blocks.items():
            m.submodules[name] = restart(block)
        chip = SimpleNamespace(registers=registers, control=control, **blocks)

        self._wire_memory(m, chip)
        self._wire_instructions(m, chip)
        self._wire_results(m, chip)
        self._wire_state(m, chip)
        wire_registers(m, self, chip, chip.dispatch)
        wire_counters(m, self, chip, chip.executor, (chip.collector.write_en, chip.dispatch.dispatched))
        return m

    def _wire_memory(self, m, chip):
        """Instructions and operand A share m0's read side."""
        connect(m, chip.ring.ar, chip.arbiter.ar0)
        connect(m, chip.arbiter.r0, chip.ring.r)
        connect(m, chip.loader_a.ar, chip.arbiter.ar1)
        connect(m, chip.arbiter.r1, chip.loader_a.r)
        connect_read(m, self.m0, chip.arbiter.ar, chip.arbiter.r)
        connect_read(m, self.m1, chip.loader_b.ar, chip.loader_b.r)
        connect_write(m, self.m0_write, chip.drain.aw, chip.drain.w, chip.drain.b)

    def _wire_instructions(self, m, chip):
        """Ring to dispatch, dispatch to the engines; slots."""
        registers, dispatch = chip.registers, chip.dispatch
        connect(m, chip.ring.instructions, dispatch.instructions)
        m.d.comb += dispatch.unreadable.eq(chip.ring.unreadable)
        connect(m, dispatch.load_a, chip.loader_a.commands)
        connect(m, dispatch.load_b, chip.loader_b.commands)
        connect(m, dispatch.execute, chip.executor.commands)
        connect(m, dispatch.drain, chip.drain.commands)
        m.d.comb += [
            registers.slot_a_addr.eq(dispatch.slot_a_addr),
            registers.slot_b_addr.eq(dispatch.slot_b_addr),
            dispatch.slot_a.eq(registers.slot_a),
            dispatch.slot_b.eq(registers.slot_b),
            registers.values.error_index.eq(dispatch.index),
            dispatch.read_window.eq(Cat(registers.state.read_base, registers.state.read_limit)),
            dispatch.write_window.eq(Cat(registers.state.write_base, registers.state.write_limit)),
            dispatch.mask.eq(chip.ring.mask),
        ]

    def _wire_results(self, m, chip):
        """The way of the data: loaders, buffers, array, collector, result buffer, drain."""
        loader_a, loader_b, buffer_a, buffer_b = chip.loader_a, chip.loader_b, chip.buffer_a, chip.buffer_b
        executor, array, config = chip.executor, chip.array, self.config
        connect(m, loader_a.write, buffer_a.write)
        connect(m, loader_b.write, buffer_b.write)
        m.d.comb += [array.a_words[n].eq(buffer_a.read.data[n]) for n in range(config.rows)]
        m.d.comb += [array.b_words[n].eq(buffer_b.read.data[n]) for n in range(config.cols)]
        m.d.comb += [
            executor.a_loaded.eq(loader_a.loaded),
            executor.b_loaded.eq(loader_b.loaded),
            loader_a.release.eq(executor.a_release),
            loader_b.release.eq(executor.b_release),
            buffer_a.read.addr.eq(executor.step.a_addr),
            buffer_b.read.addr.eq(executor.step.b_addr),
        ]
        wire_results(m, chip, executor, chip.drain)

    def _wire_state(self, m, chip):
        """Busy, stop, errors and soft reset."""
        ring, dispatch, drain = chip.ring, chip.dispatch, chip.drain
        loader_a, loader_b, executor = chip.loader_a, chip.loader_b, chip.executor
        registers, control, watchdog = chip.registers, chip.control, chip.watchdog
        engines = (loader_a, loader_b, executor, drain)
        ports = (ring, loader_a, loader_b, drain)
        engines_idle = Signal(init=1)
        quiet = Signal(init=1)
        m.d.engines += [
            engines_idle.eq(all_of(engine.idle for engine in engines)),
            quiet.eq(all_of(port.quiet for port in ports)),
        ]
        with m.If(control.reset):
            m.d.engines += [engines_idle.eq(1), quiet.eq(1)]
        m.d.comb += [
            dispatch.engines_idle.eq(engines_idle),
            control.quiet.eq(quiet),
            control.working.eq(~(ring.idle & dispatch.idle & engines_idle)),
            dispatch.expired.eq(watchdog.expired),
        ]
        raised = {
            Error.AXI_READ: loader_a.error | loader_b.error,
            Error.AXI_WRITE: drain.error,
            Error.WATCHDOG: watchdog.expired,
            Error.BUSY_WRITE: registers.busy_write,
            Error.BAD_RING: ring.bad,
        }
        for error in Error:
            refused = dispatch.faults[error.name.lower()] if error.name.lower() in FAULTS.members else 0
            m.d.comb += control.errors[error].eq(raised.get(error, 0) | refused)
        # Dispatch acts on a stop before it can hear that the engines are idle, so no END passes an error.
        m.d.comb += dispatch.stop.eq(control.stop)
        stopped = (ring, *engines)
        for block, stop in zip(stopped, copies(m, control.stop, len(stopped), "stop"), strict=True):
            m.d.comb += block.stop.eq(stop)
