"""A program's engines in any order that their marks allow: what a missing wait would let happen."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, replace

from cpt.hw.contract import ContractError
from cpt.hw.contract.passes import units
from cpt.hw.contract.step import ENGINES, WORD_BYTES, Code, Engine, Word, decode
from cpt.sim.step.machine import StepMachine

WAITS = (0, 1)


@dataclass(frozen=True)
class Dropped:
    """A wait that a list lacks: of instruction ``number``, its first or second."""

    words: bytes
    """The list."""
    number: int
    which: int

    def out_of(self, word: Word) -> Word:
        """The instruction without it."""
        return replace(word, values={**word.values, f"wait{self.which}_engine": 0})


class Interleaving:
    """Runs lists of instructions on a machine, the next engine drawn by a seed.

    An engine's next instruction may run when both marks that it waits for are there and what it takes from
    the engine before (blocks, windows, results) is. Queues hold everything, so that engines run as far ahead
    of each other as the program lets them. An APPLY goes image by image, since others may follow its mark.
    """

    def __init__(self, machine: StepMachine, seed: int) -> None:
        self.machine = machine
        self.draw = random.Random(seed)
        self.chosen = 0
        """Instructions, and images of APPLY, that were drawn."""
        self.dropped: Dropped | None = None
        machine.run_list = self.run

    def run(self, words: bytes) -> None:
        """All instructions of one list; raises `ContractError` where nothing can go on."""
        queues: dict[Engine, deque[Word]] = {engine: deque() for engine in Engine}
        for start in range(0, len(words), WORD_BYTES):
            word = decode(words[start : start + WORD_BYTES])
            dropped = self.dropped
            if dropped and start == WORD_BYTES * dropped.number and words == dropped.words:
                word = dropped.out_of(word)
            queues[ENGINES[word.code]].append(word)
        marks = dict.fromkeys(Engine, 0)
        images = 0
        """Of the APPLY at work that are done."""
        while any(queues.values()):
            ready = [engine for engine, queue in queues.items() if queue and self._can(queue[0], marks)]
            if not ready:
                heads = {engine.name: queue[0].code.name for engine, queue in queues.items() if queue}
                raise ContractError(f"program stands still at {heads}; allowed: waits for what stands before")
            engine = self.draw.choice(ready)
            word = queues[engine][0]
            counted = units(self.machine.state.config, word)
            self.chosen += 1
            if word.code is Code.APPLY:
                self.machine.execute_image(word, images)
                images = (images + 1) % word.images
                marks[engine] += counted // word.images
            else:
                self.machine.execute(word)
                marks[engine] += counted
            if not images or word.code is not Code.APPLY:
                queues[engine].popleft()

    def _can(self, word: Word, marks: dict[Engine, int]) -> bool:
        for index in WAITS:
            engine = word.values[f"wait{index}_engine"]
            if engine and marks[Engine(engine)] < word.values[f"wait{index}_first"]:
                return False
        return self.machine.has_operands(word)
