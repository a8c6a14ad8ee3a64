"""The program's side in time: lists read, words looked at, instructions pushed into queues."""

from __future__ import annotations

from collections import Counter

from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import Engine
from cpt.hw.program.runner import SEEN_CYCLES, queue_instructions
from cpt.sim.step.timing.run import Process, Run, known

PUSH_CYCLES = SEEN_CYCLES + 3
"""From a word in front to its push: it is seen, decided upon, pushed."""
DISPATCH_CYCLES = PUSH_CYCLES + 1
"""From one push to the next."""
ROOM_CYCLES = MACHINE.queue_cycles + MACHINE.decision_cycles
"""From an instruction taken out of a full queue to the push of the next."""
LIST_CYCLES = 36
"""From a RUN that is decided upon to its first push, memory's latency not counted."""


def program(run: Run, latency: int) -> Process:
    """Pushes all instructions of a list; each waits for room in its engine's queue."""
    numbers: Counter[Engine] = Counter()
    pushed = LIST_CYCLES + latency
    for moment in run.moments:
        number = numbers[moment.engine]
        numbers[moment.engine] += 1
        if number >= queue_instructions(moment.engine):
            room = yield from known(run.taken[moment.engine], number - queue_instructions(moment.engine))
            pushed = max(pushed, room + ROOM_CYCLES)
        run.pushed[moment.engine].append(pushed)
        pushed += DISPATCH_CYCLES
