"""One hostile run: the same acts on the compiled RTL and on the fast model, compared after each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import REGISTERS, ArrayConfig, Counter, Error, register
from cpt.hw.contract.config import BEAT_BYTES
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.fast import FastBackend
from cpt.sim.faults import Faults
from cpt.sim.hostile.covered import Covered
from cpt.sim.hostile.draw import MEMORY_BYTES, Act, Artist
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend
from cpt.sim.rtl.library import EventKind
from cpt.sim.scoreboard import Scoreboard

ACTS = 2
"""Programs of one run, a soft reset between them."""
REST_CYCLES = 2_000
"""Without a byte moved, a step taken or an instruction dispatched in so many cycles, nothing more happens."""
DEADLINE_CYCLES = 400_000
_BUSY = 1 << register("STATUS").field("busy").offset
_HALTED = 1 << register("STATUS").field("halted").offset
_SOFT_RESET = 1 << register("CONTROL").field("soft_reset").offset
_WINDOWS = ("READ_BASE", "READ_LIMIT", "WRITE_BASE", "WRITE_LIMIT")
_COUNTERS = {f"{counter.name}_{half}" for counter in Counter for half in ("LO", "HI")}
_WORK = ("EXEC_BUSY_LO", "BYTES_WRITTEN_LO")
_BUS_ERRORS = 1 << Error.AXI_READ | 1 << Error.AXI_WRITE


@dataclass
class Tally(Covered):
    """What hostile runs have covered."""

    acts: int = 0
    finished: int = 0
    refused: int = 0
    stuck: int = 0
    stopped: int = 0
    """By a refusing memory or a soft reset in the middle."""
    written_bytes: int = 0

    def __str__(self) -> str:
        return (
            f"{self.acts} programs: {self.finished} finished, {self.refused} refused, {self.stuck} stuck, "
            f"{self.stopped} stopped; {self.written_bytes} bytes changed inside their windows, none outside; "
            f"errors seen: {self.error_names}"
        )


class Pair:
    """Both machines with the same memory."""

    def __init__(self, config: ArrayConfig, artist: Artist) -> None:
        model = memory_model(artist.memory, config.clock_mhz)
        self.rtl = RtlBackend(config, model, MEMORY_BYTES, stalls=artist.stalls)
        self.fast = FastBackend(config, model, MEMORY_BYTES)
        self.both: tuple[Backend, Backend] = (self.rtl, self.fast)
        self.rtl.trace(True)

    def fill(self, content: NDArray[np.uint8]) -> None:
        """Put the same bytes into both memories."""
        for backend in self.both:
            backend.memory[: content.size] = content

    def write(self, name: str, value: int) -> None:
        """Write a register of both."""
        for backend in self.both:
            backend.write_register(register(name).offset, value)

    def set_faults(self, faults: Faults) -> None:
        """What both memories refuse."""
        self.rtl.faults = self.fast.faults = faults

    def read_rtl(self, name: str) -> int:
        """A register of the RTL, without letting time pass for it."""
        return self.rtl.simulation.read(register(name).offset)

    def rest(self) -> bool:
        """Run until neither machine does anything more; whether they are idle or halted, not waiting."""
        names = ("RING_HEAD", "BYTES_READ_LO", *_WORK)
        before: list[int] = []
        for _ in range(DEADLINE_CYCLES // REST_CYCLES):
            done = self.rtl.wait(REST_CYCLES)
            now = [self.read_rtl(name) for name in names]
            if done or (now == before and not self.read_rtl("WATCHDOG")):
                break
            before = now
        else:
            raise TimeoutError(f"the RTL still works after {DEADLINE_CYCLES} cycles")
        while self.read_rtl("STATUS") & _BUSY and self.read_rtl("STATUS") & _HALTED:
            self.rtl.simulation.run(100)
        fast = self.fast.wait(DEADLINE_CYCLES)
        assert done == fast, f"at rest: RTL {done}, fast model {fast}"
        return done

    def reset(self) -> None:
        """Soft reset of both."""
        self.write("CONTROL", _SOFT_RESET)
        for _ in range(DEADLINE_CYCLES // 100):
            if not self.read_rtl("STATUS") & _BUSY:
                return
            self.rtl.simulation.run(100)
        raise TimeoutError("the RTL stays busy after a soft reset")

    def registers(self) -> list[dict[str, int]]:
        """Every register of each."""
        return [
            {item.name: backend.read_register(item.offset) for item in REGISTERS} for backend in self.both
        ]

    def close(self) -> None:
        """Free the simulation."""
        self.rtl.close()


def run(config: ArrayConfig, seed: int, number: int) -> Tally:
    """One run; raises `cpt.sim.scoreboard.Mismatch`, `cpt.sim.rtl.RtlError` or `TimeoutError`."""
    artist, board, tally = Artist(config, seed, number), Scoreboard(), Tally()
    pair = Pair(config, artist)
    content = artist.rng.integers(0, 256, MEMORY_BYTES, np.uint8)
    known = True
    try:
        for index in range(ACTS):
            act = artist.act(known)
            content[: 32 * len(act.words)] = np.frombuffer(b"".join(act.words), np.uint8)
            pair.fill(content)
            known = _perform(pair, act, content, board, tally, f"act {index}")
            pair.set_faults(Faults())
            pair.reset()
            board.equal(f"act {index}, bursts open after a soft reset", pair.rtl.simulation.open_bursts, 0)
            rtl, fast = pair.registers()
            board.equal(f"act {index} after a soft reset, what differs", _differences(rtl, fast), "")
    finally:
        pair.close()
    board.finish()
    return tally


def _perform(
    pair: Pair, act: Act, content: NDArray[np.uint8], board: Scoreboard, tally: Tally, where: str
) -> bool:
    """Run one act and compare; whether what the buffers hold is still the same on both."""
    for slot, value in act.slots.items():
        pair.write(f"SLOT_{slot}", value)
    for name, value in act.registers.items():
        pair.write(name, value)
    pair.set_faults(act.faults)
    done, exact = True, act.exact
    for doorbell in act.doorbells:
        pair.write("RING_TAIL", doorbell)
        refused = pair.fast.read_register(register("ERROR").offset) >> Error.BAD_RING & 1
        for name, value in act.late_writes.items() if doorbell == act.doorbells[0] and not refused else ():
            # Behind the doorbell of a bad ring it is a matter of cycles (docs/machine.md).
            pair.write(name, value)
        if act.reset_after_cycles is not None:
            pair.rtl.simulation.run(act.reset_after_cycles)
            pair.reset()
            break
        done = pair.rest()
    errors = pair.read_rtl("ERROR") | pair.fast.read_register(register("ERROR").offset)
    for name, value in act.noise:
        pair.write(name, value)
    rtl, fast = pair.registers()
    if not act.exact and act.reset_after_cycles is None:
        # The memory has refused nothing that was asked for: then nothing depends on timing.
        exact = not errors & _BUS_ERRORS
    _inside(pair, content, board, where)
    if exact:
        # What a machine that waits for ever has done of the tile it cannot finish is not modelled.
        waited = not done or errors >> Error.WATCHDOG & 1
        left_out = _COUNTERS.difference(() if waited else _WORK)
        if done and not errors:
            left_out -= {"BYTES_READ_LO"}
        for machine in (rtl, fast):
            for name in left_out:
                del machine[name]
        board.equal(f"{where}, what differs", _differences(rtl, fast), "")
        board.equal(f"{where}, memory", pair.rtl.memory, pair.fast.memory)
    elif act.reset_after_cycles is None:
        board.equal(f"{where}, halted", rtl["STATUS"], fast["STATUS"])
    tally.acts += 1
    tally.errors |= errors
    tally.stuck += not done
    tally.stopped += not exact
    tally.refused += exact and done and bool(errors & ~(1 << Error.BUSY_WRITE))
    tally.finished += exact and done and not errors & ~(1 << Error.BUSY_WRITE)
    tally.written_bytes += int((pair.rtl.memory != content).sum())
    return exact and done and not errors >> Error.WATCHDOG & 1


def _differences(rtl: dict[str, int], fast: dict[str, int]) -> str:
    """Registers that differ."""
    return ", ".join(
        f"{name} RTL {value:#x} fast {fast[name]:#x}" for name, value in rtl.items() if fast[name] != value
    )


def _inside(pair: Pair, content: NDArray[np.uint8], board: Scoreboard, where: str) -> None:
    """Nothing outside the windows was asked of the bus, and on neither machine has anything there changed."""
    read_base, read_limit, write_base, write_limit = (pair.read_rtl(name) for name in _WINDOWS)
    outside = [
        f"{event.kind.name} of {event.value} beats at {event.address:#x}"
        for event in pair.rtl.take_events()
        for low, high in [
            (read_base, read_limit) if event.kind == EventKind.READ_BURST else (write_base, write_limit)
        ]
        if event.kind != EventKind.REGISTER_WRITE
        and not low <= event.address <= event.address + BEAT_BYTES * event.value <= high
    ]
    board.equal(f"{where}, bursts outside {read_base:#x}..{read_limit:#x}, {write_base:#x}..", outside, [])
    addresses = MEMORY_BASE + np.arange(MEMORY_BYTES)
    kept = (addresses < write_base) | (addresses >= write_limit)
    for backend in pair.both:
        who = f"{where}, {type(backend).__name__}"
        board.equal(f"{who} memory outside its window", backend.memory[kept], content[kept])
