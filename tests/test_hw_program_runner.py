"""cpt.hw.program: lists reach the engines whole, in order and resolved; faulty words are refused."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from amaranth import Elaboratable, Module
from hw_memory import ReadMemory
from hw_streams import simulate
from test_step_network import drawn, golden_sha, network

from cpt.host.compiler.network import SECOND_FORWARD
from cpt.host.fabric import FabricTrainer
from cpt.hw.contract import preset
from cpt.hw.contract.floats import Op, Space
from cpt.hw.contract.passes import Apply, Bring, Store, units
from cpt.hw.contract.step import WORD_BYTES, Code, Engine, Word, decode, encode
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import waits
from cpt.hw.program.marks import Marks
from cpt.hw.program.runner import Runner
from cpt.sim.step.machine import StepMachine

LIST = 0x4000
SIZES = {"memory": 1 << 21, "scratch_words": 4 * 2048}


class Program(Elaboratable):
    """Runner, marks, and a gate for each engine, as a top level wires them."""

    def __init__(self) -> None:
        self.runner, self.marks = Runner(), Marks()
        self.gates = {engine: Gate() for engine in Engine}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.runner, m.submodules.marks = self.runner, self.marks
        m.d.comb += self.marks.clear.eq(self.runner.clear)
        for engine, gate in self.gates.items():
            m.submodules[f"gate_{engine.name.lower()}"] = gate
            m.d.comb += gate.marks.eq(self.marks.marks)
            word = getattr(self.runner, engine.name.lower()).payload.word
            for index, wait in enumerate(waits(word)):
                m.d.comb += gate.waits[index].eq(wait)
        return m


class Machine(StepMachine):
    """A step machine that takes some of its lists through the RTL of this room; the engines are the model's.

    ``through``: which of the lists that are called, and ``most`` of their words from the first, the rest
    through the model: simulating all takes minutes.
    """

    def __init__(
        self, *args: Any, through: range, seed: int, stall: float, most: int = 0, **sizes: int
    ) -> None:
        super().__init__(*args, **sizes)
        self.through, self.most, self.called = through, most, 0
        self.draw, self.stall = random.Random(seed), stall
        self.commands: list[tuple[Any, ...]] = []
        self.refused: list[list[str]] = []
        self.unreadable: set[int] = set()
        """Addresses that are answered with an error."""
        self.seen_keys: list[int] = []

    def _call(self, word: Word) -> None:
        self.called += 1
        if self.called - 1 not in self.through:
            super()._call(word)
            return
        tag, count = self.tag, min(self.most, word.count)
        self.ring_rtl(encode(Code.RUN, **word.values | {"count": count}) + encode(Code.END))
        self.tag = tag
        rest = {"count": word.count - count, "offset": word.values.get("offset", 0) + count * WORD_BYTES}
        super()._call(decode(encode(Code.RUN, **word.values | rest)))

    def ring_rtl(self, words: bytes) -> None:
        """Through the RTL, until END or a refusal; base registers are set once more before all else."""
        top = Program()
        runner = top.runner
        ended = [False]

        def word_at(address: int) -> int:
            return int.from_bytes(self.state.memory[address : address + 8].tobytes(), "little")

        memory = ReadMemory(runner.ar, runner.r, word_at, self.draw, self.stall)
        memory.refused = self.unreadable

        async def host(ctx: Any) -> None:
            ctx.set(runner.window, {"base": 0, "limit": len(self.state.memory)})
            # What earlier rings have set.
            kept = [encode(Code.SET, index=n, value=value) for n, value in enumerate(self.state.bases)]
            for word in [*kept, *(words[at : at + WORD_BYTES] for at in range(0, len(words), WORD_BYTES))]:
                ctx.set(runner.ring.payload, int.from_bytes(word, "little"))
                ctx.set(runner.ring.valid, 1)
                taken = False
                while not taken and not ended[0]:
                    _, _, taken = await ctx.tick().sample(runner.ring.ready)
                ctx.set(runner.ring.valid, 0)
                if taken and word[0] & 0xF == Code.SET:
                    self.execute(decode(word))

        async def machine(ctx: Any) -> None:
            # One testbench for all that is not RTL: seven of them take minutes.
            models = [EngineModel(self, top, engine) for engine in Engine]
            numbers = (0, 0)
            while not ended[0]:
                for port, number in zip((runner.slot_a, runner.slot_b), numbers, strict=True):
                    slot = self.state.slots[number]
                    ctx.set(port.bits, slot.bits)
                    ctx.set(port.signed, int(slot.signed))
                idle = not any(model.busy for model in models)
                for model in models:
                    model.cycle(ctx)
                _, _, done, faults, *numbers = await ctx.tick().sample(
                    runner.done, runner.faults, runner.slot_a_addr, runner.slot_b_addr
                )
                ctx.set(runner.engines_idle, idle)
                found = {name: getattr(faults, name) for name in faults.shape().members}
                if any(found.values()):
                    self.refused.append([name for name, value in found.items() if value])
                ended[0] = bool(done) or any(found.values())
            await ctx.tick()
            self.tag = ctx.get(runner.done_tag)
            self.seen_keys = [ctx.get(key) for key in runner.keys]

        simulate(top, host, machine, *memory.benches(lambda: ended[0]))


class EngineModel:
    """One engine of the model behind its port and gate: a cycle at a time."""

    def __init__(self, machine: Machine, top: Program, engine: Engine) -> None:
        self.machine = machine
        self.port, self.gate = getattr(top.runner, engine.name.lower()), top.gates[engine]
        self.finished = top.marks.finished[engine]
        self.word: Word | None = None
        self.left: int | None = None
        """Units that its mark lacks, once the instruction was executed."""

    @property
    def busy(self) -> bool:
        """Whether it has an instruction."""
        return self.word is not None

    def cycle(self, ctx: Any) -> None:
        """What it does in this cycle."""
        machine = self.machine
        ctx.set(self.port.ready, 0)
        ctx.set(self.finished, 0)
        ctx.set(self.gate.load, 0)
        if self.word is None:
            if ctx.get(self.port.valid):
                command = ctx.get(self.port.payload)
                self.word = decode(int(command.word).to_bytes(WORD_BYTES, "little"))
                machine.commands.append((self.word, command.address, command.slot_a, command.slot_b))
                # Base registers are others for the next micro-batch.
                assert "offset" not in self.word.values or command.address == machine.state.address(self.word)
                ctx.set(self.gate.load, 1)
        elif self.left is None:
            if ctx.get(self.gate.open) and machine.has_operands(self.word):
                machine.execute(self.word)
                self.left = units(machine.state.config, self.word)
        elif self.left:
            if machine.draw.random() >= machine.stall:
                ctx.set(self.finished, 1)
                self.left -= 1
        else:
            ctx.set(self.port.ready, 1)
            self.word = self.left = None


def test_a_pass_through_the_runner_leaves_the_golden_weights() -> None:
    data = drawn(1)
    expected, losses = golden_sha(network(), data, (3, 8))
    net = network()
    machine = Machine(preset("tiny"), through=range(1, 2), most=300, seed=1, stall=0.2, **SIZES)
    settings = {"batch_size": 4, "micro_batch": 2, "scratch_words": SIZES["scratch_words"], "seed": 5}
    trainer = FabricTrainer(machine, preset("tiny"), net, **settings)
    assert trainer.train_step(*data[0], (3, 8), 0.1).loss == losses[0]
    trainer.fetch()
    assert net.weights_sha256() == expected
    assert len(machine.commands) == machine.most < len(trainer.lists[SECOND_FORWARD]) // WORD_BYTES
    codes = {word.code for word, *_ in machine.commands}
    moves = {Code.BRING, Code.STORE}
    assert codes == {Code.LOAD_A, Code.FETCH, Code.EXEC, Code.DRAIN, Code.APPLY, Code.FLOAT, *moves}
    for word, _, slot_a, slot_b in machine.commands:
        for name, slot in (("slot", slot_a), ("slot_a", slot_a), ("slot_b", slot_b)):
            if name in word.values:
                held = machine.state.slots[word.values[name]]
                assert (slot.bits, slot.signed) == (held.bits, held.signed)


def small() -> Machine:
    """With nothing in memory but what a test writes."""
    return Machine(preset("tiny"), through=range(0), seed=2, stall=0.0, **SIZES)


def run_list(machine: Machine, *words: bytes) -> None:
    """Words as a list at `LIST`, called and ended."""
    machine.write(LIST, np.frombuffer(b"".join(words), np.uint8))
    call = encode(Code.RUN, offset=LIST, count=len(words))
    machine.ring_rtl(call + encode(Code.END, tag=77))


COPY = encode(Code.FLOAT, op=int(Op.COPY), n=1, reps=1)


def test_a_list_ends_when_its_last_instruction_has() -> None:
    machine = small()
    run_list(machine, *[COPY] * 6)
    assert machine.tag == 77
    assert len(machine.commands) == 6
    assert machine.refused == []


def test_an_empty_list_comes_back() -> None:
    machine = small()
    run_list(machine)
    assert machine.tag == 77


def test_keys_and_bases_are_set_by_the_ring() -> None:
    machine = small()
    machine.write(0x100 + LIST, np.frombuffer(COPY, np.uint8))
    words = [
        encode(Code.SET, kind=0, index=9, value=0x100),
        encode(Code.SET, kind=1, index=1, value=0xCAFE),
        encode(Code.RUN, base=9, offset=LIST, count=1),
        encode(Code.END, tag=5),
    ]
    machine.ring_rtl(b"".join(words))
    assert machine.tag == 5
    assert [word.code for word, *_ in machine.commands] == [Code.FLOAT]
    assert machine.seen_keys == [0, 0xCAFE]


def changed(word: bytes, bit: int) -> bytes:
    """With one bit turned round."""
    return (int.from_bytes(word, "little") ^ 1 << bit).to_bytes(WORD_BYTES, "little")


LOAD = encode(Code.LOAD_A, slot=3, tiles=1, ksteps=1)


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        (bytes(WORD_BYTES), "illegal_code"),
        (bytes([15]) + bytes(WORD_BYTES - 1), "illegal_code"),
        (encode(Code.RUN, offset=LIST, count=1), "illegal_code"),
        (encode(Code.SET, index=1, value=1), "illegal_code"),
        (encode(Code.END), "illegal_code"),
        (changed(COPY, 31), "reserved_bits"),
        (changed(LOAD, 63), "reserved_bits"),
        (encode(Code.LOAD_A, slot=3, tiles=1), "bad_value"),
        (encode(Code.FLOAT, op=max(Op) + 1, n=1, reps=1), "bad_value"),
        (encode(Code.FLOAT, n=1, reps=1, to_space=int(Space.STATISTICS)), "bad_value"),
        (encode(Code.BRING, kind=max(Bring) + 1, words=1, runs=1), "bad_value"),
        (encode(Code.STORE, kind=max(Store) + 1, words=1, runs=1), "bad_value"),
        (encode(Code.FLOAT, n=1, reps=1, wait1_engine=max(Engine) + 1), "bad_value"),
        (LOAD, "bad_slot"),
        (encode(Code.EXEC, slot_a=0, slot_b=3, ksteps=1, a_tiles=1, tiles=1), "bad_slot"),
        (encode(Code.APPLY, kind=int(Apply.CODE), slot=3, tiles=1, groups=1, images=1), "bad_slot"),
    ],
)
def test_a_faulty_word_in_a_list_is_refused_behind_all_before_it(word: bytes, fault: str) -> None:
    machine = small()
    machine.set_slots({3: (17, False)})
    run_list(machine, COPY, COPY, word, COPY)
    assert machine.refused == [[fault]]
    assert [word.code for word, *_ in machine.commands] == [Code.FLOAT] * 2
    assert machine.tag == 0


def test_a_slot_that_is_not_used_may_hold_anything() -> None:
    machine = small()
    machine.set_slots({3: (0, False)})
    run_list(machine, encode(Code.STORE, kind=int(Store.LOCAL), slot=3, words=2, runs=1))
    assert machine.refused == []
    assert machine.tag == 77


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        (COPY, "illegal_code"),
        (encode(Code.RUN, offset=LIST + 8, count=1), "misaligned"),
        (changed(encode(Code.END), 255), "reserved_bits"),
    ],
)
def test_a_faulty_word_in_the_ring_is_refused(word: bytes, fault: str) -> None:
    machine = small()
    machine.ring_rtl(word + encode(Code.RUN, offset=LIST) + encode(Code.END, tag=3))
    assert machine.refused == [[fault]]
    assert machine.tag == 0


def test_an_instruction_that_could_not_be_read_is_refused() -> None:
    machine = small()
    machine.unreadable = {LIST + WORD_BYTES + 24}
    run_list(machine, COPY, COPY, COPY)
    assert machine.refused == [["unreadable"]]
    assert len(machine.commands) == 1
