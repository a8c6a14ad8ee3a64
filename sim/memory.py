"""The memory behind the accelerator's AXI ports: exact, deterministic rules and named presets.

The compiled RTL and the fast model both follow these rules, so their cycle counts can be compared.

Time is counted in clock cycles ``t = 0, 1, ...`` since the simulation was created. There are ``n`` data
channels: 0 = read data of m0, 1 = read data of m1, 2 = write data of m0 and, in the machine of whole steps,
3 = write data of m1. A *transfer in cycle t* means that valid and ready are both high at the clock edge
ending cycle ``t``.

1. **Addresses.** Each address channel (AR and AW of a port) is ready in every cycle in which fewer
   than ``max_outstanding`` of its bursts are open: at most one address per cycle. A read burst is open from
   the cycle after its address transfer through the transfer of its last beat; a write burst from the cycle
   after its address transfer through the transfer of its response.
2. **Slots.** Cycle ``t`` has ``slots(t) = (t+1)*num // den - t*num // den`` data slots, shared by the
   channels; an unused slot is lost. Channels are asked in the order ``t % n, (t+1) % n, ..``; each one that
   wants a slot takes one while there are any.
3. **Read data.** Bursts of a port are served in order, beats in order, at most one beat per cycle. A beat of
   a burst whose address was transferred in cycle ``t`` wants a slot in cycles ``>= t + read_latency_cycles``
   in which no earlier beat of the port is still offered. With its slot it is offered (valid), and stays
   offered, at no further slot, until the master takes it. A master that is always ready takes it at once.
4. **Write data.** The next beat wants a slot in each cycle in which the master offers one (valid) and its
   burst's address was transferred in an *earlier* cycle; with the slot it is transferred in that cycle.
5. **Write response.** Valid from ``write_latency_cycles`` after the cycle of the burst's last beat, in order,
   at most one per cycle.
6. **Contents.** A read beat returns the bytes as they are in the cycle it gets its slot; a write beat changes
   them at the end of the cycle it is transferred in. A beat outside the memory reads as zero with DECERR; a
   write burst with any beat outside is answered with DECERR and such beats are dropped.

For the RTL alone: random stalls (`Stalls`) withhold ready, valid or a slot of a channel for some cycles, and
`WriteOrder` lets write data in before its address. What goes wrong on request is in `cpt.sim.faults`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm

from cpt.hw.contract import ContractError
from cpt.hw.contract.config import BEAT_BYTES


class Channel(enum.IntEnum):
    """Data channels that share the slots."""

    READ_0 = 0
    READ_1 = 1
    WRITE_0 = 2
    WRITE_1 = 3


CHANNELS = len(Channel)
"""How many they are in the machine of whole steps."""
MATRIX_CHANNELS = 3
"""That of products has the first ones."""


class WriteOrder(enum.IntEnum):
    """Which goes first on a write port; the values are those of the harness."""

    ADDRESS = 0
    """Data waits for its address: rule 4."""
    DATA = 1
    """An address waits until all data of its burst is in, at most one burst ahead; written as it is taken."""
    RANDOM = 2
    """Drawn for each burst from the seed of `Stalls`: address first, data first, or some beats first."""


@dataclass(frozen=True)
class MemoryModel:
    """A memory in cycles of one clock; see the module for the rules."""

    name: str
    read_latency_cycles: int
    """Cycles from the read address to the earliest first beat."""
    write_latency_cycles: int
    """Cycles from the last write beat to the earliest response."""
    slots_num: int
    """Data slots per cycle over all channels, numerator."""
    slots_den: int
    """Data slots per cycle over all channels, denominator."""
    max_outstanding: int
    """Open bursts per address channel."""

    def __post_init__(self) -> None:
        for field in (
            "read_latency_cycles",
            "write_latency_cycles",
            "slots_num",
            "slots_den",
            "max_outstanding",
        ):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise ContractError(f"memory {field} is {value!r}; allowed: a positive integer")

    def slots(self, cycle: int) -> int:
        """Data slots of ``cycle``."""
        return (cycle + 1) * self.slots_num // self.slots_den - cycle * self.slots_num // self.slots_den

    @property
    def period_cycles(self) -> int:
        """Cycles after which the order of channels, in the machine of products, and the number of slots come
        again."""
        return lcm(MATRIX_CHANNELS, self.slots_den)

    @property
    def beats_per_cycle(self) -> Fraction:
        """Most data beats per cycle, all channels together."""
        return min(Fraction(self.slots_num, self.slots_den), Fraction(CHANNELS))


@dataclass(frozen=True)
class Stalls:
    """Random AXI stalls: in each cycle each channel is held back with ``probability`` (0 to below 1).

    A stall lasts 1 to ``longest_cycles`` cycles, all alike.
    """

    probability: float = 0.0
    seed: int = 0
    longest_cycles: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise ContractError(
                f"stall probability is {self.probability}; allowed: 0 up to, not including, 1"
            )
        if self.longest_cycles < 1:
            raise ContractError(f"stall longest_cycles is {self.longest_cycles}; allowed: 1 and up")


@dataclass(frozen=True)
class _Preset:
    """A memory in physical units, independent of the clock."""

    read_latency_ns: float
    write_latency_ns: float
    bandwidth_mbytes_per_s: int
    max_outstanding: int


_IDEAL_LATENCY_CYCLES = 4
_PRESETS = {
    # 3.2 GB/s is what the PS DDR3 sustains for all masters; an HP port's read queue holds eight bursts of 16.
    "ps-ddr": _Preset(200.0, 120.0, 3200, 8),
    # The same, as a board that gives less has it.
    "ps-ddr-low": _Preset(200.0, 120.0, 2600, 8),
    # The ZC706's SODIMM behind a mig_7series at 200 MHz: about 9.6 of 12.8 GB/s usable.
    "pl-ddr": _Preset(150.0, 80.0, 9600, 8),
}
MEMORY_MODELS = ("ideal", *_PRESETS)
"""Names `memory_model` knows."""


def memory_model(name: str, clock_mhz: float) -> MemoryModel:
    """The preset ``name`` in cycles of a clock of ``clock_mhz``.

    ``ideal``: one beat per channel and cycle, latency of 4 cycles. ``ps-ddr``: 3.2 GB/s in all, 200 ns to the
    first beat; ``ps-ddr-low``: 2.6 GB/s. ``pl-ddr``: 9.6 GB/s. Raises `ContractError` for an unknown name.
    """
    if name == "ideal":
        return MemoryModel(name, _IDEAL_LATENCY_CYCLES, _IDEAL_LATENCY_CYCLES, CHANNELS, 1, 16)
    if name not in _PRESETS:
        raise ContractError(f"memory model is {name!r}; allowed: {', '.join(MEMORY_MODELS)}")
    chosen = _PRESETS[name]
    clock = Fraction(clock_mhz).limit_denominator(1000)
    slots = Fraction(chosen.bandwidth_mbytes_per_s) / (BEAT_BYTES * clock)
    return MemoryModel(
        name,
        ceil(chosen.read_latency_ns * clock / 1000),
        ceil(chosen.write_latency_ns * clock / 1000),
        slots.numerator,
        slots.denominator,
        chosen.max_outstanding,
    )
