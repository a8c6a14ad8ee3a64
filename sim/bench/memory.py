"""Memory behind a block's AXI streams: answers addresses with data, in order, with back-pressure."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract.config import BEAT_BYTES, BURST_BEATS
from cpt.hw.layouts import ADDRESS, READ_BEAT, WRITE_BEAT
from cpt.sim.bench.core import Bench, Sink, Source, pack, unpack
from cpt.sim.scoreboard import Mismatch

SLVERR = 2


def check_burst(name: str, address: int, beats: int) -> None:
    """Raise `Mismatch` unless a Zynq HP port accepts the burst."""
    if beats > BURST_BEATS:
        raise Mismatch(f"{name}: burst of {beats} beats; expected at most {BURST_BEATS}")
    if address % BEAT_BYTES or address >> 12 != (address + BEAT_BYTES * beats - 1) >> 12:
        raise Mismatch(f"{name}: burst at {address:#x} of {beats} beats; expected aligned and within 4 KB")


class ReadMemory:
    """Answers stream ``ar`` on stream ``r`` from ``data``, which starts at address 0.

    ``most_open`` is the largest number of bursts that were in flight at once. A beat at an address in
    ``faulty`` comes with an error response.
    """

    def __init__(self, bench: Bench, data: NDArray[np.uint8], ar: str = "ar", r: str = "r") -> None:
        self.data = data
        self.faulty: set[int] = set()
        self.bursts: list[tuple[int, int]] = []
        self.most_open = 0
        self._addresses, self._beats = Sink(bench, ar), Source(bench, r, READ_BEAT)
        self._name = ar
        self._ends: deque[int] = deque()
        self._put = 0
        bench.agents.append(self)

    def stall(self, address: float, data: float) -> None:
        """Set the back-pressure of both channels."""
        self._addresses.stall, self._beats.stall = address, data

    @property
    def outstanding(self) -> int:
        """Nothing beyond what the streams themselves owe."""
        return 0

    def drive(self) -> None:
        """The streams drive themselves."""

    def sample(self) -> None:
        """Queue the data of new bursts."""
        while self._ends and self._ends[0] <= self._beats.sent:
            self._ends.popleft()
        for item in self._addresses.take():
            burst = unpack(ADDRESS, item)
            address, beats = burst["addr"], burst["len"] + 1
            check_burst(self._name, address, beats)
            self.bursts.append((address, beats))
            for index in range(beats):
                where = address + 8 * index
                word = int.from_bytes(self.data[where : where + 8].tobytes(), "little")
                resp = SLVERR if where in self.faulty else 0
                self._beats.put(pack(READ_BEAT, {"data": word, "resp": resp, "last": index == beats - 1}))
            self._put += beats
            self._ends.append(self._put)
        self.most_open = max(self.most_open, len(self._ends))


class WriteMemory:
    """Takes bursts from streams ``aw`` and ``w`` into ``data`` and answers each on ``b``."""

    def __init__(self, bench: Bench, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.response = 0
        self.bursts: list[tuple[int, int]] = []
        self._addresses, self._beats = Sink(bench, "aw"), Sink(bench, "w")
        self._answers = Source(bench, "b", 2)
        self._open: deque[tuple[int, int]] = deque()
        self._words: deque[tuple[int, int]] = deque()
        bench.agents.append(self)

    def stall(self, address: float, data: float, response: float) -> None:
        """Set the back-pressure of the three channels."""
        self._addresses.stall, self._beats.stall, self._answers.stall = address, data, response

    @property
    def outstanding(self) -> int:
        """Bursts without all their data, and data without a burst."""
        return len(self._open) + len(self._words)

    def drive(self) -> None:
        """The streams drive themselves."""

    def sample(self) -> None:
        """Match data with addresses, whichever came first."""
        for item in self._addresses.take():
            burst = unpack(ADDRESS, item)
            check_burst("aw", burst["addr"], burst["len"] + 1)
            self._open.append((burst["addr"], burst["len"] + 1))
            self.bursts.append(self._open[-1])
        for item in self._beats.take():
            beat = unpack(WRITE_BEAT, item)
            self._words.append((beat["data"], beat["last"]))
        while self._open and len(self._words) >= self._open[0][1]:
            address, beats = self._open.popleft()
            for index in range(beats):
                word, last = self._words.popleft()
                if bool(last) != (index == beats - 1):
                    raise Mismatch(f"w: last is {last} on beat {index + 1} of {beats}")
                where = address + 8 * index
                self.data[where : where + 8] = np.frombuffer(word.to_bytes(8, "little"), np.uint8)
            self._answers.put(self.response)


def random_bytes(count: int) -> NDArray[np.uint8]:
    """Random memory contents that follow cocotb's seed."""
    return np.frombuffer(random.randbytes(count), np.uint8).copy()
