"""Latencies as the timed engines use them, in cycles: sums of the contract's."""

from __future__ import annotations

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE, array_latency_cycles, collector_latency_cycles

ROOM_CYCLES = MACHINE.queue_cycles + MACHINE.decision_cycles
"""From an entry taken out of a full queue to the push of the next."""
END_CYCLES = MACHINE.idle_cycles + MACHINE.decision_cycles
"""From the first cycle in which all engines are idle to the END that waits for them."""
ADDRESS_CYCLES = 1
"""From a burst's issue to its address on the ports of operand B and of the results: the generator's queue."""
RUN_CYCLES = MACHINE.generator_cycles - ADDRESS_CYCLES
"""From a run at its generator to its first issue, and from a run's last issue to a run's acceptance."""
M0_ADDRESS_CYCLES = ADDRESS_CYCLES + MACHINE.arbiter_cycles
"""The same on m0's read port, which has an arbiter."""
M0_STEP_CYCLES = 2
"""Between two addresses of a master at the arbiter."""
M0_DATA_CYCLES = MACHINE.arbiter_data_cycles
"""From a beat on m0's read port to the ring or to loader A."""
LOADED_CYCLES = MACHINE.gearbox_cycles + MACHINE.token_cycles
"""From the last beat of a block at its loader to EXEC seeing its token."""
WRITE_DATA_CYCLES = MACHINE.write_data_cycles - ADDRESS_CYCLES
"""From a write address transfer to the first beat that may follow it."""
SERIALISE_CYCLES = MACHINE.run_tile_cycles + MACHINE.serialiser_cycles + 2 * MACHINE.queue_cycles
"""From a result tile's run to its first beat on the port: walker, queue, serialiser, the port's queue."""
TILE_FREE_CYCLES = 2 + MACHINE.token_cycles
"""From a beat on the write port to EXEC seeing the tile free whose last beat could then be taken."""


def collect_cycles(config: ArrayConfig) -> int:
    """From a tile's last step to DRAIN seeing it: step register, array, collector, token."""
    captured = 1 + array_latency_cycles(config)
    return captured + collector_latency_cycles(config) + MACHINE.token_cycles
