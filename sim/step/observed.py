"""Steps on the RTL with what its engines do: when each instruction came, was taken, and ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.passes import units
from cpt.hw.contract.step import ENGINES, WORD_BYTES, Code, Engine, Word, decode
from cpt.sim.rtl.library import BusEvent, EventKind
from cpt.sim.step.beside import Beside


@dataclass
class Seen:
    """An instruction on the RTL; cycles from the RUN of its list."""

    word: Word
    engine: Engine
    pushed: int
    """Into its engine's queue."""
    taken: int
    """Out of it."""
    marks: list[int]
    """When the engine's mark shows each of its units."""


@dataclass
class SeenList:
    """A list of instructions that ran."""

    name: str
    instructions: list[Seen] = field(default_factory=list)

    @property
    def cycles(self) -> int:
        """From its RUN to the last mark."""
        return max(seen.marks[-1] for seen in self.instructions)


class Observed(Beside):
    """The RTL and the model beside it, and what the RTL's engines did; arguments are those of `Beside`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.backend.take_events()
        self.backend.observe(True)
        self._runs: list[int] = []
        """Offsets of the lists that were rung."""

    def __enter__(self) -> Observed:
        return self

    def ring(self, words: bytes) -> None:
        """Queue words for both."""
        for at in range(0, len(words), WORD_BYTES):
            word = decode(words[at : at + WORD_BYTES])
            if word.code is Code.RUN:
                self._runs.append(word.offset)
        super().ring(words)

    def seen(self, lists: Mapping[str, bytes]) -> list[SeenList]:
        """What ran since the last call; ``lists`` as the trainer has them, one behind the other in memory."""
        names, offset = {}, 0
        for name, words in lists.items():
            names[offset] = name
            offset += len(words)
        events = self.backend.take_events()
        calls = [event.cycle for event in events if event.kind is EventKind.CALLED]
        ends = [*calls[1:], events[-1].cycle + 1] if calls else []
        found = []
        for place, begin, end in zip(self._runs, calls, ends, strict=True):
            mine = [event for event in events if begin <= event.cycle < end]
            found.append(
                SeenList(
                    names[place], _instructions(self.model.state.config, lists[names[place]], mine, begin)
                )
            )
        self._runs.clear()
        return found


def _instructions(config: ArrayConfig, words: bytes, events: Sequence[BusEvent], begin: int) -> list[Seen]:
    """Instructions of a list from what happened in it; an engine's are in their order."""
    cycles: dict[tuple[EventKind, int], list[int]] = {}
    for event in events:
        if event.kind is not EventKind.MARK or event.value:
            cycles.setdefault((event.kind, event.port), []).append(event.cycle - begin)
    found, units_before = [], dict.fromkeys(Engine, 0)
    numbers = dict.fromkeys(Engine, 0)
    for at in range(0, len(words), WORD_BYTES):
        word = decode(words[at : at + WORD_BYTES])
        engine = ENGINES[word.code]
        number, first = numbers[engine], units_before[engine]
        numbers[engine] += 1
        units_before[engine] += units(config, word)
        found.append(
            Seen(
                word,
                engine,
                cycles[EventKind.ARRIVED, engine][number],
                cycles[EventKind.TAKEN, engine][number],
                cycles[EventKind.MARK, engine][first : units_before[engine]],
            )
        )
    return found
