"""The program's side in time: lists read, words looked at, instructions pushed into queues."""

from __future__ import annotations

from collections import Counter, deque

from cpt.hw.contract.machine import BURST_BYTES, FETCH_INSTRUCTIONS, INSTRUCTION_BEATS, MACHINE
from cpt.hw.contract.step import Engine
from cpt.hw.program.runner import SEEN_CYCLES, queue_instructions
from cpt.sim.step.timing.ports import Master
from cpt.sim.step.timing.run import Process, Run, known

PUSH_CYCLES = SEEN_CYCLES + 3
"""From a word in front to its push: it is seen, decided upon, pushed."""
DISPATCH_CYCLES = PUSH_CYCLES + 1
"""From one push to the next."""
ROOM_CYCLES = MACHINE.queue_cycles + MACHINE.decision_cycles
"""From an instruction taken out of a full queue to the push of the next."""
LIST_CYCLES = 36
"""From a RUN that is decided upon to its first push, memory's latency not counted."""


ASKED_CYCLES = 6
"""From a push to the burst at its master that there is room for since: `AHEAD` instructions on."""
AHEAD = 2
"""Instructions between the one that leaves the reader's queue and the one that is pushed."""
READ_CYCLES = PUSH_CYCLES + 2 - (FETCH_INSTRUCTIONS - 1) * INSTRUCTION_BEATS
"""From a burst's last beat at its master to the push of its first instruction, which came before."""


def program(run: Run, latency: int, lists: Master) -> Process:
    """Pushes all instructions of a list; each waits for room in its engine's queue, and for the burst that it
    comes with, which is asked for when there is room for it."""
    numbers: Counter[Engine] = Counter()
    pushed, came = LIST_CYCLES + latency, 0
    pushes: deque[int] = deque(maxlen=AHEAD)
    for place, moment in enumerate(run.moments):
        burst, first = divmod(place, FETCH_INSTRUCTIONS)
        if burst > 1 and not first:
            pushed = max(pushed, came + READ_CYCLES)
        if burst and not first and place + FETCH_INSTRUCTIONS < len(run.moments):
            asked = pushes[0] + ASKED_CYCLES
            yield asked
            beats = FETCH_INSTRUCTIONS * INSTRUCTION_BEATS
            came = lists.read(asked, (burst + 1) * BURST_BYTES, beats)[-1][0]
        number = numbers[moment.engine]
        numbers[moment.engine] += 1
        if number >= queue_instructions(moment.engine):
            room = yield from known(run.taken[moment.engine], number - queue_instructions(moment.engine))
            pushed = max(pushed, room + ROOM_CYCLES)
        run.pushed[moment.engine].append(pushed)
        pushes.append(pushed)
        pushed += DISPATCH_CYCLES
