"""What the memory behind the ports does wrong on request: refused beats and flipped bits.

Both simulated machines have an attribute ``faults``, which may be set at any time::

    backend.faults = Faults(refusals=(Refusal((Channel.WRITE_0,), start=0x1000_8000, end=0x1000_8040),))
    backend.faults = Faults()  # whole again

Whether a beat is refused by address, or by ``probability`` and ``seed``, depends on its channel and address
alone, so both machines refuse the same ones whatever their timing. Beats by number, and flips, are for the
compiled RTL: which beat of m0 is the n-th depends on timing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpt.hw.contract import ContractError
from cpt.hw.contract.config import BEAT_BYTES
from cpt.sim.memory import Channel

_ADDRESSES = 1 << 32
_BEAT_BITS = 8 * BEAT_BYTES
_THRESHOLD_BITS = 32
_MASK_64 = (1 << 64) - 1
ALL_CHANNELS = tuple(Channel)


class Response(enum.IntEnum):
    """AXI response codes that report an error."""

    SLVERR = 2
    DECERR = 3


@dataclass(frozen=True)
class Refusal:
    """Beats the memory answers with an error: reads bring zeros, writes change nothing.

    A beat is *meant* if it moves on one of ``channels``, its bus address is in ``start .. end-1``, and a hash
    of ``seed`` and address falls below ``probability``. Of those meant on a channel, numbered from 0 since
    the faults were set, ``count`` are refused from number ``first`` on (None: all). A write burst is
    answered with the error of its last refused beat.
    """

    channels: tuple[Channel, ...] = ALL_CHANNELS
    start: int = 0
    end: int = _ADDRESSES
    first: int = 0
    count: int | None = None
    probability: float = 1.0
    seed: int = 0
    response: Response = Response.SLVERR

    def __post_init__(self) -> None:
        _check_range(self.start, self.end)
        if self.first < 0:
            raise ContractError(f"refusal first is {self.first}; allowed: 0 and up")
        if self.count is not None and self.count < 1:
            raise ContractError(f"refusal count is {self.count}; allowed: 1 and up, or None")
        if not 0 <= self.probability <= 1:
            raise ContractError(f"refusal probability is {self.probability}; allowed: 0..1")

    @property
    def by_address(self) -> bool:
        """Whether address and channel alone decide."""
        return self.first == 0 and self.count is None

    @property
    def threshold(self) -> int:
        """Hashes (32 bits) below it are meant."""
        return int(self.probability * (1 << _THRESHOLD_BITS))

    def means(self, channel: Channel, addresses: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the beats at bus ``addresses`` (multiples of 8) are meant on ``channel``."""
        if channel not in self.channels:
            return np.zeros(addresses.shape, bool)
        inside = (addresses >= self.start) & (addresses < self.end)
        hashes = address_hash(self.seed, addresses)
        chosen: NDArray[np.bool_] = inside & (hashes < np.uint64(self.threshold))
        return chosen


@dataclass(frozen=True)
class Flip:
    """One flipped data bit: ``bit`` of beat number ``beat`` on ``channel``, on its way to or from memory.

    Beats are numbered from 0 since the faults were set, those whose address is in ``start .. end-1``.
    """

    channel: Channel
    beat: int
    bit: int
    start: int = 0
    end: int = _ADDRESSES

    def __post_init__(self) -> None:
        _check_range(self.start, self.end)
        if self.beat < 0:
            raise ContractError(f"flip beat is {self.beat}; allowed: 0 and up")
        if not 0 <= self.bit < _BEAT_BITS:
            raise ContractError(f"flip bit is {self.bit}; allowed: 0..{_BEAT_BITS - 1}")


@dataclass(frozen=True)
class Faults:
    """Everything the memory does wrong; nothing by default."""

    refusals: tuple[Refusal, ...] = ()
    flips: tuple[Flip, ...] = ()

    def refused(self, channel: Channel, addresses: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the beats at bus ``addresses`` are refused by address on ``channel``."""
        refused = np.zeros(addresses.shape, bool)
        for refusal in self.refusals:
            refused |= refusal.means(channel, addresses)
        return refused

    def check_by_address(self) -> None:
        """Raise `ContractError` if some fault needs the timing of the RTL."""
        if self.flips or not all(refusal.by_address for refusal in self.refusals):
            raise ContractError("faults count beats; allowed on the fast model: refusals by address")


def address_hash(seed: int, addresses: NDArray[np.int64]) -> NDArray[np.uint64]:
    """32-bit hashes of the beats at ``addresses``: splitmix64 of seed and beat number, as in the harness."""
    with np.errstate(over="ignore"):
        beats = addresses.astype(np.uint64) // np.uint64(BEAT_BYTES)
        mixed = np.uint64(seed & _MASK_64) + (beats + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed >> np.uint64(_THRESHOLD_BITS)


def _check_range(start: int, end: int) -> None:
    if not 0 <= start < end <= _ADDRESSES:
        raise ContractError(f"fault range is {start:#x}..{end:#x}; allowed: start below end, up to 1 << 32")
