"""Every block by room and name, built for a configuration: what benches and block exports choose from."""

from collections.abc import Callable

from amaranth.lib import wiring

from cpt.hw.bus.burst import BurstGenerator
from cpt.hw.bus.read_arbiter import ReadArbiter
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.bus.write_master import WriteMaster
from cpt.hw.channel.arithmetic import Arithmetic
from cpt.hw.channel.operands import Operands
from cpt.hw.channel.plan import Planner
from cpt.hw.channel.preparation import Preparation
from cpt.hw.channel.writer import Writer
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.control import Control
from cpt.hw.control.counters import Counters
from cpt.hw.control.dispatch import Dispatch
from cpt.hw.control.guard import Guard
from cpt.hw.control.queue import Queue
from cpt.hw.control.registers import RegisterFile
from cpt.hw.control.ring import Ring
from cpt.hw.control.watchdog import Watchdog
from cpt.hw.drain.collector import Collector
from cpt.hw.drain.drain import Drain
from cpt.hw.drain.result_buffer import ResultBuffer
from cpt.hw.drain.serialiser import Serialiser
from cpt.hw.drain.tile_walker import TileWalker
from cpt.hw.fetch.decode import Decode
from cpt.hw.fetch.errors import Errors
from cpt.hw.fetch.fetch import Fetch
from cpt.hw.fetch.fill import Fill
from cpt.hw.fetch.pixel_walker import PixelWalker
from cpt.hw.fetch.reader import Reader
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.load.gearbox import Gearbox
from cpt.hw.load.loader import Loader
from cpt.hw.load.operand_buffer import OperandBuffer
from cpt.hw.load.walker import Walker
from cpt.hw.matrix.array import Array
from cpt.hw.matrix.executor import Executor
from cpt.hw.matrix.popcount import Popcount
from cpt.hw.matrix.sequencer import Sequencer
from cpt.hw.matrix.unit import Unit, result_bits
from cpt.hw.move.pack import Pack
from cpt.hw.program.gate import Gate
from cpt.hw.program.list_reader import ListReader
from cpt.hw.program.runner import Runner
from cpt.hw.step.machine import STAYS, step_blocks
from cpt.hw.vector.apply_walk import ApplyWalk
from cpt.hw.vector.coefficients import Coefficients
from cpt.hw.vector.drain_walk import DrainWalk
from cpt.hw.vector.lane import Lane
from cpt.hw.vector.noise import Noise
from cpt.hw.vector.pool import Pool
from cpt.hw.vector.reduction import Reduction
from cpt.hw.vector.row import Row
from cpt.hw.vector.statistics import Statistics

ROOMS: dict[str, dict[str, Callable[[ArrayConfig], wiring.Component]]] = {
    "bus": {
        "burst": lambda config: BurstGenerator(),
        "read_arbiter": lambda config: ReadArbiter(2 * MACHINE.outstanding_bursts),
        "read_master": lambda config: ReadMaster(),
        "write_master": lambda config: WriteMaster(),
    },
    "load": {
        "gearbox": lambda config: Gearbox(config.rows, config.word_bits),
        "operand_buffer": lambda config: OperandBuffer(config.rows, config.word_bits, config.a_depth_words),
        "walker": lambda config: Walker(config, "a"),
        "loader": lambda config: Loader(config, "a"),
        "loader_b": lambda config: Loader(config, "b"),
    },
    "fetch": {
        "pixel_walker": PixelWalker,
        "reader": lambda config: Reader(),
        "fill": Fill,
        "fetch": Fetch,
        "errors": Errors,
    },
    "matrix": {
        "popcount": lambda config: Popcount(config.word_bits),
        "unit": lambda config: Unit(config.word_bits, bits=result_bits(config), checked=True),
        "array": lambda config: Array(config, inline=False),
        "sequencer": Sequencer,
        "executor": Executor,
    },
    "drain": {
        "collector": Collector,
        "result_buffer": ResultBuffer,
        "tile_walker": TileWalker,
        "serialiser": Serialiser,
        "drain": Drain,
    },
    "program": {
        "list_reader": lambda config: ListReader(),
        "gate": lambda config: Gate(),
        "runner": lambda config: Runner(),
    },
    "control": {
        "queue": lambda config: Queue(BEAT_BITS, MACHINE.queue_instructions),
        "ring": lambda config: Ring(),
        "dispatch": Dispatch,
        "control": lambda config: Control(),
        "counters": lambda config: Counters(),
        "guard": lambda config: Guard(),
        "watchdog": lambda config: Watchdog(),
        "registers": lambda config: RegisterFile(),
    },
}
"""Blocks by the folder they lie in, parts before what is made of them."""

BLOCKS = {name: build for room in ROOMS.values() for name, build in room.items()}

STEP_PARTS: dict[str, Callable[[ArrayConfig], wiring.Component]] = {
    "lane": lambda config: Lane(),
    "row": Row,
    "drain_walk": lambda config: DrainWalk(config, config.scratch_words),
    "apply_walk": lambda config: ApplyWalk(config, config.scratch_words),
    "noise": Noise,
    "pool": lambda config: Pool(config),
    "coefficients": lambda config: Coefficients(config),
    "statistics": Statistics,
    "reduction": Reduction,
    "preparation": lambda config: Preparation(config.float_lanes),
    "planner": lambda config: Planner(config.float_lanes),
    "operands": lambda config: Operands(config, config.scratch_words),
    "arithmetic": lambda config: Arithmetic(config.float_lanes),
    "writer": lambda config: Writer(config.float_lanes),
    "fetch_decode": Decode,
    "fill": Fill,
    "pack": Pack,
    "gate": lambda config: Gate(),
}
"""Parts of the blocks of the machine that does whole steps, for looks at them alone."""


def room_of(name: str) -> str:
    """The folder of ``hw`` that block ``name`` lies in."""
    return next(room for room, blocks in ROOMS.items() if name in blocks)


def top_blocks(config: ArrayConfig) -> list[tuple[str, Callable[[], wiring.Component]]]:
    """Blocks of the top level of the machine that does whole steps, with their names."""
    return [*STAYS.items(), *step_blocks(config).items()]


def build_block(name: str, config: ArrayConfig) -> wiring.Component:
    """The block called ``name``; raises `ContractError` naming the known ones.

    Of the machine that does whole steps: one of its top level's, else a part (`STEP_PARTS`).
    """
    parts = BLOCKS
    if config.scratch_words:
        parts = {**STEP_PARTS, **{name: lambda _, build=build: build() for name, build in top_blocks(config)}}
    if name not in parts:
        raise ContractError(f"block is {name!r}; allowed: {', '.join(parts)}")
    return parts[name](config)
