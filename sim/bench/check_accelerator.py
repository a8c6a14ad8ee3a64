"""Bench of the whole accelerator: programs over AXI4-Lite and AXI, against the golden product."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiRamRead, AxiRamWrite, AxiReadBus, AxiWriteBus

from cpt.host.packing import unpack_result
from cpt.hw.contract import Counter, Error, preset, register, slot_offset
from cpt.hw.contract.config import ALL_TAPS, MAX_BITS
from cpt.model.golden import int_matmul
from cpt.sim.bench.axi import pause_all, require_signals
from cpt.sim.bench.core import CLOCK_NS, BenchTimeout, option, random_stall, rounds
from cpt.sim.scoreboard import Scoreboard
from cpt.sim.stimulus import PRECISIONS, Case, Placement, column_sums

POLLS = 20_000
IRQ_CYCLES = 2
"""From the flags answered to the port, which is a register."""


class Machine:
    """The accelerator with its memory, all AXI channels under random back-pressure."""

    def __init__(self, dut: Any, memory_bytes: int) -> None:
        Clock(dut.clk, CLOCK_NS, unit="ns").start()
        registers = AxiLiteBus.from_prefix(dut, "s_axil")
        reads = [AxiReadBus.from_prefix(dut, f"m{port}_axi") for port in range(2)]
        writes = AxiWriteBus.from_prefix(dut, "m0_axi")
        require_signals(registers.write.aw, registers.write.w, registers.write.b, registers.read.ar)
        require_signals(registers.read.r, writes.aw, writes.w, writes.b)
        for bus in reads:
            require_signals(bus.ar, bus.r)
        self.dut = dut
        self.master = AxiLiteMaster(registers, dut.clk, dut.rst)
        self.rams = [AxiRamRead(bus, dut.clk, dut.rst, size=memory_bytes) for bus in reads]
        self.writer = AxiRamWrite(writes, dut.clk, dut.rst, mem=self.rams[0].mem)
        self.rams[1].mem = self.rams[0].mem
        self._memory_bytes = memory_bytes

    async def start(self) -> None:
        """Leave reset, with new back-pressure on every channel."""
        write, read = self.master.write_if, self.master.read_if
        pause_all(
            (
                *(channel for ram in self.rams for channel in (ram.ar_channel, ram.r_channel)),
                *(self.writer.aw_channel, self.writer.w_channel, self.writer.b_channel),
                *(write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel),
            ),
            random_stall,
        )
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    def load(self, content: np.ndarray, at: int = 0) -> None:
        """Put bytes into memory."""
        self.rams[0].write(at, content.tobytes())

    def content(self) -> np.ndarray:
        """All bytes of memory."""
        return np.frombuffer(self.rams[0].read(0, self._memory_bytes), np.uint8).copy()

    async def write(self, name: str, value: int) -> None:
        """Write a register by name."""
        await self.master.write_dword(register(name).offset, value)

    async def open_windows(self) -> None:
        """Allow everything to be read and written."""
        for name in ("READ_LIMIT", "WRITE_LIMIT"):
            await self.write(name, (1 << 32) - 1)

    async def read(self, name: str) -> int:
        """Read a register by name."""
        return int(await self.master.read_dword(register(name).offset))

    async def finish(self) -> None:
        """Poll until the machine is idle; raises `BenchTimeout` after `POLLS` reads."""
        busy = 1 << register("STATUS").field("busy").offset
        for _ in range(POLLS):
            if not await self.read("STATUS") & busy:
                return
        raise BenchTimeout(f"STATUS stays busy after {POLLS} reads")


def _random_case(number: int) -> Case:
    """A product of a few tiles."""
    precision = random.choice(PRECISIONS)
    return Case(
        seed=random.getrandbits(31),
        number=number,
        m=random.randint(1, 10),
        n=random.randint(1, 18),
        k=random.randint(1, 150),
        precisions=(precision,),
        max_bits_a=random.randint(precision.bits_a, MAX_BITS),
        max_bits_b=random.randint(precision.bits_b, MAX_BITS),
        col_sums=random.random() < 0.5,
        taps=random.randint(1, ALL_TAPS),
        memory="bench",
        stall_probability=0.0,
    )


@cocotb.test(timeout_time=2000, timeout_unit="ms")
async def programs_give_the_golden_product(dut: Any) -> None:
    board, config = Scoreboard(), preset(option("preset", "tiny"))
    machine = Machine(dut, 1 << 20)
    done_bit = 1 << register("IRQ_STATUS").field("done").offset
    for number in range(rounds()):
        await machine.start()
        case = _random_case(number)
        placement = Placement.of(case, config, memory_base=0)
        gemm, precision = placement.gemm, case.precisions[0]
        memory = np.zeros(placement.memory_bytes, np.uint8)
        codes_a, codes_b = placement.fill(memory, 0, case, run=0)
        words = placement.program.tagged(number + 1)
        memory[: len(words)] = np.frombuffer(words, np.uint8)
        machine.load(memory)
        before = machine.content()
        await machine.master.write_dword(slot_offset(gemm.slot_a), precision.bits_a | precision.signed_a << 8)
        await machine.master.write_dword(slot_offset(gemm.slot_b), precision.bits_b | precision.signed_b << 8)
        await machine.write("IRQ_ENABLE", done_bit)
        await machine.open_windows()
        await machine.write("RING_BASE", 0)
        await machine.write("RING_LOG2", placement.ring_log2)
        await machine.write("RING_TAIL", len(placement.program))
        await machine.finish()
        after = machine.content()
        board.equal("ERROR", await machine.read("ERROR"), 0)
        board.equal("DONE_TAG", await machine.read("DONE_TAG"), number + 1)
        board.equal("irq", int(dut.irq.value), 1)
        await machine.write("IRQ_STATUS", done_bit)
        await ClockCycles(dut.clk, IRQ_CYCLES)
        board.equal("irq after its flag was cleared", int(dut.irq.value), 0)
        start, end = gemm.addr_c, gemm.addr_c + gemm.layout_c.nbytes
        product = unpack_result(
            after[start:end],
            gemm.layout_c,
            precision.bits_a,
            precision.bits_b,
            signed=precision.signed,
            col_sums=case.col_sums,
        )
        board.equal("product", product.values, int_matmul(codes_a, codes_b))
        if product.col_sums is not None:
            board.equal("column sums", product.col_sums, column_sums(codes_b, case.taps, config))
        board.equal("memory before the result", after[:start], before[:start])
        board.equal("memory behind the result", after[end:], before[end:])
        slots = {
            gemm.slot_a: (precision.bits_a, precision.signed_a),
            gemm.slot_b: (precision.bits_b, precision.signed_b),
        }
        counted = await machine.read(f"{Counter.EXEC_BUSY.name}_LO")
        board.equal("exec_busy", counted, placement.program.exec_cycles(slots))
    dut._log.info("%d values compared", board.finish())


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def an_unset_slot_halts_and_soft_reset_recovers(dut: Any) -> None:
    board, config = Scoreboard(), preset(option("preset", "tiny"))
    machine = Machine(dut, 1 << 20)
    await machine.start()
    case = _random_case(0)
    placement = Placement.of(case, config, memory_base=0)
    memory = np.zeros(placement.memory_bytes, np.uint8)
    placement.fill(memory, 0, case, run=0)
    words = placement.program.tagged(1)
    memory[: len(words)] = np.frombuffer(words, np.uint8)
    machine.load(memory)
    for index in (placement.gemm.slot_a, placement.gemm.slot_b):
        await machine.master.write_dword(slot_offset(index), 0)
    await machine.open_windows()
    await machine.write("RING_BASE", 0)
    await machine.write("RING_LOG2", placement.ring_log2)
    await machine.write("RING_TAIL", len(placement.program))
    halted = 1 << register("STATUS").field("halted").offset
    for _ in range(POLLS):
        if await machine.read("STATUS") & halted:
            break
    board.equal("ERROR", await machine.read("ERROR"), 1 << Error.BAD_SLOT)
    board.equal("ERROR_INDEX", await machine.read("ERROR_INDEX"), 0)
    await machine.write("CONTROL", 1 << register("CONTROL").field("soft_reset").offset)
    await machine.finish()
    board.equal("STATUS after soft reset", await machine.read("STATUS"), 0)
    board.equal("ERROR after soft reset", await machine.read("ERROR"), 0)
    board.equal("RING_HEAD after soft reset", await machine.read("RING_HEAD"), 0)
    board.finish()
