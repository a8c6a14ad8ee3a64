"""The whole machine, one instruction after the other: what a program leaves in memory, to the bit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.passes import Drain
from cpt.hw.contract.step import ENGINES, WORD_BYTES, Code, Engine, Word, decode
from cpt.sim.step.floats import Floats
from cpt.sim.step.lanes import Lanes
from cpt.sim.step.moves import Moves
from cpt.sim.step.products import Products
from cpt.sim.step.state import Slot, State

_TAGS = 1 << 32
"""Tags come round; of two, the one less than half a round ahead is the later."""


class StepMachine:
    """Executes instruction words in the order of the program.

    That order is one of those that the engines' marks allow; that all of them leave the same bits is the
    compiler's care. `run` takes words; SET, RUN and END are the ring's. ``memory``: its bytes, or how many;
    ``memory_base``: bus address of the first.
    """

    def __init__(
        self,
        config: ArrayConfig,
        *,
        memory: int | np.ndarray,
        scratch_words: int,
        memory_base: int = 0,
    ) -> None:
        self.state = State(config, memory, scratch_words, memory_base)
        self.products = Products(self.state)
        self.lanes = Lanes(self.state, self.products)
        self.moves = Moves(self.state)
        self.floats = Floats(self.state)
        self.tag = 0
        """Of the last END."""
        self.run_list: Callable[[bytes], None] = self.run
        """How lists that RUN names are executed; `Interleaving` puts another order here."""
        self._queue: deque[bytes] = deque()
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
            Code.BRING: self.moves.bring,
            Code.STORE: self.moves.store,
            Code.FLOAT: self.floats.run,
            Code.SET: self._set,
            Code.RUN: self._call,
            Code.END: self._end,
        }

    # What `cpt.host.fabric.Device` asks for.

    def allocate(self, size: int) -> int:
        """The memory's first ``size`` bytes; raises `ContractError` where it has fewer."""
        if size > len(self.state.memory):
            raise ContractError(f"memory is {len(self.state.memory)} bytes; allowed: at least {size}")
        return self.state.memory_base

    def write(self, address: int, values: np.ndarray) -> None:
        """Bytes of ``values`` to memory."""
        held = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        place = address - self.state.memory_base
        self.state.memory[place : place + held.size] = held

    def read(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes of memory."""
        place = address - self.state.memory_base
        return self.state.memory[place : place + size].copy()

    def set_slots(self, slots: Mapping[int, tuple[int, bool]]) -> None:
        """Bits and sign of the codes of precision slots."""
        for index, (bits, signed) in slots.items():
            self.state.slots[index] = Slot(bits, signed)

    def ring(self, words: bytes) -> None:
        """Queue words; they are executed when someone waits for what they end with."""
        self._queue.extend(words[at : at + WORD_BYTES] for at in range(0, len(words), WORD_BYTES))

    def wait(self, tag: int) -> None:
        """Execute up to the END with ``tag``; raises `TimeoutError` where none was rung."""
        while (self.tag - tag) % _TAGS >= _TAGS // 2:
            if not self._queue:
                raise TimeoutError(f"tag {tag} was not rung; the last one reached is {self.tag}")
            self.execute(decode(self._queue.popleft()))

    def run(self, words: bytes) -> None:
        """Execute instruction words, `WORD_BYTES` each; raises `ContractError` for one that is none."""
        for start in range(0, len(words), WORD_BYTES):
            self.execute(decode(words[start : start + WORD_BYTES]))

    def execute(self, word: Word) -> None:
        """One instruction."""
        self._handlers[word.code](word)
        if word.code in ENGINES:
            self.executed[ENGINES[word.code]] += 1

    def execute_image(self, word: Word, image: int) -> None:
        """An APPLY's work on one of its images, in order."""
        self.lanes.apply_image(word, image)
        self.executed[Engine.APPLY] += image + 1 == word.images

    def has_operands(self, word: Word) -> bool:
        """Whether what an engine takes from the one before it is there."""
        products = self.products
        if word.code is Code.EXEC:
            return bool(products.blocks)
        if word.code is Code.EXEC_DW:
            return bool(products.errors and products.inputs)
        if word.code is Code.DRAIN:
            if Drain(word.kind) is Drain.GRADIENT:
                return len(products.gradients) >= word.tiles
            return bool(products.results) and products.images >= word.images
        return True

    def _set(self, word: Word) -> None:
        (self.state.keys if word.kind else self.state.bases)[word.index] = word.value

    def _call(self, word: Word) -> None:
        words = self.state.readable(self.state.address(word), word.count * WORD_BYTES).tobytes()
        if any(words[at] & 0xF == Code.RUN for at in range(0, len(words), WORD_BYTES)):
            raise ContractError("RUN inside a list of instructions; allowed: in the ring alone")
        self.run_list(words)

    def _end(self, word: Word) -> None:
        self.tag = word.tag
