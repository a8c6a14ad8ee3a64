"""Command ring and dispatcher: when each instruction reaches its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from cpt.hw.contract import ArrayConfig, Opcode
from cpt.hw.contract.machine import FETCH_INSTRUCTIONS, INSTRUCTION_BEATS, MACHINE
from cpt.sim.fast.channels import READ_0, READ_1, Channels, Transfer
from cpt.sim.fast.draining import DrainEngine
from cpt.sim.fast.engine import AddressPort, Engine, SharedPort
from cpt.sim.fast.executing import ExecEngine
from cpt.sim.fast.loading import LoadEngine
from cpt.sim.fast.machine import Residue
from cpt.sim.fast.pipeline import END_CYCLES, M0_DATA_CYCLES, ROOM_CYCLES
from cpt.sim.fast.work import Work
from cpt.sim.memory import MemoryModel


class _Fetch:
    """One burst of instructions on its way."""

    def __init__(self, count: int, arrived: Callable[[int, int], None]) -> None:
        self._count, self._arrived = count, arrived

    def finished(self, cycle: int, last: bool) -> None:
        """The burst is complete."""
        self._arrived(self._count, cycle)


class Dispatcher:
    """Runs a program on the engines; see `cpt.sim.fast.timing`.

    Args:
        program: opcode and work of every instruction.
        start: ring index of the first one, ``size``: instructions in the ring.
        residue: what the buffers hold at the start.
    """

    def __init__(
        self,
        config: ArrayConfig,
        model: MemoryModel,
        program: Sequence[tuple[Opcode, Work]],
        start: int,
        size: int,
        residue: Residue,
    ) -> None:
        self._program = program
        self._position, self._align = start, min(FETCH_INSTRUCTIONS, size)
        self._channels = Channels(model)
        self._latency_cycles = model.read_latency_cycles
        self._port = SharedPort(model, self._channels)
        self._available: list[int] = []
        self._dispatched: list[int] = []
        self._requested, self._request_ready = 0, MACHINE.ring_cycles - 1
        self._dirty = False
        loader = partial(LoadEngine, self._channels, model=model, on_accept=self._wake)
        held_a = int(residue.held_a)
        arbiter, port_b = (MACHINE.arbiter_cycles, MACHINE.arbiter_data_cycles), AddressPort(model)
        offer_a = partial(self._port.offer, 1)
        self.load_a = loader(READ_0, arbiter, residue.blocks_a, held_a, offer=offer_a, give=self._port.give)
        self.load_b = loader(READ_1, (0, 0), residue.blocks_b, 0, offer=port_b.offer, give=port_b.give)
        open_tiles = residue.tiles + residue.accumulating
        self.executor = ExecEngine(config, self.load_a, self.load_b, residue.held_a, open_tiles, self._wake)
        self.drain = DrainEngine(self._channels, model, self.executor, residue.tiles, self._wake)
        self.load_a.on_loaded = self.load_b.on_loaded = self.executor.wake
        self.executor.on_complete = self.drain.complete
        self._engines: dict[Opcode, Engine] = {
            Opcode.LOAD_A: self.load_a,
            Opcode.LOAD_B: self.load_b,
            Opcode.EXEC: self.executor,
            Opcode.DRAIN: self.drain,
        }

    def run(self) -> int | None:
        """Cycle after which nothing happens any more; None if an engine waits for more instructions."""
        process = self._run()
        while True:
            self._fetch()
            next(process, None)
            if self._dirty:
                self._dirty = False
            elif not self._channels.step():
                break
        if len(self._dispatched) < len(self._program) or any(e.pending for e in self._engines.values()):
            return None
        dispatched = self._dispatched[-1] + 1 if self._dispatched else 0
        return max(dispatched, self._engines_idle())

    @property
    def dispatched(self) -> int:
        """Instructions handed to their engines so far."""
        return len(self._dispatched)

    @property
    def now(self) -> int:
        """First cycle in which the ports have not moved anything yet."""
        return self._channels.now

    def _wake(self) -> None:
        self._dirty = True

    def _engines_idle(self) -> int:
        return max(engine.idle for engine in self._engines.values())

    def _fetch(self) -> None:
        """Request instructions while there is room for a whole burst of them."""
        while self._requested < len(self._program):
            needed = self._requested - (MACHINE.prefetch_instructions - FETCH_INSTRUCTIONS)
            if needed > len(self._dispatched):
                return
            request = self._request_ready
            if needed > 0:
                request = max(request, self._dispatched[needed - 1] + MACHINE.ring_cycles)
            count = min(self._align - self._position % self._align, len(self._program) - self._requested)
            self._requested += count
            self._position += count
            self._request_ready = request + MACHINE.ring_interval_cycles
            self._port.offer(0, request + MACHINE.generator_cycles, partial(self._address, count))

    def _address(self, count: int, address: int) -> None:
        """The address of ``count`` instructions is taken in cycle ``address``."""
        fetch = _Fetch(count, self._arrived)
        ready = address + self._latency_cycles
        self._channels.share(Transfer(address, ready, (count * INSTRUCTION_BEATS,), fetch, True, shared=True))

    def _arrived(self, count: int, cycle: int) -> None:
        """A burst of ``count`` instructions ended in ``cycle``."""
        self._port.give(cycle)
        self._wake()
        whole = cycle + M0_DATA_CYCLES + 1
        self._available += [whole - INSTRUCTION_BEATS * (count - 1 - index) for index in range(count)]

    def _run(self) -> Iterator[None]:
        ready = 0
        for index, (opcode, work) in enumerate(self._program):
            while len(self._available) <= index:
                yield
            push = max(ready, self._available[index]) + MACHINE.dispatch_cycles + work.check_cycles
            if opcode == Opcode.END:
                while any(engine.pending for engine in self._engines.values()):
                    yield
                push = max(push, self._engines_idle() + END_CYCLES)
            else:
                engine = self._engines[opcode]
                oldest = engine.pushed - MACHINE.queue_instructions
                while oldest >= len(engine.accepted):
                    yield
                if oldest >= 0:
                    push = max(push, engine.accepted[oldest] + ROOM_CYCLES)
            ready = push + MACHINE.handover_cycles
            self._dispatched.append(push)
            if opcode != Opcode.END:
                self._engines[opcode].push(push, work)
            self._dirty = True
