"""The step machine: wires the engines of a whole training step together."""

from collections.abc import Callable
from types import SimpleNamespace

from amaranth import Cat, ClockDomain, DomainRenamer, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from cpt.hw.bus.axi import AXI_LITE, AXI_READ, AXI_WRITE, connect_read, connect_write
from cpt.hw.channel.engine import FloatEngine
from cpt.hw.channel.local import LocalMemory
from cpt.hw.channel.ports import PAIR
from cpt.hw.contract import ArrayConfig, Error
from cpt.hw.contract.config import require
from cpt.hw.contract.step import Engine
from cpt.hw.control.control import Control
from cpt.hw.control.counters import Counters
from cpt.hw.control.host_side import all_of, wire_counters, wire_registers
from cpt.hw.control.registers import RegisterFile
from cpt.hw.control.ring import Ring
from cpt.hw.control.watchdog import Watchdog
from cpt.hw.drain.collector import Collector
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.hw.drain.wiring import wire_results
from cpt.hw.fetch.engine import FetchEngine
from cpt.hw.fetch.window_memory import HALVES
from cpt.hw.layouts import SLOT
from cpt.hw.load.engine import LoadEngine
from cpt.hw.matrix.array import Array
from cpt.hw.matrix.copies import copies
from cpt.hw.matrix.exec_engine import ExecEngine
from cpt.hw.move.bring import Bring
from cpt.hw.move.store import Store
from cpt.hw.program.marks import Marks
from cpt.hw.program.runner import Runner
from cpt.hw.step.memory import MemoryPorts
from cpt.hw.vector.lanes import Lanes
from cpt.hw.vector.packers import Packers
from cpt.hw.vector.scratch import Scratch
from cpt.hw.vector.walk import OPERANDS

STAYS: dict[str, Callable[[], wiring.Component]] = {
    "registers": lambda: RegisterFile(readers="abf"),
    "control": Control,
}
"""Blocks of the top level that the engines' reset leaves alone."""


def step_blocks(config: ArrayConfig, *, inline: bool = False) -> dict[str, Callable[[], wiring.Component]]:
    """How blocks are made that the engines' reset restarts, by their names at the top level."""
    words = config.scratch_words
    row = 2 * config.float_lanes
    return {
        "ring": Ring,
        "runner": Runner,
        "marks": Marks,
        "load": lambda: LoadEngine(config),
        "fetch": lambda: FetchEngine(config),
        "exec": lambda: ExecEngine(config),
        "array": lambda: Array(config, inline=inline),
        "collector": lambda: Collector(config, adds=False),
        "results": lambda: ResultBuffer(config, adds=False),
        "lanes": lambda: Lanes(config, words),
        "packers": lambda: Packers(config),
        "bring": lambda: Bring(config, words),
        "store": lambda: Store(config, words),
        "float": lambda: FloatEngine(config, words),
        "scratch": lambda: Scratch(config, words, early_reads=len(OPERANDS)),
        "local": lambda: LocalMemory(reads=((row, PAIR), (PAIR,)), writes=(row, PAIR, PAIR)),
        "memory": MemoryPorts,
        "counters": Counters,
        "watchdog": Watchdog,
    }


