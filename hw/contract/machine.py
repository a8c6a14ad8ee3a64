"""The machine's facts: what its queues, buffers and ports hold, and how long its pipelines are.

RTL is built from these numbers, the fast model counts with them, documents print them. A latency is the
number of cycles from a block's input to its output, the clock edges between included.
"""

from dataclasses import dataclass, field

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS, ArrayConfig
from cpt.hw.contract.isa import INSTRUCTION_BYTES
from cpt.hw.contract.layout import result_rows

BURST_BYTES = BEAT_BYTES * BURST_BEATS
"""Bytes of the longest burst; no burst crosses a multiple of it, hence none a page."""
INSTRUCTION_BEATS = INSTRUCTION_BYTES // BEAT_BYTES
FETCH_INSTRUCTIONS = BURST_BEATS // INSTRUCTION_BEATS
"""Most instructions read in one burst."""


def _fact(value: int, doc: str) -> int:
    return field(default=value, metadata={"doc": doc})


@dataclass(frozen=True)
class Machine:
    """Facts that do not depend on the array's shape; names carry the unit."""

    queue_instructions: int = _fact(
        4, "Decoded instructions that wait for each engine, beside the one it works on."
    )
    step_queue_instructions: int = _fact(
        31, "The same in the machine of whole steps: memory in LUTs has 32 places, of which one is free."
    )
    float_queue_instructions: int = _fact(
        63, "Those for its float engine, whose instructions are many and short."
    )
    prefetch_instructions: int = _fact(
        2 * FETCH_INSTRUCTIONS, "Instructions requested and not yet dispatched, at most."
    )
    halves: int = _fact(2, "Halves of an operand buffer, a block in each: one in use, one arriving.")
    result_tiles: int = _fact(2, "Tiles of the result buffer: one collected, one being sent.")
    step_result_tiles: int = _fact(
        3,
        "The same in the machine of whole steps, whose lanes take tiles faster than two of them come and go: "
        "as many as have room in 64 places of memory in LUTs.",
    )
    outstanding_bursts: int = _fact(
        8, "Bursts in flight per read or write master; what an HP port of the Zynq accepts."
    )
    ring_cycles: int = _fact(3, "From a doorbell, or an instruction dispatched, to the ring's next run.")
    ring_interval_cycles: int = _fact(4, "From one run of the ring to its next.")
    dispatch_cycles: int = _fact(
        11, "From an instruction in front of the ring's queue to its push: word, slots, products, checks."
    )
    decision_cycles: int = _fact(1, "From what dispatch waits for, room or idle engines, to the push.")
    handover_cycles: int = _fact(2, "From a push to the next instruction in front of the ring's queue.")
    idle_cycles: int = _fact(1, "From the last engine being idle to dispatch seeing it.")
    queue_cycles: int = _fact(1, "From an entry pushed into a queue to the cycle it can be taken in.")
    token_cycles: int = _fact(1, "From a token given to the cycle it is seen in.")
    exec_commands: int = _fact(
        2, "Commands that EXEC holds: the one at work, and one whose plane pairs are made ahead."
    )
    pair_queue: int = _fact(16, "Plane pairs between the sequencer's order and the array, at most.")
    exec_start_cycles: int = _fact(12, "From an EXEC that is accepted to its first step.")
    exec_accept_cycles: int = _fact(
        2, "From the last step of an EXEC to the cycle in which the one after the next can be accepted."
    )
    exec_block_cycles: int = _fact(2, "From a block that EXEC sees to the first step that reads it.")
    exec_release_cycles: int = _fact(1, "From the last step that reads a block to its half given back.")
    exec_idle_cycles: int = _fact(1, "From a tile that is seen to be collected to EXEC being idle.")
    write_beats: int = _fact(2, "Result beats taken before the write port takes them.")
    generator_cycles: int = _fact(3, "From a run to the address of its first burst.")
    arbiter_cycles: int = _fact(2, "From an address of the ring or of loader A to the m0 port.")
    arbiter_data_cycles: int = _fact(1, "From a beat on the m0 port to the ring or to loader A.")
    walker_cycles: int = _fact(2, "From a half taken to the first run of the block that goes there.")
    gearbox_cycles: int = _fact(3, "From the last beat of a group to its words.")
    operand_buffer_cycles: int = _fact(3, "From a buffer address to its words.")
    window_memory_cycles: int = _fact(3, "From an address of the window memories to a word of every column.")
    reader_words: int = _fact(
        64, "Words of 16 bytes that a port of the fetch has room for: the longest run of planes."
    )
    piece_words: int = _fact(
        20,
        "Words up to which a run of planes is read whole; longer ones are read in two or four parts.",
    )
    steps_cycles: int = _fact(2, "From pixels that the fetch takes to their step.")
    scatter_cycles: int = _fact(2, "From a step of the window fetch to its writes into the window memories.")
    scratch_cycles: int = _fact(4, "From a read that scratch accepts to its word.")
    lane_operand_cycles: int = _fact(9, "From a word's settings at the lanes to its operands of scratch.")
    lane_cycles: int = _fact(21, "From a word's settings at the lanes to its result.")
    channel_memory_cycles: int = _fact(3, "From an address of statistics or coefficients to the number.")
    local_cycles: int = _fact(4, "From a read that local memory accepts to its words.")
    slot_cycles: int = _fact(2, "From the number of a slot to its bits and sign, for the float engine.")
    operand_copy_cycles: int = _fact(2, "From a word out of the operand buffer to its copies at the units.")
    row_select_cycles: int = _fact(4, "From the index of a captured row to the row.")
    result_address_cycles: int = _fact(
        2, "From an address of the result buffer to its copies at the memories."
    )
    old_row_cycles: int = _fact(4, "From an address of the result buffer to the row that is added to.")
    result_buffer_cycles: int = _fact(3, "From an address of the result buffer to the row that is drained.")
    tile_walker_cycles: int = _fact(
        3, "From a DRAIN that is accepted, or from a result tile's run, to the next run at the earliest."
    )
    tile_walker_accept_cycles: int = _fact(
        2, "From a DRAIN's last run to the cycle in which the next DRAIN can be accepted."
    )
    tile_run_cycles: int = _fact(1, "From a tile that DRAIN sees complete to its run.")
    run_tile_cycles: int = _fact(1, "From a result tile's run to the tile on its way to the serialiser.")
    serialiser_beats: int = _fact(16, "Result beats asked for and not yet taken from the serialiser.")
    serialiser_cycles: int = _fact(7, "From a result tile at the serialiser to its first beat.")
    write_data_cycles: int = _fact(2, "From the cycle a write burst issues to its first beat on the port.")


