"""What the hardware counted while a program ran."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Counters:
    """Performance counters of one or several programs; cycles unless named otherwise.

    The fields are those of `cpt.hw.contract.Counter`.
    """

    total: int = 0
    exec_busy: int = 0
    exec_wait_fetch: int = 0
    exec_wait_drain: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    read_stall: int = 0
    write_stall: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            **{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)}
        )

    def times(self, count: int) -> Counters:
        """Of ``count`` programs of the same."""
        return Counters(**{item.name: count * getattr(self, item.name) for item in fields(self)})

    def as_dict(self) -> dict[str, int]:
        """All counters by name."""
        return asdict(self)