class StepMachine(wiring.Component):
    """Top level; see ``docs/fabric.md``.

    Parameters: ``config``, one with scratch; ``build_id``: what BUILD_ID reads;
    ``inline``: build the dot-product units in place (for Amaranth's simulator) instead of instantiating
    their module. Members: ``s_axil`` (registers), ``m0``, ``m0_write``, ``m1``, ``m1_write`` (memory),
    ``irq``. ``domain``: clock and reset.
    """

    def __init__(self, config: ArrayConfig, *, build_id: int = 0, inline: bool = False):
        require(config.scratch_words > 0, "scratch_words is 0; allowed: powers of two")
        self.config = config
        self.build_id, self.inline = build_id, inline
        self.domain = ClockDomain("sync")
        super().__init__(
            {
                "s_axil": In(AXI_LITE),
                "m0": Out(AXI_READ),
                "m0_write": Out(AXI_WRITE),
                "m1": Out(AXI_READ),
                "m1_write": Out(AXI_WRITE),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.domains += self.domain
        # The engines have the same clock and, for their reset, one register's net.
        m.domains.engines = engines = ClockDomain(reset_less=True)
        engines.clk = self.domain.clk
        stays = {name: build() for name, build in STAYS.items()}
        for name, block in stays.items():
            m.submodules[name] = block
        control = stays["control"]

        def restart(block):
            return DomainRenamer("engines")(ResetInserter(control.reset)(block))

        blocks = {name: build() for name, build in step_blocks(self.config, inline=self.inline).items()}
        for name, block in blocks.items():
            m.submodules[name] = restart(block)
        chip = SimpleNamespace(**stays, **blocks)

        self._wire_memory(m, chip)
        self._wire_program(m, chip)
        self._wire_products(m, chip)
        self._wire_numbers(m, chip)
        self._wire_state(m, chip)
        self._wire_face(m, chip)
        return m

    def _wire_memory(self, m, chip):
        """All ways to the ports, and their windows."""
        memory, state = chip.memory, chip.registers.state
        readers = {
            "ring": (chip.ring.ar, chip.ring.r),
            "lists": (chip.runner.ar, chip.runner.r),
            "load_0": (chip.load.ar_0, chip.load.r_0),
            "load_1": (chip.load.ar_1, chip.load.r_1),
            "fetch_0": (chip.fetch.ar_0, chip.fetch.r_0),
            "fetch_1": (chip.fetch.ar_1, chip.fetch.r_1),
        }
        for who, (ar, r) in readers.items():
            connect(m, ar, getattr(memory, f"ar_{who}"))
            connect(m, getattr(memory, f"r_{who}"), r)
        connect_read(m, self.m0, memory.ar_0, memory.r_0)
        connect_read(m, self.m1, memory.ar_1, memory.r_1)
        connect_write(m, self.m0_write, memory.aw_0, memory.w_0, memory.b_0)
        connect_write(m, self.m1_write, memory.aw_1, memory.w_1, memory.b_1)
        connect(m, chip.bring.read_runs, memory.read_runs)
        connect(m, chip.bring.stream_runs, memory.stream_runs)
        connect(m, memory.stream_words, chip.bring.stream_words)
        packers, store = chip.packers, chip.store
        writers = (
            (packers.runs_0, packers.beats_0, packers.answered_0),
            (packers.runs_1, packers.beats_1, packers.answered_1),
            (store.write_runs, store.write_beats, store.answered),
        )
        for n, (runs, beats, answered) in enumerate(writers):
            connect(m, runs, getattr(memory, f"runs_{n}"))
            connect(m, beats, getattr(memory, f"beats_{n}"))
            m.d.comb += answered.eq(getattr(memory, f"answered_{n}"))
        read, write = Cat(state.read_base, state.read_limit), Cat(state.write_base, state.write_limit)
        m.d.comb += [
            chip.bring.beat_valid.eq(memory.beat_valid),
            chip.bring.beat.eq(memory.beat),
            *(block.window.eq(read) for block in (chip.ring, chip.runner, chip.load, chip.fetch)),
            memory.read_window.eq(read),
            memory.write_window.eq(write),
        ]

    def _wire_program(self, m, chip):
        """Ring to runner, runner to engines, engines to marks; precision slots."""
        registers, runner, marks, lanes = chip.registers, chip.runner, chip.marks, chip.lanes
        connect(m, chip.ring.instructions, runner.ring)
        connect(m, runner.load, chip.load.commands)
        connect(m, runner.fetch, chip.fetch.commands)
        connect(m, runner.exec, chip.exec.commands)
        connect(m, runner.drain, lanes.drains)
        connect(m, runner.apply, lanes.applies)
        connect(m, runner.bring, chip.bring.commands)
        connect(m, runner.store, chip.store.commands)
        connect(m, runner.float, chip.float.commands)
        finished = {
            Engine.LOAD: chip.load.done,
            Engine.FETCH: chip.fetch.done,
            Engine.EXEC: chip.collector.done,
            Engine.DRAIN: lanes.drain_done,
            Engine.APPLY: lanes.apply_done,
            Engine.BRING: chip.bring.done,
            Engine.STORE: chip.store.done,
            Engine.FLOAT: chip.float.done,
        }
        m.d.comb += [marks.finished[engine].eq(done) for engine, done in finished.items()]
        gated = (chip.load, chip.fetch, chip.exec, lanes, chip.bring, chip.store, chip.float)
        m.d.comb += [block.marks.eq(marks.marks) for block in gated]
        slot = Signal(SLOT, reset_less=True)
        m.d.engines += slot.eq(registers.slot_f)
        floats = chip.float
        m.d.comb += [
            runner.ring_unreadable.eq(chip.ring.unreadable),
            marks.clear.eq(runner.clear),
            lanes.keys.eq(Cat(runner.keys)),
            registers.slot_a_addr.eq(runner.slot_a_addr),
            registers.slot_b_addr.eq(runner.slot_b_addr),
            registers.slot_f_addr.eq(floats.slots.addr),
            runner.slot_a.eq(registers.slot_a),
            runner.slot_b.eq(registers.slot_b),
            floats.slots.slot.eq(slot),
        ]

    def _wire_products(self, m, chip):
        """Operands to the array, its results to the lanes."""
        load, fetch, executor, array, config = chip.load, chip.fetch, chip.exec, chip.array, self.config
        connect(m, fetch.tiles, executor.tiles)
        m.d.comb += [array.a_words[n].eq(load.read.data[n]) for n in range(config.rows)]
        m.d.comb += [array.b_words[n].eq(fetch.read.data[n]) for n in range(config.cols)]
        m.d.comb += [fetch.read.addr[n].eq(executor.b_addr[n]) for n in range(HALVES)]
        m.d.comb += [
            executor.a_loaded.eq(load.loaded),
            load.release.eq(executor.a_release),
            fetch.release.eq(executor.release),
            load.read.addr.eq(executor.step.a_addr),
        ]
        wire_results(m, chip, executor, chip.lanes)

    def _wire_numbers(self, m, chip):
        """Scratch, local memory, and what lanes, packers, moves and the float engine hand each other."""
        scratch, local, lanes, floats = chip.scratch, chip.local, chip.lanes, chip.float
        # Nothing may stop a word on its way: the lanes have the early ports.
        for n in range(len(OPERANDS)):
            connect(m, getattr(lanes, f"read_{n}"), getattr(scratch, f"early_read_{n}"))
        connect(m, floats.sums, scratch.read)
        connect(m, chip.store.scratch, scratch.late_read)
        connect(m, lanes.write, scratch.early_write)
        connect(m, chip.bring.scratch, scratch.write)
        # The float engine's ports are always ready.
        for n, port in enumerate((floats.local_read, lanes.local_read, chip.store.local)):
            connect(m, port, getattr(local, f"read_{n}"))
        for n, port in enumerate((floats.local_write, lanes.local_write, chip.bring.local)):
            connect(m, port, getattr(local, f"write_{n}"))
        connect(m, floats.statistics, lanes.statistics)
        connect(m, floats.coefficients, lanes.coefficients)
        connect(m, lanes.codes, chip.packers.words)
        m.d.comb += lanes.done.eq(chip.packers.done)

    def _wire_state(self, m, chip):
        """Busy, stop, errors and soft reset."""
        ring, runner, memory = chip.ring, chip.runner, chip.memory
        load, fetch, executor = chip.load, chip.fetch, chip.exec
        registers, control, watchdog = chip.registers, chip.control, chip.watchdog
        idle = [
            load.idle,
            fetch.idle,
            executor.idle,
            chip.lanes.drain_idle,
            chip.lanes.apply_idle,
            chip.packers.idle,
            chip.bring.idle,
            chip.store.idle,
            chip.float.idle,
            memory.idle,
        ]
        ports = (ring, runner, load, fetch, memory)
        engines_idle = Signal(init=1)
        quiet = Signal(init=1)
        m.d.engines += [
            engines_idle.eq(all_of(idle)),
            quiet.eq(all_of(port.quiet for port in ports)),
        ]
        with m.If(control.reset):
            m.d.engines += [engines_idle.eq(1), quiet.eq(1)]
        m.d.comb += [
            runner.engines_idle.eq(engines_idle),
            control.quiet.eq(quiet),
            control.working.eq(~(ring.idle & runner.idle & engines_idle)),
        ]
        faults = runner.faults
        raised = {
            Error.ILLEGAL_OPCODE: faults.illegal_code | faults.bad_value,
            Error.BAD_SLOT: faults.bad_slot,
            Error.OPERAND_OVERFLOW: load.bad | fetch.bad,
            Error.AXI_READ: faults.unreadable | load.error | fetch.error | memory.read_error,
            Error.AXI_WRITE: memory.write_error,
            Error.WATCHDOG: watchdog.expired,
            Error.BUSY_WRITE: registers.busy_write,
            Error.RESERVED_BITS: faults.reserved_bits,
            Error.MISALIGNED: faults.misaligned | load.misaligned | fetch.misaligned | memory.misaligned,
            Error.READ_WINDOW: runner.leaves | load.leaves | fetch.leaves | memory.leaves_read,
            Error.WRITE_WINDOW: memory.leaves_write,
            Error.BAD_RING: ring.bad,
        }
        m.d.comb += [control.errors[error].eq(raised.get(error, 0)) for error in Error]
        stopped = (ring, runner, load, fetch, executor, memory)
        for block, stop in zip(stopped, copies(m, control.stop, len(stopped), "stop"), strict=True):
            m.d.comb += block.stop.eq(stop)

    def _wire_face(self, m, chip):
        """Registers, counters, watchdog."""
        lanes, floats, runner = chip.lanes, chip.float, chip.runner
        wire_registers(m, self, chip, runner)
        # Of a list that is executed: its RUN.
        index = Signal(32, reset_less=True)
        m.d.engines += index.eq((chip.ring.head - 1) & chip.ring.mask)
        m.d.comb += chip.registers.values.error_index.eq(index)
        progress = [chip.collector.write_en, lanes.drain_en, lanes.read_0.valid, lanes.write.valid]
        progress += [floats.local_read.valid, floats.local_write.valid, floats.sums.valid]
        progress += [chip.store.local.valid, runner.done]
        wire_counters(m, self, chip, chip.exec, progress)
