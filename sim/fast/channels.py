"""Data channels of the memory: bursts in order, sharing its slots by the rules of `cpt.sim.memory`."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from cpt.hw.contract.machine import MACHINE
from cpt.sim.fast.pipeline import M0_ADDRESS_CYCLES, M0_DATA_CYCLES, M0_STEP_CYCLES
from cpt.sim.memory import MATRIX_CHANNELS, Channel, MemoryModel

READ_0, READ_1, WRITE_0 = Channel.READ_0, Channel.READ_1, Channel.WRITE_0
_NEVER, LONG_AGO = 1 << 62, -(1 << 62)
_STRETCHES = 64
"""Kept of each channel: more than the bursts in flight, as every event of another channel ends one."""
_REPLACE_CYCLES = M0_DATA_CYCLES + 1 + M0_ADDRESS_CYCLES
"""From a burst's last beat to the address of the burst that takes its place, on m0."""


class Owner(Protocol):
    """Who wants to know that its transfer is complete."""

    def finished(self, cycle: int, last: bool) -> None:
        """The last beat moved in ``cycle``; ``last``: it was the last one of its block or tile."""


@dataclass
class Transfer:
    """One burst, or bursts behind each other that nothing keeps from streaming."""

    address_cycle: int
    """Cycle the first address is transferred in; the others follow."""
    ready: int
    """First cycle a beat may move in."""
    ends: tuple[int, ...]
    """Beats up to the end of each burst."""
    owner: Owner
    last: bool
    moved: int = 0
    """Beats before the first one of this transfer, in the count of ``ends``, and those it has moved."""
    stop: int = 0
    """Beats after which it is complete; all of them unless given."""
    shared: bool = False
    """Of another master than the channel's own."""

    def __post_init__(self) -> None:
        self.stop = self.stop or self.ends[-1]
        self.begin = bisect_right(self.ends, self.moved)
        """Index of its first burst."""

    @property
    def end(self) -> int:
        """Index behind its last burst that is complete with it."""
        return bisect_right(self.ends, self.stop)

    def split(self, bursts: int) -> Transfer:
        """Keep the first ``bursts`` and return the rest as a transfer of its own."""
        stop = self.ends[bursts - 1]
        address = self.address_cycle + M0_STEP_CYCLES * (bursts - self.begin)
        rest = Transfer(address, self.ready, self.ends, self.owner, self.last, stop, self.stop)
        self.stop, self.owner, self.last = stop, _NOBODY, False
        return rest


@dataclass(frozen=True)
class _Stretch:
    """What a channel moved while the same channels were active."""

    start: int
    mask: int
    """Its first cycle, and which channels were active."""
    transfer: Transfer
    beats: int
    moved: int
    """Beats in it, and of the transfer at its end."""


class _Share:
    """Which of the active channels moves a beat, for one set of active channels."""

    def __init__(self, model: MemoryModel, active: Sequence[int]) -> None:
        self.period = model.period_cycles
        self.positions: dict[int, list[int]] = {channel: [] for channel in active}
        for cycle in range(self.period):
            order = [(cycle + turn) % MATRIX_CHANNELS for turn in range(MATRIX_CHANNELS)]
            wanting = [channel for channel in order if channel in self.positions]
            for channel in wanting[: model.slots(cycle)]:
                self.positions[channel].append(cycle)
        self.before = {
            channel: [sum(position < phase for position in positions) for phase in range(self.period + 1)]
            for channel, positions in self.positions.items()
        }

    def _granted(self, channel: int, cycle: int) -> int:
        """Beats of ``channel`` in cycles ``0 .. cycle-1``."""
        rounds, phase = divmod(cycle, self.period)
        return rounds * len(self.positions[channel]) + self.before[channel][phase]

    def beats(self, channel: int, start: int, end: int) -> int:
        """Beats of ``channel`` in cycles ``start .. end-1``."""
        return self._granted(channel, end) - self._granted(channel, start)

    def finish(self, channel: int, start: int, beats: int) -> int:
        """Cycle of the last of ``beats`` beats when all stay active from ``start`` on."""
        positions = self.positions[channel]
        if not positions:
            return _NEVER
        rounds, index = divmod(self._granted(channel, start) + beats - 1, len(positions))
        return rounds * self.period + positions[index]


