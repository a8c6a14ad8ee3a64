"""The four engines without their timing: what a sequence of instructions leaves in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ArrayConfig, Error, Instruction, Opcode
from cpt.hw.contract.layout import result_bytes
from cpt.sim.fast.dram import BusError, Dram
from cpt.sim.fast.operands import BlockQueue, Loaded, LoadMemory, arrange
from cpt.sim.fast.product import exact_product, product_dtype
from cpt.sim.fast.results import TileQueue, Tiles, byte_planes
from cpt.sim.memory import Channel
from cpt.sim.registers import Precision


class MachineError(Exception):
    """Sticky errors."""

    def __init__(self, errors: list[Error]) -> None:
        super().__init__(", ".join(error.name for error in errors))
        self.errors = errors


@dataclass(frozen=True)
class Residue:
    """What the buffers hold when a program starts; all empty for a sane program."""

    held_a: bool = False
    """An A block that EXEC has not released."""
    blocks_a: int = 0
    blocks_b: int = 0
    """Blocks loaded and not taken by EXEC."""
    tiles: int = 0
    """Complete result tiles, not sent."""
    accumulating: bool = False
    """A result tile that waits for its last EXEC."""


EMPTY = Residue()


class Machine:
    """Engines, buffers and memory; executes instructions in program order.

    Instructions have passed `cpt.sim.fast.checks`. An EXEC or DRAIN that lacks blocks or tiles waits for
    later instructions, as it would in its queue.
    """

    def __init__(self, config: ArrayConfig, memory: NDArray[np.uint8], memory_base: int) -> None:
        self.config = config
        self.dram = Dram(memory, memory_base)
        self._reads = LoadMemory()
        self._blocks = {"a": BlockQueue(), "b": BlockQueue()}
        self.reset()

    def reset(self) -> None:
        """Forget everything but memory."""
        for queue in self._blocks.values():
            queue.reset()
        self._block_a: Loaded | None = None
        self._last: Tiles | None = None
        self._accumulating = False
        self._results = TileQueue()
        self._executes: deque[Instruction] = deque()
        self._drains: deque[Instruction] = deque()
        self._executed_blocks = self._drained_tiles = 0
        """How far the first of each has got."""

    def begin(self) -> None:
        """Start of a program: the host may have written to memory."""
        self._reads.clear()

    def step(self, instruction: Instruction, slots: Sequence[Precision]) -> None:
        """Dispatch one instruction and run every engine as far as it gets; raises `MachineError`."""
        opcode = instruction.opcode
        if opcode in (Opcode.LOAD_A, Opcode.LOAD_B):
            self._load(instruction, "a" if opcode == Opcode.LOAD_A else "b", slots)
        elif opcode == Opcode.EXEC:
            self._executes.append(instruction)
        elif opcode == Opcode.DRAIN:
            self._drains.append(instruction)
        while (self._executes and self._execute(self._executes[0], slots)) or (
            self._drains and self._drain(self._drains[0], slots)
        ):
            pass

    def settle(self, slots: Sequence[Precision]) -> None:
        """Go on block by block and tile by tile: nothing more comes for now."""
        while (self._executes and self._execute(self._executes[0], slots, partly=True)) or (
            self._drains and self._drain(self._drains[0], slots, partly=True)
        ):
            pass

    @property
    def residue(self) -> Residue:
        """What is in the buffers between programs."""
        return Residue(
            self._block_a is not None,
            self._blocks["a"].count,
            self._blocks["b"].count,
            self._results.count,
            self._accumulating,
        )

    def _load(self, load: Instruction, operand: str, slots: Sequence[Precision]) -> None:
        bits = slots[load.slot].bits
        counts = (load.blocks, load.tiles, bits)
        strides = (load.block_stride, load.tile_stride, load.plane_stride)
        key = (operand, load.base, strides, counts, load.ksteps)
        blocks = self._reads.get(key)
        if blocks is None:
            run_bytes = load.ksteps * self.config.group_bytes(operand)
            try:
                channel = Channel.READ_0 if operand == "a" else Channel.READ_1
                runs = self.dram.read(channel, load.base, strides, counts, run_bytes)
            except BusError:
                raise MachineError([Error.AXI_READ]) from None
            blocks = arrange(self.config, operand, runs, load.ksteps)
            self._reads.keep(key, blocks, *self.dram.reach(load.base, strides, counts, run_bytes))
        self._blocks[operand].push(blocks)

    def _execute(self, execute: Instruction, slots: Sequence[Precision], partly: bool = False) -> bool:
        """Run one EXEC; False while its blocks are not all there, or with ``partly``, while none is."""
        a, b = slots[execute.slot_a], slots[execute.slot_b]
        if self._block_a is None and self._blocks["a"].count:
            (self._block_a,) = self._blocks["a"].pop(1)
        left = execute.blocks - self._executed_blocks
        count = min(left, self._blocks["b"].count)
        if self._block_a is None or not count or (count < left and not partly):
            return False
        for blocks in self._blocks["b"].pop(count):
            product = self._multiply(execute, self._block_a, blocks, a, b)
            if not execute.first and self._last is not None:
                product = self._last.plus(product)
            self._last = product.last_tile()
            self._accumulating = not execute.last
            if execute.last:
                self._results.push(product)
        self._executed_blocks += count
        if count == left:
            self._executes.popleft()
            self._executed_blocks = 0
            if execute.release_a:
                self._block_a = None
        return True

    def _multiply(
        self, execute: Instruction, block_a: Loaded, blocks_b: Loaded, a: Precision, b: Precision
    ) -> Tiles:
        """Every tile of ``block_a`` with each block of ``blocks_b``."""
        rows, cols, tiles = self.config.rows, self.config.cols, execute.tiles
        dtype = product_dtype(a, b)
        # The extra lane of A is the tap mask: its products are the column sums.
        mask = self.config.tap_word(execute.taps)
        codes_a = block_a.read_as(a.bits, tiles, execute.ksteps).codes(a, tiles, dtype, mask)
        loaded = blocks_b.read_as(b.bits, 1, execute.ksteps)
        codes_b = loaded.codes(b, 1, dtype)
        product = exact_product(codes_a, codes_b, a.magnitude * b.magnitude)
        values = product[:-1].reshape(tiles, rows, loaded.count, cols).transpose(2, 0, 1, 3)
        return Tiles(values, product[-1].reshape(loaded.count, cols))

    def _drain(self, drain: Instruction, slots: Sequence[Precision], partly: bool = False) -> bool:
        """Run one DRAIN; False while its tiles are not all there, or with ``partly``, while none is."""
        a, b = slots[drain.slot_a], slots[drain.slot_b]
        width = result_bytes(a.bits, b.bits, drain.k_log2)
        left = drain.blocks * drain.tiles - self._drained_tiles
        count = min(left, self._results.count)
        if not count or (count < left and not partly):
            return False
        whole = count == drain.blocks * drain.tiles
        first = 0
        try:
            for tiles in self._results.pop(drain.blocks, drain.tiles) if whole else ():
                self._write(drain, tiles, first, width)
                first += tiles.blocks
            for place in () if whole else range(self._drained_tiles, self._drained_tiles + count):
                self._write_tile(drain, self._results.pop(1, 1)[0], place, width)
        except BusError:
            raise MachineError([Error.AXI_WRITE]) from None
        self._drained_tiles += count
        if count == left:
            self._drains.popleft()
            self._drained_tiles = 0
        return True

    def _write_tile(self, drain: Instruction, tile: Tiles, place: int, width: int) -> None:
        """Write one tile, number ``place`` of a DRAIN."""
        block, index = divmod(place, drain.tiles)
        data = byte_planes(tile.values, width)
        if drain.col_sums and index == 0:
            data = np.concatenate([data, byte_planes(tile.col_sums[:, None, None, :], width)], axis=2)
        self._put(drain, block, index, data)

    def _write(self, drain: Instruction, tiles: Tiles, first: int, width: int) -> None:
        """Write blocks from number ``first`` of a DRAIN; with column sums the first tiles on their own."""
        data = byte_planes(tiles.values, width)
        if not drain.col_sums:
            self._put(drain, first, 0, data)
            return
        col_sums = byte_planes(tiles.col_sums[:, None, :], width)
        self._put(drain, first, 0, np.concatenate([data[:, 0], col_sums], axis=1)[:, None])
        if tiles.tiles > 1:
            self._put(drain, first, 1, data[:, 1:])

    def _put(self, drain: Instruction, block: int, tile: int, data: NDArray[np.uint8]) -> None:
        address = drain.base + block * drain.block_stride + tile * drain.tile_stride
        strides = (drain.block_stride, drain.tile_stride)
        self._reads.written(*self.dram.reach(address, strides, data.shape[:2], data.shape[2]))
        self.dram.write(address, strides, data)
