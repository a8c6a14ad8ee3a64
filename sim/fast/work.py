"""What each instruction asks of its engine, in beats and steps: all that timing depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd

from cpt.hw.contract import ArrayConfig, Instruction, Opcode
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.layout import result_bytes
from cpt.hw.contract.machine import BURST_BYTES, FETCH_INSTRUCTIONS, MACHINE
from cpt.hw.contract.order import tile_cycles
from cpt.sim.fast.bursts import BlockPlan, Pace, block_plan
from cpt.sim.fast.checks import check_cycles
from cpt.sim.fast.pipeline import ADDRESS_CYCLES, M0_ADDRESS_CYCLES, M0_DATA_CYCLES, M0_STEP_CYCLES
from cpt.sim.memory import MemoryModel
from cpt.sim.registers import Precision

_RING_BURSTS = MACHINE.prefetch_instructions // FETCH_INSTRUCTIONS
"""Of the ring, in flight at the same time."""


@dataclass(frozen=True)
class LoadWork:
    """A LOAD."""

    check_cycles: int
    """See `cpt.sim.fast.checks.check_cycles`."""
    plans: tuple[BlockPlan, ...]
    """Bursts of block ``i``: ``plans[i % len(plans)]``."""
    blocks: int


@dataclass(frozen=True)
class ExecWork:
    """An EXEC."""

    steps: int
    """Cycles per tile."""
    tiles: int
    blocks: int
    first: bool
    last: bool
    release_a: bool
    check_cycles: int = 0


@dataclass
class DrainWork:
    """A DRAIN."""

    config: ArrayConfig
    drain: Instruction
    check_cycles: int
    row_beats: int
    """Beats of one row of a tile."""
    pace: Pace
    _plans: dict[tuple[int, int], BlockPlan] = field(default_factory=dict)

    @property
    def beats(self) -> int:
        """Beats of all tiles."""
        drain = self.drain
        rows = drain.blocks * drain.tiles * self.config.rows
        rows += drain.col_sums * drain.blocks
        return rows * self.row_beats

    def plan(self, block: int, tile: int) -> BlockPlan:
        """Bursts of one tile."""
        drain = self.drain
        residue = (drain.base + block * drain.block_stride + tile * drain.tile_stride) % BURST_BYTES
        rows = self.config.rows + (drain.col_sums and tile == 0)
        plan = self._plans.get((residue, rows))
        if plan is None:
            plan = block_plan(residue, (0, 0), (1, 1), rows * self.row_beats, self.pace)
            self._plans[residue, rows] = plan
        return plan


@dataclass(frozen=True)
class EndWork:
    """An END."""

    check_cycles: int = 0


Work = LoadWork | ExecWork | DrainWork | EndWork


def work_of(
    instruction: Instruction, slots: Sequence[Precision], config: ArrayConfig, model: MemoryModel
) -> Work:
    """The work of one valid instruction under the precisions in ``slots``."""
    opcode = instruction.opcode
    if opcode in (Opcode.LOAD_A, Opcode.LOAD_B):
        return _load_work(instruction, slots[instruction.slot].bits, config, model)
    if opcode == Opcode.EXEC:
        a, b = slots[instruction.slot_a], slots[instruction.slot_b]
        return ExecWork(
            tile_cycles(a.bits, b.bits, a.signed, b.signed, instruction.ksteps),
            instruction.tiles,
            instruction.blocks,
            bool(instruction.first),
            bool(instruction.last),
            bool(instruction.release_a),
        )
    if opcode == Opcode.DRAIN:
        width = result_bytes(
            slots[instruction.slot_a].bits, slots[instruction.slot_b].bits, instruction.k_log2
        )
        # A burst's place is free when its response is in; its address and first beat follow.
        round_trip = model.write_latency_cycles + MACHINE.write_data_cycles
        in_flight = min(MACHINE.outstanding_bursts, model.max_outstanding)
        return DrainWork(
            config,
            instruction,
            check_cycles(instruction, 0),
            width * config.cols // BEAT_BYTES,
            Pace(1, round_trip, in_flight),
        )
    return EndWork()


def _load_work(load: Instruction, bits: int, config: ArrayConfig, model: MemoryModel) -> LoadWork:
    operand = "a" if load.opcode == Opcode.LOAD_A else "b"
    beats = load.ksteps * config.group_bytes(operand) // BEAT_BYTES
    strides = (load.tile_stride % BURST_BYTES, load.plane_stride % BURST_BYTES)
    step = load.block_stride % BURST_BYTES
    pace = _read_pace(operand, model)
    different = min(load.blocks, BURST_BYTES // gcd(step, BURST_BYTES))
    plans = tuple(
        block_plan(
            (load.base + index * step) % BURST_BYTES,
            strides,
            (load.tiles, bits),
            beats,
            pace,
        )
        for index in range(different)
    )
    return LoadWork(check_cycles(load, bits), plans, load.blocks)


def _read_pace(operand: str, model: MemoryModel) -> Pace:
    """The pace of an operand's port; A shares it with the ring, whose bursts take places there."""
    limit = model.max_outstanding
    if operand == "b":
        return Pace(1, model.read_latency_cycles + ADDRESS_CYCLES, min(MACHINE.outstanding_bursts, limit))
    places = min(MACHINE.outstanding_bursts, max(1, limit - _RING_BURSTS))
    return Pace(M0_STEP_CYCLES, model.read_latency_cycles + M0_ADDRESS_CYCLES + M0_DATA_CYCLES, places)