MACHINE = Machine()
"""The machine that is built."""

COUNT_LATENCY_CYCLES = ((9, 2), (18, 3), (36, 4), (72, 4), (144, 5))
"""Registers that the count of ones takes, the accumulator's own included, by the widest word it serves."""


def count_latency_cycles(word_bits: int) -> int:
    """From a pair of words to the number of ones in both at the accumulator."""
    known = (cycles for width, cycles in COUNT_LATENCY_CYCLES if word_bits <= width)
    return next(known, COUNT_LATENCY_CYCLES[-1][1] + 1)


def accumulate_latency_cycles(config: ArrayConfig) -> int:
    """From a step to its counts at the accumulators: operand buffer, copies, count."""
    operands = MACHINE.operand_buffer_cycles + MACHINE.operand_copy_cycles
    return operands + count_latency_cycles(config.word_bits)


def array_latency_cycles(config: ArrayConfig) -> int:
    """From a tile's last step to its rows being asked for; the select looks two cycles after the count."""
    return accumulate_latency_cycles(config) + 2 - MACHINE.row_select_cycles


def collector_latency_cycles(config: ArrayConfig) -> int:
    """From a tile's first row being asked for to its last row written: a row a cycle."""
    return result_rows(config) + MACHINE.row_select_cycles + 1
