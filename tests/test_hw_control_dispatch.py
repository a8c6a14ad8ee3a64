"""cpt.hw.control.dispatch: decoding, checks, queues, END."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hw_streams import SMALL, simulate, stream_get, stream_put

from cpt.hw.contract import FORMATS, Opcode, decode, encode
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.dispatch import Dispatch
from cpt.sim.fast.checks import check_cycles

SLOT_VALUES = {1: (3, 0), 2: (5, 1), 3: (16, 0), 4: (1, 1), 9: (0, 0), 10: (17, 0)}
"""Bits and sign of the slots that the tests name."""

GOOD = {
    Opcode.LOAD_A: {
        "slot": 1, "tiles": 2, "ksteps": 2, "blocks": 3, "base": 64, "block_stride": 8, "tile_stride": 16,
        "plane_stride": 24,
    },
    Opcode.LOAD_B: {
        "slot": 2, "tiles": 1, "ksteps": 3, "blocks": 4, "base": 128, "block_stride": 32, "tile_stride": 40,
        "plane_stride": 48,
    },
    Opcode.EXEC: {
        "slot_a": 1, "slot_b": 2, "ksteps": 2, "first": 1, "last": 1, "tiles": 2, "release_a": 1, "blocks": 3,
        "taps": 0b100110101,
    },
    Opcode.DRAIN: {
        "slot_a": 1, "slot_b": 2, "k_log2": 7, "col_sums": 1, "tiles": 2, "base": 256,
        "block_stride": 512, "tile_stride": 64, "blocks": 3,
    },
    Opcode.END: {"tag": 0xDEADBEEF},
}  # fmt: skip


def word(opcode: Opcode, **changes: int) -> int:
    return int.from_bytes(encode(opcode, **{**GOOD[opcode], **changes}), "little")


async def slots(ctx: Any, block: Dispatch, cycles: int) -> None:
    """The slot memory: answers a cycle after the address."""
    for _ in range(cycles):
        _, _, *found = await ctx.tick().sample(block.slot_a_addr, block.slot_b_addr)
        for port, index in zip((block.slot_a, block.slot_b), found, strict=True):
            bits, signed = SLOT_VALUES.get(index, (0, 0))
            ctx.set(port, {"bits": bits, "signed": signed})


def run(words: list[int], *benches: Any, block: Dispatch, cycles: int = 200) -> None:
    async def memory(ctx: Any) -> None:
        await slots(ctx, block, cycles)

    async def put(ctx: Any) -> None:
        for window in (block.read_window, block.write_window):
            ctx.set(window, {"base": 0, "limit": (1 << 32) - 1})
        await stream_put(ctx, block.instructions, words, random.Random(1), 0)

    simulate(block, memory, put, *benches)


def test_each_engine_gets_its_fields_and_what_follows_from_the_slots() -> None:
    block = Dispatch(SMALL)
    got: dict[str, Any] = {}

    async def get(ctx: Any) -> None:
        for name in ("load_a", "load_b", "execute", "drain"):
            (got[name],) = await stream_get(ctx, getattr(block, name), 1, random.Random(1), 0)
        ctx.set(block.engines_idle, 1)

    run([word(opcode) for opcode in Opcode], get, block=block)
    for name, opcode in (
        ("load_a", Opcode.LOAD_A),
        ("load_b", Opcode.LOAD_B),
        ("execute", Opcode.EXEC),
        ("drain", Opcode.DRAIN),
    ):
        for field, value in GOOD[opcode].items():
            if not field.startswith("slot") and field != "k_log2":
                assert got[name][field] == value, f"{name}.{field}"
    assert (got["load_a"].bits, got["load_a"].block_words) == (3, 2 * 3 * 2)
    assert (got["load_b"].bits, got["load_b"].block_words) == (5, 1 * 5 * 3)
    execute = got["execute"]
    assert (execute.a.bits, execute.a.signed, execute.b.bits, execute.b.signed) == (3, 0, 5, 1)
    assert (execute.a_tile_words, execute.b_plane_words) == (3 * 2, 2)
    assert got["drain"].bytes == 2


@pytest.mark.parametrize(("k_log2", "count"), [(0, 1), (1, 2), (8, 2), (9, 3), (16, 3), (24, 4), (31, 5)])
def test_a_result_has_its_bits_in_whole_bytes_and_no_byte_more(k_log2: int, count: int) -> None:
    """Slots of 3 and 5 bits: 8 bits for a product, one more for each doubling of K."""
    block = Dispatch(SMALL)

    async def get(ctx: Any) -> None:
        (drain,) = await stream_get(ctx, block.drain, 1, random.Random(1), 0)
        assert drain.bytes == count

    run([word(Opcode.DRAIN, k_log2=k_log2)], get, block=block)


def test_every_instruction_names_its_slots_in_the_same_bits() -> None:
    places = {"a": set[tuple[int, int]](), "b": set[tuple[int, int]]()}
    for form in FORMATS.values():
        for item in form.fields:
            if item.name.startswith("slot"):
                places["b" if item.name == "slot_b" else "a"].add((item.offset, item.width))
    assert [len(found) for found in places.values()] == [1, 1]


UNALIGNED = [
    (opcode, item.name, bit)
    for opcode in (Opcode.LOAD_A, Opcode.LOAD_B, Opcode.DRAIN)
    for item in FORMATS[opcode].fields
    if item.multiple > 1
    for bit in range(3)
]
RESERVED = [(opcode, bit) for opcode in Opcode for bit in range(256) if FORMATS[opcode].reserved >> bit & 1]
FAULTY = [
    ("illegal_opcode", 0),
    ("illegal_opcode", 6),
    ("illegal_opcode", 15),
    ("bad_slot", word(Opcode.LOAD_A, slot=9)),
    ("bad_slot", word(Opcode.LOAD_B, slot=10)),
    ("bad_slot", word(Opcode.EXEC, slot_b=9)),
    ("bad_slot", word(Opcode.DRAIN, slot_a=10)),
    ("operand_overflow", word(Opcode.LOAD_A, tiles=3)),
    ("operand_overflow", word(Opcode.LOAD_B, ksteps=4)),
    ("operand_overflow", word(Opcode.EXEC, tiles=3)),
    ("operand_overflow", word(Opcode.EXEC, slot_a=4, tiles=1, ksteps=4)),
    ("result_width", word(Opcode.DRAIN, slot_a=3, slot_b=3, k_log2=17)),
    ("illegal_exec", word(Opcode.EXEC, last=0, blocks=1)),
    ("illegal_exec", word(Opcode.EXEC, last=0, tiles=1)),
    ("illegal_exec", word(Opcode.EXEC, first=0, tiles=1, blocks=1)),
]
COUNTS = [
    (opcode, name)
    for opcode, names in (
        (Opcode.LOAD_A, ("tiles", "ksteps", "blocks")),
        (Opcode.LOAD_B, ("tiles", "ksteps", "blocks")),
        (Opcode.EXEC, ("tiles", "ksteps", "blocks", "taps")),
        (Opcode.DRAIN, ("tiles", "blocks")),
    )
    for name in names
]


def fault_of(instruction: int, unreadable: bool = False) -> dict[str, int]:
    """The fault bits an instruction raises; with any, it must reach no engine."""
    block = Dispatch(SMALL)
    found: dict[str, int] = {}

    async def get(ctx: Any) -> None:
        ctx.set(block.engines_idle, 1)
        ctx.set(block.unreadable, unreadable)
        (faults,) = await ctx.tick().sample(block.faults).until(block.dispatched)
        found.update({name: faults[name] for name in faults.shape().members})
        ctx.set(block.stop, 1)
        await ctx.tick().repeat(5)
        valid = [ctx.get(port.valid) for port in (block.load_a, block.load_b, block.execute, block.drain)]
        assert sum(valid) == (not any(found.values()))

    run([instruction], get, block=block, cycles=40)
    return found


@pytest.mark.parametrize(("fault", "instruction"), FAULTY)
def test_a_faulty_instruction_names_its_fault(fault: str, instruction: int) -> None:
    assert [name for name, value in fault_of(instruction).items() if value] == [fault]


@pytest.mark.parametrize(("opcode", "name", "bit"), UNALIGNED)
def test_a_base_or_stride_off_eight_bytes_is_misaligned(opcode: Opcode, name: str, bit: int) -> None:
    offset = next(item.offset for item in FORMATS[opcode].fields if item.name == name)
    found = fault_of(word(opcode) | 1 << offset + bit)
    assert [fault for fault, value in found.items() if value] == ["misaligned"]


def test_every_bit_without_a_name_is_reserved() -> None:
    """All reserved bits of every format, one instruction after the other."""
    block = Dispatch(SMALL)
    got: list[list[str]] = []
    words = [word(opcode) | 1 << bit for opcode, bit in RESERVED]

    async def get(ctx: Any) -> None:
        ctx.set(block.engines_idle, 1)
        while len(got) < len(words):
            (faults,) = await ctx.tick().sample(block.faults).until(block.dispatched)
            got.append([name for name in faults.shape().members if faults[name]])

    run(words, get, block=block, cycles=(block.cycles_per_instruction + 1) * len(words))
    assert got == [["reserved_bits"]] * len(words)


def test_of_an_instruction_that_cannot_be_read_nothing_else_is_said() -> None:
    for instruction in (0, (1 << 256) - 1, word(Opcode.LOAD_A, slot=9), word(Opcode.END)):
        found = fault_of(instruction, unreadable=True)
        assert [fault for fault, value in found.items() if value] == ["axi_read"]


def test_all_that_is_wrong_with_an_instruction_is_said_at_once() -> None:
    wrong = word(Opcode.LOAD_A, slot=9) & ~(0xFFFF << 32) | 1 << 64 | 1 << 255
    found = fault_of(wrong)
    assert [fault for fault, value in found.items() if value] == [
        "illegal_opcode", "reserved_bits", "misaligned", "bad_slot",
    ]  # fmt: skip


@pytest.mark.parametrize("expired", [False, True])
def test_a_faulty_instruction_waits_until_all_before_it_is_finished_or_the_watchdog_gives_up(
    expired: bool,
) -> None:
    block = Dispatch(SMALL)
    taken: list[str] = []

    async def bench(ctx: Any) -> None:
        ctx.set(block.load_a.ready, 1)
        await ctx.tick().until(block.dispatched)
        for _ in range(30):
            _, _, faults, dispatched = await ctx.tick().sample(block.faults.misaligned, block.dispatched)
            assert (faults, dispatched) == (0, 0)
        ctx.set(block.expired if expired else block.engines_idle, 1)
        await ctx.tick().repeat(MACHINE.decision_cycles)
        _, _, faults, dispatched = await ctx.tick().sample(block.faults.misaligned, block.dispatched)
        assert (faults, dispatched) == (1, 1)
        taken.append("done")

    run([word(Opcode.LOAD_A), word(Opcode.LOAD_A) | 1 << 64], bench, block=block)
    assert taken


OPENING = {"first": 1, "last": 0, "tiles": 1, "blocks": 1}
ADDING = {**OPENING, "first": 0}
CLOSING = {**ADDING, "last": 1}


@pytest.mark.parametrize(
    ("executes", "wrong"),
    [
        ([OPENING, ADDING, CLOSING, {}, OPENING, CLOSING], [0, 0, 0, 0, 0, 0]),
        ([OPENING, OPENING], [0, 1]),
        ([OPENING, {}], [0, 1]),
        ([ADDING], [1]),
        ([OPENING, CLOSING, CLOSING], [0, 0, 1]),
        ([OPENING, {"slot_a": 9}, CLOSING], [0, 1, 0]),
    ],
)
def test_an_exec_must_open_add_to_and_close_result_tiles_in_turn(
    executes: list[dict[str, int]], wrong: list[int]
) -> None:
    block = Dispatch(SMALL)
    got: list[int] = []

    async def get(ctx: Any) -> None:
        ctx.set(block.engines_idle, 1)
        ctx.set(block.execute.ready, 1)
        while len(got) < len(executes):
            (faults,) = await ctx.tick().sample(block.faults).until(block.dispatched)
            got.append(int(faults.illegal_exec or faults.bad_slot))

    run([word(Opcode.EXEC, **changes) for changes in executes], get, block=block)
    assert got == wrong


@pytest.mark.parametrize(("opcode", "name"), COUNTS)
def test_a_count_of_zero_is_illegal(opcode: Opcode, name: str) -> None:
    ones, twos = word(opcode, **{name: 1}), word(opcode, **{name: 2})
    assert fault_of(ones & twos)["illegal_opcode"]


@pytest.mark.parametrize(
    "instruction",
    [
        word(Opcode.LOAD_A, tiles=1, ksteps=5),
        word(Opcode.LOAD_A, slot=3, tiles=1, ksteps=1),
        word(Opcode.LOAD_B, slot=3, ksteps=1),
        word(Opcode.DRAIN, slot_a=3, slot_b=3, k_log2=16),
    ],
)
def test_the_largest_allowed_is_not_a_fault(instruction: int) -> None:
    assert not any(fault_of(instruction).values())


def test_a_full_queue_stops_dispatch_until_its_engine_takes_one() -> None:
    block = Dispatch(SMALL)
    words = [word(Opcode.LOAD_A, base=8 * n) for n in range(MACHINE.queue_instructions + 3)]
    count = [0]

    async def get(ctx: Any) -> None:
        await ctx.tick().repeat(80)
        assert count[0] == MACHINE.queue_instructions
        loads = await stream_get(ctx, block.load_a, len(words), random.Random(2), 0.3)
        assert [load.base for load in loads] == [8 * n for n in range(len(words))]

    async def dispatched(ctx: Any) -> None:
        for _ in range(300):
            count[0] += ctx.get(block.dispatched)
            await ctx.tick()

    run(words, get, dispatched, block=block, cycles=300)


def test_an_instruction_takes_the_stated_cycles() -> None:
    block = Dispatch(SMALL)
    cycles: list[int] = []

    async def watch(ctx: Any) -> None:
        for cycle in range(60):
            if ctx.get(block.dispatched):
                cycles.append(cycle)
            await ctx.tick()

    run([word(Opcode.LOAD_A), word(Opcode.LOAD_B), word(Opcode.EXEC)], watch, block=block)
    checked = check_cycles(decode(encode(Opcode.LOAD_B, **GOOD[Opcode.LOAD_B])), SLOT_VALUES[2][0])
    assert checked > 0
    assert [after - before for before, after in itertools.pairwise(cycles)] == [
        block.cycles_per_instruction + checked,
        block.cycles_per_instruction,
    ]


def test_end_waits_for_queues_and_engines_and_gives_its_tag() -> None:
    block = Dispatch(SMALL)

    async def bench(ctx: Any) -> None:
        ctx.set(block.engines_idle, 1)
        for _ in range(40):
            assert not ctx.get(block.done), "END overtook a queued instruction"
            await ctx.tick()
        ctx.set(block.engines_idle, 0)
        await stream_get(ctx, block.load_a, 1, random.Random(1), 0)
        for _ in range(10):
            assert not ctx.get(block.done), "END did not wait for the engines"
            await ctx.tick()
        assert not ctx.get(block.idle)
        ctx.set(block.engines_idle, 1)
        await ctx.tick().until(block.done)
        assert ctx.get(block.done_tag) == GOOD[Opcode.END]["tag"]
        await ctx.tick()
        assert ctx.get(block.idle)

    run([word(Opcode.LOAD_A), word(Opcode.END)], bench, block=block)
