"""cpt.sim.step.timing.ports, .reading: what memory gives all ports together, and runs that wait for room."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from cpt.hw.contract.machine import MACHINE
from cpt.sim.step.timing.ports import Master, Memory
from cpt.sim.step.timing.reading import ROOM_CYCLES, Reading

LATENCY = 40
BURST = 16


def returned(process: Generator[Any, None, int]) -> int:
    """What a process says that has nothing to wait for."""
    with pytest.raises(StopIteration) as stop:
        next(process)
    return stop.value.value


@pytest.mark.parametrize("beats_per_cycle", [1.0, 1.5, 2.0])
def test_busy_ports_share_what_memory_gives_and_writes_have_their_share(beats_per_cycle: float) -> None:
    memory = Memory(LATENCY, LATENCY, beats_per_cycle)
    reads, writes = ([memory.port(writes=kind) for _ in range(2)] for kind in (False, True))
    moved, cycle = {"read": 0, "write": 0}, 0
    for cycle in range(4096):
        # Reads are asked for long before they move, a few bursts ahead; writes when they are there.
        for port in reads:
            if port.free <= cycle + LATENCY + 2 * BURST:
                port.move(cycle + LATENCY, BURST)
                moved["read"] += BURST
        for port in writes:
            if port.free <= cycle:
                port.move(cycle, BURST)
                moved["write"] += BURST
    end = max(port.free for port in (*reads, *writes))
    assert sum(moved.values()) / end == pytest.approx(beats_per_cycle, rel=0.02)
    assert moved["write"] / cycle >= beats_per_cycle / 2 * 0.85


def test_a_port_alone_moves_a_beat_a_cycle() -> None:
    port = Memory(LATENCY, LATENCY, 2.0).port()
    for cycle in range(0, 160, BURST):
        port.move(cycle, BURST)
        assert port.free == cycle + BURST


def test_a_part_waits_until_words_before_have_left_its_port() -> None:
    memory = Memory(LATENCY, LATENCY, 2.0)
    reading = Reading((Master(memory.port(), 1), Master(memory.port(), 1)), ahead=6)
    room, address = MACHINE.reader_words, 0
    for _ in range(2):
        for words, place in reading.cut(room, address):
            assert returned(reading.room(words)) == 0
            reading.read(0, place, words)
        address += 16 * room
    words, place = next(reading.cut(room, address))
    assert sum(part.words for part in reading.parts if part.port == 0) == room
    waiting = reading.room(words)
    assert next(waiting) == (reading.counts, 0)
    # The first part's last word has left when what takes words is as far, less those between.
    reading.take(0, words - 1 - reading.ahead, 1000)
    assert returned(waiting) == 1000 + ROOM_CYCLES


def test_words_of_a_run_come_in_order_of_its_parts() -> None:
    memory = Memory(LATENCY, LATENCY, 2.0)
    reading = Reading((Master(memory.port(), 1), Master(memory.port(), 1)), ahead=6)
    for words, place in reading.cut(48, 0):
        reading.read(0, place, words)
    assert [(part.port, part.words) for part in reading.parts] == [(0, 12), (1, 12), (0, 12), (1, 12)]
    came = [returned(reading.came(0, word)) for word in range(48)]
    assert came[:24] == [came[0] + 2 * (word % 12) for word in range(24)]
    assert max(came) == reading.parts[-1].last
