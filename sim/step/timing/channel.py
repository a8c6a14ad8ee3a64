"""FLOAT in time."""

from __future__ import annotations

from cpt.hw.contract.step import Engine
from cpt.sim.step.float_cycles import Queue, begin_cycles
from cpt.sim.step.timing.run import Process, Run


def channel(run: Run) -> Process:
    """Instructions in order, each prepared while the one before it is at work."""
    queue, engine, ended = Queue(run.config.float_lanes), Engine.FLOAT, 0
    for number, moment in enumerate(run.of(engine)):
        taken = yield from run.take(moment, number, queue.ready)
        gate, why = yield from run.gate(moment.word, 0, taken + 1)
        begin, mark = queue.run(moment.word, taken, gate)
        at_best = taken + 1 + begin_cycles(moment.word)
        run.begin(moment, begin, why if gate > at_best else engine.name, at_best)
        run.worked(moment, mark - max(begin, ended))
        run.spent(moment, max(begin, ended), mark)
        ended = mark
        run.mark(moment, mark)
