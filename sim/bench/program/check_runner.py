"""Bench of `cpt.hw.program.runner`: lists reach their engines in order, with addresses and slots."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import cocotb
import numpy as np

from cpt.hw.contract.config import MAX_BITS, SLOTS
from cpt.hw.contract.passes import CHOICES, COUNTS
from cpt.hw.contract.step import BASES, ENGINES, FORMATS, WORD_BYTES, Code, Engine, encode
from cpt.hw.control.reach import WINDOW
from cpt.hw.layouts import SLOT
from cpt.hw.program.layouts import COMMAND, WORD_BITS
from cpt.hw.program.word_check import FAULTS
from cpt.sim.bench.core import Bench, Every, Sink, Source, pack, random_stall, rounds, unpack
from cpt.sim.bench.memory import ReadMemory

LIST = 1 << 12
LIST_WORDS = 32


def random_word(code: Code) -> dict[str, int]:
    """Any values of an engine's fields that are allowed."""
    values = {item.name: random.randint(item.minimum, item.maximum) for item in FORMATS[code][1:]}
    values |= {name: values[name] or 1 for name in COUNTS[code]}
    return values | {
        name: int(random.choice(allowed)) for (of, name), allowed in CHOICES.items() if of is code
    }


class Surroundings:
    """The slot memory beside the runner, idle engines, and what it reports."""

    def __init__(self, bench: Bench) -> None:
        self.slots = [(random.randint(1, MAX_BITS), random.getrandbits(1)) for _ in range(SLOTS)]
        self.ends = 0
        self.faults: list[str] = []
        self._bench, self._addresses = bench, (0, 0)
        Every(bench, self._drive, self._sample)

    def slot(self, number: int) -> dict[str, int]:
        """Bits and sign of a slot."""
        bits, signed = self.slots[number]
        return {"bits": bits, "signed": signed}

    def ended(self, rounds_before: int) -> bool:
        """Whether one more round than those has ended."""
        return self.ends + len(self.faults) > rounds_before

    def _drive(self) -> None:
        dut = self._bench.dut
        dut.slot_a.value, dut.slot_b.value = (pack(SLOT, self.slot(number)) for number in self._addresses)

    def _sample(self) -> None:
        bench = self._bench
        self._addresses = (bench.get("slot_a_addr"), bench.get("slot_b_addr"))
        self.ends += bench.get("done")
        self.faults += [name for name, value in unpack(FAULTS, bench.get("faults")).items() if value]


def expected(
    around: Surroundings, bases: Sequence[int], code: Code, values: dict[str, int]
) -> dict[str, Any]:
    """What of a command follows from the contract; only fields that the instruction has."""
    want: dict[str, Any] = {"word": int.from_bytes(encode(code, **values), "little")}
    if "offset" in values:
        want["address"] = (bases[values["base"]] + values["offset"]) % (1 << 32)
    for name, place in (("slot", "slot_a"), ("slot_a", "slot_a"), ("slot_b", "slot_b")):
        if name in values:
            want[place] = around.slot(values[name])
    return want


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def lists_reach_their_engines(dut: Any) -> None:
    bench = Bench(dut)
    memory = ReadMemory(bench, np.zeros(2 * LIST, np.uint8))
    ring = Source(bench, "ring", WORD_BITS)
    sinks = {engine: Sink(bench, engine.name.lower()) for engine in Engine}
    around = Surroundings(bench)
    bench.set("engines_idle", 1)
    bench.set("ring_unreadable", 0)
    bench.set("stop", 0)
    bench.set("window", pack(WINDOW, {"base": 0, "limit": memory.data.size}))
    await bench.start()
    for number in range(2 * rounds()):
        memory.stall(random_stall(), random_stall())
        for sink in sinks.values():
            sink.stall = random_stall()
        bases = [random.getrandbits(32) for _ in range(BASES)]
        bases[0] -= bases[0] % WORD_BYTES
        for index, value in enumerate(bases):
            ring.put(int.from_bytes(encode(Code.SET, index=index, value=value), "little"))
        want: dict[Engine, list[dict[str, Any]]] = {engine: [] for engine in Engine}
        words = []
        for _ in range(random.randint(1, LIST_WORDS)):
            code = random.choice(list(ENGINES))
            values = random_word(code)
            words.append(encode(code, **values))
            want[ENGINES[code]].append(expected(around, bases, code, values))
        listed = np.frombuffer(b"".join(words), np.uint8)
        memory.data[LIST : LIST + listed.size] = listed
        call = encode(Code.RUN, base=0, offset=(LIST - bases[0]) % (1 << 32), count=len(words))
        tag = random.getrandbits(32)
        for word in (call, encode(Code.END, tag=tag)):
            ring.put(int.from_bytes(word, "little"))
        await bench.until(partial(around.ended, number), "END")
        bench.board.equal("faults", around.faults, [])
        bench.board.equal("tag", bench.get("done_tag"), tag)
        for engine, sink in sinks.items():
            got = [unpack(COMMAND, item) for item in sink.take()]
            bench.board.equal(f"{engine.name} count", len(got), len(want[engine]))
            for item, known in zip(got, want[engine], strict=True):
                bench.board.equal(engine.name, str({name: item[name] for name in known}), str(known))
        await bench.settle()
        bench.board.equal("idle and quiet", [bench.get("idle"), bench.get("quiet")], [1, 1])
    bench.finish()