class Channels:
    """The three data channels in time order.

    A transfer that starts late never makes one before it later, so completions are final when they are
    reported; what owners push in response lies in the future.
    """

    def __init__(self, model: MemoryModel) -> None:
        self._queues: tuple[deque[Transfer], ...] = tuple(deque() for _ in range(MATRIX_CHANNELS))
        self._free_until = [0] * MATRIX_CHANNELS
        self._later: deque[Transfer] = deque()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._calls = 0
        self.now = 0
        """First cycle that is not over."""
        self._shares = [
            _Share(model, [channel for channel in range(MATRIX_CHANNELS) if mask >> channel & 1])
            for mask in range(1 << MATRIX_CHANNELS)
        ]
        self._lately: tuple[deque[_Stretch], ...] = tuple(
            deque(maxlen=_STRETCHES) for _ in range(MATRIX_CHANNELS)
        )
        fewest = model.slots_num // model.slots_den
        self._contended = [bin(mask).count("1") > fewest for mask in range(1 << MATRIX_CHANNELS)]

    def push(self, channel: int, transfer: Transfer) -> None:
        """Append a transfer to a channel."""
        queue = self._queues[channel]
        if not queue:
            transfer.ready = max(transfer.ready, self._free_until[channel])
        queue.append(transfer)

    def share(self, transfer: Transfer) -> None:
        """Add a burst of another master to the first read channel, in the order of addresses.

        It takes its place when its address goes out: behind the bursts that are out by then, of which the
        channel's own master has at most ``outstanding_bursts``.
        """
        self._later.append(transfer)

    def watch(self, channel: int, behind: int, watcher: Owner) -> int | None:
        """When the burst moved its last beat that has ``behind`` more of its master behind it.

        None if it has not: ``watcher`` is told. `LONG_AGO` if there was none, or not lately.
        """
        queue, left = self._queues[channel], behind
        for index in range(len(queue) - 1, -1, -1):
            transfer = queue[index]
            if transfer.shared:
                continue
            bursts = transfer.end - bisect_right(transfer.ends, transfer.moved)
            if left >= bursts:
                left -= bursts
                continue
            target = transfer.end - 1 - left
            if transfer.ends[target] == transfer.stop:
                transfer.owner = _Both(transfer.owner, watcher)
            else:
                queue.insert(index + 1, transfer.split(target + 1))
                transfer.owner = watcher
            return None
        completed = self.completed(channel, left + 1)
        return completed[left] if left < len(completed) else LONG_AGO

    def call_at(self, cycle: int, call: Callable[[], None]) -> None:
        """Call when all cycles before ``cycle`` are over."""
        self._calls += 1
        heappush(self._timers, (cycle, self._calls, call))

    def _unreplaced(self) -> int:
        """Bursts of the first read channel's own master that completed too late to be replaced by now."""
        first = self.now - _REPLACE_CYCLES
        return sum(cycle >= first for cycle in self.completed(READ_0, MACHINE.outstanding_bursts))

    def completed(self, channel: int, count: int) -> list[int]:
        """Cycles of the last beats of the last bursts of a channel's own master, newest first."""
        found: list[int] = []
        for stretch in reversed(self._lately[channel]):
            if len(found) >= count:
                break
            transfer, moved = stretch.transfer, stretch.moved
            if transfer.shared:
                continue
            for index in range(bisect_right(transfer.ends, moved) - 1, -1, -1):
                beats = transfer.ends[index] - (moved - stretch.beats)
                if beats <= 0 or len(found) >= count:
                    break
                if self._contended[stretch.mask]:
                    found.append(self._shares[stretch.mask].finish(channel, stretch.start, beats))
                else:
                    found.append(stretch.start + beats - 1)
        return found

    def _insert(self, transfer: Transfer) -> None:
        queue = self._queues[READ_0]
        allowed = MACHINE.outstanding_bursts - self._unreplaced()
        for index, other in enumerate(queue):
            if other.shared:
                continue
            first = bisect_right(other.ends, other.moved)
            bursts = other.end - first
            out = min(bursts, allowed, other.begin + _started(other, transfer.address_cycle) - first)
            if out <= 0:
                queue.insert(index, transfer)
                return
            if out < bursts:
                queue.insert(index + 1, other.split(first + out))
                queue.insert(index + 1, transfer)
                return
            allowed -= bursts
        self.push(READ_0, transfer)

    def step(self) -> bool:
        """Move time to the next completion or call and report it; False if there is nothing to come."""
        queues = self._queues
        while True:
            now, upcoming, mask = self.now, _NEVER, 0
            if self._later:
                if self._later[0].address_cycle <= now:
                    self._insert(self._later.popleft())
                    continue
                upcoming = self._later[0].address_cycle
            if self._timers:
                if self._timers[0][0] <= now:
                    heappop(self._timers)[2]()
                    return True
                upcoming = min(upcoming, self._timers[0][0])
            for channel in range(MATRIX_CHANNELS):
                if queues[channel]:
                    ready = queues[channel][0].ready
                    if ready <= now:
                        mask |= 1 << channel
                    elif ready < upcoming:
                        upcoming = ready
            if mask == 0:
                if upcoming == _NEVER:
                    return False
                self.now = upcoming
                continue
            if self._advance(mask, upcoming):
                return True

    def _advance(self, mask: int, until: int) -> bool:
        """Move the active channels to the first completion or ``until``; True if something completed."""
        now = self.now
        active = [channel for channel in range(MATRIX_CHANNELS) if mask >> channel & 1]
        if self._contended[mask]:
            share = self._shares[mask]
            ends = [share.finish(channel, now, self._left(channel)) + 1 for channel in active]
            end = min(until, *ends)
            moved = [share.beats(channel, now, end) for channel in active]
        else:
            end = min([until, *(now + self._left(channel) for channel in active)])
            moved = [end - now] * len(active)
        self.now = end
        done = []
        for channel, beats in zip(active, moved, strict=True):
            transfer = self._queues[channel][0]
            transfer.moved += beats
            if beats:
                self._lately[channel].append(_Stretch(now, mask, transfer, beats, transfer.moved))
            if transfer.moved == transfer.stop:
                done.append(self._pop(channel, end))
        for transfer in done:
            transfer.owner.finished(end - 1, transfer.last)
        return bool(done)

    def _left(self, channel: int) -> int:
        transfer = self._queues[channel][0]
        return transfer.stop - transfer.moved

    def _pop(self, channel: int, end: int) -> Transfer:
        queue = self._queues[channel]
        transfer = queue.popleft()
        self._free_until[channel] = end
        if queue:
            queue[0].ready = max(queue[0].ready, end)
        return transfer


def _started(transfer: Transfer, cycle: int) -> int:
    """Addresses of ``transfer`` that are out before ``cycle``, of those that nothing holds back."""
    return max(0, -(-(cycle - transfer.address_cycle) // M0_STEP_CYCLES))


class _Nobody:
    """Owner of the first part of a divided transfer."""

    def finished(self, cycle: int, last: bool) -> None:
        """Nothing to do: the rest is still to come."""


class _Both:
    """Owners of a transfer that one of them watches."""

    def __init__(self, owner: Owner, watcher: Owner) -> None:
        self._owners = owner, watcher

    def finished(self, cycle: int, last: bool) -> None:
        """Tell both, the watcher first: what the owner does may need what it knows."""
        for owner in reversed(self._owners):
            owner.finished(cycle, last)


_NOBODY = _Nobody()
