"""What a run cost on the accelerator: cycles, busy cycles, bytes, useful work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from cpt.host.counters import Counters
from cpt.hw.contract import ArrayConfig


@dataclass
class Tally:
    """Sums over what ran on the accelerator."""

    total_cycles: int = 0
    busy_cycles: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    binary_macs: int = 0
    """Useful ones: of every product m * n * k * bits_a * bits_b."""

    def add_counters(self, counters: Counters, binary_macs: int) -> None:
        """Count what the accelerator counted during so much useful work."""
        self.total_cycles += counters.total
        self.busy_cycles += counters.exec_busy
        self.bytes_read += counters.bytes_read
        self.bytes_written += counters.bytes_written
        self.binary_macs += binary_macs

    def seconds(self, config: ArrayConfig) -> float:
        """Accelerator time at the stated clock; the host's own work is not in it."""
        return self.total_cycles / (config.clock_mhz * 1e6)

    def array_utilisation(self, config: ArrayConfig) -> float:
        """Useful binary multiply-accumulates over what the array could have done in ``total_cycles``.

        Counts against it: waiting for memory, filling and draining, and rows, columns and K bits of
        partly filled tiles.
        """
        return self.binary_macs / max(config.binary_macs * self.total_cycles, 1)

    def array_busy(self) -> float:
        """Share of the cycles in which the array took a step."""
        return self.busy_cycles / max(self.total_cycles, 1)

    def as_dict(self) -> dict[str, int]:
        """All sums by name."""
        return asdict(self)

    def load(self, values: Mapping[str, int]) -> None:
        """Take over sums written by `as_dict`."""
        for field in fields(self):
            setattr(self, field.name, int(values[field.name]))

    def __sub__(self, other: Tally) -> Tally:
        """What was added since ``other`` was copied."""
        return Tally(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})
