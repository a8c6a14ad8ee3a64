"""Rows between a walk and what takes them: the walk is ahead by as many as their queue holds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SEEN_CYCLES = 2
"""From a row that is taken to the row that may leave for it."""


@dataclass
class Rows:
    """A walk and what takes its rows.

    ``stages``: cycles from a row of the walk to what may take it; ``every``: from one to the next there, at
    least.
    """

    stages: int
    ahead: int
    """Rows that the walk may be ahead of what is taken."""
    every: int = 1
    left: int = 0
    """When the last row left the walk."""
    took: int = 0
    """Cycle behind the last step that was taken."""
    taken: deque[int] = field(default_factory=deque)

    def row(self, gap: int, data: int, cost: int) -> int:
        """A row that leaves so many cycles behind the one before at best, whose data are all there in
        ``data`` and take ``cost`` cycles: cycle behind its last step."""
        self.left += gap
        if len(self.taken) == self.ahead:
            self.left = max(self.left, self.taken.popleft() + SEEN_CYCLES)
        self.took = max(self.left + self.stages + cost, self.took + max(cost, self.every), data)
        self.taken.append(self.took)
        return self.took

    def begin(self, cycle: int) -> None:
        """The walk stands still until then."""
        self.left = max(self.left, cycle)
