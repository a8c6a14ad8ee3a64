"""Where results of a product come from when they are wanted once more: the beginning of a planner.

Batch norm looks at all of y before it makes anything of it, and the backward pass wants it again. What has
room in scratch is kept there until its pass has used it. Beyond that y goes to memory and comes back, or the
array makes it again of the codes and weights that lie in memory anyway: the same bits. So it is with the
gradient behind a ReLU, which batch norm looks at backward.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS
from cpt.hw.contract.order import tile_cycles, tile_interval_cycles

WIDEST = MAX_BITS // 2
"""Widest codes of products unless told otherwise: buffers are planned for them and products priced."""
FEW = 4
"""Bits of codes up to which lists of their own make y again more often: a step of ResNet-20 takes 3 % less at
3 bits and 1 % at 4; from 5 on it would take longer."""
READ_PORTS = 2
"""Ports that 16-bit numbers come back through, a beat a cycle each; they go through one."""
REGIONS = 5
"""Places of coefficients: of the four instructions that make and use parts of tensors, and what is left where
places come round."""


class Way(enum.Enum):
    """How results are at hand again where scratch does not keep them."""

    SPILL = "spill"
    RECOMPUTE = "recompute"


@dataclass(frozen=True)
class Product:
    """A product of a micro-batch."""

    config: ArrayConfig
    tiles: int
    """Of pixels, of all images."""
    groups: int
    """Of channels of the results."""
    ksteps: int
    widest: int = WIDEST
    """Bits of its codes."""

    @property
    def spill_cycles(self) -> int:
        """Cycles of the bus that results take to memory and back."""
        words = self.tiles * self.groups * self.config.group_channels
        beats = 2 * self.config.cols * words // BEAT_BYTES
        return beats + beats // READ_PORTS

    @property
    def recompute_cycles(self) -> int:
        """Cycles of the array, or of the lanes where they take longer, at the widest precision."""
        product = tile_cycles(self.widest, self.widest, False, False, self.ksteps)
        return self.tiles * self.groups * max(product, tile_interval_cycles(self.config))


def of_product(product: Product, *, in_parts: bool, forced: Way | None = None) -> Way:
    """What is cheaper; ``forced``, if it can be done.

    ``in_parts``: results have no room in scratch. Their parts are made while other instructions'
    coefficients are in use, so that there must be places for them.
    """
    held = product.groups * product.config.group_channels
    if in_parts and REGIONS * held > product.config.channels:
        return Way.SPILL
    if forced:
        return forced
    return Way.RECOMPUTE if product.recompute_cycles <= product.spill_cycles else Way.SPILL
