"""Hostile lists for the machine of whole steps: a network's own, cut short and spoilt, on the compiled RTL.

However an engine is led astray, the machine comes to rest or a soft reset brings it there, it asks nothing of
the bus outside its windows, refuses exactly what `cpt.sim.step.refusals` says, and afterwards runs a network
as if nothing had been. What a spoilt list leaves where it may write is not looked at: engines that no longer
wait for each other do it in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cpt.host.compiler.memory import BATCH, LOGITS, STATIC
from cpt.host.compiler.network import ONLY_FORWARD
from cpt.host.fabric import FabricTrainer, precision_slots
from cpt.hw.contract import ArrayConfig, Error, register, slot_offset
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.regs import RING_ALIGNMENT
from cpt.hw.contract.step import FORMATS, WORD_BYTES, Code, encode
from cpt.sim.faults import Faults, Refusal
from cpt.sim.hostile.covered import Covered
from cpt.sim.memory import Stalls, memory_model
from cpt.sim.rtl import RtlBackend
from cpt.sim.rtl.library import EventKind
from cpt.sim.scoreboard import Scoreboard
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.refusals import refusal
from cpt.sim.step.rtl import CLASSES, Case, batches

ACTS = 4
"""Spoilt lists of one run, a soft reset behind each; then one that is whole."""
LONGEST = 60
"""Instructions of a list that is cut short."""
LIST_BYTES, RING_LOG2 = 1 << 13, 7
LIST_BASE = 6
"""Base register of the list; those below are the network's."""
WATCHDOG_CYCLES = 3_000
MOST_CYCLES = 40_000
"""Until a list that goes on and on is given up."""
WHOLE_CYCLES = 4_000_000
RESET_CYCLES = 20_000
"""Until a soft reset has brought the machine to rest: bursts under way end first."""
POLL_CYCLES = 1_000
TAG = 7
_STATIC = (Error.ILLEGAL_OPCODE, Error.RESERVED_BITS, Error.BAD_SLOT)
_BUSY = 1 << register("STATUS").field("busy").offset
_SOFT_RESET = 1 << register("CONTROL").field("soft_reset").offset


@dataclass
class Tally(Covered):
    """What runs have covered."""

    acts: int = 0
    finished: int = 0
    refused: int = 0
    """By an error other than the watchdog's."""
    expired: int = 0
    """By the watchdog."""
    given_up: int = 0
    """Reset while they worked or, without a watchdog, waited."""

    def __str__(self) -> str:
        return (
            f"{self.acts} lists: {self.finished} finished, {self.refused} refused, {self.expired} stopped "
            f"by the watchdog, {self.given_up} given up; nothing outside their windows; "
            f"errors seen: {self.error_names}"
        )


@dataclass(frozen=True)
class Ground:
    """A small network behind a training step: its lists, and all that they read."""

    memory: NDArray[np.uint8]
    lists: dict[str, bytes]
    slots: dict[int, int]
    bases: bytes
    """SET of its base registers."""
    whole: bytes
    """Ring words of a forward pass."""
    after: NDArray[np.uint8]
    """Memory behind those; what is padding holds whatever local memory held."""
    results: tuple[slice, ...]
    """Of it, what the network is: parameters, statistics, codes of weights; and the logits."""


@lru_cache(maxsize=2)
def ground(config: ArrayConfig) -> Ground:
    """By the exact model."""
    case = Case(4, 8, 2, 1, (4, 6), before=0, steps=2, stall=0.0, seed=11, kind="inverted")
    machine = StepMachine(config, memory=1 << 20, scratch_words=config.scratch_words)
    trainer = FabricTrainer(
        machine,
        config,
        case.network(),
        batch_size=2,
        micro_batch=2,
        scratch_words=config.scratch_words,
    )
    images, labels = batches(case)[0]
    trainer.train_step(images, labels, case.bits, 0.1)
    state, used = machine.state, trainer.memory_bytes
    sets = [*enumerate(state.bases[:LIST_BASE])]
    bases = b"".join(encode(Code.SET, index=index, value=value) for index, value in sets)
    keys = b"".join(encode(Code.SET, kind=1, index=n, value=key) for n, key in enumerate(state.keys))
    slots = {
        index: bits | signed << 8
        for index, (bits, signed) in precision_slots(trainer.network, *case.bits).items()
    }
    memory = state.memory[:used].copy()
    calls = trainer.calls[trainer.programs.named(ONLY_FORWARD, case.bits[0])]
    whole = bases + keys + calls + encode(Code.END, tag=TAG)
    machine.ring(whole)
    machine.tag = 0
    machine.wait(TAG)
    logits = state.bases[LOGITS]
    results = (
        slice(*(trainer.addresses[base] for base in (STATIC, BATCH))),
        slice(logits, logits + 4 * 2 * CLASSES),
    )
    return Ground(memory, trainer.lists, slots, bases, whole, state.memory[:used].copy(), results)


