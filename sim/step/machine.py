"""The whole machine, one instruction after the other: what a program leaves in memory, to the bit."""

from __future__ import annotations

from collections.abc import Callable

from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.step import ENGINES, WORD_BYTES, Code, Engine, Word, decode
from cpt.sim.step.floats import Floats
from cpt.sim.step.lanes import Lanes
from cpt.sim.step.moves import Moves
from cpt.sim.step.products import Products
from cpt.sim.step.state import State


class StepMachine:
    """Executes instruction words in the order of the program.

    That order is one of those that the engines' marks allow; that all of them leave the same bits is the
    compiler's care. `run` takes words; SET, RUN and END are the ring's.
    """

    def __init__(self, config: ArrayConfig, *, memory_bytes: int, scratch_words: int) -> None:
        self.state = State(config, memory_bytes, scratch_words)
        self.products = Products(self.state)
        self.lanes = Lanes(self.state, self.products)
        self.moves = Moves(self.state)
        self.floats = Floats(self.state)
        self.tag = 0
        """Of the last END."""
        self.executed = dict.fromkeys(Engine, 0)
        """Instructions that each engine has executed."""
        self._handlers: dict[Code, Callable[[Word], None]] = {
            Code.LOAD_A: self.products.load_weights,
            Code.LOAD_E: self.products.load_errors,
            Code.FETCH: self.products.fetch,
            Code.FETCH_X: self.products.fetch_inputs,
            Code.EXEC: self.products.execute,
            Code.EXEC_DW: self.products.execute_gradient,
            Code.DRAIN: self.lanes.drain,
            Code.APPLY: self.lanes.apply,
            Code.MOVE: self.moves.move,
            Code.FLOAT: self.floats.run,
            Code.SET: self._set,
            Code.RUN: self._call,
            Code.END: self._end,
        }

    def run(self, words: bytes) -> None:
        """Execute instruction words, `WORD_BYTES` each; raises `ContractError` for one that is none."""
        for start in range(0, len(words), WORD_BYTES):
            word = decode(words[start : start + WORD_BYTES])
            self._handlers[word.code](word)
            if word.code in ENGINES:
                self.executed[ENGINES[word.code]] += 1

    def _set(self, word: Word) -> None:
        (self.state.keys if word.kind else self.state.bases)[word.index] = word.value

    def _call(self, word: Word) -> None:
        first = self.state.address(word)
        words = self.state.memory[first : first + word.count * WORD_BYTES].tobytes()
        if any(words[at] & 0xF == Code.RUN for at in range(0, len(words), WORD_BYTES)):
            raise ContractError("RUN inside a list of instructions; allowed: in the ring alone")
        self.run(words)

    def _end(self, word: Word) -> None:
        self.tag = word.tag
