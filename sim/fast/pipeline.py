"""Latencies of the RTL's pipelines, in cycles, named after the blocks they come from."""

from __future__ import annotations

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.layout import SUM_ROWS

HALVES = 2
"""Halves of an operand buffer, and tiles of the result buffer."""
QUEUE_INSTRUCTIONS = 4
"""Decoded instructions waiting for each engine."""
DISPATCH_CYCLES = 5
"""From an instruction at the dispatcher to its push into an engine's queue."""
FETCH_INSTRUCTIONS = 4
"""Most instructions read in one burst."""
PREFETCH_INSTRUCTIONS = 8
"""Instructions read ahead of dispatch."""
M0_ADDRESS_CYCLES = 2
"""From a burst leaving its generator to its address transfer on m0's read port, which has an arbiter."""
ADDRESS_CYCLES = 1
"""The same on the ports of operand B and of the results."""
LOADED_CYCLES = 2
"""From the last beat of a block to EXEC seeing its token."""
WRITE_DATA_CYCLES = 2
"""From a write address transfer to the first beat that may follow it."""
SERIALISE_CYCLES = 3
"""From a result tile's run to its first beat."""
TREE_LEVELS_PER_STAGE = 3
"""Full-adder levels between registers of the population count."""


def popcount_cycles(word_bits: int) -> int:
    """Latency of the full-adder tree that counts a word's ones."""
    heights, levels = [word_bits], 0
    while max(heights) > 2:
        carries = [height // 3 for height in heights]
        heights = [
            height - 2 * carry + below
            for height, carry, below in zip([*heights, 0], [*carries, 0], [0, *carries], strict=True)
        ]
        levels += 1
    return levels // TREE_LEVELS_PER_STAGE + 1


def result_rows(config: ArrayConfig) -> int:
    """Rows of a result tile, one cycle each in the collector."""
    return config.rows + SUM_ROWS


def collect_cycles(config: ArrayConfig) -> int:
    """From a tile's last step to DRAIN seeing it: step register, array, collector, token."""
    array = 2 + popcount_cycles(config.word_bits) + 1
    return 1 + array + result_rows(config) + 2
