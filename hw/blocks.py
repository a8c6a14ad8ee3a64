"""Every block by name, built for a configuration: what benches and block exports choose from."""

from collections.abc import Callable

from amaranth.lib import wiring

from cpt.hw.array import Array
from cpt.hw.burst import BurstGenerator
from cpt.hw.collector import Collector
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.control import Control
from cpt.hw.counters import Counters
from cpt.hw.dispatch import Dispatch
from cpt.hw.dot_product import DotProductUnit
from cpt.hw.drain import Drain
from cpt.hw.executor import Executor
from cpt.hw.gearbox import Gearbox
from cpt.hw.loader import Loader
from cpt.hw.operand_buffer import OperandBuffer
from cpt.hw.popcount import Popcount
from cpt.hw.queue import Queue
from cpt.hw.read_arbiter import ReadArbiter
from cpt.hw.read_master import MAX_OUTSTANDING, ReadMaster
from cpt.hw.registers import RegisterFile
from cpt.hw.result_buffer import ResultBuffer
from cpt.hw.ring import Ring
from cpt.hw.sequencer import Sequencer
from cpt.hw.serialiser import Serialiser
from cpt.hw.tile_walker import TileWalker
from cpt.hw.walker import Walker
from cpt.hw.watchdog import Watchdog
from cpt.hw.write_master import WriteMaster

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
