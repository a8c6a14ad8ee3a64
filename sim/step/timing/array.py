"""EXEC in time: executor, array and collector."""

from __future__ import annotations

from cpt.hw.contract.config import TAPS
from cpt.hw.contract.machine import MACHINE, array_latency_cycles, collector_latency_cycles
from cpt.hw.contract.order import tile_cycles, tile_interval_cycles
from cpt.hw.contract.passes import gradient_tiles
from cpt.hw.contract.step import Code, Engine, Word
from cpt.hw.matrix.exec_engine import WORKED_OUT_CYCLES, ExecEngine
from cpt.sim.step.costs import Costs
from cpt.sim.step.timing.run import Process, Run, known, later

SLOT_CYCLES = 5
"""From a slot that is complete, as its mark shows it, to the block made of it."""


def array(run: Run, costs: Costs) -> Process:
    """Tiles one after the other: each begins when its operands are there, ends when a result tile is free."""
    config, engine = run.config, Engine.EXEC
    collect = 1 + array_latency_cycles(config) + collector_latency_cycles(config)
    interval = tile_interval_cycles(config)
    free, last, collected, slot, tile = 0, -1, 0, 0, 0
    places = [0] * MACHINE.exec_commands
    for number, moment in enumerate(run.of(engine)):
        word = moment.word
        taken = yield from run.take(moment, number, free)
        gate, why = yield from run.gate(word, 0, taken + 1)
        ready = max(taken + 1 + WORKED_OUT_CYCLES, places.pop(0))
        accepted = max(gate + 1, ready)
        free = accepted + 2
        start, why = later((last + 1, engine.name), (accepted + MACHINE.exec_start_cycles, why))
        block = yield from known(run.loaded, number)
        start, why = later((start, why), (block + MACHINE.exec_block_cycles, Engine.LOAD.name))
        run.spent(moment, max(last + 1, ready + MACHINE.exec_start_cycles), start, why)
        cycles = steps(costs, word)
        for tiles, releases in blocks(word):
            filled = yield from known(run.filled, slot)
            free_from = start
            start, why = later(
                (start, why), (filled + SLOT_CYCLES + ExecEngine.latency_cycles, Engine.FETCH.name)
            )
            run.begin(moment, start, why, free_from)
            for _ in range(tiles):
                earliest = collected
                if tile >= MACHINE.step_result_tiles:
                    earliest = max(earliest, (yield from known(run.freed, tile - MACHINE.step_result_tiles)))
                end = start + cycles - 1
                last = max(end, earliest)
                run.spent(moment, start, end + 1)
                if last > end:
                    run.waits[engine][Engine.DRAIN.name] += last - end
                    run.spent(moment, end + 1, last + 1, Engine.DRAIN.name)
                run.worked(moment, cycles)
                collected, start, tile = last + interval, last + 1, tile + 1
                run.mark(moment, last + collect + 1)
            why = engine.name
            if releases:
                run.released_b.append(last + MACHINE.exec_release_cycles + ExecEngine.latency_cycles)
                slot += 1
        run.released_a.append(last + MACHINE.exec_release_cycles)
        places.append(last + MACHINE.exec_accept_cycles)


def steps(costs: Costs, word: Word) -> int:
    """Steps of a tile."""
    a, b = costs.slots[word.slot_a], costs.slots[word.slot_b]
    ksteps = word.ksteps if word.code is Code.EXEC else word.rows
    return tile_cycles(a.bits, b.bits, a.signed, b.signed, ksteps)


def blocks(word: Word) -> list[tuple[int, bool]]:
    """Tiles of rows of each tile of columns, and whether a slot is done with behind them."""
    if word.code is Code.EXEC:
        return [(word.a_tiles, True)] * word.tiles
    taps, pairs = TAPS if word.kernel else 1, -(-word.groups // 2)
    columns = len(gradient_tiles(taps, word.groups)) // pairs
    return [(word.a_tiles, column == columns - 1) for _ in range(pairs) for column in range(columns)]
