"""cpt.hw.control.registers: the AXI4-Lite slave against the register map."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_streams import simulate

from cpt.hw.contract import REGISTERS, register, slot_offset
from cpt.hw.contract.config import SLOTS
from cpt.hw.control.registers import PLAIN, RegisterFile


async def write(ctx: Any, bus: Any, offset: int, value: int, strobe: int = 0xF, skew: int = 0) -> None:
    """One write; ``skew`` > 0: data that many cycles after the address, < 0: before it."""
    ctx.set(bus.awaddr, offset)
    ctx.set(bus.wdata, value)
    ctx.set(bus.wstrb, strobe)
    starts = {"aw": max(0, -skew), "w": max(0, skew)}
    waiting, cycle = set(starts), 0
    while waiting:
        for channel in waiting:
            ctx.set(getattr(bus, f"{channel}valid"), int(cycle >= starts[channel]))
        assert not ctx.get(bus.bvalid)
        moved = [
            channel
            for channel in sorted(waiting)
            if ctx.get(getattr(bus, f"{channel}valid") & getattr(bus, f"{channel}ready"))
        ]
        await ctx.tick()
        cycle += 1
        for channel in moved:
            ctx.set(getattr(bus, f"{channel}valid"), 0)
            waiting.remove(channel)
    await ctx.tick().until(bus.bvalid)
    for _ in range(abs(skew)):
        assert ctx.get(bus.bvalid)
        await ctx.tick()
    ctx.set(bus.bready, 1)
    await ctx.tick().until(bus.bvalid)
    ctx.set(bus.bready, 0)


async def read(ctx: Any, bus: Any, offset: int, wait: int = 0) -> int:
    """One read; the response is accepted after ``wait`` cycles."""
    ctx.set(bus.araddr, offset)
    ctx.set(bus.arvalid, 1)
    await ctx.tick().until(bus.arready)
    ctx.set(bus.arvalid, 0)
    ctx.set(bus.araddr, 0xFFC)
    while not ctx.get(bus.rvalid):
        await ctx.tick()
    value = ctx.get(bus.rdata)
    for _ in range(wait):
        await ctx.tick()
        assert ctx.get(bus.rvalid)
        assert ctx.get(bus.rdata) == value
    ctx.set(bus.rready, 1)
    await ctx.tick()
    ctx.set(bus.rready, 0)
    assert not ctx.get(bus.rvalid)
    return value


def test_read_only_registers_show_their_values_and_ignore_writes() -> None:
    block, rng = RegisterFile(), random.Random(1)
    readable = [item for item in PLAIN if item.access == "ro"]

    async def bench(ctx: Any) -> None:
        values = {item.name: rng.getrandbits(32) for item in readable}
        for item in readable:
            ctx.set(getattr(block.values, item.name.lower()), values[item.name])
        for item in readable:
            await write(ctx, block.bus, item.offset, 0xFFFF_FFFF, skew=rng.randint(-2, 2))
            assert await read(ctx, block.bus, item.offset, rng.randint(0, 2)) == values[item.name] & item.mask

    simulate(block, bench)


def test_read_write_registers_keep_implemented_bits_by_byte_lane() -> None:
    block, rng = RegisterFile(), random.Random(2)

    async def bench(ctx: Any) -> None:
        for item in PLAIN:
            if item.access != "rw":
                continue
            expected = item.reset
            assert await read(ctx, block.bus, item.offset) == expected
            for _ in range(4):
                value, strobe = rng.getrandbits(32), rng.randrange(16)
                lanes = sum(0xFF << 8 * n for n in range(4) if strobe >> n & 1)
                expected = (expected & ~lanes | value & lanes) & item.mask
                await write(ctx, block.bus, item.offset, value, strobe)
                assert await read(ctx, block.bus, item.offset) == expected, item.name
                assert ctx.get(getattr(block.state, item.name.lower())) == expected

    simulate(block, bench)


@pytest.mark.parametrize("name", ["ERROR", "IRQ_STATUS"])
def test_event_bits_stick_until_a_one_is_written(name: str) -> None:
    block, item = RegisterFile(), register(name)
    low = 0b01

    async def bench(ctx: Any) -> None:
        event = getattr(block.events, name.lower())
        ctx.set(event, item.mask)
        await ctx.tick()
        ctx.set(event, 0)
        assert await read(ctx, block.bus, item.offset) == item.mask
        await write(ctx, block.bus, item.offset, low)
        assert await read(ctx, block.bus, item.offset) == item.mask & ~low
        ctx.set(event, low)  # an event in the cycle of the clearing write is not lost
        await write(ctx, block.bus, item.offset, item.mask)
        ctx.set(event, 0)
        assert await read(ctx, block.bus, item.offset) == low

    simulate(block, bench)


def test_command_bits_last_one_cycle_and_read_as_zero() -> None:
    block, item = RegisterFile(), register("CONTROL")
    seen: list[int] = []

    async def watch(ctx: Any) -> None:
        for _ in range(30):
            seen.append(ctx.get(block.commands.control))
            await ctx.tick()

    async def bench(ctx: Any) -> None:
        await write(ctx, block.bus, item.offset, 0xFFFF_FFFF)
        assert await read(ctx, block.bus, item.offset) == 0

    simulate(block, bench, watch)
    assert [value for value in seen if value] == [item.mask]


def test_slots_hold_bits_and_sign_for_every_reader() -> None:
    block, rng = RegisterFile(), random.Random(3)

    async def bench(ctx: Any) -> None:
        chosen = {
            index: (rng.randrange(32), rng.randrange(2))
            for index in [0, 1, SLOTS - 1, *rng.sample(range(SLOTS), 8)]
        }
        for index, (bits, signed) in chosen.items():
            await write(ctx, block.bus, slot_offset(index), bits | signed << 8 | rng.getrandbits(20) << 9)
        for index, (bits, signed) in chosen.items():
            assert await read(ctx, block.bus, slot_offset(index)) == bits | signed << 8
            other = rng.choice(list(chosen))
            ctx.set(block.slot_a_addr, index)
            ctx.set(block.slot_b_addr, other)
            await ctx.tick()
            a, b = ctx.get(block.slot_a), ctx.get(block.slot_b)
            assert ((a.bits, a.signed), (b.bits, b.signed)) == (chosen[index], chosen[other])

    simulate(block, bench)


def test_a_slot_is_written_by_byte_lane() -> None:
    """Bits and sign lie in two bytes: each is written if its own strobe is set, whatever the others are."""
    block = RegisterFile()
    offset = slot_offset(9)

    async def bench(ctx: Any) -> None:
        for old, new in ((0x005, 0x11A), (0x11A, 0x005)):
            for strobe in range(16):
                await write(ctx, block.bus, offset, old)
                await write(ctx, block.bus, offset, new, strobe)
                lanes = sum(0xFF << 8 * n for n in range(4) if strobe >> n & 1)
                assert await read(ctx, block.bus, offset) == old & ~lanes | new & lanes, f"{strobe:04b}"

    simulate(block, bench)


def test_slots_and_ring_registers_are_locked_while_busy_and_flag_the_write() -> None:
    block = RegisterFile()
    flagged = [0]
    places = [slot_offset(7), *(item.offset for item in PLAIN if item.locked)]

    async def watch(ctx: Any) -> None:
        for _ in range(100):
            flagged[0] += ctx.get(block.busy_write)
            await ctx.tick()

    async def bench(ctx: Any) -> None:
        for offset in places:
            await write(ctx, block.bus, offset, 3)
        assert flagged[0] == 0
        ctx.set(block.busy, 1)
        for offset in places:
            await write(ctx, block.bus, offset, 9)
        await write(ctx, block.bus, register("RING_TAIL").offset, 5)
        for offset in places:
            assert await read(ctx, block.bus, offset) == 3
        assert await read(ctx, block.bus, register("RING_TAIL").offset) == 5

    simulate(block, bench, watch)
    assert flagged[0] == len(places)


def test_soft_reset_keeps_slots_and_ring_geometry_only() -> None:
    block = RegisterFile()
    written = [item for item in PLAIN if item.access == "rw"]

    async def bench(ctx: Any) -> None:
        for item in written:
            await write(ctx, block.bus, item.offset, 3)
        await write(ctx, block.bus, slot_offset(4), 6)
        ctx.set(block.soft_reset, 1)
        await ctx.tick()
        ctx.set(block.soft_reset, 0)
        for item in written:
            assert await read(ctx, block.bus, item.offset) == (3 if item.kept else item.reset), item.name
        assert await read(ctx, block.bus, slot_offset(4)) == 6

    simulate(block, bench)


def test_unmapped_addresses_read_as_zero() -> None:
    block = RegisterFile()
    mapped = {item.offset for item in REGISTERS}
    holes = [*[offset for offset in range(0, 1024, 4) if offset not in mapped][::7], 2048, 4092]

    async def bench(ctx: Any) -> None:
        for offset in holes:
            await write(ctx, block.bus, offset, 0xFFFF_FFFF)
            assert await read(ctx, block.bus, offset) == 0

    simulate(block, bench)


def test_readies_wait_for_no_valid_and_hold_what_came_first() -> None:
    block = RegisterFile()
    bus = block.bus

    async def bench(ctx: Any) -> None:
        for first, second in (("aw", "w"), ("w", "aw")):
            assert all(ctx.get(getattr(bus, f"{name}ready")) for name in ("aw", "w", "ar"))
            ctx.set(bus.awaddr, register("RING_TAIL").offset)
            ctx.set(bus.wdata, 0x1234)
            ctx.set(bus.wstrb, 0xF)
            ctx.set(getattr(bus, f"{first}valid"), 1)
            await ctx.tick()
            ctx.set(getattr(bus, f"{first}valid"), 0)
            ctx.set(bus.awaddr if first == "aw" else bus.wdata, 0)
            for _ in range(3):
                assert not ctx.get(getattr(bus, f"{first}ready"))
                assert ctx.get(getattr(bus, f"{second}ready"))
                assert not ctx.get(bus.bvalid)
                await ctx.tick()
            ctx.set(getattr(bus, f"{second}valid"), 1)
            await ctx.tick()
            ctx.set(getattr(bus, f"{second}valid"), 0)
            ctx.set(bus.bready, 1)
            await ctx.tick().until(bus.bvalid)
            ctx.set(bus.bready, 0)
            assert ctx.get(block.state.ring_tail) == 0x1234
            await write(ctx, bus, register("RING_TAIL").offset, 0)

    simulate(block, bench)
