"""What hostile runs have covered, counted."""

from __future__ import annotations

from dataclasses import dataclass, fields

from cpt.hw.contract import Error


@dataclass
class Covered:
    """Counts that add up, and every error seen, as a mask."""

    errors: int = 0

    def add(self, other: Covered) -> None:
        """Count what ``other``, of the same kind, has covered too."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            setattr(self, item.name, mine | theirs if item.name == "errors" else mine + theirs)

    @property
    def error_names(self) -> str:
        """The errors seen, in words."""
        return " ".join(error.name.lower() for error in Error if self.errors >> error & 1) or "none"
