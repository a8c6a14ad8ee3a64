"""Bench of `cpt.hw.control.registers`: every access rule over AXI4-Lite, and the slots' read ports."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from cpt.hw.contract import REGISTERS, Register, register, slot_offset
from cpt.hw.contract.config import SLOTS
from cpt.hw.layouts import SLOT
from cpt.sim.bench.axi import pause_all, require_signals
from cpt.sim.bench.core import CLOCK_NS, pack, random_stall, rounds
from cpt.sim.scoreboard import Scoreboard

PLAIN = [item for item in REGISTERS if not item.name.startswith("SLOT_")]


async def _start(dut: Any) -> AxiLiteMaster:
    """Clock, reset and a register master with random stalls on every channel."""
    Clock(dut.clk, CLOCK_NS, unit="ns").start()
    for name in ("busy", "soft_reset", "slot_a_addr", "slot_b_addr"):
        getattr(dut, name).value = 0
    for item in PLAIN:
        if item.access == "w1c":
            getattr(dut, f"events__{item.name.lower()}").value = 0
    bus = AxiLiteBus.from_prefix(dut, "bus_")
    require_signals(bus.write.aw, bus.write.w, bus.write.b, bus.read.ar, bus.read.r)
    master = AxiLiteMaster(bus, dut.clk, dut.rst)
    write, read = master.write_if, master.read_if
    pause_all(
        (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel), random_stall
    )
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    return master


def _written(item: Register, old: int, value: int) -> int:
    """Contents of a register after ``value`` was written."""
    if item.access == "rw":
        return value & item.mask
    return old & ~value if item.access == "w1c" else old


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def registers_follow_their_access_rule(dut: Any) -> None:
    board, master = Scoreboard(), await _start(dut)
    inputs = {item.name: random.getrandbits(32) for item in PLAIN if item.access == "ro"}
    for name, value in inputs.items():
        getattr(dut, f"values__{name.lower()}").value = value
    state = {item.name: item.reset for item in PLAIN}
    for _ in range(30 * rounds()):
        item = random.choice(PLAIN)
        if random.random() < 0.5:
            value = random.getrandbits(32)
            await master.write_dword(item.offset, value)
            state[item.name] = _written(item, state[item.name], value)
        if item.access == "w1c" and random.random() < 0.5:
            events = random.getrandbits(32) & item.mask
            await FallingEdge(dut.clk)
            getattr(dut, f"events__{item.name.lower()}").value = events
            await FallingEdge(dut.clk)
            getattr(dut, f"events__{item.name.lower()}").value = 0
            state[item.name] |= events
        want = {"ro": inputs.get(item.name, 0) & item.mask, "w1s": 0}.get(item.access, state[item.name])
        board.equal(item.name, await master.read_dword(item.offset), want)
    board.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def slots_are_written_and_read_on_all_ports(dut: Any) -> None:
    board, master = Scoreboard(), await _start(dut)
    mask = register("SLOT_0").mask
    slots: dict[int, int] = {}
    for _ in range(20 * rounds()):
        index, value = random.randrange(SLOTS), random.getrandbits(32)
        await master.write_dword(slot_offset(index), value)
        slots[index] = value & mask
        asked = {side: random.choice(list(slots)) for side in ("a", "b")}
        board.equal("slot", await master.read_dword(slot_offset(asked["a"])), slots[asked["a"]])
        await FallingEdge(dut.clk)
        for side, slot in asked.items():
            getattr(dut, f"slot_{side}_addr").value = slot
        await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        for side, slot in asked.items():
            fields = {"bits": slots[slot] & 0x1F, "signed": slots[slot] >> 8 & 1}
            board.equal(f"slot_{side}", int(getattr(dut, f"slot_{side}").value), pack(SLOT, fields))
    board.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def busy_locks_slots_and_ring_and_flags_the_write(dut: Any) -> None:
    board, master = Scoreboard(), await _start(dut)
    refused = 0

    async def count() -> None:
        nonlocal refused
        while True:
            await FallingEdge(dut.clk)
            refused += int(dut.busy_write.value)

    cocotb.start_soon(count())
    locked = [slot_offset(7), *(item.offset for item in PLAIN if item.locked)]
    for offset in locked:
        await master.write_dword(offset, 3)
        dut.busy.value = 1
        await master.write_dword(offset, 5)
        board.equal("a locked register", await master.read_dword(offset), 3)
        dut.busy.value = 0
        await master.write_dword(offset, 5)
        board.equal("an open register", await master.read_dword(offset), 5)
    dut.busy.value = 1
    await master.write_dword(register("RING_TAIL").offset, 9)
    board.equal("RING_TAIL", await master.read_dword(register("RING_TAIL").offset), 9)
    board.equal("refused writes", refused, len(locked))
    board.finish()


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def soft_reset_forgets_all_but_slots_and_ring_geometry(dut: Any) -> None:
    board, master = Scoreboard(), await _start(dut)
    writable = [item for item in PLAIN if item.access == "rw"]
    for item in writable:
        await master.write_dword(item.offset, 0x1F & item.mask)
    await master.write_dword(slot_offset(3), 4)
    await FallingEdge(dut.clk)
    dut.soft_reset.value = 1
    await FallingEdge(dut.clk)
    dut.soft_reset.value = 0
    for item in writable:
        want = 0x1F & item.mask if item.kept else item.reset
        board.equal(item.name, await master.read_dword(item.offset), want)
    board.equal("slot 3", await master.read_dword(slot_offset(3)), 4)
    board.finish()
