"""Bench of `cpt.hw.control.dispatch`: instructions reach their engine decoded, faulty ones reach none."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from cpt.hw.contract import FORMATS, ArrayConfig, Opcode, encode, preset
from cpt.hw.contract.config import ACC_BITS, MAX_BITS, SLOTS
from cpt.hw.control.checks import FAULTS
from cpt.hw.control.reach import WINDOW
from cpt.hw.layouts import INSTRUCTION_BITS, SLOT, drain_command, exec_command, load_command
from cpt.sim.bench.core import Bench, Every, Sink, Source, option, pack, random_stall, rounds, unpack

ENGINES = {Opcode.LOAD_A: "load_a", Opcode.LOAD_B: "load_b", Opcode.EXEC: "execute", Opcode.DRAIN: "drain"}
RING_MASK = 15
Slots = list[tuple[int, int]]


def random_fields(opcode: Opcode) -> dict[str, int]:
    """Field values of an instruction: small counts, so that about half of the blocks fit."""
    values = {}
    for item in FORMATS[opcode].fields[1:]:
        top = 6 if item.name in ("tiles", "ksteps", "blocks") else item.maximum
        if item.name.endswith("_stride"):
            top = random.choice((0, 1 << 12, 1 << 24, 1 << 29))
        values[item.name] = random.randrange(item.minimum, min(top, item.maximum) + 1, item.multiple)
    return values


def exec_in_turn(fields: dict[str, int], open_tile: bool) -> dict[str, int]:
    """``fields`` of an EXEC that is allowed while a result tile is open, or while none is."""
    fields = {**fields, "first": int(not open_tile)}
    if not (fields["first"] and fields["last"]):
        fields |= {"tiles": 1, "blocks": 1}
    return fields


def decode(
    config: ArrayConfig, opcode: Opcode, fields: dict[str, int], slots: Slots
) -> tuple[str, dict[str, Any]]:
    """The fault's name, or ``""`` and what the engine must get."""
    if opcode in (Opcode.LOAD_A, Opcode.LOAD_B):
        operand = ENGINES[opcode][-1]
        bits = slots[fields["slot"]][0]
        if not 1 <= bits <= MAX_BITS:
            return "bad_slot", {}
        words = bits * fields["tiles"] * fields["ksteps"]
        if words > config.half_words(operand):
            return "operand_overflow", {}
        wanted = {**fields, "bits": bits, "block_words": words}
        return "", {name: wanted[name] for name, _ in load_command(config, operand)}
    (bits_a, signed_a), (bits_b, signed_b) = slots[fields["slot_a"]], slots[fields["slot_b"]]
    if not (1 <= bits_a <= MAX_BITS and 1 <= bits_b <= MAX_BITS):
        return "bad_slot", {}
    if opcode == Opcode.DRAIN:
        result_bits = bits_a + bits_b + fields["k_log2"]
        if result_bits > ACC_BITS:
            return "result_width", {}
        return "", {name: {**fields, "bytes": -(-result_bits // 8)}[name] for name, _ in drain_command()}
    ksteps = fields["ksteps"]
    fits_a = bits_a * ksteps * fields["tiles"] <= config.half_words("a")
    if not (fits_a and bits_b * ksteps <= config.half_words("b")):
        return "operand_overflow", {}
    wanted_exec: dict[str, Any] = {
        **fields,
        "a": {"bits": bits_a, "signed": signed_a},
        "b": {"bits": bits_b, "signed": signed_b},
        "a_tile_words": bits_a * ksteps,
        "b_plane_words": ksteps,
    }
    return "", {name: wanted_exec[name] for name, _ in exec_command(config)}


def layout_of(config: ArrayConfig, opcode: Opcode) -> Any:
    """The decoded command of an engine."""
    if opcode in (Opcode.LOAD_A, Opcode.LOAD_B):
        return load_command(config, ENGINES[opcode][-1])
    return exec_command(config) if opcode == Opcode.EXEC else drain_command()


def random_window() -> dict[str, int]:
    """A window of addresses that about half of the small instructions stay in."""
    return {"base": random.getrandbits(24), "limit": (1 << 32) - random.getrandbits(31)}


def leaves_window(
    config: ArrayConfig, opcode: Opcode, fields: dict[str, int], slots: Slots, window: dict[str, int]
) -> str:
    """The window's fault if a byte that a good instruction touches lies outside ``window``, or ``""``."""
    end = fields["base"] + (fields["blocks"] - 1) * fields["block_stride"]
    end += (fields["tiles"] - 1) * fields["tile_stride"]
    if opcode == Opcode.DRAIN:
        bits = slots[fields["slot_a"]][0] + slots[fields["slot_b"]][0] + fields["k_log2"]
        end += (config.rows + fields["col_sums"]) * config.cols * -(-bits // 8)
    else:
        end += (slots[fields["slot"]][0] - 1) * fields["plane_stride"]
        end += fields["ksteps"] * config.group_bytes(ENGINES[opcode][-1])
    inside = window["base"] <= fields["base"] and end <= window["limit"]
    return "" if inside else f"{'write' if opcode == Opcode.DRAIN else 'read'}_window"


class Watch:
    """The slot memory beside the dispatcher, and what it reports."""

    def __init__(self, bench: Bench, slots: Slots) -> None:
        self.faults: list[str] = []
        self.tags: list[int] = []
        self.dispatched = 0
        self._done = False
        self._bench, self._slots = bench, slots
        self._addresses = (0, 0)
        Every(bench, self._drive, self._sample)

    def _drive(self) -> None:
        a, b = self._addresses
        for name, slot in (("slot_a", self._slots[a]), ("slot_b", self._slots[b])):
            getattr(self._bench.dut, name).value = pack(SLOT, {"bits": slot[0], "signed": slot[1]})

    def _sample(self) -> None:
        get = self._bench.get
        self._addresses = get("slot_a_addr"), get("slot_b_addr")
        self.faults += [name for name, bit in unpack(FAULTS, get("faults")).items() if bit]
        self.dispatched += get("dispatched")
        if self._done:  # the tag is registered: it shows in the cycle after
            self.tags.append(get("done_tag"))
        self._done = bool(get("done"))


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def instructions_reach_their_engine_decoded(dut: Any) -> None:
    bench, config = Bench(dut), preset(option("preset", "tiny"))
    # One slot in eight is unset or too wide.
    slots = [
        (
            random.choice((0, 17, 31)) if random.random() < 0.125 else random.randint(1, MAX_BITS),
            random.getrandbits(1),
        )
        for _ in range(SLOTS)
    ]
    instructions = Source(bench, "instructions", INSTRUCTION_BITS)
    sinks = {opcode: Sink(bench, name) for opcode, name in ENGINES.items()}
    watch = Watch(bench, slots)
    bench.set("mask", RING_MASK)
    read, write = (random_window() for _ in range(2))
    bench.set("read_window", pack(WINDOW, read))
    bench.set("write_window", pack(WINDOW, write))
    await bench.start()
    sent, open_tile = 0, False
    for _ in range(2 * rounds()):
        instructions.stall = random_stall()
        want: dict[Opcode, list[dict[str, Any]]] = {opcode: [] for opcode in ENGINES}
        want_faults: list[str] = []
        want_tags = []
        for sink in sinks.values():
            sink.stall = random_stall()
        for _ in range(12):
            opcode = random.choice(list(Opcode))
            fields = random_fields(opcode)
            if opcode == Opcode.EXEC:
                fields = exec_in_turn(fields, open_tile)
            word = int.from_bytes(encode(opcode, **fields), "little")
            fault, command = "", dict[str, Any]()
            if opcode != Opcode.END:
                fault, command = decode(config, opcode, fields, slots)
                if not fault and opcode != Opcode.EXEC:
                    window = write if opcode == Opcode.DRAIN else read
                    fault = leaves_window(config, opcode, fields, slots, window)
            wrong = random.random()
            if wrong < 0.1:
                word = word >> 4 << 4 | random.choice((0, 6, 15))
                want_faults.append("illegal_opcode")
            elif wrong < 0.2:
                bit = random.choice([bit for bit in range(256) if FORMATS[opcode].reserved >> bit & 1])
                word |= 1 << bit
                want_faults += ["reserved_bits", *([fault] if fault and "window" not in fault else [])]
            elif wrong < 0.3 and opcode == Opcode.EXEC:
                word ^= 1 << next(item.offset for item in FORMATS[opcode].fields if item.name == "first")
                want_faults += ["illegal_exec", *([fault] if fault else [])]
            elif opcode == Opcode.END:
                want_tags.append(fields["tag"])
            else:
                if fault:
                    want_faults.append(fault)
                else:
                    want[opcode].append(command)
                    if opcode == Opcode.EXEC:
                        open_tile = not fields["last"]
            instructions.put(word)
            sent += 1
        while instructions.outstanding or not bench.get("idle"):
            bench.set("engines_idle", random.getrandbits(1))
            await bench.step()
        await bench.step()
        for opcode, sink in sinks.items():
            got = [unpack(layout_of(config, opcode), item) for item in sink.take()]
            bench.board.equal(f"{opcode.name} commands", str(got), str(_numbers(want[opcode])))
        bench.board.equal("faults", watch.faults, want_faults)
        bench.board.equal("tags", watch.tags, want_tags)
        bench.board.equal("dispatched", watch.dispatched, sent)
        bench.board.equal("index", bench.get("index"), (sent - 1) & RING_MASK)
        watch.faults.clear()
        watch.tags.clear()
    bench.finish()


def _numbers(commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same commands with plain integers, as `unpack` gives them."""
    return [
        {name: value if isinstance(value, dict) else int(value) for name, value in command.items()}
        for command in commands
    ]


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def a_count_of_zero_is_illegal(dut: Any) -> None:
    bench = Bench(dut)
    slots = [(4, 0)] * SLOTS
    for name in ("read_window", "write_window"):
        bench.set(name, pack(WINDOW, {"base": 0, "limit": (1 << 32) - 1}))
    instructions = Source(bench, "instructions", INSTRUCTION_BITS)
    watch = Watch(bench, slots)
    await bench.start()
    count = 0
    for opcode, form in FORMATS.items():
        for item in form.fields[1:]:
            if not item.minimum:
                continue
            fields = random_fields(opcode)
            if opcode == Opcode.EXEC:
                fields |= {"first": 1, "last": 1}
            word = int.from_bytes(encode(opcode, **fields), "little")
            instructions.put(word & ~(item.maximum << item.offset))
            count += 1
    bench.set("engines_idle", 1)
    await bench.settle()
    bench.board.equal("faults", [name == "illegal_opcode" for name in watch.faults], [True] * count)
    bench.finish()