@dataclass(frozen=True)
class Act:
    """A list, and what stands around it."""

    words: tuple[bytes, ...]
    slots: dict[int, int]
    registers: dict[str, int]
    faults: Faults
    count: int
    """Words that the ring says there are."""

    @property
    def ring(self) -> bytes:
        """RUN of the list, and END."""
        return encode(Code.RUN, base=LIST_BASE, count=self.count) + encode(Code.END, tag=TAG)


class Artist:
    """Draws acts on a `Ground` of ``used`` bytes, behind which the list and the ring lie."""

    def __init__(self, config: ArrayConfig, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([11, seed, number])
        self.ground = ground(config)
        self.used = self.ground.memory.size
        self.ring_base = self.used + LIST_BYTES
        self.end = self.ring_base + RING_ALIGNMENT
        assert not (self.used | self.ring_base) % RING_ALIGNMENT

    def act(self) -> Act:
        """The next one; one in four is whole but for its end."""
        rng, ground = self.rng, self.ground
        words = ground.lists[sorted(ground.lists)[int(rng.integers(len(ground.lists)))]]
        count = int(rng.integers(3, LONGEST + 1))
        some = [
            words[at : at + WORD_BYTES] for at in range(0, min(len(words), count * WORD_BYTES), WORD_BYTES)
        ]
        wild = rng.random() < 0.75
        for _ in range(int(rng.integers(1, 4)) if wild else 0):
            self._spoil(some)
        slots = dict(ground.slots)
        if wild and rng.random() < 0.1:
            slots[int(rng.choice(list(slots)))] = int(rng.integers(1 << 9))
        windows = {"READ_BASE": 0, "READ_LIMIT": self.end, "WRITE_BASE": 0, "WRITE_LIMIT": self.used}
        if wild and rng.random() < 0.25:
            name = ("READ_BASE", "WRITE_BASE", "WRITE_LIMIT")[int(rng.integers(3))]
            windows[name] = int(rng.integers(self.used // RING_ALIGNMENT)) * RING_ALIGNMENT
        faults = Faults()
        if wild and rng.random() < 0.1:
            start = int(rng.integers(self.used))
            faults = Faults(refusals=(Refusal(start=start, end=start + int(rng.integers(1, 1 << 14))),))
        watchdog = WATCHDOG_CYCLES if rng.random() < 0.9 else 0
        return Act(tuple(some), slots, {**windows, "WATCHDOG": watchdog}, faults, len(some))

    def _spoil(self, words: list[bytes]) -> None:
        """One wrong thing."""
        rng, at = self.rng, int(self.rng.integers(len(words)))
        match int(rng.integers(7)):
            case 0:
                words[at] = rng.bytes(WORD_BYTES)
            case 1:
                words[at] = words[int(rng.integers(len(words)))]
            case 2:
                other = int(rng.integers(len(words)))
                words[at], words[other] = words[other], words[at]
            case 3 if len(words) > 1:
                del words[at]
            case 4:
                bit = int(rng.integers(8 * WORD_BYTES))
                words[at] = (int.from_bytes(words[at], "little") ^ 1 << bit).to_bytes(WORD_BYTES, "little")
            case _:
                number = words[at][0] & 0xF
                if number in {int(code) for code in Code}:
                    items = FORMATS[Code(number)]
                    item = items[int(rng.integers(1, len(items)))]
                    most = (1 << item.width) - 1
                    value = int(rng.choice([0, 1, most, most >> 1, int(rng.integers(most + 1))]))
                    held = int.from_bytes(words[at], "little") & ~(most << item.offset)
                    words[at] = (held | value << item.offset).to_bytes(WORD_BYTES, "little")


class Machine:
    """The compiled RTL, its ring and lists behind the network's memory."""

    def __init__(self, config: ArrayConfig, artist: Artist) -> None:
        rng = artist.rng
        model = memory_model(("ideal", "ps-ddr")[int(rng.integers(2))], config.clock_mhz)
        stalls = Stalls(float(rng.choice([0.0, 0.0, 0.3])), int(rng.integers(1 << 16)))
        self.artist = artist
        self.rtl = RtlBackend(config, model, artist.end, memory_base=0, stalls=stalls)
        self.rtl.trace(True)
        self.write("RING_BASE", artist.ring_base)
        self.write("RING_LOG2", RING_LOG2)

    def write(self, name: str, value: int) -> None:
        """Write a register."""
        self.rtl.write_register(register(name).offset, value)

    def read(self, name: str) -> int:
        """A register, without letting time pass."""
        return self.rtl.simulation.read(register(name).offset)

    def fill(self, words: bytes) -> NDArray[np.uint8]:
        """The network's memory as it was, and ``words`` as the list; a copy of all."""
        memory, artist = self.rtl.memory, self.artist
        memory[:] = 0
        memory[: artist.used] = artist.ground.memory
        memory[artist.used : artist.used + len(words)] = np.frombuffer(words, np.uint8)
        return memory.copy()

    def ring(self, words: bytes) -> None:
        """Ring ``words``, from the ring's start; the machine has just been reset."""
        at = self.artist.ring_base
        self.rtl.memory[at : at + len(words)] = np.frombuffer(words, np.uint8)
        self.write("RING_TAIL", len(words) // WORD_BYTES)

    def set(self, slots: dict[int, int], registers: dict[str, int]) -> None:
        """Slots and registers."""
        for index, value in slots.items():
            self.rtl.write_register(slot_offset(index), value)
        for name, value in registers.items():
            self.write(name, value)

    def rest(self, most_cycles: int) -> bool:
        """Run until the machine is done or halted; whether it is, after so many cycles."""
        return any(self.rtl.wait(POLL_CYCLES) for _ in range(most_cycles // POLL_CYCLES))

    def reset(self) -> None:
        """Soft reset; `TimeoutError` if it does not come to rest."""
        self.write("CONTROL", _SOFT_RESET)
        for _ in range(RESET_CYCLES // 100):
            if not self.read("STATUS") & _BUSY:
                return
            self.rtl.simulation.run(100)
        raise TimeoutError(f"the RTL is busy {RESET_CYCLES} cycles after a soft reset")


def run(config: ArrayConfig, seed: int, number: int) -> Tally:
    """One run; raises `cpt.sim.scoreboard.Mismatch`, `cpt.sim.rtl.RtlError` or `TimeoutError`."""
    artist, board, tally = Artist(config, seed, number), Scoreboard(), Tally()
    machine = Machine(config, artist)
    try:
        for index in range(ACTS):
            _perform(machine, artist.act(), board, tally, f"list {index}")
        whole(machine, board)
    finally:
        machine.rtl.close()
    board.finish()
    return tally


def _perform(machine: Machine, act: Act, board: Scoreboard, tally: Tally, where: str) -> None:
    """Run one act, look at how it ended, reset."""
    artist = machine.artist
    before = machine.fill(b"".join(act.words))
    machine.set(act.slots, act.registers)
    bases = artist.ground.bases + encode(Code.SET, index=LIST_BASE, value=artist.used)
    before[artist.ring_base :][: len(bases + act.ring)] = np.frombuffer(bases + act.ring, np.uint8)
    machine.rtl.faults = act.faults
    machine.ring(bases + act.ring)
    done = machine.rest(MOST_CYCLES)
    errors = machine.read("ERROR")
    expected = {int(error) for word in act.words if (error := refusal(word, act.slots)) is not None}
    if done and not errors:
        board.equal(f"{where}, refusals of a list that finished", sorted(expected), [])
        board.equal(f"{where}, its tag", machine.read("DONE_TAG"), TAG)
    found = {int(error) for error in _STATIC if errors >> error & 1}
    board.equal(f"{where}, refused without reason", sorted(found - expected), [])

    low, high = act.registers["WRITE_BASE"], act.registers["WRITE_LIMIT"]
    ranges = {EventKind.READ_BURST: (act.registers["READ_BASE"], act.registers["READ_LIMIT"])}
    outside = [
        f"{event.kind.name} of {event.value} beats at {event.address:#x}"
        for event in machine.rtl.take_events()
        if event.kind is not EventKind.REGISTER_WRITE
        for base, limit in [ranges.get(event.kind, (low, high))]
        if not base <= event.address <= event.address + BEAT_BYTES * event.value <= limit
    ]
    board.equal(f"{where}, bursts outside the windows", outside, [])
    machine.rtl.faults = Faults()
    machine.reset()
    board.equal(f"{where}, bursts open after a soft reset", machine.rtl.simulation.open_bursts, 0)
    addresses = np.arange(before.size)
    kept = (addresses < low) | (addresses >= high)
    board.equal(f"{where}, memory outside the window", machine.rtl.memory[kept], before[kept])
    for name in ("STATUS", "ERROR", "RING_HEAD"):
        board.equal(f"{where}, {name} after a soft reset", machine.read(name), 0)
    tally.acts += 1
    tally.errors |= errors
    tally.given_up += not done
    tally.finished += done and not errors
    tally.expired += done and errors == 1 << Error.WATCHDOG
    tally.refused += done and bool(errors & ~(1 << Error.WATCHDOG))


def begin_whole(machine: Machine) -> None:
    """Ring a forward pass."""
    artist = machine.artist
    machine.fill(b"")
    windows = {"READ_BASE": 0, "READ_LIMIT": artist.end, "WRITE_BASE": 0, "WRITE_LIMIT": artist.used}
    machine.set(artist.ground.slots, {**windows, "WATCHDOG": WATCHDOG_CYCLES})
    machine.ring(artist.ground.whole)


def whole(machine: Machine, board: Scoreboard) -> None:
    """A forward pass leaves what the exact model leaves, whatever ran before."""
    artist = machine.artist
    begin_whole(machine)
    board.equal("a whole list, done", machine.rest(WHOLE_CYCLES), True)
    board.equal("a whole list, errors", machine.read("ERROR"), 0)
    for part in artist.ground.results:
        board.equal("a whole list, memory", machine.rtl.memory[part], artist.ground.after[part])
    machine.rtl.take_events()
