"""Every block by name, built for a configuration: what benches and block exports choose from."""

from collections.abc import Callable

from amaranth.lib import wiring

from hw.array import Array
from hw.burst import BurstGenerator
from hw.collector import Collector
from hw.contract import ArrayConfig, ContractError
from hw.control import Control
from hw.counters import Counters
from hw.dispatch import Dispatch
from hw.dot_product import DotProductUnit
from hw.drain import Drain
from hw.executor import Executor
from hw.gearbox import Gearbox
from hw.loader import Loader
from hw.operand_buffer import OperandBuffer
from hw.popcount import Popcount
from hw.queue import Queue
from hw.read_arbiter import ReadArbiter
from hw.read_master import MAX_OUTSTANDING, ReadMaster
from hw.registers import RegisterFile
from hw.result_buffer import ResultBuffer
from hw.ring import Ring
from hw.sequencer import Sequencer
from hw.serialiser import Serialiser
from hw.tile_walker import TileWalker
from hw.walker import Walker
from hw.watchdog import Watchdog
from hw.write_master import WriteMaster

BLOCKS: dict[str, Callable[[ArrayConfig], wiring.Component]] = {
    "array": lambda config: Array(config, inline=False),
    "burst": lambda config: BurstGenerator(),
    "collector": Collector,
    "control": lambda config: Control(),
    "counters": lambda config: Counters(),
    "dispatch": Dispatch,
    "dot_product": lambda config: DotProductUnit(config.word_bits),
    "drain": Drain,
    "executor": Executor,
    "gearbox": lambda config: Gearbox(config.rows, config.word_bits),
    "loader": lambda config: Loader(config, "a"),
    "loader_b": lambda config: Loader(config, "b"),
    "operand_buffer": lambda config: OperandBuffer(config.rows, config.word_bits, config.a_depth_words),
    "popcount": lambda config: Popcount(config.word_bits),
    "queue": lambda config: Queue(64, 4),
    "read_arbiter": lambda config: ReadArbiter(2 * MAX_OUTSTANDING),
    "read_master": lambda config: ReadMaster(),
    "registers": lambda config: RegisterFile(),
    "result_buffer": ResultBuffer,
    "ring": lambda config: Ring(),
    "sequencer": Sequencer,
    "serialiser": Serialiser,
    "tile_walker": TileWalker,
    "walker": lambda config: Walker(config, "a"),
    "watchdog": lambda config: Watchdog(),
    "write_master": lambda config: WriteMaster(),
}


def build_block(name: str, config: ArrayConfig) -> wiring.Component:
    """The block called ``name``; raises `ContractError` naming the known ones."""
    if name not in BLOCKS:
        raise ContractError(f"block is {name!r}; allowed: {', '.join(BLOCKS)}")
    return BLOCKS[name](config)
